"""A model shown pictures of the size it was trained on, whatever the protocol's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from refinesr.errors import ConfigError
from refinesr.evaluate.depths import resized
from refinesr.evaluate.makers import Made, Maker
from refinesr.evaluate.pairs import Shown
from refinesr.images.resize import Kernel
from refinesr.stage import Progress


@dataclass(frozen=True, eq=False)
class Detour:
    """`maker` shown the poor pictures with a shorter side of `side` pixels, and its results resized back.

    So SR3's model of 64 -> 256 pixels was measured at 56 -> 224 (Saharia et al. 2021, section 4.2).
    """

    maker: Maker
    side: int
    kernel: Kernel

    def __post_init__(self) -> None:
        if self.side < 1:
            raise ConfigError(f"via: {self.side} is not positive")

    @property
    def kind(self) -> str:
        return self.maker.kind

    @property
    def scale(self) -> int | None:
        return self.maker.scale

    @property
    def calls(self) -> int | None:
        return self.maker.calls

    @property
    def random(self) -> bool:
        return self.maker.random

    @property
    def equal(self) -> bool:
        return self.maker.equal

    def facts(self) -> dict[str, Any]:
        return {**self.maker.facts(), "via": self.side, "by": repr(self.kernel)}

    def check(self, shown: Shown, samples: int) -> None:
        self.maker.check(shown, samples)

    def checksum(self, shown: Shown, sample: int) -> str:
        return self.maker.checksum(shown, sample)

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        for at in self.maker.make([self.resized(each) for each in shown], scale, seeds, sample):
            made = zip(at.image, shown, strict=False)  # there are none before the last step
            yield Progress(at.done, at.total, tuple(self.back(image, each) for image, each in made))

    def back(self, image: Tensor, shown: Shown) -> Tensor:
        size = shown.high.shape[-2], shown.high.shape[-1]
        return resized(image, size, self.kernel, shown.depth.span)

    def resized(self, shown: Shown) -> Shown:
        height, width = shown.low.shape[-2:]
        ratio = self.side / min(height, width)
        size = max(1, round(height * ratio)), max(1, round(width * ratio))
        return replace(shown, low=resized(shown.low, size, self.kernel, shown.depth.span))
