"""Files cut into pieces small enough to be carried one by one, with checksums, and put together again."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from refinesr.errors import CheckpointError, InputError
from refinesr.files import replacing

PIECE = 15 * 2**20
"""Bytes."""

INDEX = "pieces.json"
"""Beside the pieces: of each file its size, its checksum and its pieces."""


def cut(files: Iterable[Path], out: Path, size: int = PIECE) -> None:
    """Write the pieces of some files to a folder, FILE.00 and so on, then their index.

    A piece appears whole or not at all.  Pieces that an earlier cut left and that are no longer of use go.
    """
    out.mkdir(parents=True, exist_ok=True)
    index = {file.name: written(file, out, size) for file in files}
    with replacing(out / INDEX, overwrite=True) as part:
        part.write_text(json.dumps(index, indent=1) + "\n")
    known = {piece["name"] for entry in index.values() for piece in entry["pieces"]}
    for file in out.glob("*.safetensors.[0-9][0-9]"):
        if file.name not in known:
            file.unlink()


def written(file: Path, out: Path, size: int) -> dict[str, Any]:
    """A file's entry in the index, when its pieces lie in the folder."""
    pieces = []
    for number, data in enumerate(parts(file, size)):
        name = f"{file.name}.{number:02d}"
        with replacing(out / name, overwrite=True) as part:
            part.write_bytes(data)
        pieces.append({"name": name, "bytes": len(data), "sha256": checksum(data)})
    return {"bytes": file.stat().st_size, "sha256": checksum_of(file), "pieces": pieces}


def join(folder: Path, out: Path) -> list[Path]:
    """Put together, in `out`, every file that the folder's index names.

    Raises InputError without an index, and CheckpointError naming the first piece that is missing or damaged.
    """
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder}: holds no {INDEX}; it is written beside the pieces")
    out.mkdir(parents=True, exist_ok=True)
    index = json.loads((folder / INDEX).read_text())
    return [joined(folder, out / Path(name).name, entry) for name, entry in index.items()]


def joined(folder: Path, file: Path, entry: dict[str, Any]) -> Path:
    with replacing(file, overwrite=True) as part:
        with part.open("wb") as whole:
            for piece in entry["pieces"]:
                whole.write(read(folder / Path(piece["name"]).name, piece["sha256"]))
        check(part, entry["sha256"], file.name)
    return file


def collect(files: Sequence[Path], folder: Path, sums: Path | None = None) -> list[str]:
    """Copy files that come in several loads into one folder; the names of those still missing.

    `sums` is what `sha256sum FILE...` printed where the files are from.  Raises CheckpointError for a file
    that is not as it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file")
        shutil.copyfile(file, folder / file.name)
    wanted = dict(listed(sums)) if sums else {}
    for name, value in wanted.items():
        if (folder / name).exists():
            check(folder / name, value, name)
    return sorted(name for name in wanted if not (folder / name).exists())


def listed(sums: Path) -> Iterator[tuple[str, str]]:
    """(name, checksum) of each line."""
    for line in sums.read_text().splitlines():
        value, _, name = line.partition(" ")
        yield Path(name.strip().lstrip("*")).name, value


def read(piece: Path, expected: str) -> bytes:
    if not piece.is_file():
        raise CheckpointError(f"{piece}: this piece is missing")
    data = piece.read_bytes()
    compare(checksum(data), expected, str(piece))
    return data


def check(file: Path, expected: str, name: str) -> None:
    compare(checksum_of(file), expected, name)


def compare(found: str, expected: str, name: str) -> None:
    if found != expected:
        raise CheckpointError(f"{name}: damaged: its SHA-256 is {found[:12]}..., not {expected[:12]}...")


def parts(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as whole:
        while data := whole.read(size):
            yield data


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checksum_of(file: Path) -> str:
    with file.open("rb") as whole:
        return hashlib.file_digest(whole, "sha256").hexdigest()
