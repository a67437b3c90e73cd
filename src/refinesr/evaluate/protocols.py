"""Evaluation protocols of papers: resizer, crop, channels, rounding, and the published rows.

Values are comparable with a paper's only if all of these agree.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from refinesr.errors import ConfigError
from refinesr.evaluate.bands import DISPLAY, band_metrics, display_convention, span_convention
from refinesr.evaluate.cropping import AreaMean, Bicubic, CentralSquare, Crop, ModCrop, ResizedCentre
from refinesr.evaluate.depths import EIGHT_BITS, AsStored, Depth
from refinesr.evaluate.image_metrics import (
    KERNELS,
    Metric,
    consistency_metric,
    lr_psnr_metric,
    psnr_metric,
    ssim_metric,
    y,
)
from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic
from refinesr.images.span import Span
from refinesr.metrics.structure import UniformWindow


@dataclass(frozen=True)
class Published:
    """A row of a paper's table."""

    name: str
    source: str
    metrics: Mapping[str, float]


SEED_CONVENTION = (
    "models' noise: each sample of each picture has a seed of its own, which follows from the seed asked for "
    "(0 by default), the picture's name and the sample's number"
)


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    scale           scale factor; None: any
    crop            the part of an image that is evaluated
    kernel          makes low-resolution images if none are given, and the results of `bicubic`
    metrics         metrics of single images for a scale
    file_metrics    keys of further metrics of the paper, which need weights from files
    published       the paper's rows
    remarks         further conventions
    includes_truth  whether the originals are a row of the table
    depth           depth at which images are read, stored and compared
    """

    name: str
    scale: int | None
    crop: Crop
    kernel: Kernel
    metrics: Callable[[int], tuple[Metric, ...]]
    file_metrics: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    remarks: tuple[str, ...] = ()
    includes_truth: bool = False
    depth: Depth = EIGHT_BITS

    def check(self, scale: int) -> None:
        """Raises ConfigError if the protocol is not defined for this scale."""
        if self.scale is not None and scale != self.scale:
            raise ConfigError(f"scale: {scale} is not that of protocol {self.name}, {self.scale}")
        if scale < 2:
            raise ConfigError(f"scale: {scale} enlarges nothing; protocols are of at least 2")
        if not isinstance(self.crop, ModCrop) and self.crop.side % scale:
            raise ConfigError(f"scale: {self.crop.side} pixels are no multiple of {scale}")

    def conventions(self, scale: int, low_given: bool) -> tuple[str, ...]:
        made = "the low-resolution images are those given"
        kernel = KERNELS[type(self.kernel)]
        reduced = f"the low-resolution images are made by {kernel}, antialiased, {self.depth.low_convention}"
        return (
            f"scale {scale}",
            self.crop.convention,
            made if low_given else reduced,
            self.depth.result_convention,
            "intervals are of 95 %, by bootstrap over pictures",
            SEED_CONVENTION,
            *self.remarks,
        )


def y_metrics(scale: int) -> tuple[Metric, ...]:
    return psnr_metric(y, scale), ssim_metric(y, scale), lr_psnr_metric(MatlabBicubic())


def srdiff_metrics(scale: int) -> tuple[Metric, ...]:
    return psnr_metric(), ssim_metric(window=UniformWindow()), lr_psnr_metric(MatlabBicubic())


def face_metrics(scale: int) -> tuple[Metric, ...]:
    return psnr_metric(), ssim_metric(), consistency_metric(PillowBicubic())


def natural_metrics(scale: int) -> tuple[Metric, ...]:
    return psnr_metric(), ssim_metric()


SR3 = "Saharia et al. 2021, arXiv 2104.07636"
SRDIFF = "Li et al. 2021, arXiv 2104.14951"


def paper_rows(
    source: str, keys: tuple[str, ...], table: Mapping[str, tuple[float, ...]]
) -> tuple[Published, ...]:
    """Rows of a paper's table; a row shorter than `keys` has no values for the last ones."""
    return tuple(Published(name, source, dict(zip(keys, row, strict=False))) for name, row in table.items())


CLASSIC_Y = Protocol(
    "classic-y",
    None,
    ModCrop(),
    MatlabBicubic(),
    y_metrics,
    remarks=("no published rows: they depend on the pictures; Set5 x4 by bicubic is 28.43 dB",),
)

