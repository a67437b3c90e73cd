"""The distance that `refinesr train` learns a perception by, from files of other people."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch

    from ..objective import Distance
    from ..run import Run


@Parameter(name="*", group="Perceptual loss")
@dataclass(frozen=True)
class Perceiving:
    """By what a run with method.perception learns besides its error."""

    perceptual: Path | None = None
    """An LPIPS-like distance on SqueezeNet: folder with squeezenet11.npz and
    lpips-v0.1-squeeze-linear.pth."""

    lpips: Path | None = None
    """LPIPS: its linear layers, alex.pth, vgg.pth or squeeze.pth of the lpips package.  The weights of the
    network are taken from torch's cache, or from --backbone."""

    backbone: Path | None = None
    """Weights of the network that LPIPS uses, if torch's cache does not have them."""

    def of(self, run: "Run", device: "torch.device") -> "tuple[Run, Distance | None]":
        """The run, told what it learns by, and that.

        Raises ConfigError unless the run wants just what is given; CheckpointError for files of no use.
        """
        given = [name for name in ("perceptual", "lpips") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError("--lpips: --perceptual is a distance, too; give one of them")
        if self.backbone is not None and self.lpips is None:
            raise ConfigError(f"--backbone: {self.backbone} has no use without --lpips")
        if run.method.perception is None and given:
            how = "the run has no perception to learn by it; add --set method.perception=Perception"
            raise ConfigError(f"--{given[0]}: {how}")
        if run.method.perception is not None and not given:
            raise ConfigError("method.perception: needs a distance to learn by; add --perceptual or --lpips")
        if self.perceptual is not None:
            from ..metrics.perceptual import Perceptual

            return replace(run, distance=Perceptual.title), Perceptual(self.perceptual, device)
        if self.lpips is not None:
            from ..metrics.lpips import LPIPS, variant_of

            network = LPIPS(variant_of(self.lpips), self.lpips, self.backbone, device)
            return replace(run, distance=network.title), network
        return run, None


PERCEIVING = Perceiving()
