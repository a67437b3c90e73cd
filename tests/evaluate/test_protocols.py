"""How papers measure, and what they have published."""

import pytest

from refinesr.errors import ConfigError
from refinesr.evaluate.image_metrics import sample_metrics
from refinesr.evaluate.protocols import PROTOCOLS, Protocol

KNOWN = {"fid", "is", "lpips", "top1", "top5"} | {metric.key for metric in sample_metrics(19)}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_published_numbers_are_of_what_can_be_measured(protocol: Protocol) -> None:
    keys = {metric.key for metric in protocol.metrics(4)} | KNOWN
    assert all(row.metrics.keys() <= keys for row in protocol.published)
    assert set(protocol.file_metrics) <= KNOWN


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_conventions_name_resizer_crop_and_rounding(protocol: Protocol) -> None:
    words = " ".join(protocol.conventions(protocol.scale or 4, False))
    for word in ("bicubic", "scale", "8 bits", "pictures"):
        assert word in words
    for metric in protocol.metrics(4):
        assert metric.key == "consistency" or "border" in metric.convention or "reduced" in metric.convention


def test_sizes_are_those_of_the_papers() -> None:
    """16 -> 128, 64 -> 256, 20 -> 160, 56 -> 224."""
    sides = {
        name: (p.crop.side // p.scale, p.crop.side)
        for name, p in PROTOCOLS.items()
        if hasattr(p.crop, "side")
    }
    assert sides == {
        "sr3-faces": (16, 128),
        "sr3-natural": (64, 256),
        "sr3-classification": (56, 224),
        "srdiff-faces": (20, 160),
    }


def test_rows_of_the_papers() -> None:
    sr3, natural = (
        {row.name: row.metrics for row in PROTOCOLS[name].published} for name in ("sr3-faces", "sr3-natural")
    )
    assert sr3["Regression"] == {"psnr": 23.96, "ssim": 0.69, "consistency": 2.71}
    assert natural["Reference"] == {"fid": 1.9, "is": 240.8}
    assert natural["SR3"] == {"fid": 5.2, "is": 180.1, "psnr": 26.4, "ssim": 0.762}
    errors = {row.name: tuple(row.metrics.values()) for row in PROTOCOLS["sr3-classification"].published}
    assert (errors["Baseline"], errors["SR3"], len(errors)) == ((0.252, 0.08), (0.317, 0.12), 8)
    (srdiff,) = PROTOCOLS["srdiff-general"].published
    assert srdiff.metrics == {"psnr": 27.41, "ssim": 0.79, "lpips": 0.136, "lr_psnr": 55.21, "sigma": 6.09}


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_classic_protocol_is_of_any_scale(scale: int) -> None:
    classic = PROTOCOLS["classic-y"]
    classic.check(scale)
    assert f"{scale} pixels of border cut" in classic.metrics(scale)[0].convention
    with pytest.raises(ConfigError, match=f"^scale: {scale + 1} is not that of protocol"):
        PROTOCOLS["srdiff-general" if scale != 3 else "sr3-faces"].check(scale + 1)
