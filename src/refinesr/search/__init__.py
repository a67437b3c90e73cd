"""Search for the noise levels to sample at, by quality on held-out pictures: the grid's ends and spacing.

SR3's paper does so for its linear schedule, once for each number of steps (section 4: by FID, because PSNR
does not discriminate).  `search` evaluates one grid after the other and yields its progress; `ranked` orders
the trials.
"""

from refinesr.held_out import HeldOutSet
from refinesr.search.held_out import load_search_set, loading_search_set
from refinesr.search.metrics import Distance, FrechetDistance, Metric, Psnr
from refinesr.search.space import LogEven, NewTable, Power, Range, Spacing, trained_range
from refinesr.search.trials import SearchPlan, SearchProgress, Trial, ranked, search, with_sampling

__all__ = [
    "Distance",
    "FrechetDistance",
    "HeldOutSet",
    "LogEven",
    "Metric",
    "NewTable",
    "Power",
    "Psnr",
    "Range",
    "SearchPlan",
    "SearchProgress",
    "Spacing",
    "Trial",
    "load_search_set",
    "loading_search_set",
    "ranked",
    "search",
    "trained_range",
    "with_sampling",
]
