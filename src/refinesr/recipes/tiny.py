"""Tiny variants of runs for laptops: to test a data folder, a device or a change to the code."""

from dataclasses import replace

from refinesr.method import Method, Network
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.nets.tiny import Tiny
from refinesr.run import Run
from refinesr.sources import Encoded, Source


def tiny(run: Run) -> Run:
    """The run with a very small network of the same kind, for 20 updates with batches of four small crops.

    The number of classes stays, because it depends on the data.
    """
    plan = replace(
        run.plan,
        steps=20,
        batch=4,
        accumulate=1,
        size=8 * run.method.scale,
        warmup=5,
        save_every=10,
        preview_every=20,
        measure_every=10,
    )
    return replace(run, method=shrink_method(run.method), plan=plan)


def shrink_method(method: Method) -> Method:
    """The method with a very small network and, if it has one, a very small encoder."""
    source = shrink_source(method.source)
    features = source.input_channels(method.channels).get("features", 0)
    return replace(method, network=shrink_network(method.network, features), source=source)


def shrink_source(source: Source) -> Source:
    if not isinstance(source, Encoded):
        return source
    match source.encoder:
        case PackedEncoder():
            return replace(source, encoder=replace(source.encoder, width=8, blocks=1))
        case RRDB():
            return replace(source, encoder=shrink_rrdb(source.encoder))


def shrink_rrdb(rrdb: RRDB) -> RRDB:
    return replace(rrdb, width=4, growth=2, blocks=2)


def shrink_network(network: Network, features: int) -> Network:
    """`features` is the number of feature maps that the source provides."""
    match network:
        case PackedUNet():
            return replace(network, features=features, widths=(8, 12, 16), blocks=(1, 1, 1), embedding=16)
        case SR3UNet():
            return replace(network, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)
        case SRDiffUNet():
            return replace(network, features=features, width=8, multipliers=(1, 2))
        case ADMUNet():
            small = replace(network, attention=(8,), head_channels=8, groups=4)  # never at full resolution
            return replace(small, width=8, multipliers=(1, 1, 1, 1), blocks=1)
        case RRDBNetwork():
            return replace(network, rrdb=shrink_rrdb(network.rrdb))
        case Tiny():
            return replace(network, width=4, blocks=1)
