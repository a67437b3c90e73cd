"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from cyclopts import Parameter

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..images.span import Span

DEFAULT_MODEL = "photo-x4"
"""The model that is used if none is named."""

Model = Annotated[str, Parameter(name=("--model", "-m"), group="Model")]

Output = Annotated[Path, Parameter(name=("--output", "-o"))]

Data = Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative="")]

OptionalData = Annotated[
    tuple[Path, ...] | None, Parameter(consume_multiple=True, negative="", show_default=False)
]
"""As `Data`, but optional."""

SET = Parameter(name="--set", negative="", show_default=False)

Settings = Annotated[
    tuple[str, ...],
    SET,
    Parameter(
        help="FIELD=VALUE sets any field of the run, such as plan.steps=1000; may be given several times."
    ),
]

SpanEnds = Annotated[tuple[float, float] | None, Parameter(negative="")]
"""LOW and HIGH of a span; optional."""

SamplingSettings = Annotated[
    tuple[str, ...],
    SET,
    Parameter(
        help="FIELD=VALUE sets a field of the model's sampling, in a cascade that of every stage, such as "
        "sampling.sampler=DPM2M; `refinesr info MODEL --json` shows them all under `sampling`.  May be given "
        "several times.",
    ),
]

Flag = Annotated[bool, Parameter(negative="", show_default=False)]

Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    Parameter(help="Device to compute on; auto: a GPU if there is one."),
]

Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    Parameter(help="Precision of the networks; auto: bf16 if the hardware is fast at it, else fp32."),
]

Quality = Annotated[
    int,
    Parameter(help="Quality of JPEG and WebP files, 1 to 100; a WebP file of quality 100 is lossless."),
]

PerceptualFolder = Annotated[
    Path | None,
    Parameter(
        help="An LPIPS-like distance on SqueezeNet: folder with squeezenet11.npz and "
        "lpips-v0.1-squeeze-linear.pth."
    ),
]

LpipsWeights = Annotated[
    Path | None,
    Parameter(
        help="LPIPS: its linear layers, alex.pth, vgg.pth or squeeze.pth of the lpips package.  The weights "
        "of the network are taken from torch's cache, or from --backbone."
    ),
]

Number = TypeVar("Number", int, float)


def check_quality(quality: int) -> None:
    """Raises ConfigError."""
    if not 1 <= quality <= 100:
        raise ConfigError(f"--quality: {quality} is not between 1 and 100")


def span_from_ends(ends: tuple[float, float]) -> "Span":
    """The same span for all bands.  Raises ConfigError."""
    from ..images.span import Span

    try:
        return Span((ends[0],), (ends[1],))
    except ConfigError as error:
        raise ConfigError(f"--span: {error}") from error


def parse_numbers(option: str, text: str, form: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """The numbers in `text`, separated by commas; as many as `form` has, any number if that ends in "...".

    `form` names them, such as "TOP,LEFT".  Raises ConfigError.
    """
    try:
        found = tuple(kind(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or ("..." not in form and len(found) != form.count(",") + 1):
        raise ConfigError(f"{option}: '{text}' is not {form}")
    return found
