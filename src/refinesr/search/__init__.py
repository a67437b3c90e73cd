"""Which levels to sample at: the two ends of the grid, and its spacing, by quality on held-out pictures.

SR3's paper does so for its linear schedule (section 4: by FID, for PSNR does not tell), once for each number
of steps.  `search` tries grids one after the other and yields how far it is; `ranked` orders its trials.
"""

from refinesr.held_out import HeldOut, Reading
from refinesr.search.held_out import held_out, reading
from refinesr.search.judges import Distance, FrechetDistance, Judge, Psnr
from refinesr.search.space import LogEven, NewTable, Power, Range, Spacing, trained
from refinesr.search.trials import Search, Searching, Trial, adopted, ranked, search

__all__ = [
    "Distance",
    "FrechetDistance",
    "HeldOut",
    "Judge",
    "LogEven",
    "NewTable",
    "Power",
    "Psnr",
    "Range",
    "Reading",
    "Search",
    "Searching",
    "Spacing",
    "Trial",
    "adopted",
    "held_out",
    "ranked",
    "reading",
    "search",
    "trained",
]
