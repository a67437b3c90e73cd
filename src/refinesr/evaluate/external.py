"""Networks of other projects: weights of single-image super-resolution networks that spandrel can load."""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from refinesr.checkpoint import FORMAT, PICKLES
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.evaluate.depths import PEAKS, from_unit_range, to_type, to_unit_range
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.upscalers import UpscalingProgress
from refinesr.images.picture import format_size
from refinesr.stage import Progress

CONVERT = "files of SR3's, Palette's and SRDiff's codes are for `refinesr convert`"


@dataclass(frozen=True, eq=False)
class ExternalNetwork:
    """`network` is spandrel's descriptor: it maps (1, C, h, w) in [0, 1] to (1, C, H, W).

    spandrel pads images to sizes that the network accepts and crops its results.  Images are upscaled without
    tiles, in float32.
    """

    path: Path
    network: Any
    device: torch.device

    kind: ClassVar[str] = "network"
    calls: ClassVar[int] = 1
    sampled: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    @staticmethod
    def read(path: Path, device: torch.device) -> "ExternalNetwork":
        """Load weights.  Raises ConfigError without spandrel, and CheckpointError if it cannot load them."""
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings from code of neither this project nor the user
            network = load_descriptor(path, device)
        if network.scale < 2:
            purpose = str(network.purpose).lower()
            raise CheckpointError(f"{path}: enlarges nothing; spandrel has it as a network of {purpose}")
        takes, makes = network.input_channels, network.output_channels
        if (takes, makes) not in ((1, 1), (3, 3)):
            raise CheckpointError(f"{path}: takes {takes} channels and makes {makes}, not 3 of 3 or 1 of 1")
        return ExternalNetwork(path, network.eval(), device)

    @property
    def scale(self) -> int | None:
        return int(self.network.scale)

    def settings(self) -> dict[str, Any]:
        return {"network": self.path.name, "weights": f"{zlib.crc32(self.path.read_bytes()):08x}"}

    def check(self, pair: LoadedPair, samples: int) -> None:
        """Raises InputError if the network cannot take the bands; only grey is converted, by repetition."""
        bands, channels = pair.high.shape[1], self.network.input_channels
        if bands not in pair.depth.accepted_bands(channels):
            if (bands, channels) != (3, 1):
                found = f"{pair.source}: has {bands} bands"
                raise InputError(f"{found}, and {self.path} takes {channels}; they must be as many")
            advice = "make the pictures grey, or give a folder of results"
            raise InputError(f"{pair.source}: has colours, and {self.path} takes grey pictures; {advice}")

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return pair.checksum

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        yield Progress(1, 1, tuple(self.upscaled(each) for each in pairs))

    @torch.no_grad()
    def upscaled(self, pair: LoadedPair) -> Tensor:
        """The network's result; for a grey input to an RGB network, the mean of its channels."""
        low, peak = pair.low.expand(-1, self.network.input_channels, -1, -1), PEAKS[pair.low.dtype]
        span = pair.depth.span
        values_in = low.float() / peak if span is None else to_unit_range(low, span).float()
        try:
            made: Tensor = self.network(values_in.to(self.device)).float().cpu()
        except Exception as error:  # out of memory, or any error of the network's code
            size = f"{format_size(low.shape[-2:])} pixels at once"
            raise CheckpointError(
                f"{self.path}: fails on {pair.source}, {size}: {one_line(error)}"
            ) from error
        if not bool(made.isfinite().all()):
            raise CheckpointError(f"{self.path}: makes NaN or infinity of {pair.source}")
        same = made if made.shape[1] == pair.low.shape[1] else made.mean(1, keepdim=True)
        values = same.clamp(0, 1) * peak if span is None else from_unit_range(same.clamp(0, 1), span)
        return to_type(values, pair.low.dtype, span)


def load_descriptor(path: Path, device: torch.device) -> Any:
    """spandrel's descriptor of the network.  Raises ConfigError without spandrel, else CheckpointError."""
    try:
        spandrel = import_module("spandrel")
    except ModuleNotFoundError as error:
        install = "other networks need spandrel: pip install 'refinesr[foreign]'"
        raise ConfigError(
            f"{path}: not one of our models; {CONVERT}, {install} ({one_line(error)})"
        ) from error
    except (ImportError, RuntimeError, OSError) as error:
        why = f"spandrel is installed but does not start: {one_line(error)}"
        raise ConfigError(f"{path}: {why}; its torchvision must be built for this torch") from error
    try:
        network = spandrel.ModelLoader(device=device).load_from_file(path)
    except Exception as error:  # unpickling and guessing the architecture raise nearly every kind
        why = f"not one of our models, and spandrel cannot read it: {one_line(error)}"
        raise CheckpointError(f"{path}: {why}; {CONVERT}") from error
    if not isinstance(network, spandrel.ImageModelDescriptor):
        raise CheckpointError(f"{path}: takes more than a picture; networks of single pictures are run")
    return network


def one_line(error: Exception) -> str:
    """The error's text in one line; spandrel's error for an unknown architecture is empty."""
    return " ".join(str(error).split())[:200] or "no architecture it knows"


def is_external_weights(thing: str) -> bool:
    """Whether `thing` is the path of a weights file that is not a model of this project."""
    path = Path(thing)
    return path.suffix in PICKLES or (
        path.suffix == ".safetensors" and path.is_file() and not is_refinesr_file(path)
    )


def is_refinesr_file(path: Path) -> bool:
    """Whether a .safetensors file is a model of this project.  True if unreadable: `load` reports why."""
    try:
        with safe_open(path, framework="pt") as file:
            format = str((file.metadata() or {}).get("format"))
            return format.startswith(FORMAT.rstrip("0123456789"))
    except (SafetensorError, OSError):
        return True
