"""SR3 (Saharia et al. 2022) as a stage of a cascade, made robust to a base's errors by augmentation."""

from dataclasses import replace

from refinesr.images.augment import CascadeAugmented
from refinesr.images.resize import PillowBicubic
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.recipes.sr3 import sr3_64_256
from refinesr.run import Run
from refinesr.sources import Augmented

EMBEDDING_SIZE = 64
"""Size of the sinusoidal embedding of the augmentation's noise level."""


def sr3_64_256_aug() -> Run:
    """604.6 M parameters: `sr3-64-256` with conditioning augmentation, to follow a base model.

    The Gaussian blur of the low-resolution image is from the SR3 paper (FID 13.1 -> 11.3 on ImageNet).  The
    noise added to it, whose level conditions the network, is from Ho et al. 2021b, section 4.
    """
    run = sr3_64_256()
    network = run.method.network
    assert isinstance(network, SR3UNet)
    method = replace(
        run.method,
        network=replace(network, vector=EMBEDDING_SIZE),
        source=Augmented(PillowBicubic(), EMBEDDING_SIZE),
        degradation=CascadeAugmented(run.method.scale, PillowBicubic()),
    )
    return Run("sr3-64-256-aug", method, run.plan)
