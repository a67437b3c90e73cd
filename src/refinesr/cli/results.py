"""Where results go: paths are worked out and checked before any work."""

import json
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, OutputError
from ..files import case_folded, is_case_sensitive, refuse_existing, replacing
from .listing import InputFile, Listing
from .upscale_options import ResultOptions

if TYPE_CHECKING:
    from ..images.picture import Picture


@dataclass(frozen=True)
class Job:
    """One input and its results, one per sample; those in `existing` are kept and not made again."""

    input: Path
    results: tuple[Path, ...]
    existing: frozenset[Path] = frozenset()


def plan_jobs(listing: Listing, options: ResultOptions, scale: float) -> list[Job]:
    """The work to do; `scale` is that of the results.

    Raises OutputError for results that clash, that exist and are to be neither replaced nor skipped, or that
    could not be written.
    """
    planned = uniquely_named_jobs(listing, options, scale)
    refuse_clashes(planned)
    check_folders(path.parent for job in planned for path in job.results)
    if options.skip_existing:
        return [replace(job, existing=frozenset(filter(os.path.lexists, job.results))) for job in planned]
    if not options.overwrite:
        refuse_existing_results(planned)
    return planned


def uniquely_named_jobs(listing: Listing, options: ResultOptions, scale: float) -> list[Job]:
    """One job per input.  Inputs that would share a result, as cat.jpg and cat.png do, keep their extensions
    in its name: cat.jpg-x4.png and cat.png-x4.png."""
    with_extension: frozenset[Path] = frozenset()
    while True:
        planned = [
            Job(file.path, result_paths(file, options, scale, listing.several, file.path in with_extension))
            for file in listing.files
        ]
        more = inputs_sharing_results(planned) - with_extension
        if not more:
            return planned
        with_extension |= more


def inputs_sharing_results(planned: Iterable[Job]) -> frozenset[Path]:
    owners: dict[str, set[Path]] = {}
    resolve = cache(resolved_folder)
    for job in planned:
        for path in job.results:
            owners.setdefault(location(path, resolve), set()).add(job.input)
    return frozenset(path for inputs in owners.values() if len(inputs) > 1 for path in inputs)


def result_paths(
    file: InputFile, options: ResultOptions, scale: float, several: bool, with_extension: bool
) -> tuple[Path, ...]:
    """The result's path for each sample of an input; see `result_path`."""
    path = result_path(file, options, scale, several, with_extension)
    if options.samples == 1:
        return (path,)
    return tuple(path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(1, options.samples + 1))


def result_path(
    file: InputFile, options: ResultOptions, scale: float, several: bool, with_extension: bool
) -> Path:
    """OUT itself if it is a file, else the input's name with the suffix, in OUT or beside the input.

    `several`: OUT has to be a folder.  `with_extension`: the input's extension stays in the name.
    """
    output, path = options.output, file.path
    if output is not None and not several and has_picture_suffix(output) and not output.is_dir():
        check_single_output(output, options)
        return output
    suffix = f"-x{scale:g}" if options.suffix is None else options.suffix
    folder = path.parent if output is None else output / file.subfolder
    return folder / f"{path.name if with_extension else path.stem}{suffix}.{options.ext or 'png'}"


def check_single_output(output: Path, options: ResultOptions) -> None:
    """OUT is a file's name: raises unless its format can be written and no other option contradicts it."""
    from ..images.io import WRITABLE

    if output.suffix.lower() not in WRITABLE:
        raise OutputError(f"-o: {output}: suffix '{output.suffix}' is not one of {', '.join(WRITABLE)}")
    if options.suffix is not None:
        raise ConfigError(f"--suffix: '{options.suffix}' has no place in {output}; give a folder to -o")
    if options.ext is not None and WRITABLE[output.suffix.lower()] != WRITABLE[f".{options.ext}"]:
        raise ConfigError(f"--ext: '{options.ext}' is not what {output} ends in; give one of the two")


def has_picture_suffix(path: Path) -> bool:
    from ..images.io import SUFFIXES, WRITABLE

    return path.suffix.lower() in SUFFIXES.union(WRITABLE)


