"""Choices, not components: each recipe is a function that returns one complete `Run`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from refinesr.method import Method
from refinesr.recipes.photo import photo_x4, photo_x4_small
from refinesr.recipes.regression import regression
from refinesr.recipes.sr3 import sr3_16_128_small
from refinesr.recipes.tiny import tiny
from refinesr.run import Run

RECIPES: Mapping[str, Callable[[], Run]] = MappingProxyType(
    {
        "photo-x4": photo_x4,
        "photo-x4-small": photo_x4_small,
        "regression": regression,
        "sr3-16-128-small": sr3_16_128_small,
    }
)

METHODS: Mapping[str, Method] = MappingProxyType({name: recipe().method for name, recipe in RECIPES.items()})
"""What each recipe trains, by the recipe's name."""

__all__ = ["METHODS", "RECIPES", "tiny"]
