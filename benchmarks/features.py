"""A network for Frechet and kernel distances, for those without Inception's: SqueezeNet 1.1, as TorchScript.

    python benchmarks/features.py DIR -o squeezenet-features.pt
    refinesr evaluate ... --features squeezenet-features.pt

DIR holds `squeezenet11.npz` and `lpips-v0.1-squeeze-linear.pth`, as for refinesr/metrics/perceptual.py.  The
features are the 512 channels of the last fire module, averaged over the picture.  Their distances order
methods; they are not on the scale of the FID that papers report, which is Inception's.
"""

import argparse
from argparse import RawDescriptionHelpFormatter
from pathlib import Path

import torch
from torch import Tensor, nn

from refinesr.metrics.perceptual import Perceptual

WIDTH = 512
SCALE = 32.0
"""So that features are about one."""


class Means(nn.Module):
    """uint8 RGB (B, 3, H, W) -> (B, 512)."""

    def __init__(self, network: Perceptual) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        *_, last = self.network.features(images.float() / 255)
        return last.mean((2, 3)) / SCALE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    example = torch.randint(256, (2, 3, 128, 128), dtype=torch.uint8)
    scripted(args.folder, example).save(str(args.output))
    print(f"{args.output}  {WIDTH} features")


def scripted(folder: Path, example: Tensor) -> torch.jit.ScriptModule:
    """Traced: every size of picture takes the same road."""
    return torch.jit.trace(Means(Perceptual(folder)).eval(), example)


if __name__ == "__main__":
    main()
