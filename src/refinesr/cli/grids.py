"""Noise levels and grids as short texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..diffusion.schedule import GridChoice

SHOWN = 4
"""Levels of a long grid that are shown at each end."""


def levels_text(values: Sequence[float], between: str = "  ") -> str:
    """The levels to three digits; of a long list only both ends."""
    words = [f"{value:.3g}" for value in values]
    if len(words) > 2 * SHOWN + 1:
        words = [*words[:SHOWN], "...", *words[-SHOWN:]]
    return between.join(words)


def grid_name(grid: "GridChoice") -> str:
    """The grid as in a configuration; a long list of levels is shortened."""
    from ..diffusion.schedule import Explicit, Leading

    if not isinstance(grid, Explicit | Leading):
        return str(grid)
    return f"{type(grid).__name__}({levels_text(grid.levels, ', ')})"
