"""Noise levels and grids in few words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..diffusion.schedule import GridChoice

SHOWN = 4
"""Levels of a long grid that are shown at either end."""


def levels_text(values: Sequence[float], between: str = "  ") -> str:
    words = [f"{value:.3g}" for value in values]
    if len(words) > 2 * SHOWN + 1:
        words = [*words[:SHOWN], "...", *words[-SHOWN:]]
    return between.join(words)


def grid_name(grid: "GridChoice") -> str:
    """As it is written, but of a long list of levels only the ends."""
    from ..diffusion.schedule import Explicit, Leading

    if not isinstance(grid, Explicit | Leading):
        return str(grid)
    return f"{type(grid).__name__}({levels_text(grid.levels, ', ')})"
