"""A walk of a thousand steps holds no more than one of three, and makes pictures only for those who watch."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods import FewPairs, packed, photo, plain, plan, stage
from torch import Tensor

import refinesr.restore.pictures
from refinesr.diffusion.loops import last_of
from refinesr.distill import DistillationObjective
from refinesr.errors import CheckpointError
from refinesr.fit import State
from refinesr.folder import RunFolder
from refinesr.images.picture import Picture
from refinesr.mixing import Patch, fuse, interpolate
from refinesr.monitoring import write_preview
from refinesr.restore import refine, upscale
from refinesr.tiles import Box

STEPS = 12
X2 = stage(packed(2))
CAT, LARGE = photo(60, 100, 12, 16), photo(60, 100, 24, 32)
PATCH = Patch(Box(4, 4, 8, 10), 6, 12)


class Thing:
    """Can be referred to weakly."""


def test_of_a_walk_only_the_last_is_kept() -> None:
    """The one at work, and the one before it until that has come."""
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    most = []

    def walk() -> Iterator[Thing]:
        for _ in range(9):
            thing = Thing()
            alive.add(thing)
            most.append(len(alive))
            yield thing

    assert last_of(walk()) in alive
    assert max(most) == 2


def test_a_walk_of_nothing_ends_with_nothing() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        last_of([])


def shown(folder: Path) -> None:
    method = replace(packed(2), sampling=replace(packed(2).sampling, steps=STEPS))
    write_preview(method, plan(), RunFolder(folder), State(method.build(), plan()), FewPairs(method))


def taught() -> Tensor:
    high, low = FewPairs(X2.method).at(0)
    return DistillationObjective(X2, (20.0,), STEPS).teacher_sample(
        20.0 * torch.randn_like(high), high, low, 20.0, None
    )


WAYS: dict[str, Callable[[Path], object]] = {
    "upscale": lambda _: upscale(X2, CAT, steps=STEPS),
    "interpolate": lambda _: interpolate(X2, CAT, LARGE, LARGE, shares=(0.5,), depth=1.0, steps=STEPS),
    "fuse": lambda _: fuse(X2, LARGE, LARGE, PATCH, depth=1.0, steps=STEPS),
    "preview": shown,
    "distill": lambda _: taught(),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_step_is_held_until_the_last(way: str, tmp_path: Path) -> None:
    """When the network is called for the last time, tensors and pictures are no more than in the third."""
    held: list[int] = []

    def count(*_: object) -> None:
        gc.collect()
        held.append(sum(type(thing) in (Tensor, Picture) for thing in gc.get_objects()))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: count() if isinstance(module, type(X2.model.network)) else None
    )
    gc.collect()
    gc.freeze()  # what is there already is not looked at again, which would take seconds
    try:
        WAYS[way](tmp_path)
    finally:
        gc.unfreeze()
        hook.remove()
    assert len(held) == STEPS
    assert held[-1] == held[2]


def canvases() -> int:
    """Floats as large as the result of CAT, which are what takes memory where pictures are large."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if type(thing) is Tensor and thing.is_floating_point()]
    return len({x.untyped_storage().data_ptr() for x in found if x.shape[-2:] == LARGE.shape[-2:]})


@pytest.mark.slow
def test_a_step_holds_few_canvases() -> None:
    """What is enlarged plainly, the state, the estimate before, and what the network sees of the state."""
    held: list[int] = []
    large = stage(packed(2))
    large.model.network.register_forward_pre_hook(lambda *_: held.append(canvases()))
    before = canvases()
    upscale(large, CAT, steps=4)
    assert [count - before for count in held] == [3, 4, 4, 4]


def test_a_result_is_rounded_when_the_walk_has_let_go_of_all_else(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    real = refinesr.restore.pictures.final_values

    def counted(*given: Any) -> Tensor:
        held.append(canvases())
        return real(*given)

    monkeypatch.setattr(refinesr.restore.pictures, "final_values", counted)
    before = canvases()
    upscale(X2, CAT, steps=3)
    assert [count - before for count in held] == [1]


def test_only_those_who_watch_have_a_picture_of_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made small, rounded and fetched from a GPU, which takes time there."""
    made: list[Picture] = []
    real = refinesr.restore.pictures.from_tensor

    def counted(*given: Any, **named: Any) -> Picture:
        made.append(real(*given, **named))
        return made[-1]

    monkeypatch.setattr(refinesr.restore.pictures, "from_tensor", counted)
    for way, expected in (("upscale", 1), ("interpolate", 1), ("fuse", 1)):
        made.clear()
        WAYS[way](Path())
        assert len(made) == expected
    made.clear()
    seen = [progress.image for progress in refine(X2, CAT, steps=4)]
    assert len(made) == len(seen) == 4
    assert not torch.equal(seen[0], seen[-1])
    made.clear()


def test_a_broken_model_is_noticed_at_once() -> None:
    """And not after all the steps that nobody watches."""
    broken, calls = stage(plain(2)), []
    next(broken.model.network.parameters()).fill_(float("nan"))
    broken.model.network.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        upscale(broken, CAT, steps=STEPS)
    assert len(calls) == 1
