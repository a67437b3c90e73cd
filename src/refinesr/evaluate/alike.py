"""Whether two reports may be compared at all."""

from pathlib import Path

from refinesr.errors import InputError
from refinesr.evaluate.reading import Report
from refinesr.evaluate.store import Store

RUN_WITH = "models are run with"
"""How a report's remark on models begins.  It is of what made results, not of how they were measured."""


def check_alike(one: Report, other: Report) -> None:
    """Raises InputError naming the first thing that makes numbers incomparable."""
    folders = f"{one.folder} and {other.folder}"
    if one.protocol != other.protocol:
        raise InputError(f"{folders}: protocols {one.protocol} and {other.protocol}; both must be one")
    differing = {*one.conventions} ^ {*other.conventions}
    if apart := sorted(text for text in differing if not text.startswith(RUN_WITH)):
        raise InputError(f"{folders}: only one says '{apart[0]}'; both must be measured in one way")
    sizes, others = ({image.name: image.size for image in r.images} for r in (one, other))
    for name in {**sizes, **others}:
        if name not in sizes or name not in others:
            lacking = one.folder if name not in sizes else other.folder
            raise InputError(f"{lacking}: has no picture '{name}', which the other report has")
        if sizes[name] != others[name]:
            raise InputError(f"{folders}: '{name}' is of two sizes, {sizes[name]} and {others[name]}")
    if one.bands != other.bands:
        raise InputError(f"{folders}: pictures of {one.bands or 3} and of {other.bands or 3} bands")
    known, too = (Store(report.folder / "pictures" / "high").made for report in (one, other))
    for key in known.keys() & too.keys():
        if known[key] != too[key]:
            raise InputError(f"{folders}: '{Path(key).stem}' is another picture in each")
