"""SRDiff's official code between two images: its weights, its draws, and the row it skips."""

from collections.abc import Iterator

import pytest
from recorded import arrays, found, relative
from torch import Tensor

from refinesr.convert import convert
from refinesr.editing import interpolate_images

NAME = "srdiff_x4"
NEEDED = ("lr", "interp_x1", "interp_x2", "interp_noise", "interp_t", "interp_lam", "interp_output")


def image(recorded: dict[str, Tensor], lag: int) -> tuple[Tensor, list[Tensor]]:
    """What ours makes, and the draws that are left over."""
    stage = convert(found(f"{NAME}.ckpt"), config=found(f"{NAME}.yaml"))
    draws: Iterator[Tensor] = iter(recorded["interp_noise"])
    *_, last = interpolate_images(
        stage,
        recorded["lr"],
        recorded["interp_x1"],
        recorded["interp_x2"],
        lambda like: next(draws),
        share=float(recorded["interp_lam"]),
        skip=stage.method.sampling.steps - 1 - int(recorded["interp_t"]),  # the grid begins with the last row
        lag=lag,
    )
    return last.image, list(draws)


def test_interpolation_agrees_with_the_published_code() -> None:
    """1e-4 leaves room for other orders of summation over 10 calls; measured: 4e-7."""
    recorded = arrays(NAME, *NEEDED)
    made, left = image(recorded, lag=1)
    assert relative(made, recorded["interp_output"]) < 1e-4
    assert len(left) == 1  # the last, which the published code multiplies by zero


@pytest.mark.parametrize("lag", [0, 2])
def test_no_other_level_to_begin_at_does(lag: int) -> None:
    """Nor the one that it would be right to begin at, without a lag."""
    recorded = arrays(NAME, *NEEDED)
    recorded["interp_noise"] = recorded["interp_noise"].repeat(2, 1, 1, 1, 1)  # a lag of 0 takes one more
    assert relative(image(recorded, lag)[0], recorded["interp_output"]) > 1e-2
