import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.fft import dctn

from refinesr.images.jpeg import jpeg_roundtrip

WHOLE, HALVED = 0, 2  # Pillow's names for 4:4:4 and 4:2:0


def photo(name, rows=slice(0, 256), columns=slice(0, 256)):
    return getattr(skimage.data, name)()[rows, columns].copy()


def by_pillow(pixels, quality, subsampling=WHOLE):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file)).reshape(pixels.shape).astype(float)


def as_images(pixels):
    return torch.from_numpy(pixels).movedim(-1, 0)[None].float() / 255


def as_pixels(images):
    return images[0].movedim(0, -1).double().numpy() * 255


def by_us(pixels, quality, subsampling=WHOLE):
    halved = torch.tensor([subsampling == HALVED])
    return as_pixels(jpeg_roundtrip(as_images(pixels), torch.tensor([float(quality)]), halved))


@pytest.mark.parametrize("name", ["chelsea", "astronaut", "coffee"])
@pytest.mark.parametrize("subsampling", [WHOLE, HALVED])
@pytest.mark.parametrize("quality", [1, 30, 50, 75, 90])
def test_it_differs_from_pillow_by_a_tenth_of_a_level_where_jpeg_itself_loses_twenty_times_that(
    name, subsampling, quality
):
    """Measured: 0.025 to 0.15 of 255 on average.  What is left is libjpeg's DCT in integers."""
    pixels = photo(name)
    theirs = by_pillow(pixels, quality, subsampling)
    ours = np.abs(by_us(pixels, quality, subsampling) - theirs)
    assert ours.mean() < 0.16
    assert ours.mean() < np.abs(theirs - pixels).mean() / 12
    assert (ours > 2.5).mean() < 0.01


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 90, 100])
def test_grey_differs_from_pillow_even_less(quality):
    pixels = photo("chelsea")[:, :, 1:2].copy()
    assert np.abs(by_us(pixels, quality) - by_pillow(pixels, quality)).mean() < 0.08


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("subsampling", [WHOLE, HALVED])
@pytest.mark.parametrize("kind", ["grey", "primaries", "blue"])
def test_the_purest_colours_stay_in_eight_bits_as_pillows_do(kind, subsampling, quality):
    """What overshoots is cut off before colours are mixed, and halves of colour are rounded down: measured
    0.36 of 255 at most, and 0.6 to 1.7 if they are rounded to even ones."""
    rng = np.random.default_rng(0)
    pixels = 255 * rng.integers(0, 2, (64, 64, 1 if kind == "grey" else 3)).astype(np.uint8)
    if kind == "blue":
        pixels = np.concatenate((0 * pixels[..., :2], rng.integers(0, 256, (64, 64, 1), np.uint8)), -1)
    ours, theirs = by_us(pixels, quality, subsampling), by_pillow(pixels, quality, subsampling)
    assert np.abs(ours - theirs).mean() < 0.5
    assert 0 <= ours.min() < ours.max() < 255.01


@pytest.mark.parametrize("quality", [41, 50])
def test_every_step_of_both_tables_is_libjpegs(quality):
    """Pillow tells the tables of a file; the median of a coefficient, divided by its number of steps, is one
    step: rounded pixels leave less than half a level.  Noise without strong colours, which would be cut off.
    """
    noise = np.random.default_rng(0).integers(64, 192, (512, 512, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=quality)
    luma, chroma = (Image.open(file).quantization[table] for table in (0, 1))
    to_ycc = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    blocks = (by_us(noise, quality) @ np.transpose(to_ycc) - [128, 0, 0]).reshape(64, 8, 64, 8, 3)
    found = dctn(blocks, axes=(1, 3), norm="ortho").transpose(0, 2, 4, 1, 3).reshape(-1, 3, 64)
    steps = np.array([luma, chroma, chroma])
    times = np.round(found / steps)
    step = np.nanmedian(np.divide(found, times, where=times != 0, out=np.full_like(found, np.nan)), 0)
    np.testing.assert_allclose(step, steps, rtol=0, atol=0.5)


@pytest.mark.parametrize("subsampling", [WHOLE, HALVED])
def test_sizes_that_are_no_multiples_of_eight_are_padded_as_libjpeg_pads_them(subsampling):
    """Along right and lower edges results are as near to Pillow's as anywhere."""
    edges = []
    for excess in range(1, 16):
        pixels = photo("coffee", slice(100, 180 + excess), slice(200, 280 + excess))
        difference = np.abs(by_us(pixels, 75, subsampling) - by_pillow(pixels, 75, subsampling))
        edges += [difference[-excess:].mean(), difference[:, -excess:].mean()]
    assert np.mean(edges) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 17), (7, 9), (16, 2)])
def test_any_size_comes_back(size):
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    y = jpeg_roundtrip(x, torch.tensor([60.0, 90.0]), torch.tensor([True, False]))
    assert y.shape == x.shape
    assert 0 <= y.min() <= y.max() <= 1


def test_every_image_of_a_batch_has_its_own_whole_quality_and_colour_size():
    pixels = [photo(name, slice(0, 64), slice(0, 64)) for name in ("chelsea", "astronaut", "coffee")]
    batch = torch.cat([as_images(each) for each in pixels])
    together = jpeg_roundtrip(batch, torch.tensor([30.4, 74.6, 95.0]), torch.tensor([True, False, True]))
    for image, each, quality, subsampling in zip(
        together, pixels, (30, 75, 95), (HALVED, WHOLE, HALVED), strict=True
    ):
        np.testing.assert_allclose(as_pixels(image[None]), by_us(each, quality, subsampling), atol=1e-3)


def test_results_are_levels_of_eight_bits_and_so_is_what_is_saved():
    pixels = photo("coffee")
    levels = by_us(pixels, 80, HALVED)
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    between = np.random.default_rng(0).uniform(-0.49, 0.49, pixels.shape)
    np.testing.assert_array_equal(by_us(pixels + between, 80, HALVED), levels)


def test_colour_of_half_the_size_is_doubled_as_by_pillow_to_the_bit():
    """Squares of one colour lose nothing to the transform; what is left is how one becomes the next."""
    squares = np.random.default_rng(0).integers(64, 192, (6, 6, 3)).astype(np.uint8)
    pixels = squares.repeat(16, 0).repeat(16, 1)
    np.testing.assert_array_equal(by_us(pixels, 90, HALVED).round(), by_pillow(pixels, 90, HALVED))


def test_it_stays_exact_under_autocast():
    pixels = photo("astronaut", slice(0, 64), slice(0, 64))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = by_us(pixels, 75)
    np.testing.assert_array_equal(mixed, by_us(pixels, 75))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_are_a_mistake(channels):
    with pytest.raises(ValueError, match=f"1 or 3 channels, not {channels}"):
        jpeg_roundtrip(torch.zeros(1, channels, 8, 8), torch.tensor([75.0]), torch.tensor([False]))
