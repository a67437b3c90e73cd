"""Networks of other projects: single-image super-resolution files that spandrel reads, if it is installed."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from refinesr.errors import CheckpointError, ConfigError
from refinesr.evaluate.makers import Made
from refinesr.evaluate.pairs import Shown
from refinesr.stage import Progress


@dataclass(frozen=True, eq=False)
class Foreign:
    """`network` is spandrel's descriptor: called with (1, C, h, w) in [0, 1] it returns (1, C, H, W)."""

    path: Path
    network: Any
    device: torch.device

    kind: ClassVar[str] = "network"
    calls: ClassVar[int] = 1
    random: ClassVar[bool] = False

    @staticmethod
    def read(path: Path, device: torch.device) -> "Foreign":
        """Raises ConfigError without spandrel, and CheckpointError for what it cannot read."""
        try:
            spandrel = import_module("spandrel")  # an extra that brings torchvision with it
        except ImportError as error:
            convert = "files of SR3's, Palette's and SRDiff's codes are for `refinesr convert`"
            install = "other networks need spandrel: pip install spandrel"
            raise ConfigError(f"{path}: not one of our models; {convert}, {install} ({error})") from error
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file")
        try:
            network = spandrel.ModelLoader(device=device).load_from_file(path)
        except Exception as error:  # unpickling and guessing the architecture raise nearly every kind
            raise CheckpointError(f"{path}: spandrel cannot read it: {str(error)[:200]}") from error
        if not isinstance(network, spandrel.ImageModelDescriptor):
            raise CheckpointError(f"{path}: takes more than a picture; networks of single pictures are run")
        return Foreign(path, network.eval(), device)

    @property
    def scale(self) -> int | None:
        return int(self.network.scale)

    def facts(self) -> dict[str, Any]:
        return {"network": self.path.name, "weights": f"{zlib.crc32(self.path.read_bytes()):08x}"}

    def check(self, shown: Shown, samples: int) -> None: ...

    def checksum(self, shown: Shown, sample: int) -> str:
        return shown.checksum

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        yield Progress(1, 1, tuple(self.enlarged(each.low) for each in shown))

    @torch.no_grad()
    def enlarged(self, low: Tensor) -> Tensor:
        """In float32; grey is shown as colours, whose mean is taken."""
        channels = int(self.network.input_channels)
        given = (
            low
            if low.shape[1] == channels
            else low.float().mean(1, keepdim=True).expand(-1, channels, -1, -1)
        )
        made: Tensor = self.network((given.float() / 255).to(self.device)).float().cpu()
        if not bool(made.isfinite().all()):
            raise CheckpointError(f"{self.path}: makes NaN or infinity")
        same = made if made.shape[1] == low.shape[1] else made.mean(1, keepdim=True)
        return (same.clamp(0, 1) * 255).round().byte().expand(-1, low.shape[1], -1, -1).contiguous()
