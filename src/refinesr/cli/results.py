"""Where results go: worked out and checked before any work."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ConfigError, OutputError
from ..files import caseless, tells_cases_apart
from .listing import Found, Listing


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
    """One input and its results, one for each sample; those `kept` are there already, and stay."""

    input: Path
    results: tuple[Path, ...]
    kept: frozenset[Path] = frozenset()


def jobs(listing: Listing, naming: Naming, scale: float, *, overwrite: bool, skip: bool = False) -> list[Job]:
    """What is to be done; `scale` is that of the results.  With `skip`, results that exist are kept.

    Raises OutputError for results that clash, exist already without `overwrite` or `skip`, or could not be
    written.
    """
    planned = unshared(listing, naming, scale)
    refuse_clashes(planned)
    check_places(planned)
    if skip:
        return [replace(job, kept=frozenset(filter(os.path.lexists, job.results))) for job in planned]
    if not overwrite:
        refuse_existing(planned, "--skip-existing keeps {}")
    return planned


def unshared(listing: Listing, naming: Naming, scale: float) -> list[Job]:
    """Inputs that would share a result, as cat.jpg and cat.png, all keep their endings in its name."""
    whole: frozenset[Path] = frozenset()
    while True:
        planned = [
            Job(found.file, results(found, naming, scale, listing.several, found.file in whole))
            for found in listing.found
        ]
        more = sharing(planned) - whole
        if not more:
            return planned
        whole |= more


def sharing(planned: Iterable[Job]) -> frozenset[Path]:
    owners: dict[str, set[Path]] = {}
    for job in planned:
        for path in job.results:
            owners.setdefault(same(path), set()).add(job.input)
    return frozenset(each for inputs in owners.values() if len(inputs) > 1 for each in inputs)


def results(found: Found, naming: Naming, scale: float, several: bool, whole: bool) -> tuple[Path, ...]:
    path = result(found, naming, scale, several, whole)
    if naming.samples == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, naming.samples + 1))


def result(found: Found, naming: Naming, scale: float, several: bool, whole: bool) -> Path:
    output, file = naming.output, found.file
    if output is not None and not several and has_picture_suffix(output) and not output.is_dir():
        return given(output, naming)
    suffix = f"-x{scale:g}" if naming.suffix is None else naming.suffix
    folder = file.parent if output is None else output / found.below
    return folder / f"{file.name if whole else file.stem}{suffix}.{naming.ext or 'png'}"


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
    inputs = by_place(job.input for job in planned)
    owners: dict[str, tuple[Path, Path]] = {}
    for job in planned:
        for path in job.results:
            if same(path) in inputs:
                source = inputs[same(path)]
                which = "itself" if source == job.input else f"the input {source}"
                raise OutputError(f"{job.input}: its result would replace {which}; give --suffix or -o")
            if same(path) in owners:
                source, other = owners[same(path)]
                alike = "" if other.name == path.name else ", as this file system does not tell cases apart"
                both = f"both {source} and {job.input}{alike}"
                raise OutputError(f"{path} would be the result of {both}; upscale them into two folders")
            owners[same(path)] = job.input, path


def refuse_inputs(output: Path, inputs: Iterable[Path]) -> None:
    """Raises OutputError, whatever may be overwritten, if the one result would replace what it is made of."""
    places = by_place(inputs)
    if same(output) in places:
        raise OutputError(f"{output}: the result would replace the input {places[same(output)]}; rename one")


def by_place(inputs: Iterable[Path]) -> dict[str, Path]:
    """What must not be replaced: the files, and what links in their names lead to."""
    paths = list(inputs)
    return {same(Path(os.path.realpath(path))): path for path in paths} | {same(path): path for path in paths}


def same(path: Path) -> str:
    """One name for each place, whatever links lead to its folder: a link in the place itself is replaced.

    So are names that differ in case, where the file system does not tell them apart.
    """
    folder, name = os.path.split(os.path.abspath(path))
    place = os.path.realpath(folder)
    return os.path.join(place, name if tells_cases_apart(Path(place)) else caseless(name))


def check_places(planned: Iterable[Job]) -> None:
    """Each result's folder is there, or can be made, and may be written to."""
    for folder in {path.parent: None for job in planned for path in job.results}:
        nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))
        if not nearest.is_dir():
            raise OutputError(f"{nearest}: is a file, not a folder for results")
        if not os.access(nearest, os.W_OK):
            raise OutputError(f"{nearest}: no permission to write into this folder")


def refuse_existing(planned: Iterable[Job], instead: str = "") -> None:
    """`instead` is another way out, with {} for what exists."""
    there = [path for job in planned for path in job.results if os.path.lexists(path)]
    if there:
        more = f", and {len(there) - 1} more of the results" if len(there) > 1 else ""
        them = "them" if more else "it"
        ways = ", ".join(filter(None, (f"--overwrite replaces {them}", instead.format(them))))
        raise OutputError(f"{there[0]} exists{more}; {ways}")
