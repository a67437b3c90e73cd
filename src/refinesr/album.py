"""The output folder of `refinesr generate`, to which pictures can be added."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from refinesr.config import parse
from refinesr.errors import OutputError
from refinesr.files import replacing, writing
from refinesr.images.io import read, write
from refinesr.images.picture import Picture, to_tensor
from refinesr.preview import save_grid
from refinesr.shapes import Images, LowImages

SHOWN = 64
"""Largest number of pictures in the grid."""

SIDE = 256
"""Largest side of a picture in the grid, in pixels."""


@dataclass(frozen=True)
class Album:
    """A folder of generated pictures, numbered by index, and their settings.

    00000.png, ...   the pictures
    grid.png         the first of them, side by side
    generate.json    the settings: equal settings make equal pictures, so existing ones are not made again
    """

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "generate.json"

    @property
    def grid(self) -> Path:
        return self.path / "grid.png"

    def picture(self, index: int) -> Path:
        return self.path / f"{index:05d}.png"

    def missing(self, count: int) -> list[int]:
        """The indexes below `count` whose pictures do not exist yet."""
        return [index for index in range(count) if not self.picture(index).exists()]

    def existing(self) -> list[Path]:
        """Paths of the existing pictures, sorted."""
        found = self.path.iterdir() if self.path.is_dir() else []
        return sorted(path for path in found if re.fullmatch(r"\d{5,}\.png", path.name))

    def open(self, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Create the folder, or continue an existing one.

        Raises OutputError if its pictures were made with other settings, unless `overwrite`: then they are
        removed.  Pictures in a folder without settings were not made by this program and are never removed.
        """
        self.check(settings, overwrite=overwrite)
        with writing(self.path):
            for path in self.existing() if overwrite else []:
                path.unlink()
            self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.settings, overwrite=True) as part:
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")

    def check(self, settings: dict[str, Any], *, overwrite: bool = False) -> None:
        """Raises OutputError where `open` would; changes nothing."""
        if (pictures := self.existing()) and not self.settings.exists():
            raise OutputError(f"{pictures[0]} exists, without {self.settings.name}; choose another folder")
        if not overwrite and self.settings.exists():
            check_settings(self.settings, settings)

    def write(self, index: int, picture: Picture) -> Path:
        """Write a picture and return its path; after an error there is no partial file."""
        write(picture, self.picture(index))
        return self.picture(index)

    def write_grid(self, count: int) -> None:
        """Write the first `count` pictures, at most `SHOWN`, row by row as one almost square picture."""
        shown = torch.cat([reduced(to_tensor(read(self.picture(k)))) for k in range(min(count, SHOWN))])
        across = math.ceil(math.sqrt(len(shown)))
        white = shown.new_ones(-len(shown) % across, *shown.shape[1:])
        shown = torch.cat((shown, white))
        save_grid([shown[column::across] for column in range(across)], self.grid)


def check_settings(file: Path, settings: dict[str, Any]) -> None:
    """Raises OutputError for the first setting in a folder's `file` that differs from `settings`."""
    text = file.read_text(encoding="utf-8", errors="replace")
    old, new = flatten(parse(text, str(file))), flatten(settings)
    for name in [*new, *old]:
        if name not in old or name not in new or old[name] != new[name]:
            difference = f"{name} {old.get(name, 'not given')}, not {new.get(name, 'not given')}"
            raise OutputError(f"{file.parent}: was made with {difference}; --overwrite begins anew")


def reduced(image: Images) -> LowImages:
    """The image reduced by an integer factor to at most `SIDE` pixels a side."""
    factor = -(-max(image.shape[2:]) // SIDE)
    return F.avg_pool2d(image, factor) if factor > 1 else image


def flatten(data: Any, name: str = "") -> dict[str, Any]:
    """Nested data as one level of dotted names."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if inner is None:
        return {name: data}
    named = ((f"{name}.{key}" if name else str(key), value) for key, value in inner)
    return {key: value for inner_name, deeper in named for key, value in flatten(deeper, inner_name).items()}
