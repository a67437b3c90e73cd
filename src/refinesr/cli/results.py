"""Where results go: worked out and checked before any work."""

import json
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, OutputError
from ..files import caseless, refuse_existing, replacing, tells_cases_apart
from .listing import InputFile, Listing
from .restoring import ResultOptions

if TYPE_CHECKING:
    from ..images.picture import Picture


@dataclass(frozen=True)
class Job:
    """One input and its results, one for each sample; those `kept` are there already, and stay."""

    input: Path
    results: tuple[Path, ...]
    kept: frozenset[Path] = frozenset()


def plan_jobs(listing: Listing, asked: ResultOptions, scale: float) -> list[Job]:
    """What is to be done; `scale` is that of the results.

    Raises OutputError for results that clash, exist already and are neither to be replaced nor skipped, or
    could not be written.
    """
    planned = uniquely_named_jobs(listing, asked, scale)
    refuse_clashes(planned)
    check_folders(planned)
    if asked.skip_existing:
        return [replace(job, kept=frozenset(filter(os.path.lexists, job.results))) for job in planned]
    if not asked.overwrite:
        refuse_existing_results(planned)
    return planned


def uniquely_named_jobs(listing: Listing, asked: ResultOptions, scale: float) -> list[Job]:
    """Inputs that would share a result, as cat.jpg and cat.png, all keep their endings in its name."""
    whole: frozenset[Path] = frozenset()
    while True:
        planned = [
            Job(found.file, result_paths(found, asked, scale, listing.several, found.file in whole))
            for found in listing.found
        ]
        more = inputs_sharing_results(planned) - whole
        if not more:
            return planned
        whole |= more


def inputs_sharing_results(planned: Iterable[Job]) -> frozenset[Path]:
    owners: dict[str, set[Path]] = {}
    resolve = cache(resolved_folder)
    for job in planned:
        for path in job.results:
            owners.setdefault(location(path, resolve), set()).add(job.input)
    return frozenset(each for inputs in owners.values() if len(inputs) > 1 for each in inputs)


def result_paths(
    found: InputFile, asked: ResultOptions, scale: float, several: bool, whole: bool
) -> tuple[Path, ...]:
    path = result_path(found, asked, scale, several, whole)
    if asked.samples == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, asked.samples + 1))


def result_path(found: InputFile, asked: ResultOptions, scale: float, several: bool, whole: bool) -> Path:
    output, file = asked.output, found.file
    if output is not None and not several and has_picture_suffix(output) and not output.is_dir():
        return explicit_output(output, asked)
    suffix = f"-x{scale:g}" if asked.suffix is None else asked.suffix
    folder = file.parent if output is None else output / found.below
    return folder / f"{file.name if whole else file.stem}{suffix}.{asked.ext or 'png'}"


def explicit_output(output: Path, asked: ResultOptions) -> Path:
    """OUT is the very file: it must be writable as such, and nothing else may name it."""
    from ..images.io import WRITABLE

    if output.suffix.lower() not in WRITABLE:
        raise OutputError(f"-o: {output}: suffix '{output.suffix}' is not one of {', '.join(WRITABLE)}")
    if asked.suffix is not None:
        raise ConfigError(f"--suffix: '{asked.suffix}' has no place in {output}; give a folder to -o")
    if asked.ext is not None and WRITABLE[output.suffix.lower()] != WRITABLE[f".{asked.ext}"]:
        raise ConfigError(f"--ext: '{asked.ext}' is not what {output} ends in; give one of the two")
    return output


def has_picture_suffix(path: Path) -> bool:
    from ..images.io import SUFFIXES, WRITABLE

    return path.suffix.lower() in SUFFIXES.union(WRITABLE)


def refuse_clashes(planned: Iterable[Job]) -> None:
    """Two inputs must not have one result, and no result may be an input."""
    planned = list(planned)
    inputs = inputs_by_location(job.input for job in planned)
    owners: dict[str, tuple[Path, Path]] = {}
    resolve = cache(resolved_folder)
    for job in planned:
        for path in job.results:
            place = location(path, resolve)
            if place in inputs:
                source = inputs[place]
                which = "itself" if source == job.input else f"the input {source}"
                raise OutputError(f"{job.input}: its result would replace {which}; give --suffix or -o")
            if place in owners:
                source, other = owners[place]
                alike = "" if other.name == path.name else ", as this file system does not tell cases apart"
                both = f"both {source} and {job.input}{alike}"
                raise OutputError(f"{path} would be the result of {both}; upscale them into two folders")
            owners[place] = job.input, path


