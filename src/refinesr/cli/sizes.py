"""Checks of the sizes that a run trains and samples at."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..run import Run


def crop_size_warning(run: "Run") -> str | None:
    """A warning if a network with a global receptive field would sample windows larger than its crops."""
    from ..stage import window_size
    from ..tiles import largest_core

    method, size = run.method, run.plan.size
    seen = window_size(method)
    if seen is None or seen <= size:
        return None
    core = size // method.scale if method.generates else largest_core(size // method.scale, method.stride)
    advice = f"--set method.tile={core}"
    if getattr(method.network, "size", size) != size:
        advice += f" --set method.network.size={size}"
    return f"plan.size: {size}, but pictures will be made in windows of {seen} pixels; add {advice}"
