import threading
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from refinesr.errors import InputError
from refinesr.images.alpha import fill_transparent
from refinesr.images.picture import Picture, from_tensor, to_tensor
from refinesr.images.pillow import from_pil, suppress_warnings, to_pil
from refinesr.images.resize import PillowBicubic, resize

EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"


def every(kind):
    """Each value of the type once, as (H, 256, 1)."""
    return np.arange(np.iinfo(kind).max + 1, dtype=kind).reshape(-1, 256, 1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tensors_hold_every_value_of_eight_and_sixteen_bits(kind):
    picture = Picture(every(kind))
    tensor = to_tensor(picture)
    assert (tensor.dtype, tensor.shape) == (torch.float32, (1, 1, *picture.size))
    assert (tensor.min(), tensor.max()) == (-1, 1)
    back = from_tensor(tensor, picture)
    assert back.pixels.dtype == kind
    assert np.array_equal(back.pixels, picture.pixels)
    assert np.array_equal(from_tensor(3 * tensor, picture).pixels[[0, -1], [0, -1], 0], [0, picture.peak])


def test_floats_are_neither_clamped_nor_rounded():
    pixels = np.array([0, 0.1, 0.5, 1, 7.25], np.float32).reshape(1, 5, 1)
    assert to_tensor(Picture(pixels)).flatten().tolist() == pytest.approx([-1, -0.8, 0, 1, 13.5])
    assert from_tensor(to_tensor(Picture(pixels)), Picture(pixels)).pixels == pytest.approx(pixels, abs=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(wrong):
    pixels = np.full((2, 2, 1), wrong, np.float32)
    with pytest.raises(InputError, match=r"a\.tif: holds NaN"):
        to_tensor(Picture(pixels, name="a.tif"))


def test_a_tensor_of_bytes_is_taken_as_it_is():
    like = Picture(every(np.uint8), icc=b"profile", exif=EXIF, name="cat.png")
    values = torch.randint(0, 256, (1, 3, 4, 5), dtype=torch.uint8)
    alpha = np.zeros((4, 5), np.uint8)
    made = from_tensor(values, like, alpha)
    assert np.array_equal(made.pixels, values[0].permute(1, 2, 0).numpy())
    assert made.alpha is alpha
    assert (made.icc, made.exif, made.name, made.size) == (b"profile", EXIF, "cat.png", (4, 5))
    with pytest.raises(ValueError, match="uint16"):
        from_tensor(values, Picture(every(np.uint16)))


def test_arrays_that_fit_no_picture_are_a_mistake():
    good = np.zeros((3, 4, 3), np.uint8)
    wrong = [(good[0], None), (good[:0], None), (good.astype(np.int32), None)]
    wrong += [(good, np.zeros((4, 3), np.uint8)), (good, np.zeros((3, 4), np.uint16))]
    for pixels, alpha in wrong:
        with pytest.raises((ValueError, TypeError)):  # TypeError: jaxtyping is first in the tests
            Picture(pixels, alpha)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_pillow_s_images_pass_through_unchanged(mode):
    count = len(mode) if mode in ("LA", "RGB", "RGBA") else 1
    kind = {"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
    values = (np.random.default_rng(0).random((5, 7, count)) * 255).astype(kind)
    image = Image.fromarray(values if count > 1 else values[..., 0])
    assert image.mode == mode
    image.info.update(exif=EXIF, dpi=(72, 72))
    back = to_pil(from_pil(image))
    assert back.mode == mode
    assert np.array_equal(np.array(back), np.array(image))
    assert (back.info["exif"], back.info["dpi"]) == (EXIF, (72, 72))


def test_pillow_s_orientation_is_left_to_its_owner():
    image = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[274] = 6
    image.info["exif"] = exif.tobytes()
    picture = from_pil(image)
    assert picture.size == (2, 4)
    assert to_pil(picture).getexif()[274] == 6


def test_integers_of_pillow_are_sixteen_bits_or_refused():
    assert from_pil(Image.new("I", (2, 2), 65535)).pixels.dtype == np.uint16
    for wrong in (Image.new("I", (2, 2), 65536), Image.new("LAB", (2, 2))):
        with pytest.raises(InputError, match=r"a\.tif: "):
            from_pil(wrong, "a.tif")


def test_pillow_has_no_sixteen_bit_colours():
    with pytest.raises(ValueError, match="3 bands of uint16"):
        to_pil(Picture(np.zeros((2, 2, 3), np.uint16)))


def test_readers_in_several_threads_leave_the_warnings_as_they_were():
    before = list(warnings.filters)
    inside = threading.Barrier(4)

    def reader():
        with suppress_warnings():
            inside.wait()
            warnings.warn_explicit("damaged EXIF", UserWarning, "a.py", 1, module="PIL.TiffImagePlugin")

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


def disc(size=41, radius=13.3):
    """Hard-edged, in the middle: (size, size) of True and False."""
    down, across = np.mgrid[:size, :size] - size // 2
    return down**2 + across**2 < radius**2


def enlarged(values):
    return resize(torch.from_numpy(values).permute(2, 0, 1)[None].float(), (164, 164), PillowBicubic())[0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_white_disc_on_transparent_black_gets_no_dark_fringe(kind):
    white = np.iinfo(kind).max if kind != np.float32 else 1
    alpha = (disc() * white).astype(kind)
    pixels = np.repeat(alpha[:, :, None], 3, axis=2)
    filled = fill_transparent(pixels, alpha)
    assert filled.dtype == kind
    assert np.array_equal(filled[disc()], pixels[disc()])
    visible = enlarged(alpha[:, :, None])[0] > 0.01 * white
    fringe = float(enlarged(pixels)[:, visible].min())
    assert fringe < 0.1 * white  # what would be seen
    assert float(enlarged(filled)[:, visible].min()) > 0.999 * white


def test_colours_run_on_smoothly_beyond_the_edge():
    down, across = np.mgrid[:41, :41]
    slope = np.stack([down * 5, across * 5, 200 - 4 * down], axis=2).astype(np.uint8)
    alpha = disc().astype(np.uint8) * 255
    filled = fill_transparent(slope * disc()[:, :, None].astype(np.uint8), alpha)
    visible = (enlarged(alpha[:, :, None])[0] > 2).numpy()
    wrong = (enlarged(filled) - enlarged(slope)).abs().numpy()[:, visible]
    assert wrong.max() < 12  # two pixels of the slope; without it would be 200
    assert wrong.mean() < 0.5


def test_pictures_without_a_hidden_or_without_a_visible_pixel_stay_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    for value in (0, 1):
        assert fill_transparent(pixels, np.full((5, 6), value, np.uint8)) is pixels


def test_a_hidden_nan_does_not_spread():
    pixels = np.ones((6, 7, 1), np.float32)
    pixels[0, 0] = np.nan
    alpha = np.ones((6, 7), np.float32)
    alpha[0, 0] = 0
    assert np.array_equal(fill_transparent(pixels, alpha), np.ones((6, 7, 1), np.float32))
