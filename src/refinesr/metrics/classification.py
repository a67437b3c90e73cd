"""What classifiers say of images: Inception Score, and SR3's classification accuracy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64, Int, UInt8
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.metrics.backbones import MEAN, RGB, STD
from refinesr.metrics.kid import MeanAndStd
from refinesr.metrics.torchscript import ScriptNetwork, uint8_rgb

ClassProbabilities = Float[Tensor, "B K"]
Logits = Float[Tensor, "B K"]
Labels = Int[Tensor, " B"]


@dataclass(frozen=True, eq=False)
class ProbabilitySums:
    """Count, sum (K,) and summed entropy of classes' probabilities; float64, CPU.

    Two of them `+` are those of both sets together, so batches of any size give the same.
    """

    count: int
    total: Tensor
    entropy: float

    @staticmethod
    def of(chances: ClassProbabilities) -> "ProbabilitySums":
        """Of B probabilities of K classes, B at least 1; in each row they add up to 1."""
        if len(chances) < 1:
            raise ValueError("no probabilities, no score")
        chances = chances.detach().cpu().double()
        return ProbabilitySums(len(chances), chances.sum(0), float(torch.special.entr(chances).sum()))

    def __add__(self, other: "ProbabilitySums") -> "ProbabilitySums":
        return ProbabilitySums(
            self.count + other.count, self.total + other.total, self.entropy + other.entropy
        )

    @property
    def score(self) -> float:
        """exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016), the entropy of the mean less the mean entropy."""
        marginal = torch.special.entr(self.total / self.count).sum()
        return float((marginal - self.entropy / self.count).clamp(min=0).exp())


def inception_score(chances: ClassProbabilities, *, splits: int = 10) -> MeanAndStd:
    """Inception Score's mean and deviation over `splits` equal parts, in the order given (published: 10).

    1 if every image gets the same probabilities, K if each is surely of one of K classes that are as
    frequent as each other.  Parts of few images score less than a whole.  ValueError for more splits than
    images.
    """
    if not 0 < splits <= len(chances):
        raise ValueError(f"{splits} splits of {len(chances)} images; there must be 1 to {len(chances)}")
    cuts = [len(chances) * part // splits for part in range(splits + 1)]
    parts = [ProbabilitySums.of(chances[a:b]).score for a, b in pairwise(cuts)]
    return MeanAndStd.of(torch.tensor(parts, dtype=torch.float64))


@final
class Probabilities:
    """A network that makes probabilities of classes: a TorchScript file, such as StyleGAN's Inception.

    It is called with uint8 RGB (B, 3, H, W), and with `no_output_bias=True` if it has an argument of that
    name: the Inception Score of the original code is without the bias of the last layer.

    Raises CheckpointError if the file is missing, is no TorchScript, or does not make probabilities so.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        self.network = ScriptNetwork(path, device, "class probabilities", {"no_output_bias": True})

    def __call__(self, images: Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]) -> Float64[Tensor, "B K"]:
        """(B, K) float64 on the CPU of grey or RGB images, uint8 or floats in [0, 1] (rounded to 8 bits)."""
        made = self.network(uint8_rgb(images))
        if bool((made < 0).any()) or not torch.allclose(made.sum(1), made.new_ones(()), atol=1e-3):
            raise CheckpointError(f"{self.network.path}: makes rows that are no probabilities of classes")
        return made


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """Any network of (B, 3, H, W), RGB less `mean` divided by `std`, that makes logits (B, K).

    These are ImageNet's, which torchvision's and timm's classifiers mostly want.  Images are given at the
    size they have.  If the network wants a `size` (height, width), they are resized until they just cover it,
    by antialiased bicubic, and their middle is given.
    """

    network: Callable[[Tensor], Tensor]
    device: torch.device
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    size: tuple[int, int] | None = None
    name: str = "a network"

    @staticmethod
    def read(path: Path, device: torch.device | None = None) -> "Classifier":
        """A TorchScript file.  CheckpointError if it is missing, or is none, or, later, makes no logits."""
        script = ScriptNetwork(path, device, "logits", {})
        return Classifier(script, script.device, name=path.name)

    @staticmethod
    def of_timm(name: str, device: torch.device | None = None) -> "Classifier":
        """A network of timm's, its weights, and the mean, deviation and size that timm says it wants.

        timm downloads weights it does not have yet.  CheckpointError without timm, and for what it does not
        know or cannot get.
        """
        try:
            timm = import_module("timm")  # brings torchvision with it
        except ImportError as error:
            lacks = "needs timm: pip install 'refinesr[classifiers]'"
            raise CheckpointError(f"timm:{name}: {lacks} ({error})") from error
        device = device or torch.device("cpu")
        try:
            model = timm.create_model(name, pretrained=True).to(device).eval()
        except Exception as error:  # names, downloads and files raise nearly every kind
            found = " ".join(str(error).split())[:200] or type(error).__name__
            raise CheckpointError(f"timm:{name}: timm cannot make it: {found}") from error
        wanted = timm.data.resolve_model_data_config(model)
        channels, *size = map(int, wanted["input_size"])
        if channels != 3 or not model.num_classes:
            made = f"{model.num_classes} classes of {channels} channels"
            raise CheckpointError(f"timm:{name}: tells {made}; classes of RGB are wanted")
        mean, std = (rgb_triple(wanted[key]) for key in ("mean", "std"))
        short = Path(name).name if name.startswith("local-dir:") else name
        return Classifier(model, device, mean, std, (size[0], size[1]), f"timm's {short}")

    @property
    def convention(self) -> str:
        """What it is and is shown."""
        mean, std = (" ".join(f"{value:.3f}" for value in triple) for triple in (self.mean, self.std))
        size = "at the size they have" if self.size is None else f"at {self.size[0]} x {self.size[1]} pixels"
        return f"{self.name}, shown RGB {size}, less {mean}, divided by {std}"

    @torch.no_grad()
    def __call__(self, images: RGB) -> Float64[Tensor, "B K"]:
        """Logits, float64 on the CPU, of RGB in [0, 1]."""
        mean, std = (torch.tensor(x, device=self.device)[:, None, None] for x in (self.mean, self.std))
        shown = images.to(self.device, torch.float32)
        if self.size is not None:
            shown = resized_to_cover(shown, self.size)
        return self.network((shown - mean) / std).cpu().double()


