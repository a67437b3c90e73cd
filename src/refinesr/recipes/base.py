"""Generators from noise at 64 pixels, where a cascade begins: ADM for ImageNet (Dhariwal and Nichol 2021).

Network, table of levels, dropout, batch, rate, updates and 250 steps are those of its table 11 and public
flags.  ADM also learns the variance of a step (six channels out); here it is the posterior's, and the loss is
L_simple alone; gradients are clipped at norm 1.  What is learnt is a crop: pictures larger than 64 pixels
should be made that small before.
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
"""ImageNet's."""


def base_64() -> Run:
    """295.1 M parameters; whatever the pictures show."""
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
        degradation=Bicubic(1),  # only low's size counts
        sampling=Sampling(Ancestral(1.0), Even(TABLE), steps=250, clip=True),
        tile=64,  # the size it is trained at; pictures from nothing are made whole
    )
    plan = Plan(
        steps=540_000,
        batch=2048,
        size=64,
        rate=3e-4,
        warmup=0,
        decay=Constant(),
        betas=(0.9, 0.999),
        halflife=7000,  # an average with 0.9999 an update
        upright=True,
    )
    return Run("base-64", method, plan)


def base_64_class() -> Run:
    """295.9 M parameters; of a class of 1000, which a tenth of the pictures are learnt without.

    Guidance of 1.1 had the best FID at this size (Ho and Salimans 2022, table 1, where it is w = 0.1); more
    of it gives clearer and less diverse pictures.
    """
    run = base_64()
    method = replace(
        run.method,
        network=replace(NETWORK, vector=CLASSES),
        source=Labelled(CLASSES, withheld=0.1),
        sampling=replace(run.method.sampling, guidance=1.1),
    )
    return Run("base-64-class", method, run.plan)
