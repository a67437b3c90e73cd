"""Any run made so small that a laptop finishes it while one looks on: to try a folder, a device, a change."""

from dataclasses import replace

from refinesr.method import Method
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.tiny import Tiny
from refinesr.run import Run
from refinesr.sources import Encoded


def tiny(run: Run) -> Run:
    """The same method with the narrowest network of its kind, for 20 updates of four small crops."""
    plan = replace(
        run.plan,
        steps=20,
        batch=4,
        accumulate=1,
        size=8 * run.method.scale,
        warmup=5,
        save_every=10,
        preview_every=20,
    )
    return replace(run, method=narrow(run.method), plan=plan)


def narrow(method: Method) -> Method:
    network = narrow_network(method.network)
    if isinstance(method.source, Encoded) and isinstance(network, PackedUNet):
        encoder = PackedEncoder(channels=method.channels, width=network.features, blocks=1)
        return replace(method, network=network, source=replace(method.source, encoder=encoder))
    return replace(method, network=network)


def narrow_network(network: PackedUNet | SR3UNet | Tiny) -> PackedUNet | SR3UNet | Tiny:
    match network:
        case PackedUNet():
            features = min(network.features, 8)  # 0 stays 0: a network without a condition
            return replace(network, features=features, widths=(8, 12, 16), blocks=(1, 1, 1), embedding=16)
        case SR3UNet():
            return replace(network, width=8, multipliers=(1, 2), blocks=1, attention=(), groups=4)
        case Tiny():
            return replace(network, width=4, blocks=1)
