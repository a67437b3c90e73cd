"""SR3 (Saharia et al. 2022), faces 16 -> 128, at the size of the public code."""

from refinesr.diffusion.labels import SqrtGamma
from refinesr.diffusion.levels import Continuous, Independent
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import SR3Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.images.degrade import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.run import Run
from refinesr.sources import Upsampled
from refinesr.train import Constant, Plan

TABLE = Linear(1e-6, 1e-2, 2000)


def sr3_16_128_small() -> Run:
    """97.8 M parameters; trained as the paper says: batch 256, 1 M updates, 10,000 of warm-up to 1e-4, L1.

    Sampling visits 100 rows of the trained table; the paper instead searches a new, shorter table.
    """
    method = Method(
        scale=8,
        channels=3,
        network=SR3UNet(dropout=0.2),
        source=Upsampled(MatlabBicubic()),
        precond=Eps(),
        label=SqrtGamma(),
        levels=Continuous(TABLE),
        spread=Independent(),
        target=Pixels(),
        p=1,
        degradation=Bicubic(8, MatlabBicubic()),
        sampling=Sampling(SR3Ancestral(), Even(TABLE), steps=100, clip=True),
        tile=8,  # with what is blended, 16: attention and norms see the window they were trained at
    )
    plan = Plan(
        steps=1_000_000,
        batch=256,
        size=128,
        rate=1e-4,
        warmup=10_000,
        decay=Constant(),
        betas=(0.9, 0.999),
        halflife=7000,  # an average with 0.9999 an update, as Palette's code has it
    )
    return Run("sr3-16-128-small", method, plan)