def refuse_replacing_inputs(output: Path, inputs: Iterable[Path]) -> None:
    """Raises OutputError, whatever may be overwritten, if the one result would replace what it is made of."""
    places = inputs_by_location(inputs)
    if location(output) in places:
        raise OutputError(
            f"{output}: the result would replace the input {places[location(output)]}; rename one"
        )


def inputs_by_location(inputs: Iterable[Path]) -> dict[str, Path]:
    """What must not be replaced: the files, and what links in their names lead to."""
    paths, resolve = list(inputs), cache(resolved_folder)
    links = {location(Path(os.path.realpath(path)), resolve): path for path in paths if os.path.islink(path)}
    return links | {location(path, resolve): path for path in paths}


def resolved_folder(folder: str) -> tuple[str, bool]:
    """Where a folder lies, whatever links lead to it, and whether names in it may differ in case alone."""
    place = os.path.realpath(folder)
    return place, tells_cases_apart(Path(place))


def location(path: Path, resolve: Callable[[str], tuple[str, bool]] = resolved_folder) -> str:
    """One name for each place, whatever links lead to its folder: a link in the place itself is replaced.

    So are names that differ in case, where the file system does not tell them apart.  Who asks for many files
    asks the file system once for each folder, through `cache(resolved_folder)`.
    """
    folder, name = os.path.split(os.path.abspath(path))
    place, cased = resolve(folder)
    return os.path.join(place, name if cased else caseless(name))


def check_folders(planned: Iterable[Job]) -> None:
    """Each result's folder is there, or can be made, and may be written to."""
    for folder in {path.parent: None for job in planned for path in job.results}:
        there = nearest_existing(folder)
        if not there.is_dir():
            raise OutputError(f"{there}: is a file, not a folder for results")
        if not os.access(there, os.W_OK):
            raise OutputError(f"{there}: no permission to write into this folder")


def nearest_existing(folder: Path) -> Path:
    """The folder, or what is there of the way to it."""
    return next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))


def refuse_same_file(outputs: Mapping[str, Path | None]) -> None:
    """Raises OutputError if two options, each with its file, name one place."""
    options: dict[str, str] = {}
    for option, path in outputs.items():
        if path is not None and (other := options.setdefault(location(path), option)) != option:
            raise OutputError(f"{option}: {path}: is the file of {other}, too; name another")


def check_output_file(
    option: str, path: Path, overwrite: bool, suffixes: Collection[str] = (), inputs: Iterable[Path] = ()
) -> None:
    """Raises OutputError for a file that could not be written after the work, or would replace an input.

    No `suffixes`: any will do.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"{option}: {path}: suffix '{path.suffix}' is not {' or '.join(suffixes)}")
    if path.is_dir():
        raise OutputError(f"{option}: {path}: is a folder; give a file's name")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{option}: {path}: there is no folder {path.parent}")
    refuse_replacing_inputs(path, inputs)
    refuse_existing(path, overwrite)


def refuse_report_files(option: str, path: Path, report: Path) -> None:
    """Raises OutputError, whatever may be overwritten, for a file of a report, or one among its pictures."""
    from ..evaluate.report import FILES

    place, pictures = location(path), os.path.realpath(report / "pictures")
    if place in {location(report / name) for name in FILES} or Path(place).is_relative_to(pictures):
        raise OutputError(f"{option}: {path}: belongs to the report {report}; choose another name")


def write_json(path: Path, facts: object, overwrite: bool) -> None:
    """Numbers that JSON has, whole or not at all.  Raises OutputError."""
    with replacing(path, overwrite=overwrite) as part:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def refuse_existing_results(planned: Iterable[Job]) -> None:
    there = [path for job in planned for path in job.results if os.path.lexists(path)]
    if there:
        more = f", and {len(there) - 1} more of the results" if len(there) > 1 else ""
        them = "them" if more else "it"
        ways = f"--overwrite replaces {them}, --skip-existing keeps {them}"
        raise OutputError(f"{there[0]} exists{more}; {ways}")


def warn_of_lost_metadata(picture: "Picture", path: Path, hint: str = "") -> None:
    """Warns where the picture's own file says what a result there cannot; `hint` is what would be right."""
    from ..images.io import unsaid

    if lost := unsaid(picture, path):
        warnings.warn(f"{lost}{hint}", stacklevel=2)
