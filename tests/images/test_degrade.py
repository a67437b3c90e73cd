import math

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from torch.overrides import TorchFunctionMode

from refinesr.config import from_data, to_data
from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.batch_random import BatchRandom
from refinesr.images.blur import gaussian_blur
from refinesr.images.degrade import Bicubic, Blur, Degradation, GaussianBlurred, Grain, Jpeg, Photo
from refinesr.images.masks import Centre
from refinesr.images.resize import MatlabBicubic, PillowBicubic, resize
from refinesr.images.tasks import Grey, Inpainting, JpegRestoration, Uncropping

NO_BLUR, NO_NOISE, NO_JPEG = Blur(share=0.0), Grain(share=0.0), Jpeg(share=0.0)
ALL = [Bicubic(4), GaussianBlurred(4, most=1.0), Photo(4, clean=0.3)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return torch.rand(shape, generator=seeded()) * 2 - 1


def crops(count, size=64):
    """Crops of a photo, in [-1, 1]."""
    whole = torch.from_numpy(skimage.data.astronaut()).movedim(-1, 0).float() / 127.5 - 1
    corners = torch.randint(512 - size, (count, 2), generator=seeded()).tolist()
    return torch.stack([whole[:, top : top + size, left : left + size] for top, left in corners])


def eight_bit(low):
    levels = (low + 1) * 127.5
    return torch.allclose(levels, levels.round(), atol=1e-4)


def as_levels(low):
    return ((low + 1) * 127.5).round()


# Blur


@pytest.mark.parametrize(("vertical", "horizontal"), [(0.5, 0.5), (1.2, 0.8), (2.0, 3.0)])
def test_blur_is_that_of_scipy(vertical, horizontal):
    x, reach = noise(1, 2, 23, 31).double(), 9
    options = {"mode": "nearest", "radius": reach}
    wanted = gaussian_filter1d(x.numpy(), vertical, axis=2, **options)
    wanted = gaussian_filter1d(wanted, horizontal, axis=3, **options)
    widths = torch.tensor([[vertical], [horizontal]], dtype=torch.float64)
    np.testing.assert_allclose(gaussian_blur(x, *widths, reach).numpy(), wanted, atol=1e-12)


def test_every_image_has_its_own_blur_and_none_at_all_is_exact():
    x, none, some = noise(2, 3, 16, 16), torch.tensor(0.0), torch.tensor(1.5)
    blurred = gaussian_blur(x, torch.stack([none, some]), torch.stack([none, some]), 5)
    assert torch.equal(blurred[0], x[0])
    torch.testing.assert_close(blurred[1:], gaussian_blur(x[1:], some[None], some[None], 5))


def test_blur_may_reach_beyond_the_picture():
    x = noise(1, 1, 3, 2)
    blurred = gaussian_blur(x, torch.tensor([9.0]), torch.tensor([9.0]), 27)
    assert x.min() < blurred.min() <= blurred.max() < x.max()


def test_a_negative_reach_is_a_mistake():
    with pytest.raises(ValueError, match="reach is -1"):
        gaussian_blur(noise(1, 1, 4, 4), torch.ones(1), torch.ones(1), -1)


# All degradations


@pytest.mark.parametrize("degrade", ALL)
@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
def test_low_is_smaller_by_scale_in_eight_bits_and_in_range(degrade, size):
    low = degrade(noise(3, 3, *size), seeded())
    assert low.shape == (3, 3, math.ceil(size[0] / 4), math.ceil(size[1] / 4))
    assert -1 <= low.min() <= low.max() <= 1
    assert eight_bit(low)


@pytest.mark.parametrize("degrade", ALL)
def test_the_generator_alone_decides(degrade):
    high = crops(8)
    first = degrade(high, seeded(1))
    torch.manual_seed(5)
    assert torch.equal(first, degrade(high, seeded(1)))
    assert torch.equal(first, degrade(high.to(memory_format=torch.channels_last), seeded(1)))
    if not isinstance(degrade, Bicubic):
        assert not torch.equal(first, degrade(high, seeded(2)))


@pytest.mark.parametrize(
    "degrade", [*ALL, Photo(2, kernels=(PillowBicubic(),), jpeg=Jpeg(quality=(30.0, 40.0)))]
)
def test_a_degradation_survives_the_configuration_file(degrade):
    assert from_data(Degradation, to_data(degrade, Degradation), "run.json") == degrade


class Waits(TorchFunctionMode):
    """Collects what would make the CPU wait for a GPU, or send it numbers."""

    NAMES = frozenset({"tensor", "as_tensor", "new_tensor", "item", "tolist", "__bool__", "nonzero", "cpu"})

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function.__name__ in self.NAMES:
            self.seen.append(function.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "degrade",
    [*ALL, CascadeAugmented(4), Grey(), JpegRestoration(), Inpainting(), Inpainting(Centre()), Uncropping()],
)
def test_no_gpu_is_waited_for_but_at_the_first_time(degrade):
    high = crops(4)
    degrade(high, seeded(1))
    rng = seeded(2)
    with Waits() as waits:
        degrade(high, rng)
    assert waits.seen == []


# Bicubic


def test_bicubic_is_pillows_reduction_to_within_its_two_roundings():
    photo = Image.fromarray(skimage.data.chelsea()[:300, :448])
    wanted = np.asarray(photo.resize((112, 75), Image.Resampling.BICUBIC)).astype(float)
    high = torch.from_numpy(np.array(photo)).movedim(-1, 0)[None].float() / 127.5 - 1
    low = as_levels(Bicubic(4, PillowBicubic())(high, seeded()))[0].movedim(0, -1).numpy()
    assert np.abs(low - wanted).max() <= 1
    assert (low != wanted).mean() < 0.2


def test_without_rounding_bicubic_is_the_clipped_resize():
    high = noise(2, 5, 32, 32).sign()  # overshoots
    plain = resize(high, (8, 8), MatlabBicubic())
    assert torch.equal(Bicubic(4, eight_bit=False)(high, seeded()), plain.clamp(-1, 1))


def test_bicubic_draws_nothing():
    rng = seeded()
    Bicubic(4)(crops(2), rng)
    assert torch.equal(rng.get_state(), seeded().get_state())


# Gaussian blur


def test_whole_numbers_are_as_often_each_of_their_span():
    drawn = BatchRandom(seeded(), torch.zeros(3000)).integers_between((3, 5), 2)
    assert drawn.shape == (3000, 2)
    assert drawn.unique().tolist() == [3, 4, 5]
    counts = torch.bincount(drawn.flatten())[3:]
    assert (counts - 2000).abs().max() < 4 * math.sqrt(6000 * 2 / 9)


def test_the_blur_of_cascades_is_even_up_to_the_most():
    """The steepest slope of a blurred step is the middle tap of its Gaussian, which tells the width."""
    step = torch.ones(256, 1, 16, 16)
    step[..., :8] = -1
    low = GaussianBlurred(1, most=2.0, eight_bit=False)(step, seeded())
    slope = (low[:, 0, 8, 8] - low[:, 0, 8, 7]) / 2  # the weight of the middle tap
    narrow, wide = 0.35, 0.19  # middle taps of sigma = 1.14 and 2
    assert slope.min() > wide
    assert 0.4 < (slope > narrow).float().mean() < 0.7


def test_the_blur_of_cascades_is_scipys_up_to_three_of_the_most():
    high, most = crops(6), 1.1
    plain = resize(high, (32, 32), MatlabBicubic())
    widths = BatchRandom(seeded(), plain).uniform((0.0, most)).tolist()
    low = GaussianBlurred(2, most=most, eight_bit=False)(high, seeded())
    for image, blurred, sigma in zip(plain.numpy(), low.numpy(), widths, strict=True):
        down = gaussian_filter1d(image, sigma, axis=1, mode="nearest", radius=4)  # 3 * 1.1, rounded up
        expected = gaussian_filter1d(down, sigma, axis=2, mode="nearest", radius=4).clip(-1, 1)
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


def test_no_blur_at_all_is_bicubic():
    high = crops(4)
    assert torch.equal(GaussianBlurred(4, most=0.0)(high, seeded()), Bicubic(4)(high, seeded()))


# Photo


def test_a_share_of_clean_images_is_bicubic_to_the_bit():
    high = crops(400, size=32)
    degrade = Photo(4, clean=0.7, noise=Grain(share=1.0, std=(4.0, 6.0)))
    low = degrade(high, seeded())
    plain = [Bicubic(4, kernel)(high, seeded()) for kernel in degrade.kernels]
    same = torch.stack([(low == each).flatten(1).all(1) for each in plain])
    clean = same.any(0).float().mean()
    assert abs(clean - 0.7) < 4 * math.sqrt(0.7 * 0.3 / 400)
    # each kernel has its half of them; one whose borders are flat may look like either
    assert (same.float().mean(1) > 0.25).all()


def test_wholly_clean_is_bicubic():
    high = crops(6)
    degrade = Photo(4, clean=1.0, kernels=(MatlabBicubic(),))
    assert torch.equal(degrade(high, seeded()), Bicubic(4)(high, seeded()))


def test_rough_images_are_near_the_clean_ones():
    """Mild: 28 to 40 dB in the middle."""
    high = crops(64)
    low, plain = Photo(4, clean=0.0)(high, seeded()), Bicubic(4)(high, seeded())
    psnr = -10 * ((low - plain).square().flatten(1).mean(1) / 4).log10()
    assert psnr.min() > 22
    assert 28 < psnr[psnr.isfinite()].median() < 40


def test_blur_alone_dims_detail_within_its_range():
    high = crops(64)
    sharp = Photo(4, clean=0.0, kernels=(MatlabBicubic(),), blur=NO_BLUR, noise=NO_NOISE, jpeg=NO_JPEG)
    soft = Photo(
        4,
        clean=0.0,
        kernels=(MatlabBicubic(),),
        blur=Blur(1.0, (0.3, 0.4), 1.0),
        noise=NO_NOISE,
        jpeg=NO_JPEG,
    )
    assert torch.equal(sharp(high, seeded()), Bicubic(4)(high, seeded()))
    low = soft(high, seeded())
    for sigma, more in ((0.3, True), (0.4, False)):
        width = torch.full((64,), 4 * sigma)
        bound = Bicubic(4)(gaussian_blur(high, width, width, 8), seeded()).flatten(1).std(1)
        assert ((low.flatten(1).std(1) - bound) * (-1 if more else 1) >= -1e-3).all()


@pytest.mark.parametrize(("level", "left"), [(-1.5, 0.5), (-1.0, 0.5), (0.0, 0.75), (1.0, 1.0), (1.5, 1.0)])
def test_grain_grows_with_brightness(level, left):
    """At white std is `std`; at black an even draw is left of its square, half of it on average.  What
    overshoots is white or black.
    """
    flat = torch.full((512, 1, 8, 8), level)
    noisy = Grain(share=1.0, std=(6.0, 6.0))(
        flat, torch.ones(512, dtype=torch.bool), BatchRandom(seeded(), flat)
    )
    assert (noisy - flat).square().mean() * 127.5**2 == pytest.approx(36 * left, rel=0.05)


def test_noise_is_independent_from_pixel_to_pixel_and_channel_to_channel():
    flat = torch.zeros(64, 3, 16, 16)
    noisy = Photo(1, clean=0.0, blur=NO_BLUR, noise=Grain(1.0, (6.0, 6.0)), jpeg=NO_JPEG)(flat, seeded())
    for one, other in (
        (noisy[:, 0], noisy[:, 1]),
        (noisy[..., 1:], noisy[..., :-1]),
        (noisy[1:], noisy[:-1]),
    ):
        assert abs((one * other).mean() / noisy.square().mean()) < 0.03


def test_a_stretched_blur_is_wider_along_one_axis_by_up_to_the_ratio_named():
    """Variances of the blur are seen in how points spread; the ratio of widths is even between 1/r and r in
    logarithms, and their product that of an even blur.
    """
    count, sigma, ratio = 400, 2.0, 3.0
    points = torch.zeros(count, 1, 41, 41, dtype=torch.float64)
    points[:, :, 20, 20] = 1
    blur = Blur(share=1.0, sigma=(sigma, sigma), stretch=ratio)
    spread = blur(points, 1, torch.ones(count, dtype=torch.bool), BatchRandom(seeded(), points))[:, 0]
    away = (torch.arange(41, dtype=torch.float64) - 20) ** 2
    down, across = (spread.sum(2) * away).sum(1).sqrt(), (spread.sum(1) * away).sum(1).sqrt()
    # the tails beyond 3 of the widest sigma are cut off: less than 2 % of a width
    torch.testing.assert_close((down * across).sqrt(), torch.full_like(down, sigma), rtol=0.02, atol=0)
    lean = (down / across).log() / math.log(ratio)
    assert lean.abs().max() < 1.01
    assert abs(lean.mean()) < 4 * math.sqrt(1 / 3 / count)
    assert lean.square().mean() == pytest.approx(1 / 3, abs=4 * math.sqrt(4 / 45 / count))


def test_a_blur_is_even_in_its_span_and_reaches_as_far_as_the_widest():
    """What is left at the point is that of both widths: 1 / (2 pi sigma²), of a pixel or more."""
    count, least, most = 400, 0.8, 3.0
    points = torch.zeros(count, 1, 41, 41, dtype=torch.float64)
    points[:, :, 20, 20] = 1
    blur = Blur(share=1.0, sigma=(least, most), stretch=1.0)
    spread = blur(points, 1, torch.ones(count, dtype=torch.bool), BatchRandom(seeded(), points))
    sigma = (1 / (2 * math.pi * spread[:, 0, 20, 20])).sqrt()
    assert least * 0.98 < sigma.min() < sigma.max() < most
    assert sigma.mean() == pytest.approx((least + most) / 2, abs=4 * (most - least) / math.sqrt(12 * count))
    reached = (spread[:, 0, 20] > 0).sum(1)
    assert (reached == 19).all()  # 9 either way, three of the most


def test_steps_not_taken_leave_the_others_as_they_are():
    """Every step always draws as much, so that a share can be changed without changing the other steps."""
    high = crops(16)
    some = Photo(4, clean=0.0, noise=Grain(share=0.0, std=(0.5, 6.0)), jpeg=NO_JPEG)
    more = Photo(4, clean=0.0, noise=Grain(share=0.5, std=(0.5, 6.0)), jpeg=NO_JPEG)
    same = (some(high, seeded()) == more(high, seeded())).flatten(1).all(1)
    assert 2 < same.sum() < 14


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_but_for_jpeg(channels):
    high = noise(2, channels, 16, 16)
    assert Photo(4, jpeg=NO_JPEG)(high, seeded()).shape == (2, channels, 4, 4)
    if channels in (1, 3):
        assert Photo(4, clean=0.0)(high, seeded()).shape == (2, channels, 4, 4)
    else:
        with pytest.raises(ConfigError, match=rf"degradation\.jpeg\.share is 0\.7 .* {channels} channels"):
            Photo(4)(high, seeded())


def test_random_draws_come_from_the_generators_device_only():
    state = torch.get_rng_state()
    Photo(4)(crops(2), seeded())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Photo(4, clean=1.5), r"clean: 1.5 must lie in \[0, 1\]"),
        (lambda: Photo(0), "scale: 0"),
        (lambda: Bicubic(0), "scale: 0"),
        (lambda: GaussianBlurred(0), "scale: 0"),
        (lambda: Photo(4, kernels=()), "kernels"),
        (
            lambda: Jpeg(quality=(95.0, 60.0)),
            r"quality: \(95, 60\) must lie in \[1, 100\] in ascending order",
        ),
        (lambda: Jpeg(halved=-1.0), "halved: -1"),
        (lambda: Jpeg(share=1.5), "share: 1.5"),
        (lambda: Grain(share=-0.5), "share: -0.5"),
        (lambda: Grain(std=(0.0, 300.0)), "std"),
        (lambda: Blur(stretch=0.5), "stretch: 0.5"),
        (lambda: Blur(share=float("nan")), "share: nan"),
        (lambda: Blur(sigma=(0.4, 0.1)), r"sigma: \(0.4, 0.1\) must lie in \[0, 8\] in ascending order"),
        (lambda: GaussianBlurred(4, most=-1.0), "most: -1"),
    ],
)
def test_what_makes_no_sense_is_named(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


def test_deep_pictures_need_not_be_rounded_to_eight_bits():
    high = (
        torch.rand(2, 5, 32, 32, generator=torch.Generator().manual_seed(0)) / 8
    )  # a sixteenth of the range
    jpeg = Jpeg(share=0.0)
    deep, coarse = (
        Photo(4, clean=1.0, jpeg=jpeg, eight_bit=rounded)(high, torch.Generator().manual_seed(0))
        for rounded in (False, True)
    )
    assert deep.unique().numel() == deep.numel()
    assert coarse.unique().numel() <= 17
    assert (deep - coarse).abs().max() <= 0.5 / 127.5 + 1e-6


@pytest.mark.parametrize("degrade", [Bicubic, GaussianBlurred, Photo])
def test_what_overshoots_is_clipped_where_nothing_is_rounded(degrade):
    """Black and white in bands: a bicubic reduction goes beyond both."""
    high = noise(4, 3, 48, 48).sign().repeat_interleave(6, 2)[:, :, :48]
    beyond = resize(high, (24, 24), MatlabBicubic())
    assert beyond.max() > 1.01
    assert beyond.min() < -1.01
    low = degrade(2, eight_bit=False)(high, seeded())
    assert (low.min(), low.max()) == (-1, 1)


def test_what_overshoots_is_clipped_before_it_is_a_jpeg():
    low, all_of_it = 1.5 * noise(8, 3, 16, 16), torch.ones(8, dtype=torch.bool)
    made = [Jpeg(share=1.0)(x, all_of_it, BatchRandom(seeded(), x)) for x in (low, low.clamp(-1, 1))]
    assert torch.equal(*made)
