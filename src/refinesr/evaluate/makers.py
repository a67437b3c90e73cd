"""What makes results: our models, plain interpolation, and pictures somebody else has made."""

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
    check_modes,
    fitted,
    mode,
    resized,
    stored,
)
from refinesr.evaluate.pairs import Shown, check_place, checksum, named, opened, sized
from refinesr.generate import link_facts
from refinesr.images.entries import Entry, list_entries
from refinesr.images.naming import stem, without_marks
from refinesr.images.picture import with_span
from refinesr.images.resize import Kernel
from refinesr.images.span import Span
from refinesr.restore import Options, restore_batch
from refinesr.stage import Progress, Stage

Made = Progress[tuple[Tensor, ...]]
"""Images (1, C, H, W) of the pictures' type, one for each that was shown; only those of the last count."""


@runtime_checkable
class Maker(Protocol):
    """How results come about.

    kind    what it is, for people
    scale   the one it has; None: any
    calls   of networks, for one picture; None if nobody knows
    random  whether results are asked for with seeds
    equal   whether other seeds make the same ones
    """

    @property
    def kind(self) -> str: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def calls(self) -> int | None: ...
    @property
    def random(self) -> bool: ...
    @property
    def equal(self) -> bool: ...

    def facts(self) -> dict[str, Any]:
        """All that results depend on besides pictures and seeds, as plain data."""
        ...

    def check(self, shown: Shown, samples: int) -> None:
        """Raises an error that names the file for what cannot be made of it."""
        ...

    def checksum(self, shown: Shown, sample: int) -> str:
        """Of what is read to make a result."""
        ...

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        """The results of pictures; a seed for each."""
        ...


@dataclass(frozen=True)
class Interpolation:
    """By a bicubic kernel, by Pillow's Lanczos (three lobes), or by the nearest pixel."""

    name: str
    kernel: Kernel | None = None

    kind: ClassVar[str] = "interpolation"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int] = 0
    random: ClassVar[bool] = False
    equal: ClassVar[bool] = True

    def facts(self) -> dict[str, Any]:
        return {"interpolation": self.name, "kernel": None if self.kernel is None else repr(self.kernel)}

    def check(self, shown: Shown, samples: int) -> None: ...

    def checksum(self, shown: Shown, sample: int) -> str:
        return shown.checksum

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        yield Progress(1, 1, tuple(self.enlarged(each.low, scale, each.depth.span) for each in shown))

    def enlarged(self, low: Stored, scale: int, span: Span | None = None) -> Tensor:
        size = low.shape[-2] * scale, low.shape[-1] * scale
        if self.kernel is not None:
            return resized(low, size, self.kernel, span)
        way = {"lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}[self.name]
        if low.dtype != torch.uint8:  # Pillow resizes floats as they are; of 16 bits they hold every value
            return fitted(in_planes(low.float(), size, way), low.dtype, span)
        return in_planes(low, size, way)


def in_planes(image: Stored, size: tuple[int, int], way: Image.Resampling) -> Tensor:
    """Each band by Pillow."""
    planes = [Image.fromarray(plane.numpy()).resize(size[::-1], way) for plane in image[0]]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]


def interpolations(kernel: Kernel) -> Mapping[str, Interpolation]:
    plainly = (Interpolation("lanczos"), Interpolation("nearest"))
    return {each.name: each for each in (Interpolation("bicubic", kernel), *plainly)}


@dataclass(frozen=True)
class Truth:
    """The pictures themselves: what no method can be better than, and what a judge without a partner says of
    them, as a classifier."""

    kind: ClassVar[str] = "truth"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int] = 0
    random: ClassVar[bool] = False
    equal: ClassVar[bool] = True

    def facts(self) -> dict[str, Any]:
        return {"pictures": "themselves"}

    def check(self, shown: Shown, samples: int) -> None: ...

    def checksum(self, shown: Shown, sample: int) -> str:
        return checksum(shown.high)

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        yield Progress(1, 1, tuple(each.high for each in shown))


