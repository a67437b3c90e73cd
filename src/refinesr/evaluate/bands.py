"""Numbers of measured fields, not of photos: any number of bands of any type, and of each band by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from refinesr.evaluate.aims import Higher, Lower, Near
from refinesr.evaluate.depths import AsStored
from refinesr.evaluate.measuring import Case, Consistency, Metric, Psnr, Ssim
from refinesr.images.resize import PillowBicubic
from refinesr.images.span import Span

SHOWN = (
    "pages and compared crops show the first three bands as red, green and blue, of fewer the first as grey; "
    "their type's 0 to its largest value (floats: 0 to 1) as black to white, in 8 bits for the eye alone"
)

RANGE = "peak 255 of 8 bits, 65535 of 16 bits, 1 of floats; no border cut"

SPANNED = "values are counted from the low end of the span, and peak is its width; no border cut"


def shown_as(span: Span | None) -> str:
    """How a page shows bands, whose ends may be those of a span."""
    ends = "their type's 0 to its largest value (floats: 0 to 1)"
    return SHOWN if span is None else SHOWN.replace(ends, "the span's ends")


def by(span: Span) -> str:
    """What is measured by it."""
    return f"PSNR, SSIM, consistency and pages are by the span {span}, in {AsStored.units}"


def rmse(case: Case) -> float:
    """0 for equal pictures."""
    return case.error.square().mean().sqrt().item()


def bias(case: Case) -> float:
    """Above 0 where the result is too large."""
    return case.error.mean().item()


@dataclass(frozen=True)
class OfBand:
    """The same of one band, counted from 0."""

    measure: Callable[[Case], float | None]
    band: int

    def __call__(self, case: Case) -> float | None:
        return self.measure(case.band(self.band))


def of_bands(scale: int, span: Span | None = None) -> tuple[Metric, ...]:
    """What the protocol `bands` measures of all bands together; a span says what 0 and 1 are."""
    units, range = AsStored.units, RANGE if span is None else SPANNED
    ends = "[0, 1]" if span is None else "shares of the span"
    return (
        Metric("psnr", "PSNR", Higher(), f"of all bands, {range}; mean of pictures' decibels", "dB", Psnr()),
        Metric("ssim", "SSIM", Higher(), f"the mean of bands, window 11 x 11 Gaussian, {range}", "", Ssim()),
        Metric("rmse", "RMSE", Lower(), f"of all bands in {units}, no border cut", "", rmse),
        Metric("bias", "bias", Near(0.0), f"mean of result - original in {units}, no border cut", "", bias),
        Metric(
            "consistency",
            "Consistency",
            Lower(),
            f"MSE in {ends} between the result reduced by Pillow's bicubic, not rounded, and the poor "
            "picture",
            "1e-5",
            Consistency(PillowBicubic()),
        ),
    )


def with_bands(metrics: Sequence[Metric], bands: int) -> tuple[Metric, ...]:
    """Each of all bands and, unless pictures are grey or have three, of each band, counted from 1.

    Those are called KEY.1 to KEY.N.
    """
    if bands in (1, 3):
        return tuple(metrics)
    return tuple(each for metric in metrics for each in (metric, *each_band(metric, bands)))


def each_band(metric: Metric, bands: int) -> list[Metric]:
    return [
        replace(
            metric,
            key=f"{metric.key}.{number}",
            title=f"{metric.title} of band {number}",
            convention=f"of band {number} alone, else as {metric.title}",
            measure=OfBand(metric.measure, number - 1),
            band=number,
        )
        for number in range(1, bands + 1)
    ]
