"""SR3 (Saharia et al. 2022): the networks of its table A.1, its regression baseline, the public code's size.

Training is the paper's: batch 256, 1 M updates, 10,000 of warm-up to a constant rate, a level for each image.
Sampling visits 100 rows of the trained table with the posterior's variance.  The paper instead searches a
new, shorter table, and its algorithm 2, `SR3Ancestral`, has the larger variance beta.  That is right for
small steps; over 100 of these rows it leaves noise (docs/papers.md).  Small pictures are Pillow's, as
those of the public code and of the protocols that measure it.
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
"""The paper does not state the ends; these are the public code's."""


def sr3(name: str, low: int, network: SR3UNet, label: SqrtGamma, tile: int) -> Run:
    """Faces or photos of network.size pixels a side out of `low` pixels.

    `tile`, with what is blended around it, comes to at most `low`: attention and norms see the window they
    were trained at.
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
    return Run(name, method, plan(network.size))


def plan(size: int) -> Plan:
    """For whole images of `size` pixels a side.  What the paper does not mention is DDPM's or Palette's."""
    return Plan(
        steps=1_000_000,
        batch=256,
        size=size,
        rate=1e-4,
        warmup=10_000,
        decay=Constant(),
        betas=(0.9, 0.999),
        clip=1.0,  # as DDPM's code has it
        halflife=7000,  # an average with 0.9999 an update, as Palette's code has it
        upright=True,
    )


def paper(
    width: int, multipliers: tuple[int, ...], size: int, *, blocks: int = 3, dropout: float = 0.0
) -> SR3UNet:
    """A row of table A.1.  At the first level a group of a norm has four channels, as in Song et al. 2021."""
    groups = min(width // 4, 32)
    return SR3UNet(3, 3, width, multipliers, blocks, (16,), size, groups, dropout, layout=BigGAN())


SCALED = SqrtGamma(5000.0)
"""WaveGrad's, on which the paper builds: sines of an unscaled label hardly tell small noise levels apart."""


def sr3_16_128() -> Run:
    """Faces; 550 M parameters."""
    return sr3("sr3-16-128", 16, paper(128, (1, 2, 4, 8, 8), 128, dropout=0.2), SCALED, tile=8)


def sr3_64_256() -> Run:
    """Photos; 605 M parameters, where the paper says 625."""
    return sr3("sr3-64-256", 64, paper(128, (1, 2, 4, 4, 8, 8), 256), SCALED, tile=48)


def sr3_64_512() -> Run:
    """Faces; 603 M parameters, where the paper says 625."""
    return sr3("sr3-64-512", 64, paper(64, (1, 2, 4, 8, 8, 16, 16), 512), SCALED, tile=48)


def sr3_256_1024() -> Run:
    """Faces, the last stage of a cascade; 148 M parameters, where the paper says 150."""
    network = paper(16, (1, 2, 4, 8, 16, 32, 32, 32), 1024, blocks=2)
    return sr3("sr3-256-1024", 256, network, SCALED, tile=192)


def sr3_16_128_regression() -> Run:
    """The paper's baseline: `sr3-16-128`, 550 M parameters, with its noise switched off; MSE, rate 1e-5."""
    run = sr3_16_128()
    sampling = Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1)
    method = replace(run.method, precond=Blind(), levels=OneLevel(1.0), p=2, sampling=sampling)
    return Run("sr3-16-128-regression", method, replace(run.plan, rate=1e-5))


def sr3_16_128_small() -> Run:
    """97.8 M parameters, at the size and in the layout of the public code; trained as the paper says."""
    return sr3("sr3-16-128-small", 16, SR3UNet(dropout=0.2), SqrtGamma(), tile=8)
