"""Stores the results of a method in a report's folder, so that they are made only once."""

import csv
import io
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from refinesr.album import check_settings
from refinesr.devices import seed_from
from refinesr.errors import OutputError
from refinesr.evaluate.depths import EIGHT_BITS, SUFFIXES, Depth, as_picture
from refinesr.files import replacing, writing
from refinesr.images.io import read, write


@dataclass(frozen=True)
class Store:
    """The results of one method.

    NAME.png             result of each image; .tiff if compared as stored
    samples/NAME-2.png   further samples
    evaluate.json        settings: equal settings give equal results
    inputs.csv           completely written results, with checksums of their inputs
    """

    path: Path
    depth: Depth = EIGHT_BITS

    @property
    def settings(self) -> Path:
        return self.path / "evaluate.json"

    @property
    def inputs(self) -> Path:
        return self.path / "inputs.csv"

    def picture(self, name: str, sample: int) -> Path:
        end = self.depth.suffix
        return self.path / "samples" / f"{name}-{sample + 1}{end}" if sample else self.path / f"{name}{end}"

    def pictures(self) -> list[Path]:
        """All images in the folder, including those that no evaluation has written."""
        return sorted(path for suffix in SUFFIXES for path in self.path.glob(f"*{suffix}"))

    @cached_property
    def checksums(self) -> dict[str, str]:
        """Checksums of inputs by the result's path in the folder; an incomplete last line is ignored."""
        # read as bytes and without splitlines: both would split lines at characters within names
        text = self.inputs.read_bytes().decode("utf-8", "replace") if self.inputs.exists() else ""
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        return {line[0]: line[1] for line in csv.reader(whole) if len(line) == 2}

    @property
    def format(self) -> str | None:
        """`format` of the settings; None if they have none or cannot be read."""
        try:
            settings = json.loads(self.settings.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return str(settings.get("format")) if isinstance(settings, dict) else None

    def open(self, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Create the store, or open the existing one to continue it.

        Raises OutputError if it was made with other settings, unless `overwrite`: then its results are
        removed.  Raises OutputError for images that no evaluation has written.
        """
        if (there := self.pictures()) and not self.settings.exists():
            raise OutputError(f"{there[0]} exists, without {self.settings.name}; choose another folder")
        if not overwrite:
            self.check(settings)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if overwrite:
            self.clear()
        self._remove_incomplete_line()
        with replacing(self.settings, overwrite=True) as part:
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def check(self, settings: dict[str, Any]) -> None:
        """Raises OutputError if the existing store was made with other settings.  Changes nothing."""
        if self.settings.exists():
            check_settings(self.settings, settings)

    def clear(self) -> None:
        """Remove the images that this store has written, and no others."""
        with writing(self.path):
            for key in self.checksums:
                path = self.path / key
                if path.suffix in SUFFIXES and path.parent in (self.path, self.path / "samples"):
                    path.unlink(missing_ok=True)
            self.checksums.clear()
            self.inputs.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the written images and settings, and the folder if nothing else is in it."""
        self.clear()
        if not self.pictures():
            with writing(self.path):
                self.settings.unlink(missing_ok=True)
        for folder in (self.path / "samples", self.path):
            with suppress(OSError):  # not empty: it holds other files
                folder.rmdir()

    def _remove_incomplete_line(self) -> None:
        """Remove an incomplete last line, to which the next line would be appended."""
        text = self.inputs.read_bytes() if self.inputs.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            with replacing(self.inputs, overwrite=True) as part:
                part.write_bytes(whole)

    def holds(self, name: str, sample: int, checksum: str) -> bool:
        """Whether the result exists.  Raises OutputError if it was made from another input."""
        path = self.picture(name, sample)
        known = self.checksums.get(self._key(path))
        if known is None or not path.exists():
            return False
        if known != checksum:
            raise OutputError(f"{path}: was made of another picture of that name; --overwrite begins anew")
        return True

    def write(self, name: str, sample: int, image: Tensor, checksum: str) -> None:
        """Write a result (1, C, H, W), atomically, with the checksum of its input."""
        path = self.picture(name, sample)
        with writing(path.parent):
            path.parent.mkdir(exist_ok=True)
        write(as_picture(image), path)
        with writing(self.inputs), self.inputs.open("a", encoding="utf-8") as file:
            file.write(_csv_line((self._key(path), checksum)) + "\n")
        self.checksums[self._key(path)] = checksum

    def read(self, name: str, sample: int) -> Tensor:
        """A result as a tensor (1, C, H, W)."""
        path = self.picture(name, sample)
        return self.depth.to_tensor(read(path, span=self.depth.span), str(path))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


def _csv_line(row: tuple[str, str]) -> str:
    name = row[0].replace('"', '""')
    return f'"{name}",{row[1]}'


def derived_seed(seed: int, name: str, sample: int) -> int:
    """The seed of a sample of an image, below 2**63; it depends on the image's name, not on its position."""
    return seed_from(np.random.SeedSequence([seed, zlib.crc32(name.encode()), sample]))
