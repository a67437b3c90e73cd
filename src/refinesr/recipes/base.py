"""Base generators for cascades: images of 64 x 64 from noise with ADM's network (Dhariwal and Nichol 2021).

The network, noise schedule, dropout, batch size, learning rate, number of updates and 250 sampling steps are
those of the paper's table 11 and its published flags for ImageNet.  ADM also learns the variance of a step
(six output channels); here the variance is the posterior's, and the loss is L_simple alone.  Gradients are
clipped at norm 1.  Training takes crops, so images larger than 64 pixels should be downsampled to that size
beforehand.
"""

from dataclasses import replace

from refinesr.decays import Constant
from refinesr.diffusion.labels import Timestep
from refinesr.diffusion.levels import Discrete, Independent
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Cosine, Even
from refinesr.fit import Plan
from refinesr.images.reduction import Bicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.adm_unet import ADMUNet
from refinesr.run import Run
from refinesr.sources import Blank, Labelled

TABLE = Cosine(1000)
NETWORK = ADMUNet(
    image_channels=0,
    width=192,
    multipliers=(1, 2, 3, 4),
    blocks=3,
    attention=(2, 4, 8),
    head_channels=64,
    dropout=0.1,
)
CLASSES = 1000
"""Number of classes of ImageNet."""


def base_64() -> Run:
    """295.1 M parameters; unconditional generation of 64 x 64 images."""
    method = Method(
        scale=1,
        channels=3,
        network=NETWORK,
        source=Blank(),
        precond=Eps(),
        label=Timestep(TABLE),
        levels=Discrete(TABLE),
        spread=Independent(),
        target=Pixels(),
        p=2,
        degradation=Bicubic(1),  # of the low-resolution image only the size is used
        sampling=Sampling(Ancestral(1.0), Even(TABLE), steps=250, clip=True),
        tile=64,  # the training size; generated images are not tiled
    )
    plan = Plan(
        steps=540_000,
        batch=2048,
        size=64,
        rate=3e-4,
        warmup=0,
        decay=Constant(),
        betas=(0.9, 0.999),
        halflife=7000,  # an EMA decay of 0.9999 per update
        upright=True,
    )
    return Run("base-64", method, plan)


def base_64_class() -> Run:
    """295.9 M parameters; class-conditional, with 1000 classes, withheld from a tenth of the training images.

    A guidance weight of 1.1 had the best FID at this size (Ho and Salimans 2022, table 1, as w = 0.1); larger
    weights give clearer but less diverse images.
    """
    run = base_64()
    method = replace(
        run.method,
        network=replace(NETWORK, vector=CLASSES),
        source=Labelled(CLASSES, withheld=0.1),
        sampling=replace(run.method.sampling, guidance=1.1),
    )
    return Run("base-64-class", method, run.plan)
