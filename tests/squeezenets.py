"""SqueezeNet 1.1 out of torch's own layers, with made-up weights, and the files that hold them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from refinesr.metrics.perceptual import FEATURES, LINEAR

FIRES = {"fire2": (64, 16, 64), "fire3": (128, 16, 64), "fire4": (128, 32, 128), "fire5": (256, 32, 128)}
FIRES |= {"fire6": (256, 48, 192), "fire7": (384, 48, 192), "fire8": (384, 64, 256), "fire9": (512, 64, 256)}


class Fire(nn.Module):
    def __init__(self, width: int, few: int, wide: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(width, few, 1)
        self.expand1x1 = nn.Conv2d(few, wide, 1)
        self.expand3x3 = nn.Conv2d(few, wide, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze1x1(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


def squeezenet(folder: Path) -> nn.ModuleDict:
    """The network; its weights and linear layers of LPIPS lie in the folder, as `Perceptual` wants them."""
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {"conv1": nn.Conv2d(3, 64, 3, 2), **{name: Fire(*sizes) for name, sizes in FIRES.items()}}
    )
    np.savez(folder / FEATURES, **{name: value.numpy() for name, value in net.state_dict().items()})
    widths = [64, *(2 * FIRES[name][2] for name in ("fire3", "fire5", "fire6", "fire7", "fire8", "fire9"))]
    linear = {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in enumerate(widths)}
    torch.save(linear, folder / LINEAR)
    return net
