"""Where results go: worked out and checked before any work."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, InputError, OutputError


@dataclass(frozen=True)
class Naming:
    """How results are named, as far as the user said so; an `output` of None is beside each input."""

    output: Path | None
    suffix: str | None
    ext: str | None
    samples: int = 1

    def __post_init__(self) -> None:
        if self.suffix is not None and (os.sep in self.suffix or "/" in self.suffix):
            raise ConfigError(f"--suffix: '{self.suffix}' names a folder; that is what -o is for")


@dataclass(frozen=True)
class Job:
    """One input and its results, one for each sample."""

    input: Path
    results: tuple[Path, ...]


def jobs(inputs: Sequence[Path], naming: Naming, scale: float, overwrite: bool) -> list[Job]:
    """What is to be done for files and folders; `scale` is that of the results.

    Raises InputError for a folder without pictures, and OutputError for results that clash, exist already
    without `overwrite`, or could not be written.
    """
    files, several = pictures(inputs)
    planned = [Job(file, results(file, naming, scale, several)) for file in files]
    refuse_clashes(planned)
    check_places(planned)
    if not overwrite:
        refuse_existing(planned)
    return planned


def pictures(inputs: Sequence[Path]) -> tuple[list[Path], bool]:
    """The files, those of folders in their natural order; and whether OUT has to be a folder.

    A file that is missing is found out when it is read, so that the others are done.
    """
    from ..images.io import pictures_in

    found: list[Path] = []
    for path in inputs:
        inside = pictures_in(path) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: no pictures in this folder")
        found += inside
    return found, len(inputs) > 1 or any(path.is_dir() for path in inputs)


def results(file: Path, naming: Naming, scale: float, several: bool) -> tuple[Path, ...]:
    path = result(file, naming, scale, several)
    if naming.samples == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, naming.samples + 1))


def result(file: Path, naming: Naming, scale: float, several: bool) -> Path:
    output = naming.output
    if output is not None and not several and has_picture_suffix(output) and not output.is_dir():
        return given(output, naming)
    suffix = f"-x{scale:g}" if naming.suffix is None else naming.suffix
    return (output or file.parent) / f"{file.stem}{suffix}.{naming.ext or 'png'}"


def given(output: Path, naming: Naming) -> Path:
    """OUT is the very file: it must be writable as such, and nothing else may name it."""
    from ..images.io import WRITABLE

    if output.suffix.lower() not in WRITABLE:
        raise OutputError(f"-o: {output}: suffix '{output.suffix}' is not one of {', '.join(WRITABLE)}")
    if naming.suffix is not None:
        raise ConfigError(f"--suffix: '{naming.suffix}' has no place in {output}; give a folder to -o")
    if naming.ext is not None and WRITABLE[output.suffix.lower()] != WRITABLE[f".{naming.ext}"]:
        raise ConfigError(f"--ext: '{naming.ext}' is not what {output} ends in; give one of the two")
    return output


def has_picture_suffix(path: Path) -> bool:
    from ..images.io import SUFFIXES, WRITABLE

    return path.suffix.lower() in SUFFIXES.union(WRITABLE)


def refuse_clashes(planned: Iterable[Job]) -> None:
    """Two inputs must not have one result, and no result may be an input."""
    planned = list(planned)
    inputs = {same(job.input): job.input for job in planned}
    owners: dict[str, Path] = {}
    for job in planned:
        for path in job.results:
            if same(path) in inputs:
                source = inputs[same(path)]
                which = "itself" if same(source) == same(job.input) else f"the input {source}"
                raise OutputError(f"{job.input}: its result would replace {which}; give --suffix or -o")
            if same(path) in owners:
                both = f"{owners[same(path)]} and {job.input}"
                raise OutputError(f"{path} would be the result of both {both}; upscale them into two folders")
            owners[same(path)] = job.input


def same(path: Path) -> str:
    return os.path.abspath(path)


def check_places(planned: Iterable[Job]) -> None:
    """Each result's folder is there, or can be made, and may be written to."""
    for folder in {path.parent: None for job in planned for path in job.results}:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise OutputError(f"{nearest}: is a file, not a folder for results")
        if not os.access(nearest, os.W_OK):
            raise OutputError(f"{nearest}: no permission to write into this folder")


def refuse_existing(planned: Iterable[Job]) -> None:
    there = [path for job in planned for path in job.results if path.exists()]
    if there:
        more = f", and {len(there) - 1} more of the results" if len(there) > 1 else ""
        raise OutputError(f"{there[0]} exists{more}; --overwrite replaces " + ("them" if more else "it"))
