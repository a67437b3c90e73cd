"""Photos four times larger in a few calls: this project's own method."""

from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.levels import LogNormal
from refinesr.diffusion.precond import Clean
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Karras
from refinesr.fit import Plan
from refinesr.images.degrade import Photo
from refinesr.images.resize import PillowBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Residual
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet
from refinesr.optimizers import Muon
from refinesr.run import Run
from refinesr.sources import Encoded


def photo(network: PackedUNet, encoder: PackedEncoder) -> Method:
    """gain * residual has a standard deviation of about 0.5 over photos.

    x0-prediction: a position of the network stands for 48 numbers, and noise of that many does not pass
    through its width, while pictures do.  Levels are drawn where few steps pass: half of them above 2.7, for
    the first estimates decide most of the result.  Both were measured in docs/photo_x4.md.
    """
    return Method(
        scale=4,
        channels=3,
        network=network,
        source=Encoded(encoder, PillowBicubic()),
        precond=Clean(),
        label=LogSigma(),
        levels=LogNormal(mean=1.0, std=1.6),
        target=Residual(gain=3.5),
        degradation=Photo(scale=4),
        sampling=Sampling(Ancestral(1.0), Karras(0.05, 20.0), steps=4, consistent=PillowBicubic()),
    )


def photo_x4() -> Run:
    """The default size: 14.7 M parameters."""
    plan = Plan(steps=300_000, batch=64, size=192, rate=3e-4, warmup=2000, halflife=4000)
    return Run("photo-x4", photo(PackedUNet(), PackedEncoder()), plan)


def photo_x4_small() -> Run:
    """3.7 M parameters, for a CPU: wide where positions are few, deep where calls share what is made."""
    network = PackedUNet(features=64, widths=(64, 128, 256), blocks=(1, 1, 2), embedding=96)
    plan = Plan(
        steps=8_000,
        batch=16,
        size=128,
        rate=6e-3,
        optimizer=Muon(),
        warmup=300,
        halflife=500,
        save_every=500,
        preview_every=2000,
    )
    return Run("photo-x4-small", photo(network, PackedEncoder(width=64, blocks=32)), plan)