def rgb_triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def resized_to_cover(images: RGB, size: tuple[int, int]) -> Float[Tensor, "B 3 h w"]:
    """The middle `size` of images that have been resized, if need be, until they just cover it."""
    ratio = max(wanted / side for wanted, side in zip(size, images.shape[-2:], strict=True))
    whole = [max(w, round(side * ratio)) for w, side in zip(size, images.shape[-2:], strict=True)]
    if whole != list(images.shape[-2:]):
        images = F.interpolate(images, whole, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((side - wanted) // 2 for side, wanted in zip(whole, size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


def top_k_missed(logits: Logits, labels: Labels, *, top: Sequence[int] = (1, 5)) -> Bool[Tensor, "B T"]:
    """For each image and each k of `top`, whether its class is not among the k likeliest.

    A class as likely as its rivals comes after them, so a network that cannot tell is always wrong.
    ValueError for a label that is no class, and for k below 1 or above the number of classes.
    """
    classes = logits.shape[1]
    if not all(1 <= k <= classes for k in top):
        raise ValueError(f"top {tuple(top)} of {classes} classes; each must be 1 to {classes}")
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise ValueError(f"labels are 0 to {classes - 1}, not {int(labels.min())} to {int(labels.max())}")
    own = logits.gather(1, labels.long()[:, None])
    # NaN is not less than anything
    before = (~(logits < own)).sum(1) - 1
    return torch.stack([before >= k for k in top], 1)


def error_rates(logits: Logits, labels: Labels, *, top: Sequence[int] = (1, 5)) -> tuple[float, ...]:
    """SR3's classification accuracy: the part of images that are missed, for each k of `top`.

    Saharia et al. 2021 restore the first 1000 images of ImageNet's validation set from 56 to 224 pixels and
    show them to a ResNet-50: top-1 and top-5 error .317 and .120, of the images themselves .252 and .080.
    """
    if len(labels) < 1:
        raise ValueError("no images, no error rates")
    return tuple(top_k_missed(logits, labels, top=top).cpu().double().mean(0).tolist())
