"""What is on the screen, as pixels."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Locator

LINE = 8
"""Pixels on either side of a slider's line that it and its shadow may cover."""


def screen(part: "Locator") -> NDArray[np.uint8]:
    """Of one part; the pixels that it covers by more than half."""
    box = part.bounding_box()
    assert box is not None
    clip: Any = {side: round(place) for side, place in box.items()}
    return np.asarray(Image.open(io.BytesIO(part.page.screenshot(clip=clip))).convert("RGB"))


def divided(seen: NDArray[np.uint8], left: NDArray[np.uint8], right: NDArray[np.uint8], share: float) -> bool:
    """Whether `left` is seen as far as the line that stands at `share` of the width, and `right` beyond."""
    width = seen.shape[1]
    at = round(share * width)
    one, other = slice(LINE, at - LINE), slice(at + LINE, width - LINE)  # no line at the ends, either
    apart = not np.array_equal(left[:, one], right[:, one])
    return (
        apart
        and np.array_equal(seen[:, one], left[:, one])
        and np.array_equal(seen[:, other], right[:, other])
    )
