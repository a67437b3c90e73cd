"""SRDiff (Li et al. 2021, section 4.1) for faces, 20 -> 160, and photos, x4, with their encoders' recipes."""

from refinesr.decays import Constant, Halving
from refinesr.diffusion.labels import LogSigma, Timestep
from refinesr.diffusion.levels import Discrete, Independent, OneLevel
from refinesr.diffusion.precond import Blind, Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Cosine, Even, Explicit
from refinesr.fit import Plan
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels, Residual
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.run import Run
from refinesr.sources import Encoded, Low

TABLE = Cosine(100)
ADAM_BETAS = (0.9, 0.999)

FACE_ENCODER = RRDB(width=32, growth=16, blocks=8, scale=8)
PHOTO_ENCODER = RRDB(width=64, growth=32, blocks=17, scale=4)


def srdiff_method(encoder: RRDB, multipliers: tuple[int, ...], tile: int) -> Method:
    """The published method: all rows of the table, posterior variance, x0 clipped, no projection.

    The encoder is frozen.  It is trained by its own recipe and loaded with `refinesr train ... --encoder`.
    """
    return Method(
        scale=encoder.scale,
        channels=3,
        network=SRDiffUNet(features=encoder.features, multipliers=multipliers, scale=encoder.scale),
        source=Encoded(encoder, MatlabBicubic(), frozen=True),
        precond=Eps(),
        label=Timestep(TABLE),
        levels=Discrete(TABLE),
        spread=Independent(),
        target=Residual(2.0, clip=True),
        p=1,
        degradation=Bicubic(encoder.scale, MatlabBicubic()),
        sampling=Sampling(Ancestral(1.0), Even(TABLE), steps=TABLE.rows, clip=True),
        tile=tile,
    )


def pretraining_method(encoder: RRDB, tile: int) -> Method:
    """The method that pretrains an encoder: regression from the low- to the high-resolution image."""
    return Method(
        scale=encoder.scale,
        channels=3,
        network=RRDBNetwork(encoder),
        source=Low(MatlabBicubic()),
        precond=Blind(),
        label=LogSigma(),  # ignored by the network
        levels=OneLevel(1.0),
        target=Pixels(),
        p=1,
        degradation=Bicubic(encoder.scale, MatlabBicubic()),
        sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1),
        tile=tile,
    )


def training_plan(steps: int, batch: int, halvings: int, *, upright: bool = False) -> Plan:
    """Adam at 2e-4 without warm-up and crops of 160 px, as published; EMA weights are an addition."""
    decay = Halving(halvings) if halvings else Constant()
    return Plan(steps, batch, size=160, rate=2e-4, warmup=0, decay=decay, betas=ADAM_BETAS, upright=upright)


def srdiff_celeba_x8() -> Run:
    """12.03 M parameters, 1.49 M of them the encoder's; rate halved every 100,000 of 300,000 updates."""
    return Run(
        "srdiff-celeba-x8",
        srdiff_method(FACE_ENCODER, (1, 2, 2, 4), tile=64),
        training_plan(300_000, 32, halvings=3, upright=True),
    )


def srdiff_celeba_x8_encoder() -> Run:
    """1.49 M parameters; the encoder's pretraining with L1, before `srdiff-celeba-x8`."""
    return Run(
        "srdiff-celeba-x8-encoder",
        pretraining_method(FACE_ENCODER, tile=64),
        training_plan(100_000, 64, halvings=0, upright=True),
    )


def srdiff_df2k_x4() -> Run:
    """25.32 M parameters, 12.38 M of them the encoder's; rate halved every 200,000 of 400,000 updates."""
    return Run(
        "srdiff-df2k-x4",
        srdiff_method(PHOTO_ENCODER, (1, 2, 3, 4), tile=128),
        training_plan(400_000, 64, halvings=2),
    )


def srdiff_df2k_x4_encoder() -> Run:
    """12.38 M parameters; the encoder's pretraining with L1, before `srdiff-df2k-x4`."""
    return Run(
        "srdiff-df2k-x4-encoder",
        pretraining_method(PHOTO_ENCODER, tile=128),
        training_plan(100_000, 64, halvings=0),
    )
