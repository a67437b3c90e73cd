"""What callers without a checker of types give: taken as it is meant, or refused in one line by its name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, photo, plain, stage
from PIL import Image

import refinesr
from refinesr.cascade_files import load_model
from refinesr.errors import ConfigError
from refinesr.images.tasks import Grey
from refinesr.restore import Options
from refinesr.search import SearchPlan
from refinesr.tiles import Box
from refinesr.validation import as_bool, as_float, as_int, short_repr

pytestmark = pytest.mark.usefixtures("unchecked")

X2 = stage(packed(2))
CAT = photo(60, 100, 12, 10)
PATCH = refinesr.Patch(Box(0, 0, 4, 4), 2, 2)


@pytest.mark.parametrize("value", [7, np.int8(7), np.uint64(7)])
def test_whole_numbers_are_pythons(value: Any) -> None:
    assert type(as_int("steps", value)) is int
    assert type(as_float("depth", value)) is float
    assert as_int("steps", value) == as_float("depth", value) == 7


def test_what_is_true_or_false_is_pythons() -> None:
    assert as_bool("clip", np.bool_(True)) is True
    assert as_bool("clip", False) is False


def test_any_value_is_shown_in_one_short_line() -> None:
    assert len(short_repr("x" * 500)) <= 60
    assert "\n" not in short_repr(np.zeros((30, 30)))


def test_seeds_in_a_row_do_not_wrap_around() -> None:
    """NumPy's greatest seed of 32 bits and the next one, which has 33."""
    last = 2**32 - 1
    made = refinesr.upscale(X2, CAT, seed=np.uint32(last), samples=2, precision="fp32")  # type: ignore[arg-type]
    for image, seed in zip(made, (last, last + 1), strict=True):
        assert torch.equal(image, refinesr.upscale(X2, CAT, seed=seed, precision="fp32"))


def test_numbers_of_numpy_are_kept_as_pythons() -> None:
    asked = Options(steps=np.int64(2), fidelity=np.float32(0.5), consistent=np.bool_(True))  # type: ignore[arg-type]
    assert [type(value) for value in (asked.steps, asked.fidelity, asked.consistent)] == [int, float, bool]
    assert type(replace(X2.method.sampling, steps=np.int16(4)).steps) is int  # type: ignore[arg-type]


