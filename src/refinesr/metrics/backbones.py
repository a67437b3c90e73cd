"""ImageNet classifiers whose feature maps perceptual distances compare, in plain torch.

The layers have the same positions as in torchvision's `features`, so that its weights can be loaded.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from refinesr.errors import CheckpointError

RGB = Float[Tensor, "B 3 H W"]

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, in [0, 1]."""

STD = (0.229, 0.224, 0.225)

SHA256_PREFIX = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")
"""Matches the beginning of the SHA-256 in a file's name."""


class CacheError(CheckpointError):
    """Default weights are missing from torch's cache, or damaged there."""


@dataclass(frozen=True)
class Backbone:
    """`features` of one of torchvision's classifiers, and the layers whose maps are used.

    `file` is the name of the published weights, which ends in the beginning of their SHA-256.  `taps` are the
    layers after which a map is taken, `widths` the channels of these maps.  `least` is the smallest side of
    an image in pixels.
    """

    title: str
    file: str
    features: Callable[[], nn.Sequential]
    taps: tuple[int, ...]
    widths: tuple[int, ...]
    least: int

    def cached(self) -> Path:
        """The weights' path in torchvision's cache: $TORCH_HOME/hub, by default ~/.cache/torch/hub."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.file

    def read(self, path: Path | None = None, device: torch.device | None = None) -> nn.Sequential:
        """The network with the weights of `path`, by default those in torch's cache; without gradients.

        The file holds `features.0.weight` and so on; other entries are ignored.  Raises CheckpointError if it
        is missing, damaged or of another network; CacheError for the file in the cache.
        """
        if path is not None:
            return self._read(path, device)
        try:
            return self._read(self.cached(), device)
        except CheckpointError as error:
            raise CacheError(str(error)) from error

    def _read(self, path: Path, device: torch.device | None) -> nn.Sequential:
        held = read_tensors(
            path, f"the weights of {self.title}, https://download.pytorch.org/models/{self.file}"
        )
        with torch.device("meta"):
            network = self.features()
        own = {
            name: tensor_of_shape(path, held, f"features.{name}", x)
            for name, x in network.state_dict().items()
        }
        network.load_state_dict(own, assign=True)
        return network.to(device or torch.device("cpu")).requires_grad_(False).eval()

    def published(self, path: Path | None = None) -> bool:
        """Whether the weights of `path`, an existing file of any name, are those published by torchvision."""
        path, digits = path or self.cached(), SHA256_PREFIX.search(self.file)
        # a file of the published name was checked when it was read
        return path.name == self.file or (digits is not None and sha256(path).startswith(digits[1]))

    def maps(self, network: nn.Sequential, images: RGB) -> Iterator[Tensor]:
        """Yields the maps; layers after the last map are not run.  Raises ValueError for too few pixels."""
        if min(images.shape[-2:]) < self.least:
            found = f"{images.shape[-2]} x {images.shape[-1]}"
            raise ValueError(f"{self.title} needs {self.least} pixels a side; the image has {found}")
        x: Tensor = images
        for number, layer in enumerate(list(network)[: self.taps[-1] + 1]):
            x = layer(x)
            if number in self.taps:
                yield x


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """The tensors of a file written by `torch.save`; nothing in it is executed.

    If the file's name contains the beginning of a SHA-256, as in `torch.hub`, it is checked.  Raises
    CheckpointError, which describes the file as `what`, if it is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; it is {what}")
    digits = SHA256_PREFIX.search(path.name)
    if digits and not sha256(path).startswith(digits[1]):
        raise CheckpointError(
            f"{path}: its SHA-256 does not begin with {digits[1]}, as its name says; damaged?"
        )
    try:
        # only the newer (zip) format can be memory-mapped; then unused tensors are not read
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle may raise any error
        line = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise CheckpointError(
            f"{path}: damaged, or no file of torch.save with tensors alone: {line}"
        ) from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path}: holds a {type(held).__name__}, not tensors by name")
    return {str(name): value for name, value in held.items() if isinstance(value, Tensor)}


def tensor_of_shape(path: Path, held: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    """The tensor `name` in float32.  Raises CheckpointError unless it exists with the shape of `like`."""
    if name not in held:
        raise CheckpointError(f"{path}: holds no {name!r}; is it of another network?")
    if held[name].shape != like.shape:
        found, wanted = tuple(held[name].shape), tuple(like.shape)
        raise CheckpointError(f"{path}: {name} is {found}, not {wanted}; is it of another network?")
    return held[name].to(torch.float32, copy=True)  # a copy, not a view of the memory-mapped file


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------ the networks


def alexnet() -> nn.Sequential:
    """Krizhevsky (2014), one tower."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )


def vgg16() -> nn.Sequential:
    """Simonyan and Zisserman (2015), configuration D."""
    layers: list[nn.Module] = []
    width = 3
    for wide, times in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(times):
            layers += [nn.Conv2d(width, wide, 3, padding=1), nn.ReLU()]
            width = wide
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


class Fire(nn.Module):
    """Fire module: 1x1 squeeze, then 1x1 and 3x3 expansion in parallel (Iandola et al. 2016, figure 1)."""

    def __init__(self, width: int, few: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, few, 1)
        self.expand1x1 = nn.Conv2d(few, wide, 1)
        self.expand3x3 = nn.Conv2d(few, wide, 3, padding=1)

    def forward(self, x: Float[Tensor, "B F h w"]) -> Float[Tensor, "B G h w"]:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1).relu()


def squeezenet() -> nn.Sequential:
    """SqueezeNet 1.1."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(Fire(64, 16, 64), Fire(128, 16, 64), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(Fire(128, 32, 128), Fire(256, 32, 128), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256)),
    )


ALEXNET = Backbone(
    "AlexNet", "alexnet-owt-7be5be79.pth", alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), least=31
)
VGG16 = Backbone("VGG16", "vgg16-397923af.pth", vgg16, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), least=16)
SQUEEZENET = Backbone(
    "SqueezeNet 1.1",
    "squeezenet1_1-b8a52dc0.pth",
    squeezenet,
    taps=(1, 4, 7, 9, 10, 11, 12),
    widths=(64, 128, 256, 384, 384, 512, 512),
    least=17,
)
