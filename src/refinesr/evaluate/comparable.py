"""Checks whether the numbers of two reports are comparable."""

from pathlib import Path

from refinesr.errors import InputError
from refinesr.evaluate.saved_report import SavedReport
from refinesr.evaluate.store import Store

SAMPLING_REMARK = "models are run with"
"""Beginning of the remarks on how models were sampled, which may differ between comparable reports."""


def check_comparable(one: SavedReport, other: SavedReport) -> None:
    """Raises InputError naming the first difference in protocol, conventions or images."""
    folders = f"{one.folder} and {other.folder}"
    if one.protocol != other.protocol:
        raise InputError(f"{folders}: protocols {one.protocol} and {other.protocol}; both must be one")
    differing = {*one.conventions} ^ {*other.conventions}
    if conflicting := sorted(text for text in differing if not text.startswith(SAMPLING_REMARK)):
        raise InputError(f"{folders}: only one says '{conflicting[0]}'; both must be measured in one way")
    sizes, other_sizes = ({image.name: image.size for image in r.images} for r in (one, other))
    for name in {**sizes, **other_sizes}:
        if name not in sizes or name not in other_sizes:
            folder = one.folder if name not in sizes else other.folder
            raise InputError(f"{folder}: has no picture '{name}', which the other report has")
        if sizes[name] != other_sizes[name]:
            raise InputError(f"{folders}: '{name}' is of two sizes, {sizes[name]} and {other_sizes[name]}")
    if one.bands != other.bands:
        raise InputError(f"{folders}: pictures of {one.bands or 3} and of {other.bands or 3} bands")
    checksums, others = (Store(report.folder / "pictures" / "high").checksums for report in (one, other))
    for key in checksums.keys() & others.keys():
        if checksums[key] != others[key]:
            raise InputError(f"{folders}: '{Path(key).stem}' is another picture in each")