SAMPLING = X2.method.sampling

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: refinesr.upscale(X2, CAT, steps=True), "steps: True is no whole number"),
    (lambda: refinesr.upscale(X2, CAT, seed=False), "seed: False is no whole number"),
    (lambda: refinesr.upscale(X2, CAT, tile=np.bool_(True)), r"tile: (np\.)?True_? is no whole number"),
    (lambda: refinesr.upscale(X2, CAT, orientations=True), "orientations: True is no whole number"),
    (lambda: refinesr.upscale(X2, CAT, samples=True), "samples: True is no whole number"),
    (lambda: refinesr.upscale(X2, CAT, fidelity=True), "fidelity: True is no number"),
    (lambda: refinesr.upscale(X2, CAT, consistent="false"), "consistent: 'false' is neither True nor False"),
    (lambda: refinesr.upscale(X2, CAT, consistent=0), "consistent: 0 is neither True nor False"),
    (lambda: refinesr.upscale(X2, CAT, device=1), "device: 1 cannot be used here; one of auto, cpu"),
    (lambda: refinesr.load("photo-x4", device=None), "device: None cannot be used here; one of auto, cpu"),
    (lambda: refinesr.upscale(X2, CAT, precision=None), "precision: None is not one of auto, fp32, bf16"),
    (lambda: refinesr.upscale(X2, CAT, sampling="Heun"), "sampling: 'Heun' is a str; a Sampling is expected"),
    (
        lambda: refinesr.upscale(X2, CAT, sampling=SAMPLING.sampler),
        r"sampling: Ancestral\(eta=1\.0\) is a Ancestral; a Sampling is expected",
    ),
    (lambda: replace(SAMPLING, steps=1.5), "steps: 1.5 is no whole number"),
    (lambda: replace(SAMPLING, steps=True), "steps: True is no whole number"),
    (lambda: replace(SAMPLING, clip="no"), "clip: 'no' is neither True nor False"),
    (lambda: SearchPlan(steps=1.5), "steps: 1.5 is no whole number"),
    (lambda: SearchPlan(steps="2"), "steps: '2' is no whole number"),
    (
        lambda: refinesr.upscale(CAT, X2),
        "model: .* is a Tensor; a Stage, a Cascade, a name or a path is expected",
    ),
    (lambda: refinesr.upscale(np.zeros((9, 9)), X2), "model: .* is a ndarray; a Stage, a Cascade, a name or"),
    (lambda: refinesr.upscale(None, CAT), "model: None is a NoneType; a Stage, a Cascade, a name or a path"),
    (lambda: refinesr.load(3), "model: 3 is a int; a name or a path is expected"),
    (lambda: refinesr.load_cascade(3), "model: 3 is a int; a name or a path is expected"),
    (lambda: load_model(X2), "model: .* is a Stage; a name or a path is expected"),
    (
        lambda: refinesr.Cascade((X2, X2)),
        r"links\.0: .* is a Stage; a Link, Link\(stage\) for a Stage, is expected",
    ),
    (lambda: refinesr.Cascade(refinesr.Link(X2)), "links: .* is a Link; a tuple of Links is expected"),
    (lambda: refinesr.Link("photo-x4"), "stage: 'photo-x4' is a str; a Stage is expected"),
    (lambda: refinesr.Link(X2, tile=8.0), r"tile: 8\.0 is no whole number"),
    (
        lambda: refinesr.interpolate(refinesr.Cascade((refinesr.Link(X2),)), CAT),
        "model: .* one Stage, a name or",
    ),
    (
        lambda: refinesr.fuse(refinesr.Cascade((refinesr.Link(X2),)), CAT, CAT, PATCH),
        "model: .* one Stage, a",
    ),
    (
        lambda: refinesr.fuse(X2, CAT, CAT, (0, 0, 4, 4)),
        r"patch: \(0, 0, 4, 4\) is a tuple; a Patch is expected",
    ),
    (lambda: refinesr.fuse(X2, CAT, CAT, PATCH, whole="no"), "whole: 'no' is neither True nor False"),
    (lambda: refinesr.fuse(X2, CAT, CAT, PATCH, depth="x"), "depth: 'x' is no number"),
    (lambda: refinesr.interpolate(X2, CAT, depth="x"), "depth: 'x' is no number"),
    (
        lambda: refinesr.interpolate(X2, CAT, shares=0.5),
        "shares: 0.5 is a float; a sequence of numbers is expected",
    ),
    (lambda: refinesr.interpolate(X2, CAT, shares=["x"]), "shares: 'x' is no number"),
    (lambda: refinesr.interpolate(X2, CAT, seeds=(1,)), r"seeds: \(1,\) are not two; each of the pictures"),
    (lambda: refinesr.interpolate(X2, CAT, seeds=3), "seeds: 3 are not two; each of the pictures"),
    (lambda: refinesr.interpolate(X2, CAT, seeds=(1, 2.5)), "seeds: 2.5 is no whole number"),
    (lambda: Box(0.5, 0, 4, 4), "top: 0.5 is no whole number"),
    (lambda: refinesr.Patch(Box(0, 0, 4, 4), 2, 2.0), r"left: 2\.0 is no whole number"),
    (lambda: refinesr.Patch(Box(0, 0, 4, 4), 2, 2, 1.0), r"feather: 1\.0 is no whole number"),
    (lambda: refinesr.Patch((0, 0, 4, 4), 2, 2), r"region: \(0, 0, 4, 4\) is a tuple; a Box is expected"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_of_another_kind_is_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        make()
    assert "\n" not in str(caught.value)


def named(call: Callable[..., object], *given: object, **options: object) -> str:
    with pytest.raises(refinesr.InputError) as caught:
        call(*given, **options)
    return str(caught.value).partition(":")[0]


def test_messages_call_a_picture_what_the_argument_is_called() -> None:
    none, large = np.zeros((2, 2), np.int64), photo(60, 100, 24, 20)
    assert named(refinesr.upscale, X2, none) == "image"
    assert named(refinesr.upscale, X2, CAT, mask="mask.png") == "mask"
    assert named(refinesr.interpolate, X2, CAT, none, large) == "first"
    assert named(refinesr.interpolate, X2, CAT, large, none) == "second"
    assert named(refinesr.interpolate, X2, CAT, large, CAT) == "second"  # of another size
    assert named(refinesr.fuse, X2, CAT, none, PATCH) == "other"
    assert named(refinesr.fuse, X2, CAT, CAT, PATCH, low=none) == "low"
    assert named(refinesr.fuse, X2, CAT, CAT, PATCH, low=large) == "low"  # of another size


def test_colours_that_pillow_cannot_hold_are_refused_before_they_are_made() -> None:
    made, calls = stage(replace(plain(1), degradation=Grey())), []
    made.model.network.register_forward_hook(lambda *_: calls.append(1))
    grey = Image.new("I;16", (8, 8))
    chain = refinesr.Cascade((refinesr.Link(made),))
    for call in (refinesr.upscale, lambda *given: next(refinesr.refine(*given)), refinesr.interpolate):
        with pytest.raises(
            refinesr.InputError, match=r"^image: gets colours, and Pillow has no colours of 16"
        ):
            call(made, grey)
    with pytest.raises(refinesr.InputError, match="no colours of 16 bits"):
        refinesr.upscale(chain, grey)
    assert calls == []
