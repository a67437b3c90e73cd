"""How papers measure: with which resizer, what part of a picture, which channels, what rounding.

Numbers are comparable with a paper's only if all of these agree.  A protocol says them, and the paper's rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from refinesr.errors import ConfigError
from refinesr.evaluate.bands import SHOWN, by, of_bands, shown_as
from refinesr.evaluate.cuts import Area, By, Centre, Crop, Multiple, Square
from refinesr.evaluate.depths import EIGHT_BITS, AsStored, Depth
from refinesr.evaluate.measuring import KERNELS, Metric, consistency_of, lr_psnr_of, psnr_of, ssim_of, y
from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic
from refinesr.images.span import Span
from refinesr.metrics.structure import UniformWindow


@dataclass(frozen=True)
class Published:
    """A row of a paper's table: numbers somebody else has measured."""

    name: str
    source: str
    metrics: Mapping[str, float]


SEEDS = (
    "models' noise: each sample of each picture has a seed of its own, which follows from the seed asked for "
    "(0 by default), the picture's name and the sample's number"
)


@dataclass(frozen=True)
class Protocol:
    """How a paper measures.

    scale      pixels of the picture per pixel of the poor one, a side; None: any
    crop       what part of a picture is taken
    kernel     what makes the poor picture, if none is given, and the results of `bicubic`
    measured   what is measured of each picture, at a scale
    more       keys of what the paper reports besides, which needs weights
    published  the paper's rows
    remarks    what else is to be known of it
    truth      whether the pictures themselves are a row of the table
    depth      at which pictures are read, kept and compared
    """

    name: str
    scale: int | None
    crop: Crop
    kernel: Kernel
    measured: Callable[[int], tuple[Metric, ...]]
    more: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    remarks: tuple[str, ...] = ()
    truth: bool = False
    depth: Depth = EIGHT_BITS

    def check(self, scale: int) -> None:
        """Raises ConfigError for a scale it is not of."""
        if self.scale is not None and scale != self.scale:
            raise ConfigError(f"scale: {scale} is not that of protocol {self.name}, {self.scale}")
        if scale < 2:
            raise ConfigError(f"scale: {scale} enlarges nothing; protocols are of at least 2")
        if not isinstance(self.crop, Multiple) and self.crop.side % scale:
            raise ConfigError(f"scale: {self.crop.side} pixels are no multiple of {scale}")

    def conventions(self, scale: int, low_given: bool) -> tuple[str, ...]:
        made = "the poor pictures are those given"
        kernel = KERNELS[type(self.kernel)]
        reduced = f"the poor pictures are made by {kernel}, antialiased, {self.depth.reduced}"
        return (
            f"scale {scale}",
            self.crop.convention,
            made if low_given else reduced,
            self.depth.results,
            "intervals are of 95 %, by bootstrap over pictures",
            SEEDS,
            *self.remarks,
        )


def of_y(scale: int) -> tuple[Metric, ...]:
    return psnr_of(y, scale), ssim_of(y, scale), lr_psnr_of(MatlabBicubic())


def of_srdiff(scale: int) -> tuple[Metric, ...]:
    return psnr_of(), ssim_of(window=UniformWindow()), lr_psnr_of(MatlabBicubic())


def of_faces(scale: int) -> tuple[Metric, ...]:
    return psnr_of(), ssim_of(), consistency_of(PillowBicubic())


def of_nature(scale: int) -> tuple[Metric, ...]:
    return psnr_of(), ssim_of()


SR3 = "Saharia et al. 2021, arXiv 2104.07636"
SRDIFF = "Li et al. 2021, arXiv 2104.14951"


def rows(source: str, keys: tuple[str, ...], table: Mapping[str, tuple[float, ...]]) -> tuple[Published, ...]:
    """Numbers beyond a row's end are missing there."""
    return tuple(Published(name, source, dict(zip(keys, row, strict=False))) for name, row in table.items())


