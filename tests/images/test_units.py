"""Pairs in two units are told of, and no others: neither biases, nor noise, blur or darkness."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from test_shifts import PICTURES, SPOILT, good, reduced

from refinesr.images.span import Span
from refinesr.images.units import detect_unit_mismatch

Array = np.ndarray

CLIMATE = Span((-60.0,), (330.0,))
"""Holds Kelvin, Celsius and Fahrenheit of what lies between the poles."""


def field(seed: int, mean: float = 285, deviation: float = 8, side: int = 64) -> Array:
    """Smooth, (side, side)."""
    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 1 + seed % 7)
    return mean + deviation * (rough - rough.mean()) / rough.std()


def small(values: Array, scale: int) -> Array:
    side = len(values) // scale
    return values.reshape(side, scale, side, scale).mean((1, 3))


def noise(like: Array, deviation: float) -> Array:
    return np.random.default_rng(9).normal(0, deviation, like.shape)


def stored(values: Array, kind: type = np.float32) -> Array:
    return values.astype(kind)[..., None]


UNITS = {
    "Celsius": (285, 8, CLIMATE, lambda x: x - 273.15),
    "Celsius, 1.5 too warm and noisy": (285, 8, CLIMATE, lambda x: x - 271.65 + noise(x, 4)),
    "Celsius, blurred": (285, 8, CLIMATE, lambda x: gaussian_filter(x, 1) - 273.15),
    "Fahrenheit": (285, 8, CLIMATE, lambda x: 1.8 * x - 459.67),
    "hectopascal": (101325, 600, Span((0.0,), (110000.0,)), lambda x: x / 100),
    "per cent": (40, 20, Span((0.0,), (100.0,)), lambda x: x / 100),
    "0 to 1": (120, 40, Span((0.0,), (255.0,)), lambda x: x / 255),
    "0 to 255": (0.5, 0.1, Span((0.0,), (255.0,)), lambda x: 255 * x),
    "twice divided by 255": (0.5, 0.1, None, lambda x: x / 255),
}


@pytest.mark.parametrize(("mean", "deviation", "span", "converted"), UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("scale", [1, 4])
def test_another_unit_is_told(mean, deviation, span, converted, scale: int) -> None:
    high = field(5, mean, deviation)
    low = stored(converted(small(high, scale)))
    assert detect_unit_mismatch(stored(high), low, span) is not None
    assert detect_unit_mismatch(stored(high), stored(small(high, scale)), span) is None


def test_made_pairs_of_fields_in_one_unit_are_never_told_of() -> None:
    """120 fields that vary by 0.1 to 10 K, by spans from tight to wide, with seven kinds of faults."""
    spans = Span((254.0,), (316.0,)), CLIMATE, Span((0.0,), (400.0,))
    for seed in range(120):
        deviation, scale = 10 ** np.random.default_rng(seed).uniform(-1, 1), (1, 2, 4)[seed % 3]
        high = field(seed, deviation=deviation)
        low = small(high, scale)
        for poor in (
            low,
            low + 1.5,
            low - 8,
            low + noise(low, 10),
            gaussian_filter(low, 4),
            285 + (low - 285) / 4,
            low * 0.97,
        ):
            assert detect_unit_mismatch(stored(high), stored(poor), spans[seed % 3]) is None, seed


def exposed(low: Array, share: float) -> Array:
    """As a camera would have stored it of so much light (IEC 61966-2-1)."""
    light = np.where(low <= 10, low / 255 / 12.92, ((low / 255 + 0.055) / 1.055) ** 2.4) * share
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * values).round().astype(np.uint8)


FAULTS = {
    **SPOILT,
    **{f"1 / {n}": lambda low, n=n: exposed(low, 1 / n) for n in (4, 16, 100)},
    "1 / 32, linear": lambda low: low.astype(np.uint16) * 257 // 32,
}


@pytest.mark.parametrize("spoilt", FAULTS.values(), ids=FAULTS)
def test_what_a_poor_photo_suffers_is_no_unit(spoilt) -> None:
    for picture in PICTURES:
        for top in (0, 96):
            high = good(picture, 2)[top : top + 192, top : top + 192]
            low = np.ascontiguousarray(spoilt(reduced(high, 2)))
            assert detect_unit_mismatch(high, low) is None
            assert detect_unit_mismatch(high.astype(np.uint16) * 257, low) is None
            assert detect_unit_mismatch(high, low, Span((0.0,), (255.0,))) is None


def test_depths_are_of_one_unit_but_by_a_span() -> None:
    high = reduced(PICTURES[0], 1)
    deep = high.astype(np.uint16) * 257
    assert detect_unit_mismatch(deep, high) is None
    assert detect_unit_mismatch(high, (high / 255).astype(np.float32)) is None
    assert detect_unit_mismatch(deep, high, Span((0.0,), (65535.0,))) is not None


def test_where_and_from_where_to_where_is_said() -> None:
    high, other = field(1), field(2, 101325, 500)
    each = Span((-60.0, 0.0), (330.0, 110000.0))
    ends = [f"{values.min():.4g} to {values.max():.4g}" for values in (high, high - 273.15)]
    pair = (np.dstack([x, other]).astype(np.float32) for x in (high, high - 273.15))
    assert detect_unit_mismatch(*pair, each) == (f"{ends[0]} in band 1", f"{ends[1]} in band 1")
    pair = (np.dstack([high, x]).astype(np.float32) for x in (other, other / 100))
    found = detect_unit_mismatch(*pair, each)
    assert found is not None
    assert found.low.endswith(" in band 2")
    ramp = stored(np.linspace(0, 1, 64).reshape(8, 8))
    assert detect_unit_mismatch(ramp, ramp / 100) == ("0 to 100 % of white", "0 to 1 % of white")


def test_what_is_flat_missing_or_small_says_nothing() -> None:
    flat = np.full((16, 16, 1), 280, np.float32)
    assert detect_unit_mismatch(flat, flat - 273, CLIMATE) is None
    high = stored(field(3, side=16))
    low = high - 273
    assert detect_unit_mismatch(high, low, CLIMATE) is not None
    assert detect_unit_mismatch(high[:7, :9], low[:7, :9], CLIMATE) is None
    low[3, 3] = np.nan
    assert detect_unit_mismatch(high, low, CLIMATE) is None
