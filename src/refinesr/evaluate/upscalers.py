"""Sources of results: models, interpolation, folders of images, and the originals themselves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from refinesr.cascade import Cascade, Link
from refinesr.config import to_data
from refinesr.errors import ConfigError, InputError
from refinesr.evaluate.depths import (
    EightBits,
    Stored,
    as_picture,
    check_same_mode,
    mode_name,
    resized,
    stored_tensor,
    to_type,
)
from refinesr.evaluate.pairs import (
    LoadedPair,
    check_alignment,
    checksum,
    entries_by_name,
    read_entry,
    size_text,
)
from refinesr.generate import link_facts
from refinesr.images.entries import Entry, list_entries
from refinesr.images.naming import stem, without_marks
from refinesr.images.picture import with_span
from refinesr.images.resize import Kernel
from refinesr.images.span import Span
from refinesr.restore import Options, restore_batch
from refinesr.stage import Progress, Stage

UpscalingProgress = Progress[tuple[Tensor, ...]]
"""Progress whose last item holds the results (1, C, H, W) in the pairs' type, one for each pair."""


@runtime_checkable
class Upscaler(Protocol):
    """A source of results.

    kind           description for people
    scale          its scale factor; None: any
    calls          network evaluations for one image; None if unknown
    sampled        whether it gives several samples of one image
    deterministic  whether results do not depend on the seed
    """

    @property
    def kind(self) -> str: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def calls(self) -> int | None: ...
    @property
    def sampled(self) -> bool: ...
    @property
    def deterministic(self) -> bool: ...

    def settings(self) -> dict[str, Any]:
        """Everything that results depend on besides images and seeds, as plain data."""
        ...

    def check(self, pair: LoadedPair, samples: int) -> None:
        """Raises an error naming the file if it cannot give that many samples of this image."""
        ...

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        """Checksum of the image that the result is made from."""
        ...

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        """Make sample number `sample` of each pair, with one seed for each pair."""
        ...


@dataclass(frozen=True)
class Interpolation:
    """Interpolation by a bicubic kernel, Pillow's Lanczos (three lobes), or the nearest pixel."""

    name: str
    kernel: Kernel | None = None

    kind: ClassVar[str] = "interpolation"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int] = 0
    sampled: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    def settings(self) -> dict[str, Any]:
        return {"interpolation": self.name, "kernel": None if self.kernel is None else repr(self.kernel)}

    def check(self, pair: LoadedPair, samples: int) -> None: ...

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return pair.checksum

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        yield Progress(1, 1, tuple(self.upscaled(each.low, scale, each.depth.span) for each in pairs))

    def upscaled(self, low: Stored, scale: int, span: Span | None = None) -> Tensor:
        size = low.shape[-2] * scale, low.shape[-1] * scale
        if self.kernel is not None:
            return resized(low, size, self.kernel, span)
        method = {"lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}[self.name]
        if low.dtype != torch.uint8:  # Pillow resizes float32, which represents all 16-bit values exactly
            return to_type(resize_planes(low.float(), size, method), low.dtype, span)
        return resize_planes(low, size, method)


def resize_planes(image: Stored, size: tuple[int, int], method: Image.Resampling) -> Tensor:
    """Resize each band by Pillow."""
    planes = [Image.fromarray(plane.numpy()).resize(size[::-1], method) for plane in image[0]]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]


def interpolations(kernel: Kernel) -> Mapping[str, Interpolation]:
    """The interpolations by name, bicubic with this kernel."""
    all_three = Interpolation("bicubic", kernel), Interpolation("lanczos"), Interpolation("nearest")
    return {each.name: each for each in all_three}


@dataclass(frozen=True)
class GroundTruth:
    """The originals as results: their scores are the reference for no-reference metrics and classifiers."""

    kind: ClassVar[str] = "truth"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int] = 0
    sampled: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True

    def settings(self) -> dict[str, Any]:
        return {"pictures": "themselves"}

    def check(self, pair: LoadedPair, samples: int) -> None: ...

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return checksum(pair.high)

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        yield Progress(1, 1, tuple(each.high for each in pairs))