SRDIFF_GENERAL = Protocol(
    "srdiff-general",
    4,
    ModCrop(),
    MatlabBicubic(),
    srdiff_metrics,
    ("lpips",),
    paper_rows(
        f"{SRDIFF}, DIV2K x4",
        ("psnr", "ssim", "lpips", "lr_psnr", "sigma"),
        {"SRDiff": (27.41, 0.79, 0.136, 55.21, 6.09)},
    ),
)

SRDIFF_FACES = Protocol(
    "srdiff-faces",
    8,
    CentralSquare(160, Bicubic(MatlabBicubic())),
    MatlabBicubic(),
    srdiff_metrics,
    ("lpips",),
    paper_rows(
        f"{SRDIFF}, CelebA x8",
        ("psnr", "ssim", "lpips", "lr_psnr", "sigma"),
        {"SRDiff": (25.38, 0.74, 0.106, 52.34, 6.13)},
    ),
)

UNSTATED = "the paper does not say its SSIM's window, nor whether it rounds; the usual ones are taken"

SR3_FACES = Protocol(
    "sr3-faces",
    8,
    CentralSquare(128, Bicubic(PillowBicubic())),
    PillowBicubic(),
    face_metrics,
    published=paper_rows(
        f"{SR3}, faces 16 -> 128",
        ("psnr", "ssim", "consistency"),
        {
            "PULSE": (16.88, 0.44, 161.1),
            "FSRGAN": (23.01, 0.62, 33.8),
            "Regression": (23.96, 0.69, 2.71),
            "SR3": (23.04, 0.65, 2.68),
        },
    ),
    remarks=(UNSTATED,),
)

SR3_NATURAL = Protocol(
    "sr3-natural",
    4,
    CentralSquare(256, AreaMean()),
    PillowBicubic(),
    natural_metrics,
    ("fid", "is"),
    (
        Published("Reference", f"{SR3}, ImageNet 64 -> 256", {"fid": 1.9, "is": 240.8}),
        *paper_rows(
            f"{SR3}, ImageNet 64 -> 256",
            ("fid", "is", "psnr", "ssim"),
            {"Regression": (15.2, 121.1, 27.9, 0.801), "SR3": (5.2, 180.1, 26.4, 0.762)},
        ),
    ),
    (UNSTATED,),
)

SR3_CLASSIFICATION = Protocol(
    "sr3-classification",
    4,
    ResizedCentre(224, 256, PillowBicubic()),
    PillowBicubic(),
    natural_metrics,
    ("top1",),
    paper_rows(
        f"{SR3}, ImageNet 56 -> 224, ResNet-50",
        ("top1", "top5"),
        {
            "Baseline": (0.252, 0.080),
            "DRCN": (0.477, 0.242),
            "FSRCNN": (0.437, 0.196),
            "PsyCo": (0.454, 0.224),
            "ENet-E": (0.449, 0.214),
            "RCAN": (0.393, 0.167),
            "Regression": (0.383, 0.173),
            "SR3": (0.317, 0.120),
        },
    ),
    (
        "truth is the pictures themselves as the classifier sees them, the paper's baseline",
        "the paper's rows are of the first 1000 pictures of ImageNet's validation set (--limit 1000)",
        "the paper states neither how images are resized before the crop nor how they are downsampled",
        "the paper's own models, of 64 -> 256 pixels, are shown the 56 pixels enlarged to 64 by bicubic, and "
        "their results are resized to 224; --via 64 does so, without it models are shown 56",
    ),
    includes_truth=True,
)

BANDS = Protocol(
    "bands",
    None,
    ModCrop(),
    PillowBicubic(),
    band_metrics,
    remarks=(
        DISPLAY,
        "networks that judge sets of pictures (FID, KID, Inception Score) see their three bands in 8 bits",
    ),
    depth=AsStored(),
)


def with_span(protocol: Protocol, span: Span) -> Protocol:
    """The protocol with values relative to a span.  Raises ConfigError for a protocol of 8 bits."""
    if not isinstance(protocol.depth, AsStored):
        why = f"protocol {protocol.name} compares photos in 8 bits; use --protocol bands"
        raise ConfigError(f"span: {span}, a model's or asked for, is of values in units, and {why}")
    remarks = (display_convention(span) if text == DISPLAY else text for text in protocol.remarks)
    metrics = partial(band_metrics, span=span)
    return replace(protocol, metrics=metrics, depth=AsStored(span), remarks=(span_convention(span), *remarks))


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        each.name: each
        for each in (
            CLASSIC_Y,
            SRDIFF_GENERAL,
            SRDIFF_FACES,
            SR3_FACES,
            SR3_NATURAL,
            SR3_CLASSIFICATION,
            BANDS,
        )
    }
)
