"""Metrics by classifiers: Inception Score, and SR3's classification accuracy."""

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
    """Count, sum (K,) and total entropy of class probabilities; float64, CPU.

    `+` gives those of the union of two sets, so that the result does not depend on the batch size.
    """

    count: int
    total: Tensor
    entropy: float

    @staticmethod
    def of(probabilities: ClassProbabilities) -> "ProbabilitySums":
        """From probabilities (B, K), B at least 1; each row sums to 1."""
        if len(probabilities) < 1:
            raise ValueError("no probabilities, no score")
        probabilities = probabilities.detach().cpu().double()
        return ProbabilitySums(
            len(probabilities), probabilities.sum(0), float(torch.special.entr(probabilities).sum())
        )

    def __add__(self, other: "ProbabilitySums") -> "ProbabilitySums":
        return ProbabilitySums(
            self.count + other.count, self.total + other.total, self.entropy + other.entropy
        )

    @property
    def score(self) -> float:
        """exp(E KL(p(y|x) || p(y))) (Salimans et al. 2016): exp(entropy of the mean - mean entropy)."""
        marginal = torch.special.entr(self.total / self.count).sum()
        return float((marginal - self.entropy / self.count).clamp(min=0).exp())


def inception_score(probabilities: ClassProbabilities, *, splits: int = 10) -> MeanAndStd:
    """Mean and standard deviation of the Inception Score over `splits` consecutive parts (published: 10).

    It is 1 if all images have the same probabilities, and K if each is classified with certainty and the K
    classes are equally frequent.  Small parts score lower than the whole set.  Raises ValueError for more
    splits than images.
    """
    if not 0 < splits <= len(probabilities):
        raise ValueError(
            f"{splits} splits of {len(probabilities)} images; there must be 1 to {len(probabilities)}"
        )
    cuts = [len(probabilities) * part // splits for part in range(splits + 1)]
    parts = [ProbabilitySums.of(probabilities[a:b]).score for a, b in pairwise(cuts)]
    return MeanAndStd.of(torch.tensor(parts, dtype=torch.float64))


@final
class Probabilities:
    """A network that returns class probabilities: a TorchScript file, such as StyleGAN's Inception.

    It is called with uint8 RGB (B, 3, H, W), and with `no_output_bias=True` if it has such an argument: the
    original code of the Inception Score omits the bias of the last layer.

    Raises CheckpointError if the file is missing, is not TorchScript, or does not return probabilities.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        self.network = ScriptNetwork(path, device, "class probabilities", {"no_output_bias": True})

    def __call__(self, images: Float[Tensor, "B C H W"] | UInt8[Tensor, "B C H W"]) -> Float64[Tensor, "B K"]:
        """Probabilities (B, K), float64 on the CPU.

        `images` are grey or RGB, uint8 or floats in [0, 1], which are rounded to 8 bits.
        """
        made = self.network(uint8_rgb(images))
        if bool((made < 0).any()) or not torch.allclose(made.sum(1), made.new_ones(()), atol=1e-3):
            raise CheckpointError(f"{self.network.path}: makes rows that are no probabilities of classes")
        return made


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that maps RGB (B, 3, H, W), normalised by `mean` and `std`, to logits (B, K).

    The defaults are ImageNet's, which most classifiers of torchvision and timm use.  Images keep their size,
    unless a `size` (height, width) is given: then they are resized by antialiased bicubic to just cover it,
    and cropped to their centre.
    """

    network: Callable[[Tensor], Tensor]
    device: torch.device
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    size: tuple[int, int] | None = None
    name: str = "a network"

    @staticmethod
    def read(path: Path, device: torch.device | None = None) -> "Classifier":
        """From a TorchScript file.  Raises CheckpointError if it is missing or invalid; later, calling the
        classifier raises it if the network does not return logits."""
        script = ScriptNetwork(path, device, "logits", {})
        return Classifier(script, script.device, name=path.name)

    @staticmethod
    def of_timm(name: str, device: torch.device | None = None) -> "Classifier":
        """A pretrained network of timm, with the mean, standard deviation and size of its configuration.

        timm downloads missing weights.  Raises CheckpointError if timm is not installed, does not know the
        network, or cannot get its weights.
        """
        try:
            timm = import_module("timm")  # brings torchvision with it
        except ImportError as error:
            lacks = "needs timm: pip install 'refinesr[classifiers]'"
            raise CheckpointError(f"timm:{name}: {lacks} ({error})") from error
        device = device or torch.device("cpu")
        try:
            model = timm.create_model(name, pretrained=True).to(device).eval()
        except Exception as error:  # unknown names, downloads and files raise various errors
            found = " ".join(str(error).split())[:200] or type(error).__name__
            raise CheckpointError(f"timm:{name}: timm cannot make it: {found}") from error
        wanted = timm.data.resolve_model_data_config(model)
        channels, *size = map(int, wanted["input_size"])
        if channels != 3 or not model.num_classes:
            made = f"{model.num_classes} classes of {channels} channels"
            raise CheckpointError(f"timm:{name}: has {made}; a classifier of RGB images is needed")
        mean, std = (rgb_triple(wanted[key]) for key in ("mean", "std"))
        short = Path(name).name if name.startswith("local-dir:") else name
        return Classifier(model, device, mean, std, (size[0], size[1]), f"timm's {short}")

    @property
    def convention(self) -> str:
        """The network's name and its input, for reports."""
        mean, std = (" ".join(f"{value:.3f}" for value in triple) for triple in (self.mean, self.std))
        size = "at the size they have" if self.size is None else f"at {self.size[0]} x {self.size[1]} pixels"
        return f"{self.name}, shown RGB {size}, less {mean}, divided by {std}"

    @torch.no_grad()
    def __call__(self, images: RGB) -> Float64[Tensor, "B K"]:
        """Logits (B, K), float64 on the CPU, of RGB in [0, 1]."""
        mean, std = (torch.tensor(x, device=self.device)[:, None, None] for x in (self.mean, self.std))
        shown = images.to(self.device, torch.float32)
        if self.size is not None:
            shown = resized_to_cover(shown, self.size)
        return self.network((shown - mean) / std).cpu().double()


def rgb_triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def resized_to_cover(images: RGB, size: tuple[int, int]) -> Float[Tensor, "B 3 h w"]:
    """The central crop of `size`, after resizing the images, if necessary, to just cover it."""
    ratio = max(wanted / side for wanted, side in zip(size, images.shape[-2:], strict=True))
    whole = [max(w, round(side * ratio)) for w, side in zip(size, images.shape[-2:], strict=True)]
    if whole != list(images.shape[-2:]):
        images = F.interpolate(images, whole, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((side - wanted) // 2 for side, wanted in zip(whole, size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


def top_k_missed(logits: Logits, labels: Labels, *, top: Sequence[int] = (1, 5)) -> Bool[Tensor, "B T"]:
    """Whether the class of each image is not among the k most likely ones, for each k of `top`.

    Ties count against the image's class, so that a network with constant logits is always wrong.  Raises
    ValueError for a label that is not a class, and for k below 1 or above the number of classes.
    """
    classes = logits.shape[1]
    if not all(1 <= k <= classes for k in top):
        raise ValueError(f"top {tuple(top)} of {classes} classes; each must be 1 to {classes}")
    if bool(((labels < 0) | (labels >= classes)).any()):
        raise ValueError(f"labels are 0 to {classes - 1}, not {int(labels.min())} to {int(labels.max())}")
    own = logits.gather(1, labels.long()[:, None])
    # `~(logits < own)` also counts NaN
    before = (~(logits < own)).sum(1) - 1
    return torch.stack([before >= k for k in top], 1)


def error_rates(logits: Logits, labels: Labels, *, top: Sequence[int] = (1, 5)) -> tuple[float, ...]:
    """Top-k error rates for each k of `top`, as in SR3's classification experiment.

    Saharia et al. 2021 restore the first 1000 images of ImageNet's validation set from 56 to 224 pixels and
    classify them by a ResNet-50: top-1 and top-5 error .317 and .120; of the original images .252 and .080.
    """
    if len(labels) < 1:
        raise ValueError("no images, no error rates")
    return tuple(top_k_missed(logits, labels, top=top).cpu().double().mean(0).tolist())
