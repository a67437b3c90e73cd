"""The georeference of a picture: the tags of a GeoTIFF (OGC 19-008r4, GeoTIFF 1.1).

Raster space has its origin at the picture's upper left corner where pixels are areas, and at the middle of
its first pixel where they are points (GTRasterTypeGeoKey).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from refinesr.images.band_matrix import Floats
from refinesr.images.tiff import ASCII, DOUBLE, SHORT, Directory, Tag

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION = 33550, 33922, 34264
KEYS, DOUBLES, TEXTS = 34735, 34736, 34737
METADATA = 42112
RASTER_TYPE, IS_POINT = 1025, 2

ITEM = re.compile(rb"<Item [^<>]*>[^<]*</Item>\s*")  # in linear time, whatever the file holds
OUTDATED = (b'"STATISTICS_', b'"GEOLOCATION"', b'"RPC"')
"""Metadata of the values or in pixel units, which is wrong for a picture made from this one."""


@dataclass(frozen=True)
class Georeference:
    """The georeference of a raster of `size` (height, width) pixels; fields are empty where tags are absent.

    scale           pixel size in units of the model, metres or degrees: (x, y, z)
    ties            tie points of raster and model, six numbers each: (i, j, k, x, y, z)
    transformation  4 x 4 matrix from (i, j, k, 1) to (x, y, z, 1), row by row
    keys            GeoKeyDirectory: the coordinate system, and whether pixels are areas or points
    doubles, texts  GeoDoubleParams and GeoAsciiParams, which `keys` refer to
    metadata        GDAL_METADATA: XML, without statistics of the values
    """

    size: tuple[int, int]
    scale: tuple[float, ...] = ()
    ties: tuple[float, ...] = ()
    transformation: tuple[float, ...] = ()
    keys: tuple[int, ...] = ()
    doubles: tuple[float, ...] = ()
    texts: bytes = b""
    metadata: bytes = b""

    @classmethod
    def from_directory(cls, directory: Directory, size: tuple[int, int]) -> "Georeference | None":
        """The georeference of a page; None if it has none.  Tags of the wrong length are ignored."""
        scale, ties, transformation = map(directory.reals, (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION))
        found = cls(
            size,
            scale if len(scale) == 3 and 0 not in scale[:2] else (),
            ties if len(ties) % 6 == 0 else (),
            transformation if len(transformation) == 16 else (),
            directory.numbers.get(KEYS, ()),
            directory.reals(DOUBLES),
            directory.text(TEXTS),
            ITEM.sub(_without_outdated, directory.text(METADATA)),
        )
        return None if found == cls(size) else found

    @property
    def corner(self) -> float:
        """Coordinate of the upper left corner in raster space, the same along both axes."""
        keys = (self.keys[start : start + 4] for start in range(4, len(self.keys), 4))  # after the header
        return -0.5 if (RASTER_TYPE, 0, 1, IS_POINT) in keys else 0.0

    def resized(self, size: tuple[int, int]) -> "Georeference":
        """The georeference of the same area at another size (height, width)."""
        if size == self.size:
            return self
        down, across = (new / old for new, old in zip(size, self.size, strict=True))
        factors = np.array([across, down, 1.0])
        scale = tuple((np.array(self.scale) / factors).tolist()) if self.scale else ()
        return replace(self._moved(np.diag([*factors, 1.0]), size), scale=scale)

    def oriented(self, orientation: int) -> "Georeference":
        """The georeference after turning the picture upright by an EXIF orientation from 2 to 8.

        Tags refer to pixels as stored.  A scale cannot express this and is replaced by a transformation.
        """
        height, width = self.size if orientation <= 4 else self.size[::-1]
        matrix = np.eye(4)
        if orientation >= 5:
            matrix[[0, 1]] = matrix[[1, 0]]
        if orientation in (2, 3, 6, 7):
            matrix[0] = -matrix[0]
            matrix[0, 3] += width
        if orientation in (3, 4, 7, 8):
            matrix[1] = -matrix[1]
            matrix[1, 3] += height
        affine = replace(self, scale=(), ties=(), transformation=self._affine()) if self.scale else self
        return affine._moved(matrix, (height, width))

    def tags(self) -> Iterator[Tag]:
        """The tags for a TIFF of `size`."""
        for number, kind, values in (
            (PIXEL_SCALE, DOUBLE, self.scale),
            (TIE_POINTS, DOUBLE, self.ties),
            (TRANSFORMATION, DOUBLE, self.transformation),
            (KEYS, SHORT, self.keys),
            (DOUBLES, DOUBLE, self.doubles),
            (TEXTS, ASCII, self.texts),
            (METADATA, ASCII, self.metadata),
        ):
            if values:
                yield Tag(number, kind, values)

    def _moved(self, matrix: Floats, size: tuple[int, int]) -> "Georeference":
        """With pixel corners moved by a 4 x 4 matrix that acts on (i, j, k, 1); `scale` is unchanged."""
        shift = np.eye(4)
        shift[:2, 3] = self.corner
        moved = shift @ matrix @ np.linalg.inv(shift)  # from raster space to raster space
        ties = np.reshape(self.ties, (-1, 6))
        raster = np.hstack([ties[:, :3], np.ones((len(ties), 1))]) @ moved.T
        ties = np.hstack([raster[:, :3], ties[:, 3:]])
        transformation = np.reshape(self.transformation, (-1, 4))  # no rows if there is none
        transformation = transformation @ np.linalg.inv(moved)
        return replace(self, size=size, ties=_numbers(ties), transformation=_numbers(transformation))

    def _affine(self) -> tuple[float, ...]:
        """The transformation that scale and the first tie point define; y grows upwards."""
        if not self.ties:
            return ()
        (i, j, k, x, y, z), (across, down, deep) = self.ties[:6], self.scale
        rows = [across, 0, 0, x - i * across], [0, -down, 0, y + j * down], [0, 0, deep, z - k * deep]
        return *(float(value) for row in rows for value in row), 0.0, 0.0, 0.0, 1.0


def _numbers(matrix: Floats) -> tuple[float, ...]:
    return tuple(matrix.ravel().tolist())


def _without_outdated(item: re.Match[bytes]) -> bytes:
    return b"" if any(mark in item[0] for mark in OUTDATED) else item[0]
