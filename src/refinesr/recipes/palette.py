"""Palette (Saharia et al. 2022b): one method for four tasks at 256 pixels; only the degradation differs.

The network is that of the public code.  The paper's is guided diffusion's for 256 pixels without its classes
(width 256, multipliers 1 1 2 2 4 4, attention at factors 8, 16 and 32 in heads of 64), which has 553 M
parameters.  Training is the paper's: batch 1024, 1 M updates, 10,000 of warm-up to a constant 1e-4, L2; the
public code takes batch 3 for each GPU and 5e-5 throughout.  Neither clips gradients; here it is at norm 1.
"""

from refinesr.decays import Constant
from refinesr.diffusion.labels import Gamma
from refinesr.diffusion.levels import Continuous, Independent
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.fit import Plan
from refinesr.images.degrade import Degradation
from refinesr.images.masks import FreeForm
from refinesr.images.tasks import Grey, Inpainting, JpegRestoration, Uncropping
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.adm_unet import ADMUNet
from refinesr.run import Run
from refinesr.sources import Upsampled

TABLE = Linear(1e-6, 1e-2, 2000)


def palette(name: str, degradation: Degradation) -> Run:
    """62.6 M parameters, whose attention is in the middle alone: factor 16 is that of a fifth level.

    Sampling visits 100 rows of the trained table.  The paper takes 1000 steps of another table, with betas
    from 1e-4 to 0.09, whose noisiest levels nobody trained: `Even(Linear(1e-4, 0.09, 1000))` is that.
    """
    method = Method(
        scale=1,
        channels=3,
        network=ADMUNet(dropout=0.2),
        source=Upsampled(),
        precond=Eps(),
        label=Gamma(),
        levels=Continuous(TABLE),
        spread=Independent(),
        target=Pixels(),
        p=2,
        degradation=degradation,
        sampling=Sampling(Ancestral(1.0), Even(TABLE), steps=100, clip=True),
        tile=200,  # with what is blended, 256: attention and norms see the window they were trained at
    )
    plan = Plan(
        steps=1_000_000,
        batch=1024,
        size=256,
        rate=1e-4,
        warmup=10_000,
        decay=Constant(),
        betas=(0.9, 0.999),
        halflife=7000,  # an average with 0.9999 an update
        upright=True,
    )
    return Run(name, method, plan)


def palette_colorization() -> Run:
    """62.6 M parameters; colour out of luma."""
    return palette("palette-colorization", Grey())


def palette_inpainting() -> Run:
    """62.6 M parameters; strokes of a brush and a box are made up, and only they are learnt."""
    return palette("palette-inpainting", Inpainting(FreeForm()))


def palette_uncropping() -> Run:
    """62.6 M parameters; half the picture is made up, past one side or around the middle."""
    return palette("palette-uncropping", Uncropping())


def palette_jpeg() -> Run:
    """62.6 M parameters; pictures before they were saved as JPEG of quality 5 to 30."""
    return palette("palette-jpeg", JpegRestoration())