def refuse_clashes(planned: Iterable[Job]) -> None:
    """Raises OutputError if two inputs have the same result, or a result would replace an input."""
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
                case = "" if other.name == path.name else ", as this file system ignores case"
                both = f"both {source} and {job.input}{case}"
                raise OutputError(f"{path} would be the result of {both}; upscale them into two folders")
            owners[place] = job.input, path


def refuse_replacing_inputs(output: Path, inputs: Iterable[Path]) -> None:
    """Raises OutputError, whatever may be overwritten, if `output` would replace one of its inputs."""
    places = inputs_by_location(inputs)
    if location(output) in places:
        raise OutputError(
            f"{output}: the result would replace the input {places[location(output)]}; rename one"
        )


def inputs_by_location(inputs: Iterable[Path]) -> dict[str, Path]:
    """The inputs by their locations, and by those of the files that symbolic links among them lead to."""
    paths, resolve = list(inputs), cache(resolved_folder)
    links = {location(Path(os.path.realpath(path)), resolve): path for path in paths if os.path.islink(path)}
    return links | {location(path, resolve): path for path in paths}


def resolved_folder(folder: str) -> tuple[str, bool]:
    """The folder's path without symbolic links, and whether names in it are case-sensitive."""
    place = os.path.realpath(folder)
    return place, is_case_sensitive(Path(place))


def location(path: Path, resolve: Callable[[str], tuple[str, bool]] = resolved_folder) -> str:
    """A text that is the same for all names of one directory entry.

    Links in the way to the folder are followed, but not `path` itself: writing replaces a link.  Names that
    differ only in case are the same where the file system ignores case.  For many files, pass
    `cache(resolved_folder)`, so that each folder is looked up once.
    """
    folder, name = os.path.split(os.path.abspath(path))
    place, case_sensitive = resolve(folder)
    return os.path.join(place, name if case_sensitive else case_folded(name))


def check_folders(folders: Iterable[Path]) -> None:
    """Raises OutputError unless each folder exists or can be made, and may be written to."""
    for folder in dict.fromkeys(folders):
        there = nearest_existing(folder)
        if not there.is_dir():
            raise OutputError(f"{there}: is a file, not a folder for results")
        if not os.access(there, os.W_OK):
            raise OutputError(f"{there}: no permission to write into this folder")


def nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest of its parents that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if os.path.exists(path))


def refuse_same_file(outputs: Mapping[str, Path | None]) -> None:
    """Raises OutputError if two options name the same file."""
    options: dict[str, str] = {}
    for option, path in outputs.items():
        if path is not None and (other := options.setdefault(location(path), option)) != option:
            raise OutputError(f"{option}: {path}: is the file of {other}, too; name another")


def check_output_file(
    option: str, path: Path, overwrite: bool, suffixes: Collection[str] = (), inputs: Iterable[Path] = ()
) -> None:
    """Raises OutputError for a file that could not be written after the work, or would replace an input.

    `suffixes` are those allowed; if empty, any is.
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
    from ..evaluate.report import REPORT_FILES

    place, pictures = location(path), os.path.realpath(report / "pictures")
    if place in {location(report / name) for name in REPORT_FILES} or Path(place).is_relative_to(pictures):
        raise OutputError(f"{option}: {path}: belongs to the report {report}; choose another name")


def write_json(path: Path, facts: object, overwrite: bool) -> None:
    """Write the file as a whole or not at all.  Raises ValueError for NaN and infinity; OutputError."""
    with replacing(path, overwrite=overwrite) as part:
        text = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def refuse_existing_results(planned: Iterable[Job]) -> None:
    """Raises OutputError if a result exists."""
    there = [path for job in planned for path in job.results if os.path.lexists(path)]
    if there:
        more = f", and {len(there) - 1} more of the results" if len(there) > 1 else ""
        them = "them" if more else "it"
        ways = f"--overwrite replaces {them}, --skip-existing keeps {them}"
        raise OutputError(f"{there[0]} exists{more}; {ways}")


def warn_of_lost_metadata(picture: "Picture", path: Path, hint: str = "") -> None:
    """Warn if the picture has a georeference or a no-data value that the result's format cannot hold.

    `hint` says what to do.
    """
    from ..images.io import lost_metadata

    if lost := lost_metadata(picture, path):
        warnings.warn(f"{lost}{hint}", stacklevel=2)
