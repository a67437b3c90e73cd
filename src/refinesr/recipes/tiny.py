"""Any run made so small that a laptop finishes it while one looks on: to try a folder, a device, a change."""

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
    """The same method with the narrowest network of its kind, for 20 updates of four small crops.

    Of as many classes as before: how many there are is for the data to say.
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
    return replace(run, method=narrow(run.method), plan=plan)


def narrow(method: Method) -> Method:
    source = narrow_source(method.source)
    features = source.input_channels(method.channels).get("features", 0)
    return replace(method, network=narrow_network(method.network, features), source=source)


def narrow_source(source: Source) -> Source:
    if not isinstance(source, Encoded):
        return source
    match source.encoder:
        case PackedEncoder():
            return replace(source, encoder=replace(source.encoder, width=8, blocks=1))
        case RRDB():
            return replace(source, encoder=narrow_rrdb(source.encoder))


def narrow_rrdb(rrdb: RRDB) -> RRDB:
    return replace(rrdb, width=4, growth=2, blocks=2)


def narrow_network(network: Network, features: int) -> Network:
    """`features` is what the source makes."""
    match network:
        case PackedUNet():
            return replace(network, features=features, widths=(8, 12, 16), blocks=(1, 1, 1), embedding=16)
        case SR3UNet():
            return replace(network, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)
        case SRDiffUNet():
            return replace(network, features=features, width=8, multipliers=(1, 2))
        case ADMUNet():
            small = replace(network, attention=(8,), head_channels=8, groups=4)  # never over whole maps
            return replace(small, width=8, multipliers=(1, 1, 1, 1), blocks=1)
        case RRDBNetwork():
            return replace(network, rrdb=narrow_rrdb(network.rrdb))
        case Tiny():
            return replace(network, width=4, blocks=1)
