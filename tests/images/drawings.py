"""Pictures to write and read, and how to compare them."""

import io

import numpy as np
import pytest
from PIL import ImageCms

from refinesr.errors import InputError
from refinesr.images.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def drawn(*shape, kind=np.uint8, seed=0):
    """Noise over a slope: no two neighbours alike, so that a turned or shifted picture is another."""
    values = np.random.default_rng(seed).random(shape) * 0.7 + np.linspace(0, 0.3, shape[0]).reshape(-1, 1, 1)
    return values.astype(kind) if kind == np.float32 else (values * np.iinfo(kind).max).astype(kind)


def picture(bands=3, kind=np.uint8, clear=False, **facts):
    return Picture(
        drawn(9, 14, bands, kind=kind), drawn(9, 14, 1, kind=kind)[..., 0] if clear else None, **facts
    )


def equal(one, other):
    return one.dtype == other.dtype and np.array_equal(one, other)


def same(one, other):
    clear = one.alpha is None if other.alpha is None else equal(one.alpha, other.alpha)
    return equal(one.pixels, other.pixels) and clear


def pillow_bytes(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def fault(call, *arguments, kind=InputError, **options):
    """The one line that is printed."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert not message.endswith(".")
    return message
