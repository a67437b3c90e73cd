"""Recipes: functions that each return a complete `Run`, a method and its training plan."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from refinesr.method import Method
from refinesr.recipes.base import base_64, base_64_class
from refinesr.recipes.cascade import sr3_64_256_aug
from refinesr.recipes.paired import paired
from refinesr.recipes.palette import (
    palette_colorization,
    palette_inpainting,
    palette_jpeg,
    palette_uncropping,
)
from refinesr.recipes.photo import photo_x4, photo_x4_small
from refinesr.recipes.regression import regression
from refinesr.recipes.sr3 import (
    sr3_16_128,
    sr3_16_128_regression,
    sr3_16_128_small,
    sr3_64_256,
    sr3_64_512,
    sr3_256_1024,
)
from refinesr.recipes.srdiff import (
    srdiff_celeba_x8,
    srdiff_celeba_x8_encoder,
    srdiff_df2k_x4,
    srdiff_df2k_x4_encoder,
)
from refinesr.recipes.tiny import tiny
from refinesr.run import Run

RECIPES: Mapping[str, Callable[[], Run]] = MappingProxyType(
    {
        "photo-x4": photo_x4,
        "photo-x4-small": photo_x4_small,
        "regression": regression,
        "sr3-16-128": sr3_16_128,
        "sr3-16-128-regression": sr3_16_128_regression,
        "sr3-16-128-small": sr3_16_128_small,
        "sr3-64-256": sr3_64_256,
        "sr3-64-256-aug": sr3_64_256_aug,
        "sr3-64-512": sr3_64_512,
        "sr3-256-1024": sr3_256_1024,
        "srdiff-celeba-x8": srdiff_celeba_x8,
        "srdiff-celeba-x8-encoder": srdiff_celeba_x8_encoder,
        "srdiff-df2k-x4": srdiff_df2k_x4,
        "srdiff-df2k-x4-encoder": srdiff_df2k_x4_encoder,
        "palette-colorization": palette_colorization,
        "palette-inpainting": palette_inpainting,
        "palette-uncropping": palette_uncropping,
        "palette-jpeg": palette_jpeg,
        "base-64": base_64,
        "base-64-class": base_64_class,
    }
)

METHODS: Mapping[str, Method] = MappingProxyType({name: recipe().method for name, recipe in RECIPES.items()})
"""The method of each recipe, by the recipe's name."""

__all__ = ["METHODS", "RECIPES", "paired", "tiny"]
