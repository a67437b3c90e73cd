"""The perceptual distance of `refinesr train`, from files of published weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from ..errors import ConfigError
from .options import LpipsWeights, PerceptualFolder

if TYPE_CHECKING:
    import torch

    from ..objective import Distance
    from ..run import Run


@Parameter(name="*", group="Perceptual loss")
@dataclass(frozen=True)
class PerceptualOptions:
    """The perceptual distance of a run with method.perception."""

    perceptual: PerceptualFolder = None
    lpips: LpipsWeights = None

    backbone: Path | None = None
    """Weights of the network that LPIPS uses, if torch's cache does not have them."""

    def load(self, run: "Run", device: "torch.device") -> "tuple[Run, Distance | None]":
        """The run with its distance noted, and the distance on the device; None if the run needs none.

        Raises ConfigError unless a distance is given exactly if the run needs one; CheckpointError for
        unusable files.
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


PERCEPTUAL = PerceptualOptions()
