"""The image folders of a report: the evaluated images and the results of each method."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from refinesr.errors import ConfigError, OutputError
from refinesr.evaluate.depths import Depth
from refinesr.evaluate.pairs import LoadedPair, checksum
from refinesr.evaluate.store import Store

FORMAT = "refinesr-evaluate-1"

RESERVED = ("high", "low")
"""Folders of the evaluated images, beside those of the methods; no method may have these names."""

OVERWRITE_HINT = "choose another folder, or --overwrite begins anew"


@dataclass(frozen=True)
class EvaluationFolder:
    """The folder `pictures` of a report: the evaluated images, kept for pages, and the methods' results.

    All of them belong to the same images and protocol.  `settings` is what the evaluated images depend on.
    """

    path: Path
    depth: Depth
    settings: dict[str, Any]

    def store(self, name: str) -> Store:
        return Store(self.path / name, self.depth)

    @cached_property
    def input_stores(self) -> dict[str, Store]:
        return {name: self.store(name) for name in RESERVED}

    def stores(self) -> list[Store]:
        """All stores that evaluations have written, including those of methods not evaluated now."""
        found = [Store(settings.parent) for settings in sorted(self.path.glob("*/evaluate.json"))]
        return [store for store in found if store.format == FORMAT]

    def check(self, names: Collection[str]) -> None:
        """Raises OutputError if the folder belongs to another protocol or holds images of other names."""
        for store in self.input_stores.values():
            store.check(self.settings)
        for store in self.stores():
            for name in store.checksums:
                if "/" not in name and Path(name).stem not in names:
                    found = f"{store.path / name}: is none of the pictures that are evaluated now"
                    raise OutputError(f"{found}; {OVERWRITE_HINT}")

    def check_picture(self, shown: LoadedPair) -> None:
        """Raises OutputError if the folder holds a different image of the same name."""
        for store, image in self.input_images(shown):
            store.holds(shown.name, 0, checksum(image))

    def open(self, names: Collection[str], pictures: Iterable[LoadedPair], *, overwrite: bool) -> None:
        """Prepare the folder for images of these names.

        With `overwrite`, everything in it is removed unless it belongs to `pictures`; without, OutputError is
        raised if it does not match the names.
        """
        if not overwrite:
            self.check(names)
        elif not self.matches(names, pictures):
            self.remove()
        for store in self.input_stores.values():
            store.open(self.settings, overwrite=overwrite)

    def matches(self, names: Collection[str], pictures: Iterable[LoadedPair]) -> bool:
        try:
            self.check(names)
            for shown in pictures:
                self.check_picture(shown)
        except (ConfigError, OutputError):
            return False
        return True

    def remove(self) -> None:
        """Remove what evaluations have written, and nothing else."""
        for store in self.stores():
            store.remove()
        self.__dict__.pop("input_stores", None)  # the cached stores remember removed checksums

    def save_inputs(self, shown: LoadedPair) -> None:
        for store, image in self.input_images(shown):
            if not store.holds(shown.name, 0, found := checksum(image)):
                store.write(shown.name, 0, image, found)

    def input_images(self, shown: LoadedPair) -> tuple[tuple[Store, Tensor], ...]:
        return (self.input_stores["high"], shown.high), (self.input_stores["low"], shown.low)
