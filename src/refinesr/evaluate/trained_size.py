"""Models evaluated at the input size they were trained on, whatever the size of the protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.evaluate.depths import resized
from refinesr.evaluate.pairs import LoadedPair
from refinesr.evaluate.upscalers import Upscaler, UpscalingProgress
from refinesr.images.resize import Kernel
from refinesr.stage import Progress


@dataclass(frozen=True, eq=False)
class AtTrainedSize:
    """Resizes low-resolution images to a shorter side of `side` pixels, upscales, and resizes results back.

    SR3's 64 -> 256 model was measured like this at 56 -> 224 (Saharia et al. 2021, section 4.2).
    """

    upscaler: Upscaler
    side: int
    kernel: Kernel

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ConfigError(f"via: {self.side} is not positive")

    @property
    def kind(self) -> str:
        return self.upscaler.kind

    @property
    def scale(self) -> int | None:
        return self.upscaler.scale

    @property
    def calls(self) -> int | None:
        return self.upscaler.calls

    @property
    def sampled(self) -> bool:
        return self.upscaler.sampled

    @property
    def deterministic(self) -> bool:
        return self.upscaler.deterministic

    def settings(self) -> dict[str, Any]:
        return {**self.upscaler.settings(), "via": self.side, "by": repr(self.kernel)}

    def check(self, pair: LoadedPair, samples: int) -> None:
        self.upscaler.check(pair, samples)

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return self.upscaler.checksum(pair, sample)

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        for progress in self.upscaler.upscale(
            [self.low_resized(each) for each in pairs], scale, seeds, sample
        ):
            made = zip(progress.image, pairs, strict=False)  # `progress.image` is empty before the last step
            yield Progress(
                progress.done, progress.total, tuple(self.result_resized(image, each) for image, each in made)
            )

    def result_resized(self, image: Tensor, pair: LoadedPair) -> Tensor:
        size = pair.high.shape[-2], pair.high.shape[-1]
        return resized(image, size, self.kernel, pair.depth.span)

    def low_resized(self, pair: LoadedPair) -> LoadedPair:
        height, width = pair.low.shape[-2:]
        ratio = self.side / min(height, width)
        size = max(1, round(height * ratio)), max(1, round(width * ratio))
        return replace(pair, low=resized(pair.low, size, self.kernel, pair.depth.span))