CLASSIC_Y = Protocol(
    "classic-y",
    None,
    Multiple(),
    MatlabBicubic(),
    of_y,
    remarks=("no published rows: they depend on the pictures; Set5 x4 by bicubic is 28.43 dB",),
)

SRDIFF_GENERAL = Protocol(
    "srdiff-general",
    4,
    Multiple(),
    MatlabBicubic(),
    of_srdiff,
    ("lpips",),
    rows(
        f"{SRDIFF}, DIV2K x4",
        ("psnr", "ssim", "lpips", "lr_psnr", "sigma"),
        {"SRDiff": (27.41, 0.79, 0.136, 55.21, 6.09)},
    ),
)

SRDIFF_FACES = Protocol(
    "srdiff-faces",
    8,
    Square(160, By(MatlabBicubic())),
    MatlabBicubic(),
    of_srdiff,
    ("lpips",),
    rows(
        f"{SRDIFF}, CelebA x8",
        ("psnr", "ssim", "lpips", "lr_psnr", "sigma"),
        {"SRDiff": (25.38, 0.74, 0.106, 52.34, 6.13)},
    ),
)

UNSAID = "the paper does not say its SSIM's window, nor whether it rounds; the usual ones are taken"

SR3_FACES = Protocol(
    "sr3-faces",
    8,
    Square(128, By(PillowBicubic())),
    PillowBicubic(),
    of_faces,
    published=rows(
        f"{SR3}, faces 16 -> 128",
        ("psnr", "ssim", "consistency"),
        {
            "PULSE": (16.88, 0.44, 161.1),
            "FSRGAN": (23.01, 0.62, 33.8),
            "Regression": (23.96, 0.69, 2.71),
            "SR3": (23.04, 0.65, 2.68),
        },
    ),
    remarks=(UNSAID,),
)

SR3_NATURAL = Protocol(
    "sr3-natural",
    4,
    Square(256, Area()),
    PillowBicubic(),
    of_nature,
    ("fid", "is"),
    (
        Published("Reference", f"{SR3}, ImageNet 64 -> 256", {"fid": 1.9, "is": 240.8}),
        *rows(
            f"{SR3}, ImageNet 64 -> 256",
            ("fid", "is", "psnr", "ssim"),
            {"Regression": (15.2, 121.1, 27.9, 0.801), "SR3": (5.2, 180.1, 26.4, 0.762)},
        ),
    ),
    (UNSAID,),
)

SR3_CLASSIFICATION = Protocol(
    "sr3-classification",
    4,
    Centre(224, 256, PillowBicubic()),
    PillowBicubic(),
    of_nature,
    ("top1",),
    rows(
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
        "the paper does not say how pictures are resized before the crop, nor what makes the poor ones",
        "the paper's own models, of 64 -> 256 pixels, are shown the 56 pixels enlarged to 64 by bicubic, and "
        "their results are resized to 224; --via 64 does so, without it models are shown 56",
    ),
    truth=True,
)

BANDS = Protocol(
    "bands",
    None,
    Multiple(),
    PillowBicubic(),
    of_bands,
    remarks=(
        SHOWN,
        "networks that judge sets of pictures (FID, KID, Inception Score) see their three bands in 8 bits",
    ),
    depth=AsStored(),
)


def spanned(protocol: Protocol, span: Span) -> Protocol:
    """The same, of pictures whose values are meant by a span.  Raises ConfigError for one of 8 bits."""
    if not isinstance(protocol.depth, AsStored):
        why = f"protocol {protocol.name} compares photos in 8 bits; use --protocol bands"
        raise ConfigError(f"span: {span}, a model's or asked for, is of values in units, and {why}")
    remarks = (shown_as(span) if text == SHOWN else text for text in protocol.remarks)
    measured = partial(of_bands, span=span)
    return replace(protocol, measured=measured, depth=AsStored(span), remarks=(by(span), *remarks))


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
