"""Stages for cascades: SR3's (Saharia et al. 2022), trained to forgive what a base gets wrong."""

from dataclasses import replace

from refinesr.images.augment import CascadeAugmented
from refinesr.images.resize import PillowBicubic
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.recipes.sr3 import sr3_64_256
from refinesr.run import Run
from refinesr.sources import Augmented

WIDTH = 64
"""Sines and cosines that the level of noise is told in."""


def sr3_64_256_aug() -> Run:
    """604.6 M parameters: `sr3-64-256` after a base.

    The Gaussian blur of the low image is the paper's (FID 13.1 -> 11.3 on ImageNet), its noise and the level
    told of it Ho et al.'s (2021b, section 4).
    """
    run = sr3_64_256()
    network = run.method.network
    assert isinstance(network, SR3UNet)
    method = replace(
        run.method,
        network=replace(network, vector=WIDTH),
        source=Augmented(PillowBicubic(), WIDTH),
        degradation=CascadeAugmented(run.method.scale, PillowBicubic()),
    )
    return Run("sr3-64-256-aug", method, run.plan)
