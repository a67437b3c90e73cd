"""Pictures of other numbers of bands than photos have, from the files to the files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import refinesr
from refinesr.cli.app import main
from refinesr.data import Pairs, load_photos
from refinesr.images.io import read
from refinesr.recipes import RECIPES, tiny
from refinesr.run import Run
from refinesr.train import train


def with_channels(run: Run, channels: int) -> Run:
    method = run.method
    changed = replace(
        method,
        channels=channels,
        network=replace(method.network, channels=channels),
        source=replace(method.source, encoder=replace(method.source.encoder, channels=channels)),
        degradation=replace(method.degradation, jpeg=replace(method.degradation.jpeg, share=0.0)),
    )
    return replace(run, method=changed, plan=replace(run.plan, steps=2))


@pytest.mark.parametrize("bands", [2, 4, 5])
def test_bands_of_a_satellite_are_learnt_and_enlarged_in_16_bits(bands: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (5, 64, 64, bands), dtype=np.uint16)
    (tmp_path / "scenes").mkdir()
    for number, scene in enumerate(values):
        extra = ["unspecified"] * (bands - 1)
        path = tmp_path / "scenes" / f"{number}.tif"
        tifffile.imwrite(path, scene, photometric="minisblack", planarconfig="contig", extrasamples=extra)
    run = with_channels(tiny(RECIPES["photo-x4-small"]()), bands)
    size = run.plan.size
    photos = load_photos(tmp_path / "scenes", torch.device("cpu"), channels=bands, smallest=size)
    pairs = Pairs(photos, run.method.degradation, size, run.plan.batch)
    assert pairs.at(0)[0].shape[1] == bands
    for _ in train(run, pairs, tmp_path / "run", device=torch.device("cpu")):
        pass

    scene, made = tmp_path / "scenes" / "0.tif", tmp_path / "large.tif"
    assert main(["upscale", str(scene), "-m", str(tmp_path / "run"), "-o", str(made)]) == 0
    large = read(made)
    assert (large.pixels.shape, large.pixels.dtype, large.alpha) == ((256, 256, bands), np.uint16, None)
    array = refinesr.upscale(refinesr.load(tmp_path / "run"), values[0])
    assert np.array_equal(array, large.pixels)
