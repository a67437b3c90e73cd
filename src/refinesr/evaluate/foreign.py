"""Networks of other projects: single-image super-resolution files that spandrel reads, if it is installed."""

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
from refinesr.evaluate.depths import PEAKS, fitted, unit, united
from refinesr.evaluate.makers import Made
from refinesr.evaluate.pairs import Shown
from refinesr.images.picture import format_size
from refinesr.stage import Progress

CONVERT = "files of SR3's, Palette's and SRDiff's codes are for `refinesr convert`"


@dataclass(frozen=True, eq=False)
class Foreign:
    """`network` is spandrel's descriptor: called with (1, C, h, w) in [0, 1] it returns (1, C, H, W).

    Sizes that the network does not take are padded by spandrel, and its result is cut.  Pictures are shown
    whole and in float32.
    """

    path: Path
    network: Any
    device: torch.device

    kind: ClassVar[str] = "network"
    calls: ClassVar[int] = 1
    random: ClassVar[bool] = False
    equal: ClassVar[bool] = True

    @staticmethod
    def read(path: Path, device: torch.device) -> "Foreign":
        """Raises ConfigError without spandrel, and CheckpointError for what it cannot read."""
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of code that is not ours to mend, nor the user's
            network = described(path, device)
        if network.scale < 2:
            purpose = str(network.purpose).lower()
            raise CheckpointError(f"{path}: enlarges nothing; spandrel has it as a network of {purpose}")
        takes, makes = network.input_channels, network.output_channels
        if (takes, makes) not in ((1, 1), (3, 3)):
            raise CheckpointError(f"{path}: takes {takes} channels and makes {makes}, not 3 of 3 or 1 of 1")
        return Foreign(path, network.eval(), device)

    @property
    def scale(self) -> int | None:
        return int(self.network.scale)

    def facts(self) -> dict[str, Any]:
        return {"network": self.path.name, "weights": f"{zlib.crc32(self.path.read_bytes()):08x}"}

    def check(self, shown: Shown, samples: int) -> None:
        """Grey pictures are shown as colours; colours are never made grey, other bands never either."""
        bands, channels = shown.high.shape[1], self.network.input_channels
        if bands not in shown.depth.shows(channels):
            if (bands, channels) != (3, 1):
                found = f"{shown.source}: has {bands} bands"
                raise InputError(f"{found}, and {self.path} takes {channels}; they must be as many")
            advice = "make the pictures grey, or give a folder of results"
            raise InputError(f"{shown.source}: has colours, and {self.path} takes grey pictures; {advice}")

    def checksum(self, shown: Shown, sample: int) -> str:
        return shown.checksum

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        yield Progress(1, 1, tuple(self.enlarged(each) for each in shown))

    @torch.no_grad()
    def enlarged(self, shown: Shown) -> Tensor:
        """Of three channels that are made of grey the mean is taken."""
        low, peak = shown.low.expand(-1, self.network.input_channels, -1, -1), PEAKS[shown.low.dtype]
        span = shown.depth.span
        given = low.float() / peak if span is None else unit(low, span).float()
        try:
            made: Tensor = self.network(given.to(self.device)).float().cpu()
        except Exception as error:  # too little memory, or whatever a network does not bear
            size = f"{format_size(low.shape[-2:])} pixels at once"
            raise CheckpointError(f"{self.path}: fails on {shown.source}, {size}: {reason(error)}") from error
        if not bool(made.isfinite().all()):
            raise CheckpointError(f"{self.path}: makes NaN or infinity of {shown.source}")
        same = made if made.shape[1] == shown.low.shape[1] else made.mean(1, keepdim=True)
        values = same.clamp(0, 1) * peak if span is None else united(same.clamp(0, 1), span)
        return fitted(values, shown.low.dtype, span)


def described(path: Path, device: torch.device) -> Any:
    """The network as spandrel describes it."""
    try:
        spandrel = import_module("spandrel")
    except ModuleNotFoundError as error:
        install = "other networks need spandrel: pip install 'refinesr[foreign]'"
        raise ConfigError(f"{path}: not one of our models; {CONVERT}, {install} ({reason(error)})") from error
    except (ImportError, RuntimeError, OSError) as error:
        why = f"spandrel is installed but does not start: {reason(error)}"
        raise ConfigError(f"{path}: {why}; its torchvision must be built for this torch") from error
    try:
        network = spandrel.ModelLoader(device=device).load_from_file(path)
    except Exception as error:  # unpickling and guessing the architecture raise nearly every kind
        why = f"not one of our models, and spandrel cannot read it: {reason(error)}"
        raise CheckpointError(f"{path}: {why}; {CONVERT}") from error
    if not isinstance(network, spandrel.ImageModelDescriptor):
        raise CheckpointError(f"{path}: takes more than a picture; networks of single pictures are run")
    return network


def reason(error: Exception) -> str:
    """In one line; spandrel says nothing of weights whose architecture it does not know."""
    return " ".join(str(error).split())[:200] or "no architecture it knows"


def foreign_like(thing: str) -> bool:
    """Whether it names a file of weights that is none of our models."""
    path = Path(thing)
    return path.suffix in PICKLES or (path.suffix == ".safetensors" and path.is_file() and not ours(path))


def ours(path: Path) -> bool:
    """Whether a .safetensors file says so.  One that cannot be read is: `load` tells why."""
    try:
        with safe_open(path, framework="pt") as file:
            told = str((file.metadata() or {}).get("format"))
            return told.startswith(FORMAT.rstrip("0123456789"))
    except (SafetensorError, OSError):
        return True
