"""The pictures of an evaluation, as they were measured and as methods made them: folders of its report."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from refinesr.errors import ConfigError, OutputError
from refinesr.evaluate.depths import Depth
from refinesr.evaluate.pairs import Shown, checksum
from refinesr.evaluate.store import Store

FORMAT = "refinesr-evaluate-1"

TAKEN = ("high", "low")
"""Folders for the pictures as they were measured, beside those of the methods."""

ELSEWHERE = "choose another folder, or --overwrite begins anew"


@dataclass(frozen=True)
class Kept:
    """The folder of an evaluation's pictures: as they were measured, for pages, and what methods made.

    All of it belongs to the same pictures, by one protocol; `settings` is what these depend on, as they are
    measured.
    """

    path: Path
    depth: Depth
    settings: dict[str, Any]

    def store(self, name: str) -> Store:
        return Store(self.path / name, self.depth)

    @cached_property
    def taken(self) -> dict[str, Store]:
        return {name: self.store(name) for name in TAKEN}

    def stores(self) -> list[Store]:
        """Those that evaluations have made, of methods that are not asked for now, too."""
        found = [Store(settings.parent) for settings in sorted(self.path.glob("*/evaluate.json"))]
        return [store for store in found if store.format == FORMAT]

    def check(self, names: Collection[str]) -> None:
        """Raises OutputError if it is of another protocol, or of other pictures than those of these names."""
        for store in self.taken.values():
            store.check(self.settings)
        for store in self.stores():
            for name in store.made:
                if "/" not in name and Path(name).stem not in names:
                    found = f"{store.path / name}: is none of the pictures that are evaluated now"
                    raise OutputError(f"{found}; {ELSEWHERE}")

    def check_picture(self, shown: Shown) -> None:
        """Raises OutputError if it is of another picture of that name."""
        for store, image in self.images(shown):
            store.holds(shown.name, 0, checksum(image))

    def open(self, names: Collection[str], pictures: Iterable[Shown], *, overwrite: bool) -> None:
        """`pictures`, those of the names, are looked at only with `overwrite`."""
        if not overwrite:
            self.check(names)
        elif not self.fits(names, pictures):
            self.remove()
        for store in self.taken.values():
            store.open(self.settings, overwrite=overwrite)

    def fits(self, names: Collection[str], pictures: Iterable[Shown]) -> bool:
        try:
            self.check(names)
            for shown in pictures:
                self.check_picture(shown)
        except (ConfigError, OutputError):
            return False
        return True

    def remove(self) -> None:
        """What evaluations have made, and nothing else."""
        for store in self.stores():
            store.remove()
        self.__dict__.pop("taken", None)  # it remembers what was there

    def keep(self, shown: Shown) -> None:
        for store, image in self.images(shown):
            if not store.holds(shown.name, 0, found := checksum(image)):
                store.write(shown.name, 0, image, found)

    def images(self, shown: Shown) -> tuple[tuple[Store, Tensor], ...]:
        return (self.taken["high"], shown.high), (self.taken["low"], shown.low)