@dataclass(frozen=True, eq=False)
class Restored:
    """By one of our models; pictures of one size are restored at once."""

    model: Stage | Cascade
    options: Options = field(default_factory=Options)

    random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.links[0].generates:
            raise ConfigError("model: makes pictures from nothing; there is no picture to compare with")

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
    def equal(self) -> bool:
        return all(link.deterministic for link in self.links)

    @property
    def calls(self) -> int | None:
        return sum(link.effective_sampling.calls for link in self.links)

    def facts(self) -> dict[str, Any]:
        dtypes = {self.options.device_and_dtype(link.stage)[1] for link in self.links}
        precision = " and ".join(sorted("fp32" if dtype is None else "bf16" for dtype in dtypes))
        meant = {} if self.model.span is None else {"span": to_data(self.model.span)}
        return {"precision": precision, "stages": [link_facts(link) for link in self.links], **meant}

    def check(self, shown: Shown, samples: int) -> None:
        channels = self.links[0].stage.method.channels
        if shown.high.shape[1] not in (takes := shown.depth.shows(channels)):
            found = f"{shown.source}: has {shown.high.shape[1]} channels"
            raise InputError(f"{found}; the model restores pictures of {' or '.join(map(str, takes))}")
        if self.model.span is not None and isinstance(shown.depth, EightBits):
            raise ConfigError(f"model: has a method.span, {self.model.span}, and photos are shown in 8 bits")
        with_span(as_picture(shown.low, shown.source), self.model.span)

    def checksum(self, shown: Shown, sample: int) -> str:
        return shown.checksum

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        """Which pictures are made together may change a last bit, so the same ones must be each time."""
        made: list[Tensor] = []
        channels = self.links[0].stage.method.channels
        alike = isinstance(self.model, Stage) and len({x.low.shape[1:] for x in shown}) == 1
        count = len(shown) if alike and shown[0].low.shape[1] == channels else 1
        for group in (slice(first, first + count) for first in range(0, len(shown), count)):
            pictures = tuple(as_picture(x.low, x.source) for x in shown[group])
            for progress in restore_batch(self.model, pictures, self.options, seeds[group]):
                yield Progress(progress.done, progress.total, ())
            made += map(stored, progress.image)
        yield Progress(progress.total, progress.total, tuple(made))


@dataclass(frozen=True, eq=False)
class Folder:
    """Pictures that were made by anything: NAME.png, or NAME-1.png to NAME-S.png for S samples of each.

    Names may have what `refinesr upscale` and data sets hang on them (`without_marks`).
    """

    path: Path
    found: Mapping[tuple[str, int], Entry]

    kind: ClassVar[str] = "pictures"
    scale: ClassVar[int | None] = None
    calls: ClassVar[int | None] = None
    random: ClassVar[bool] = True
    equal: ClassVar[bool] = False

    @staticmethod
    def of(path: Path, samples: int) -> "Folder":
        if samples == 1:
            return Folder(path, {(key, 0): entry for key, entry in named(path).items()})
        found = {}
        for entry in list_entries(path):
            if parts := re.fullmatch(r"(.+)-(\d+)", stem(entry)):
                found[without_marks(parts[1]), int(parts[2]) - 1] = entry
        return Folder(path, found)

    def facts(self) -> dict[str, Any]:
        return {"pictures": self.path.name}

    def entry(self, shown: Shown, sample: int) -> Entry:
        key = without_marks(shown.name)
        entry = self.found.get((key, sample))
        if entry is None and sample == 0 and not any((key, k) in self.found for k in range(1, 3)):
            raise InputError(
                f"{self.path}: holds no picture of {shown.source}; its name must be '{shown.name}'"
            )
        if entry is None:
            wanted = f"{shown.source}; its name must be '{shown.name}-{sample + 1}'"
            raise InputError(f"{self.path}: holds no sample {sample + 1} of {wanted}")
        return entry

    def check(self, shown: Shown, samples: int) -> None:
        for sample in range(samples):
            self.result(shown, sample)

    def checksum(self, shown: Shown, sample: int) -> str:
        return checksum(self.result(shown, sample))

    def make(self, shown: Sequence[Shown], scale: int, seeds: Sequence[int], sample: int) -> Iterator[Made]:
        yield Progress(1, 1, tuple(self.result(each, sample) for each in shown))

    def result(self, shown: Shown, sample: int) -> Tensor:
        """Raises InputError, naming both files, for what is no result for that picture."""
        entry = self.entry(shown, sample)
        made = opened(entry, shown.depth)
        if made.shape[-2:] != shown.high.shape[-2:]:
            raise InputError(f"{entry.name}: {sized(made)}; {shown.source} has {sized(shown.high)}")
        check_modes(entry.name, made, shown.source, mode(shown.high))
        check_place(entry.name, shown.high, made, shown.depth.span)
        return made


def folder_like(thing: str) -> bool:
    """Whether it names a folder (or tar) of pictures and no model."""
    path = Path(thing)
    models = ("model.safetensors", "cascade.json")
    return path.suffix == ".tar" or (path.is_dir() and not any((path / name).is_file() for name in models))
