"""Methods as small as they get, and networks with something to say, for the tests of this folder."""

import math
from dataclasses import replace

import skimage.data
import torch
from torch import Tensor, nn

from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.levels import LogNormal
from refinesr.diffusion.precond import Clean
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Karras
from refinesr.fit import Plan
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic, PillowBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels, Residual, with_plane
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet
from refinesr.nets.tiny import Tiny
from refinesr.sources import Encoded, Labelled, Upsampled
from refinesr.stage import Stage


def packed(scale: int = 4, channels: int = 3) -> Method:
    """The project's own method, narrow: 15 000 parameters, a reach of some 20 low pixels."""
    kept = PillowBicubic() if scale > 1 else None
    network = PackedUNet(scale, channels, features=8, widths=(8, 12, 16), blocks=(1, 1, 1), embedding=16)
    return Method(
        scale=scale,
        channels=channels,
        network=network,
        source=Encoded(PackedEncoder(channels, width=8, blocks=2), PillowBicubic()),
        precond=Clean(),
        label=LogSigma(),
        levels=LogNormal(-0.6, 1.5),
        target=Residual(3.5),
        degradation=Bicubic(scale),
        sampling=Sampling(Ancestral(1.0), Karras(0.05, 20.0), steps=3, consistent=kept),
    )


def plain(scale: int = 2, channels: int = 3) -> Method:
    """SR3's arrangement with the smallest network: the enlarged image beside x."""
    return replace(
        packed(scale, channels),
        network=Tiny(channels, image_channels=channels, width=8, blocks=1),
        source=Upsampled(MatlabBicubic()),
        target=Pixels(),
        sampling=Sampling(Ancestral(1.0), Karras(0.05, 20.0), steps=3, clip=True),
    )


def awake(module: nn.Module, seed: int = 0, gain: float = 1.0) -> nn.Module:
    """Random weights everywhere: networks begin with zeros where they end, and would say nothing."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * gain / math.sqrt(fan_in))
    return module.eval().requires_grad_(False)


def stage(method: Method, seed: int = 0) -> Stage:
    model = method.build()
    awake(model, seed)
    return Stage(method, model)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def photo(top: int, left: int, height: int, width: int) -> Tensor:
    """A part of a photo of a cat, uint8 (C, H, W)."""
    values = skimage.data.chelsea()[top : top + height, left : left + width]
    return torch.from_numpy(values.copy()).permute(2, 0, 1)


class FewPairs:
    """Training pairs out of a few fixed pictures; the batch of a step depends on the step alone."""

    def __init__(self, method: Method, batch: int = 4, size: int = 16) -> None:
        self.method, self.batch, self.size = method, batch, size

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(step)
        corners = torch.randint(0, 200, (self.batch, 2), generator=rng).tolist()
        crops = [photo(top, left, self.size, self.size) for top, left in corners]
        high = torch.stack(crops)[:, : self.method.channels] / 127.5 - 1
        low = self.method.degradation(high, rng)
        if isinstance(self.method.source, Labelled):
            classes = torch.randint(self.method.source.count, (self.batch,), generator=rng)
            low = with_plane(low, classes.float())
        return high, low


def plan(**changes: object) -> Plan:
    few = Plan(steps=6, batch=4, size=16, rate=1e-3, warmup=2, halflife=3, save_every=100, preview_every=100)
    return replace(few, **changes)  # type: ignore[arg-type]
