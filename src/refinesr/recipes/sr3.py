"""SR3 (Saharia et al. 2022): networks of table A.1, the regression baseline, the network of the public code.

Training is as in the paper: batch size 256, 1 M updates, 10,000 updates of warm-up to a constant learning
rate, one noise level per image.  Sampling visits 100 rows of the trained table with the posterior variance.
The paper instead searches for a new, shorter table, and its algorithm 2, `SR3Ancestral`, has the larger
variance beta, which suits small steps but leaves noise over 100 of these rows (docs/papers.md).
Low-resolution images are made by Pillow's bicubic, as in the public code and in the protocols that evaluate
it.
"""

from dataclasses import replace

from refinesr.decays import Constant
from refinesr.diffusion.labels import SqrtGamma
from refinesr.diffusion.levels import Continuous, Independent, OneLevel
from refinesr.diffusion.precond import Blind, Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Explicit, Linear
from refinesr.fit import Plan
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.sr3_unet import BigGAN, SR3UNet
from refinesr.run import Run
from refinesr.sources import Upsampled

TABLE = Linear(1e-6, 1e-2, 2000)
"""The paper does not state the first and last beta; these are the public code's."""


def sr3_run(name: str, low: int, network: SR3UNet, label: SqrtGamma, tile: int) -> Run:
    """A run of super-resolution from `low` to `network.size` pixels a side.

    `tile` is the core of a tile in low-resolution pixels.  With its blended border a tile is at most `low`
    pixels, so that attention and norms see the size of their training.
    """
    scale = network.size // low
    method = Method(
        scale=scale,
        channels=3,
        network=network,
        source=Upsampled(PillowBicubic()),
        precond=Eps(),
        label=label,
        levels=Continuous(TABLE),
        spread=Independent(),
        target=Pixels(),
        p=1,
        degradation=Bicubic(scale, PillowBicubic()),
        sampling=Sampling(Ancestral(1.0), Even(TABLE), steps=100, clip=True),
        tile=tile,
    )
    return Run(name, method, training_plan(network.size))


def training_plan(size: int) -> Plan:
    """For whole images of `size` pixels a side; values missing in the paper are DDPM's or Palette's."""
    return Plan(
        steps=1_000_000,
        batch=256,
        size=size,
        rate=1e-4,
        warmup=10_000,
        decay=Constant(),
        betas=(0.9, 0.999),
        clip=1.0,  # as in DDPM's code
        halflife=7000,  # an EMA decay of 0.9999 per update, as in Palette's code
        upright=True,
    )


def table_a1_unet(
    width: int, multipliers: tuple[int, ...], size: int, *, blocks: int = 3, dropout: float = 0.0
) -> SR3UNet:
    """A network of table A.1.  Norms have 4 channels a group at the first level, as in Song et al. 2021."""
    groups = min(width // 4, 32)
    return SR3UNet(3, 3, width, multipliers, blocks, (16,), size, groups, dropout, layout=BigGAN())


SCALED_LABEL = SqrtGamma(5000.0)
"""WaveGrad's scaling; the embedding of an unscaled label hardly distinguishes small noise levels."""


def sr3_16_128() -> Run:
    """Faces; 550 M parameters."""
    return sr3_run(
        "sr3-16-128", 16, table_a1_unet(128, (1, 2, 4, 8, 8), 128, dropout=0.2), SCALED_LABEL, tile=8
    )


def sr3_64_256() -> Run:
    """Photos; 605 M parameters; the paper states 625 M."""
    return sr3_run("sr3-64-256", 64, table_a1_unet(128, (1, 2, 4, 4, 8, 8), 256), SCALED_LABEL, tile=48)


def sr3_64_512() -> Run:
    """Faces; 603 M parameters; the paper states 625 M."""
    return sr3_run("sr3-64-512", 64, table_a1_unet(64, (1, 2, 4, 8, 8, 16, 16), 512), SCALED_LABEL, tile=48)


def sr3_256_1024() -> Run:
    """Faces, the last stage of a cascade; 148 M parameters; the paper states 150 M."""
    network = table_a1_unet(16, (1, 2, 4, 8, 16, 32, 32, 32), 1024, blocks=2)
    return sr3_run("sr3-256-1024", 256, network, SCALED_LABEL, tile=192)


def sr3_16_128_regression() -> Run:
    """The paper's regression baseline: the network of `sr3-16-128`, 550 M parameters; MSE, rate 1e-5."""
    run = sr3_16_128()
    sampling = Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1)
    method = replace(run.method, precond=Blind(), levels=OneLevel(1.0), p=2, sampling=sampling)
    return Run("sr3-16-128-regression", method, replace(run.plan, rate=1e-5))


def sr3_16_128_small() -> Run:
    """97.8 M parameters: the network of the public code, with the training plan of the paper."""
    return sr3_run("sr3-16-128-small", 16, SR3UNet(dropout=0.2), SqrtGamma(), tile=8)
