"""Options that several verbs have."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..images.span import Span

DEFAULT_MODEL = "photo-x4"
"""The model of the verbs that make pictures of pictures."""

Model = Annotated[str, Parameter(name=("--model", "-m"), group="Model")]

Output = Annotated[Path, Parameter(name=("--output", "-o"))]

Data = Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")]

OptionalData = Annotated[
    tuple[Path, ...] | None, Parameter(consume_multiple=True, negative="", show_default=False)
]
"""Like it, where there may be none."""

SET = Parameter(name="--set", negative="", show_default=False)

Settings = Annotated[
    tuple[str, ...],
    SET,
    Parameter(
        help="FIELD=VALUE changes any field of the run, such as plan.steps=1000; may be given several times."
    ),
]

SpanEnds = Annotated[tuple[float, float] | None, Parameter(negative="")]
"""LOW and HIGH of a span, if one is given."""

SamplingSettings = Annotated[
    tuple[str, ...],
    SET,
    Parameter(
        help="FIELD=VALUE changes how a model samples, a cascade in every stage: sampling.sampler=DPM2M, or "
        "any other field of `sampling` in `refinesr info --json`; may be given several times.",
    ),
]

Flag = Annotated[bool, Parameter(negative="", show_default=False)]

Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], Parameter(help="Where to compute.")]

Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    Parameter(help="What models compute in; auto: bf16 where the hardware is fast at it."),
]

Number = TypeVar("Number", int, float)


def span_from_ends(ends: tuple[float, float]) -> "Span":
    """Of all bands.  Raises ConfigError."""
    from ..images.span import Span

    try:
        return Span((ends[0],), (ends[1],))
    except ConfigError as error:
        raise ConfigError(f"--span: {error}") from error


def parse_numbers(option: str, text: str, form: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """`text` as numbers with commas between them, as many as `form` has unless that ends in dots."""
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or ("..." not in form and len(found) != form.count(",") + 1):
        raise ConfigError(f"{option}: '{text}' is not {form}")
    return found
