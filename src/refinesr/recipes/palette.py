"""Palette (Saharia et al. 2022b): one method for four tasks at 256 pixels; only the degradation differs.

The network is that of the public code.  The paper's is guided diffusion's for 256 pixels without classes
(width 256, multipliers 1 1 2 2 4 4, attention at factors 8, 16 and 32 in heads of 64), which has 553 M
parameters.  Training is as in the paper: batch size 1024, 1 M updates, 10,000 updates of warm-up to a
constant learning rate of 1e-4, L2.  The public code uses a batch of 3 per GPU and 5e-5 throughout.  Neither
clips gradients; here they are clipped at norm 1.
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


def palette_run(name: str, degradation: Degradation) -> Run:
    """The run of a task.  The network has 62.6 M parameters and attention in its middle block alone.

    The network's `attention` lists factor 16, which would be that of a fifth level; it has four.

    Sampling visits 100 rows of the trained table.  The paper takes 1000 steps of another table, with betas
    from 1e-4 to 0.09, whose noisiest levels are outside the trained range: `Even(Linear(1e-4, 0.09, 1000))`.
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
        tile=200,  # 256 with the blended border, so that attention and norms see the size of their training
    )
    plan = Plan(
        steps=1_000_000,
        batch=1024,
        size=256,
        rate=1e-4,
        warmup=10_000,
        decay=Constant(),
        betas=(0.9, 0.999),
        halflife=7000,  # an EMA decay of 0.9999 per update
        upright=True,
    )
    return Run(name, method, plan)


def palette_colorization() -> Run:
    """62.6 M parameters; colourisation of luma images."""
    return palette_run("palette-colorization", Grey())


def palette_inpainting() -> Run:
    """62.6 M parameters; inpainting of brush strokes and a box; the loss covers these pixels alone."""
    return palette_run("palette-inpainting", Inpainting(FreeForm()))


def palette_uncropping() -> Run:
    """62.6 M parameters; uncropping: generates half the image, past one side or around the centre."""
    return palette_run("palette-uncropping", Uncropping())


def palette_jpeg() -> Run:
    """62.6 M parameters; restoration of JPEG images of quality 5 to 30."""
    return palette_run("palette-jpeg", JpegRestoration())
