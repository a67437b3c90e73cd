"""Results in a report's folder: made once, read back ever after."""

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
    """The pictures of one method.

    NAME.png             the result of each picture; .tiff at the depth of its file
    samples/NAME-2.png   its further samples
    evaluate.json        the settings: equal ones make equal pictures
    inputs.csv           which are whole, and the checksum of what each was made of
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

    def there(self) -> list[Path]:
        """The pictures in the folder, whoever put them there and at whatever depth."""
        return sorted(path for suffix in SUFFIXES for path in self.path.glob(f"*{suffix}"))

    @cached_property
    def made(self) -> dict[str, str]:
        """Checksums by the picture's path in the folder; a line that was cut off is none."""
        # bytes, and no splitlines: both would take characters of names for ends of lines
        text = self.inputs.read_bytes().decode("utf-8", "replace") if self.inputs.exists() else ""
        whole = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        return {line[0]: line[1] for line in csv.reader(whole) if len(line) == 2}

    @property
    def format(self) -> str | None:
        """What the settings say; None of a file that says nothing."""
        try:
            told = json.loads(self.settings.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return str(told.get("format")) if isinstance(told, dict) else None

    def open(self, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Begin, or go on with what is there.

        Raises OutputError if that was made with other settings, unless `overwrite`: then it is removed.
        Pictures that are not ours are refused.
        """
        if (there := self.there()) and not self.settings.exists():
            raise OutputError(f"{there[0]} exists, without {self.settings.name}; choose another folder")
        if not overwrite:
            self.check(settings)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if overwrite:
            self.clear()
        self._drop_half_a_line()
        with replacing(self.settings, overwrite=True) as part:
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def check(self, settings: dict[str, Any]) -> None:
        """Raises OutputError if what is there was made with other settings.  Changes nothing."""
        if self.settings.exists():
            check_settings(self.settings, settings)

    def clear(self) -> None:
        """Remove the pictures that were written here, and no others."""
        with writing(self.path):
            for key in self.made:
                path = self.path / key
                if path.suffix in SUFFIXES and path.parent in (self.path, self.path / "samples"):
                    path.unlink(missing_ok=True)
            self.made.clear()
            self.inputs.unlink(missing_ok=True)

    def remove(self) -> None:
        """The same, and the folder if nothing else is in it."""
        self.clear()
        if not self.there():
            with writing(self.path):
                self.settings.unlink(missing_ok=True)
        for folder in (self.path / "samples", self.path):
            with suppress(OSError):  # of somebody's files
                folder.rmdir()

    def _drop_half_a_line(self) -> None:
        """One that was cut off would swallow the next."""
        text = self.inputs.read_bytes() if self.inputs.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:
            with replacing(self.inputs, overwrite=True) as part:
                part.write_bytes(whole)

    def holds(self, name: str, sample: int, checksum: str) -> bool:
        """Whether the picture is there.  Raises OutputError if it was made of another one."""
        path = self.picture(name, sample)
        known = self.made.get(self._key(path))
        if known is None or not path.exists():
            return False
        if known != checksum:
            raise OutputError(f"{path}: was made of another picture of that name; --overwrite begins anew")
        return True

    def write(self, name: str, sample: int, image: Tensor, checksum: str) -> None:
        """(1, C, H, W) of its type; whole or not at all."""
        path = self.picture(name, sample)
        with writing(path.parent):
            path.parent.mkdir(exist_ok=True)
        write(as_picture(image), path)
        with writing(self.inputs), self.inputs.open("a", encoding="utf-8") as file:
            file.write(_line((self._key(path), checksum)) + "\n")
        self.made[self._key(path)] = checksum

    def read(self, name: str, sample: int) -> Tensor:
        """(1, C, H, W) of its type."""
        path = self.picture(name, sample)
        return self.depth.taken(read(path, span=self.depth.span), str(path))

    def _key(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


def _line(row: tuple[str, str]) -> str:
    name = row[0].replace('"', '""')
    return f'"{name}",{row[1]}'


def seed_of(seed: int, name: str, sample: int) -> int:
    """Below 2**63, for a sample of a picture: it depends on the picture's name, not on its place."""
    return seed_from(np.random.SeedSequence([seed, zlib.crc32(name.encode()), sample]))
