"""This project's own method: super-resolution of photos by 4 in a few network calls."""

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


def photo_method(network: PackedUNet, encoder: PackedEncoder) -> Method:
    """The method of both sizes; it predicts x0 of a residual whose std, times the gain, is about 0.5.

    x0 is predicted because each position of the network represents 4 x 4 pixels, 48 numbers: noise of that
    dimension does not fit through the network's width, but images do.  Training noise levels are concentrated
    where a sampler with few steps evaluates the network: half of them are above sigma = 2.7, because the
    first estimates determine most of the result.  docs/photo_x4.md has measurements of both choices.
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
    return Run("photo-x4", photo_method(PackedUNet(), PackedEncoder()), plan)


def photo_x4_small() -> Run:
    """3.7 M parameters, for CPUs: a U-Net wide at coarse levels; a deep encoder, run once for all calls."""
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
    return Run("photo-x4-small", photo_method(network, PackedEncoder(width=64, blocks=32)), plan)
