"""SRDiff (Li et al. 2021, section 4.1): faces 20 -> 160 and photos x4, with recipes for their encoders."""

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
ADAM = (0.9, 0.999)

FACES = RRDB(width=32, growth=16, blocks=8, scale=8)
PHOTOS = RRDB(width=64, growth=32, blocks=17, scale=4)


def srdiff(encoder: RRDB, multipliers: tuple[int, ...], tile: int) -> Method:
    """Every row of the table, the posterior's variance, x0 clipped, nothing projected: as published.

    The encoder stays as its own recipe has left it: `refinesr train ... --encoder` names that model.
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


def regressing(encoder: RRDB, tile: int) -> Method:
    """The encoder alone, from low straight to the image."""
    return Method(
        scale=encoder.scale,
        channels=3,
        network=RRDBNetwork(encoder),
        source=Low(MatlabBicubic()),
        precond=Blind(),
        label=LogSigma(),  # which it does not look at
        levels=OneLevel(1.0),
        target=Pixels(),
        p=1,
        degradation=Bicubic(encoder.scale, MatlabBicubic()),
        sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), steps=1),
        tile=tile,
    )


def plan(steps: int, batch: int, halvings: int, *, upright: bool = False) -> Plan:
    """Adam from 2e-4 without a warm-up, crops of 160 px; the average of the weights is ours."""
    decay = Halving(halvings) if halvings else Constant()
    return Plan(steps, batch, size=160, rate=2e-4, warmup=0, decay=decay, betas=ADAM, upright=upright)


def srdiff_celeba_x8() -> Run:
    """12.03 M parameters, 1.49 M of them the encoder's; the rate is halved every 100,000 of 300,000."""
    return Run(
        "srdiff-celeba-x8", srdiff(FACES, (1, 2, 2, 4), tile=64), plan(300_000, 32, halvings=3, upright=True)
    )


def srdiff_celeba_x8_encoder() -> Run:
    """1.49 M parameters, trained by L1 before `srdiff-celeba-x8`."""
    return Run(
        "srdiff-celeba-x8-encoder", regressing(FACES, tile=64), plan(100_000, 64, halvings=0, upright=True)
    )


def srdiff_df2k_x4() -> Run:
    """25.32 M parameters, 12.38 M of them the encoder's; the rate is halved every 200,000 of 400,000."""
    return Run("srdiff-df2k-x4", srdiff(PHOTOS, (1, 2, 3, 4), tile=128), plan(400_000, 64, halvings=2))


def srdiff_df2k_x4_encoder() -> Run:
    """12.38 M parameters, trained by L1 before `srdiff-df2k-x4`."""
    return Run("srdiff-df2k-x4-encoder", regressing(PHOTOS, tile=128), plan(100_000, 64, halvings=0))
