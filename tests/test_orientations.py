"""The mean over several ways to lay the picture: no direction is left, no seam is made, calls are counted."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from methods import normal, packed, plain, stage
from torch import Tensor

from refinesr.config import from_data, to_data
from refinesr.diffusion.denoisers import DIHEDRAL, Dihedral
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import Ancestral
from refinesr.errors import ConfigError
from refinesr.images.resize import PillowBicubic, resize
from refinesr.method import Sampling
from refinesr.stage import Stage, Start

X2 = stage(packed(2))
LOW = normal(1, 3, 13, 10).clamp(-1, 1)
X = normal(1, 3, 26, 20)


def sampling(ways: int, **more: Any) -> Sampling:
    return replace(X2.method.sampling, sampler=Ancestral(0.0), orientations=ways, **more)


def last(low: Tensor, x: Tensor | None = None, made: Stage = X2, **options: Any) -> Tensor:
    start = None if x is None else Start(x, 0)
    return [p.image for p in made(low, NoiseField((0,) * len(low)), start=start, **options)][-1]


@pytest.mark.parametrize(("ways", "free"), [(1, 1), (2, 2), (4, 4), (8, 8)])
def test_a_picture_laid_otherwise_is_restored_laid_so(ways: int, free: int) -> None:
    """Averaged over a group, a network knows no direction of it; with random weights it knows all others."""
    chosen = sampling(ways)
    made = last(LOW, X, sampling=chosen)
    apart = [
        float((last(way.apply(LOW), way.apply(X), sampling=chosen) - way.apply(made)).abs().max())
        for way in DIHEDRAL
    ]
    assert max(apart[:free]) < 1e-4
    assert min(apart[free:], default=1.0) > 1e-3


def test_the_groups_are_mirrored_upside_down_and_turned() -> None:
    assert DIHEDRAL[:4] == tuple(Dihedral(turns, flip) for turns in (0, 2) for flip in (False, True))


@pytest.mark.parametrize("core", [4, 8])
def test_tiles_leave_no_trace(core: int) -> None:
    low = normal(1, 3, 21, 30).clamp(-1, 1)
    chosen = sampling(8)
    whole, by_tiles = (last(low, sampling=chosen, tile=tile) for tile in (0, core))
    torch.testing.assert_close(by_tiles, whole, rtol=0, atol=1e-3 / 127.5)


@pytest.mark.parametrize("ways", [1, 4])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("room", [4 * 13 * 10 * 8, 4 * 13 * 10 * 8 - 1])
def test_calls_and_encodings_are_counted(
    ways: int, steps: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way is encoded once where there is room for all features, 8 a low pixel; else for each call."""
    monkeypatch.setattr("refinesr.method.CACHE_LIMIT", room)
    called, encoded = [], []
    made = stage(packed(2))
    made.model.network.register_forward_hook(lambda *_: called.append(1))
    made.model.source.register_forward_hook(lambda *_: encoded.append(1))
    chosen = sampling(ways, steps=steps)
    last(LOW, made=made, sampling=chosen)
    assert len(called) == chosen.calls == ways * steps
    once = ways == 1 or room == 4 * 13 * 10 * 8
    assert len(encoded) == made.method.encoder_runs(chosen, 13 * 10) == (ways if once else ways * steps)


@pytest.mark.parametrize("core", [0, 4])
def test_what_is_kept_changes_nothing(core: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = sampling(4, steps=3)
    kept = last(LOW, sampling=chosen, tile=core)
    monkeypatch.setattr("refinesr.method.CACHE_LIMIT", 0)
    assert torch.equal(kept, last(LOW, sampling=chosen, tile=core))


def test_every_estimate_is_consistent_all_the_same() -> None:
    kernel = PillowBicubic()
    for progress in X2(LOW, NoiseField((0,)), sampling=sampling(8, consistent=kernel)):
        again = resize(progress.image, (13, 10), kernel)
        torch.testing.assert_close(again, LOW, rtol=0, atol=1e-4)


def test_a_mask_is_laid_with_the_picture() -> None:
    """Of a symmetric picture and mask, what is made up is symmetric, and what is known stays."""
    made = stage(plain(1))
    picture = normal(1, 3, 12, 12).clamp(-1, 1)
    picture = (picture + picture.flip(-1)) / 2
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 3:8, 4:8] = 1
    start = normal(1, 3, 12, 12, seed=2)
    symmetric = Start((start + start.flip(-1)) / 2, 0)
    chosen = replace(made.method.sampling, sampler=Ancestral(0.0), orientations=2)
    low = torch.cat((picture, mask), 1)
    *_, filled = made(low, NoiseField((0,)), sampling=chosen, start=symmetric)
    known = mask.expand_as(picture) == 0
    assert torch.equal(filled.image[known], picture[known])
    torch.testing.assert_close(filled.image.flip(-1), filled.image, rtol=0, atol=1e-5)
    assert not torch.allclose(filled.image[~known], picture[~known])


def test_other_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"orientations: 3 is not 1, 2, 4 or 8"):
        replace(X2.method.sampling, orientations=3)


def test_files_from_before_have_one() -> None:
    data = to_data(X2.method.sampling)
    assert data.pop("orientations") == 1
    assert from_data(Sampling, data, "sampling") == X2.method.sampling