@dataclass(frozen=True, eq=False)
class ModelUpscaler:
    """Restoration by a model or a cascade; a stage restores images of one size in one batch."""

    model: Stage | Cascade
    options: Options = field(default_factory=Options)

    sampled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.links[0].generates:
            raise ConfigError("model: generates images from noise; there is no image to compare with")

    @property
    def kind(self) -> str:
        return "model" if isinstance(self.model, Stage) else "cascade"

    @property
    def scale(self) -> int | None:
        return self.model.scale

    @property
    def links(self) -> tuple[Link, ...]:
        return self.options.links(self.model)

    @property
    def deterministic(self) -> bool:
        return all(link.deterministic for link in self.links)

    @property
    def calls(self) -> int | None:
        return sum(link.effective_sampling.calls for link in self.links)

    def settings(self) -> dict[str, Any]:
        dtypes = {self.options.device_and_dtype(link.stage)[1] for link in self.links}
        precision = " and ".join(sorted("fp32" if dtype is None else "bf16" for dtype in dtypes))
        span = {} if self.model.span is None else {"span": to_data(self.model.span)}
        return {"precision": precision, "stages": [link_facts(link) for link in self.links], **span}

    def check(self, pair: LoadedPair, samples: int) -> None:
        channels = self.links[0].stage.method.channels
        if pair.high.shape[1] not in (takes := pair.depth.accepted_bands(channels)):
            found = f"{pair.source}: has {pair.high.shape[1]} channels"
            raise InputError(f"{found}; the model restores pictures of {' or '.join(map(str, takes))}")
        if self.model.span is not None and isinstance(pair.depth, EightBits):
            raise ConfigError(f"model: has a method.span, {self.model.span}, and photos are shown in 8 bits")
        with_span(as_picture(pair.low, pair.source), self.model.span)

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return pair.checksum

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        """As in the protocol.  Results may differ in the last bit between batches of other pairs."""
        results: list[Tensor] = []
        channels = self.links[0].stage.method.channels
        one_size = isinstance(self.model, Stage) and len({x.low.shape[1:] for x in pairs}) == 1
        count = len(pairs) if one_size and pairs[0].low.shape[1] == channels else 1
        for group in (slice(first, first + count) for first in range(0, len(pairs), count)):
            pictures = tuple(as_picture(x.low, x.source) for x in pairs[group])
            for progress in restore_batch(self.model, pictures, self.options, seeds[group]):
                yield Progress(progress.done, progress.total, ())
            results += map(stored_tensor, progress.image)
        yield Progress(progress.total, progress.total, tuple(results))


@dataclass(frozen=True, eq=False)
class ResultFolder:
    """Results made elsewhere: NAME.png, or NAME-1.png to NAME-S.png for S samples of each image.

    Names may have the suffixes that `refinesr upscale` and data sets add (`without_marks`).
    """

    path: Path
    found: Mapping[tuple[str, int], Entry]

    kind: ClassVar[str] = "pictures"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int | None] = None
    sampled: ClassVar[bool] = True
    deterministic: ClassVar[bool] = False

    @staticmethod
    def of(path: Path, samples: int) -> "ResultFolder":
        if samples == 1:
            return ResultFolder(path, {(key, 0): entry for key, entry in entries_by_name(path).items()})
        found = {}
        for entry in list_entries(path):
            if parts := re.fullmatch(r"(.+)-(\d+)", stem(entry)):
                found[without_marks(parts[1]), int(parts[2]) - 1] = entry
        return ResultFolder(path, found)

    def settings(self) -> dict[str, Any]:
        return {"pictures": self.path.name}

    def entry(self, pair: LoadedPair, sample: int) -> Entry:
        key = without_marks(pair.name)
        entry = self.found.get((key, sample))
        if entry is None and sample == 0 and not any((key, k) in self.found for k in range(1, 3)):
            raise InputError(
                f"{self.path}: holds no picture of {pair.source}; its name must be '{pair.name}'"
            )
        if entry is None:
            wanted = f"{pair.source}; its name must be '{pair.name}-{sample + 1}'"
            raise InputError(f"{self.path}: holds no sample {sample + 1} of {wanted}")
        return entry

    def check(self, pair: LoadedPair, samples: int) -> None:
        for sample in range(samples):
            self.result(pair, sample)

    def checksum(self, pair: LoadedPair, sample: int) -> str:
        return checksum(self.result(pair, sample))

    def upscale(
        self, pairs: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        yield Progress(1, 1, tuple(self.result(each, sample) for each in pairs))

    def result(self, pair: LoadedPair, sample: int) -> Tensor:
        """Read a result.  Raises InputError if its size, mode or alignment does not fit the image."""
        entry = self.entry(pair, sample)
        made = read_entry(entry, pair.depth)
        if made.shape[-2:] != pair.high.shape[-2:]:
            raise InputError(f"{entry.name}: {size_text(made)}; {pair.source} has {size_text(pair.high)}")
        check_same_mode(entry.name, made, pair.source, mode_name(pair.high))
        check_alignment(entry.name, pair.high, made, pair.depth.span)
        return made


def is_result_folder(thing: str) -> bool:
    """Whether `thing` is the path of a folder or tar file of images, not of a model."""
    path = Path(thing)
    models = ("model.safetensors", "cascade.json")
    return path.suffix == ".tar" or (path.is_dir() and not any((path / name).is_file() for name in models))
