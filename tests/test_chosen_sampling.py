"""A sampling that is asked for, in place of the model's own."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from cascades import BASE
from methods import packed, photo, plain, stage
from torch import Tensor

import refinesr
from refinesr.cascade import Cascade, Link
from refinesr.cascade_files import with_sampling_settings
from refinesr.diffusion.noise import NoiseField
from refinesr.diffusion.samplers import DPM2M, Ancestral
from refinesr.diffusion.schedule import Explicit, Karras, Leading
from refinesr.errors import ConfigError
from refinesr.images.picture import to_tensor
from refinesr.images.resize import MatlabBicubic, PillowBicubic
from refinesr.method import Sampling
from refinesr.restore import Options, picture_of
from refinesr.shapes import Denoiser, Grid, Images, Noise

X2 = stage(packed(2))
CAT = photo(60, 100, 24, 32)


@dataclass(frozen=True)
class Noted:
    """DDIM that writes down where it has been, and how loud it began."""

    seen: list[tuple[list[float], float]] = field(default_factory=list)

    def calls(self, steps: int) -> int:
        return steps

    def __call__(self, denoise: Denoiser, x: Images, grid: Grid, noise: Noise) -> Iterator[Images]:
        self.seen.append((grid.tolist(), float(x.std())))
        yield from Ancestral(0.0)(denoise, x, grid, noise)


@pytest.mark.usefixtures("unchecked")  # a sampler of one's own
def test_sampler_grid_and_temperature_are_those_that_are_asked_for() -> None:
    """`steps` comes on top, and a picture that is watched is refined so too."""
    sampler = Noted()
    asked = replace(X2.method.sampling, sampler=sampler, grid=Leading((40.0, 2.0, 1.0)), temperature=0.5)
    whole = refinesr.upscale(X2, CAT, sampling=asked, precision="fp32")
    *_, last = refinesr.refine(X2, CAT, sampling=asked, steps=2, precision="fp32")
    (first, loud), (second, _) = sampler.seen
    assert (first, second) == ([40.0, 2.0, 1.0, 0.0], [40.0, 2.0, 0.0])
    assert loud == pytest.approx(0.5 * 1601**0.5, rel=0.05)
    assert not torch.equal(whole, last.image)


@pytest.mark.parametrize(("tile", "ways"), [(0, 1), (8, 1), (8, 2)])
def test_the_picture_is_what_the_stage_makes_with_it(tile: int, ways: int) -> None:
    """Without tiles, and by hand the orientations too: one mean over two ways a call."""
    asked = replace(X2.method.sampling, sampler=DPM2M(), grid=Karras(0.1, 40.0), consistent=None, steps=9)
    options: dict[str, Any] = {"steps": 2, "tile": tile, "orientations": ways, "seed": 3}
    made = refinesr.upscale(X2, CAT, sampling=asked, precision="fp32", **options)
    low, alone = to_tensor(picture_of(CAT)), replace(asked, steps=2, orientations=ways)
    *_, last = X2(low, NoiseField((3,)), sampling=alone)
    wanted = ((last.image[0].clamp(-1, 1) + 1) * 127.5).round()
    assert (made.int() - wanted.int()).abs().max() <= 1


def test_what_else_is_asked_for_is_changed_in_it() -> None:
    own = replace(X2, method=replace(X2.method, sampling=replace(X2.method.sampling, fidelity=0.25)))
    asked = replace(X2.method.sampling, sampler=DPM2M(), consistent=MatlabBicubic(), fidelity=0.5)
    assert Options(sampling=asked).sampling_for(own) == asked
    more = Options(sampling=asked, steps=2, fidelity=0.1, orientations=4)
    assert more.sampling_for(own) == replace(asked, steps=2, fidelity=0.1, orientations=4)
    assert Options(sampling=asked, consistent=True).sampling_for(own).consistent == MatlabBicubic()
    bare = replace(asked, consistent=None)
    assert Options(sampling=bare, consistent=True).sampling_for(own).consistent == PillowBicubic()
    assert Options(sampling=asked, consistent=False).sampling_for(own) == bare


@pytest.mark.parametrize(
    ("asked", "more", "said"),
    [
        (replace(X2.method.sampling, guidance=2.0), {}, r"^sampling\.guidance: the source has no class"),
        (replace(X2.method.sampling, mean=1e9), {}, r"^sampling\.mean: 1e\+09 is above the highest level"),
        (Sampling(Ancestral(), Explicit((2.0,)), 1), {"steps": 2}, r"^steps: 2 is not possible"),
        (replace(X2.method.sampling, orientations=2), {"orientations": 3}, r"^orientations: 3 is not"),
    ],
)
def test_what_a_model_cannot_do_is_refused_as_if_it_were_its_own(
    asked: Any, more: dict[str, Any], said: str
) -> None:
    for ask in (refinesr.upscale, lambda *args, **named: next(refinesr.refine(*args, **named))):
        with pytest.raises(ConfigError, match=said):
            ask(X2, CAT, sampling=asked, **more)


def test_a_grid_that_begins_below_what_was_learnt_is_warned_of() -> None:
    quiet = replace(X2.method.sampling, grid=Karras(0.05, 0.5))
    with pytest.warns(UserWarning, match="the grid starts at gamma = 0.8"):
        refinesr.upscale(X2, CAT, sampling=quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refinesr.upscale(X2, CAT, sampling=replace(quiet, grid=Karras(0.05, 20.0)))


def test_stages_of_a_cascade_have_a_sampling_each() -> None:
    rows = Cascade((Link(X2), Link(stage(plain(2)))))
    with pytest.raises(
        ConfigError, match=r"^sampling: each stage of a cascade has its own, Link\(stage, samp"
    ):
        refinesr.upscale(rows, CAT, sampling=X2.method.sampling)
    made = with_sampling_settings(rows, ["sampling.sampler=DPM2M", "sampling.steps=2"])
    assert [(link.effective_sampling.sampler, link.steps) for link in made.links] == [(DPM2M(), 2)] * 2
    assert [link.effective_sampling.clip for link in made.links] == [False, True]
    assert [link.stage.method for link in made.links] == [link.stage.method for link in rows.links]


def test_a_link_keeps_what_it_has_and_only_the_field_is_set() -> None:
    """As its cascade's file says: guided, in 5 steps."""
    guided = replace(BASE.method.sampling, steps=5, guidance=2.0)
    made = with_sampling_settings(Cascade((Link(BASE, guided),)), ["sampling.temperature=0.5"])
    assert made.links[0].effective_sampling == replace(guided, temperature=0.5)


def test_without_settings_a_model_is_what_it_was() -> None:
    assert with_sampling_settings(X2, ()) is X2
    low: Tensor = to_tensor(picture_of(np.zeros((8, 8, 3), np.uint8)))
    cooler = with_sampling_settings(X2, ["sampling.temperature=0"])
    *_, first = cooler(low, NoiseField((1,)))
    *_, second = cooler(low, NoiseField((2,)))
    assert torch.equal(first.image, second.image), "no noise, no seed"
