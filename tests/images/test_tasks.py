import io
import math

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import label

from refinesr.config import from_data, to_data
from refinesr.errors import ConfigError
from refinesr.images.batch_random import BatchRandom
from refinesr.images.degrade import Degradation
from refinesr.images.masks import Box, Centre, FreeForm
from refinesr.images.tasks import Grey, Inpainting, JpegRestoration, Uncropping

STROKES = FreeForm(box=None)
WITH_MASK = [Inpainting(), Inpainting(STROKES), Inpainting(Box()), Inpainting(Centre()), Uncropping()]
ALL = [Grey(), JpegRestoration(), *WITH_MASK]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=1):
    return torch.rand(shape, generator=seeded(seed)) * 2 - 1


def crops(count, size=64):
    """Crops of a photo, in [-1, 1]."""
    whole = torch.from_numpy(skimage.data.astronaut()).movedim(-1, 0).float() / 127.5 - 1
    corners = torch.randint(512 - size, (count, 2), generator=seeded()).tolist()
    return torch.stack([whole[:, top : top + size, left : left + size] for top, left in corners])


def random_for(count, height, width, seed=0):
    return BatchRandom(seeded(seed), torch.zeros(count, 3, height, width))


def levels(x):
    """(C, H, W) in [-1, 1] as (H, W, C) of 0 to 255."""
    return ((x + 1) * 127.5).round().movedim(0, -1).numpy().astype(np.uint8)


def shares(mask):
    return mask.flatten(1).mean(1)


def spans(mask):
    """First and last row and column of the ones of each mask: (B, 4)."""
    rows, columns = mask.amax((1, 3)).bool(), mask.amax((1, 2)).bool()
    return torch.tensor(
        [
            [*(line.nonzero()[[0, -1], 0].tolist()), *(across.nonzero()[[0, -1], 0].tolist())]
            for line, across in zip(rows, columns, strict=True)
        ]
    )


# All tasks


@pytest.mark.parametrize("degrade", ALL)
@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
def test_low_has_the_size_of_high_and_a_mask_where_something_is_missing(degrade, size):
    assert degrade.scale == 1
    planes = 4 if degrade in WITH_MASK else 3
    assert degrade(noise(3, 3, *size), seeded()).shape == (3, planes, *size)


@pytest.mark.parametrize("degrade", ALL)
def test_the_generator_alone_decides(degrade):
    high = crops(8)
    first = degrade(high, seeded(1))
    state = torch.get_rng_state()
    assert torch.equal(first, degrade(high, seeded(1)))
    assert torch.equal(first, degrade(high.to(memory_format=torch.channels_last), seeded(1)))
    assert torch.equal(state, torch.get_rng_state())
    if degrade != Grey():
        assert not torch.equal(first, degrade(high, seeded(2)))


@pytest.mark.parametrize("degrade", ALL)
def test_what_becomes_of_an_image_does_not_depend_on_the_others(degrade):
    high, others = crops(4), noise(4, 3, 64, 64)
    others[2] = high[2]
    assert torch.equal(degrade(high, seeded())[2], degrade(others, seeded())[2])


@pytest.mark.parametrize("degrade", [*ALL, Uncropping(0.3, 0.1), Inpainting(FreeForm(box=Box((0.1, 0.2))))])
def test_a_task_survives_the_configuration_file(degrade):
    assert from_data(Degradation, to_data(degrade, Degradation), "run.json") == degrade


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: JpegRestoration(quality=(0.0, 30.0)), r"quality: \(0, 30\) must lie in \[1, 100\]"),
        (lambda: JpegRestoration(halved=2.0), "halved: 2"),
        (lambda: Uncropping(area=-0.5), "area: -0.5"),
        (lambda: Uncropping(around=1.5), "around: 1.5"),
        (lambda: Centre(1.5), "side: 1.5"),
        (lambda: Box((0.5, 0.2)), r"side: \(0.5, 0.2\) .* ascending"),
        (lambda: Box(margin=0.6), "margin: 0.6"),
        (lambda: FreeForm(strokes=(0, 3)), "strokes: "),
        (lambda: FreeForm(corners=(5, 4)), "corners: "),
        (lambda: FreeForm(width=(-0.1, 0.1)), "width: "),
        (lambda: FreeForm(length=-1.0), "length: -1"),
        (lambda: FreeForm(turn=(0.0, 360.0)), "turn: "),
        (lambda: Grey()(noise(1, 1, 8, 8), seeded()), "Grey of pictures of 1 channels; colour has 3"),
        (lambda: JpegRestoration()(noise(1, 2, 8, 8), seeded()), "1 or 3 channels, not 2"),
    ],
)
def test_what_makes_no_sense_is_named(made, message):
    with pytest.raises(ConfigError, match=message):
        made()


# Colour and JPEG


def test_grey_is_the_luma_of_pillow_in_every_channel():
    photo = Image.fromarray(skimage.data.astronaut()[:200, :300])
    high = torch.from_numpy(np.array(photo)).movedim(-1, 0)[None].float() / 127.5 - 1
    low = Grey()(high, seeded())
    assert torch.equal(low, low[:, :1].expand_as(low))
    values = (low + 1) * 127.5
    torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-4)
    wrong = levels(low[0])[..., 0].astype(int) - np.asarray(photo.convert("L"))
    # Pillow's weights are rounded to 16 bits, which a tie between two levels may notice
    assert np.abs(wrong).max() <= 1
    assert (wrong != 0).mean() < 0.002


@pytest.mark.parametrize("quality", [5, 30])
def test_restoration_begins_with_what_pillow_saves(quality):
    """Up to libjpeg's transform in integers: a tenth of what JPEG itself loses."""
    (high,) = crops(1, size=256)
    file = io.BytesIO()
    Image.fromarray(levels(high)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    wanted = np.asarray(Image.open(file)).astype(int)
    (low,) = JpegRestoration((float(quality), float(quality)))(high[None], seeded())
    assert np.abs(levels(low) - wanted).mean() < np.abs(levels(high) - wanted).mean() / 10


def test_each_image_has_a_quality_of_its_own_within_the_range():
    """Error falls with quality, so that of the range lies between those of its ends."""
    high = crops(1).expand(32, -1, -1, -1)

    def error(*quality):
        return (JpegRestoration(quality)(high, seeded()) - high).square().flatten(1).mean(1)

    drawn = error(5.0, 30.0)
    assert error(30.0, 30.0)[0] <= drawn.min() < drawn.median() < drawn.max() <= error(5.0, 5.0)[0]
    assert len(drawn.unique()) > 10


def test_one_channel_is_enough_for_all_but_colour():
    high = noise(2, 1, 24, 24)
    assert JpegRestoration()(high, seeded()).shape == (2, 1, 24, 24)
    for degrade in WITH_MASK:
        assert degrade(high, seeded()).shape == (2, 2, 24, 24)


# What is missing


@pytest.mark.parametrize("degrade", WITH_MASK)
def test_what_is_known_is_untouched_and_what_is_missing_standard_normal(degrade):
    high = crops(64)
    low, mask = degrade(high, seeded()).split([3, 1], dim=1)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    missing = mask.bool().expand_as(high)
    assert torch.equal(low[~missing], high[~missing])
    made = low[missing]
    # 4 standard errors of the mean, the variance, and the product of neighbouring channels
    error = 4 / math.sqrt(len(made))
    assert abs(made.mean()) < error
    assert abs(made.var() - 1) < error * math.sqrt(2)
    assert abs((low[:, 0] * low[:, 1])[missing[:, 0]].mean()) < error * math.sqrt(3)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_a_picture_of_any_size_misses_something(height, width, seed):
    for degrade in WITH_MASK:
        low = degrade(noise(2, 3, height, width), seeded(seed))
        assert low.shape == (2, 4, height, width)
        assert (shares(low[:, 3:]) > 0).all()


def test_the_thinnest_brush_leaves_a_mark():
    thin = FreeForm(width=(0.0, 0.0), box=None)
    assert (shares(thin(random_for(50, 9, 14))) > 0).all()


@pytest.mark.parametrize("mask", [FreeForm(), STROKES, Box()])
def test_every_image_has_its_own_mask(mask):
    made = mask(random_for(16, 64, 64)).flatten(1)
    assert len(made.unique(dim=0)) == 16


def test_the_centre_is_a_quarter_of_the_picture_in_its_middle():
    mask = Centre()(random_for(2, 256, 128))
    assert spans(mask).tolist() == [[64, 191, 32, 95]] * 2
    assert shares(mask).tolist() == [0.25, 0.25]
    assert torch.equal(mask, mask.flip(2, 3))
    assert spans(Centre()(random_for(1, 7, 1))).tolist() == [[2, 5, 0, 0]]
    assert spans(Centre(0.0)(random_for(1, 9, 5))).tolist() == [[4, 4, 2, 2]]  # one pixel at least


def test_a_box_has_the_sides_and_the_margin_named():
    top, bottom, left, right = spans(Box()(random_for(400, 256, 512))).unbind(1)
    for first, last, length in ((top, bottom, 256), (left, right, 512)):
        side = (last - first + 1) / length
        assert 88 / 256 - 0.002 <= side.min() < 0.36
        assert 0.48 < side.max() <= 0.5
        room = length * 20 / 256
        assert room - 1 <= first.min() < room + 0.02 * length
        assert room - 1 <= (length - 1 - last).min() < room + 0.02 * length
    assert abs(torch.corrcoef(torch.stack((bottom - top, right - left)).float())[0, 1]) < 0.2


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_a_box_fits_where_there_is_no_room_for_its_margin(margin):
    mask = Box((1.0, 1.0), margin)(random_for(3, 20, 20))
    assert shares(mask).tolist() == [1.0, 1.0, 1.0]


def test_strokes_are_all_places_no_farther_from_a_piece_than_half_their_width():
    """Against the nearest of many points of each piece."""
    drawn = random_for(4, 48, 64)
    path, radius = STROKES.paths(drawn)
    mask = STROKES.drawn_mask(drawn, path, radius)[:, 0].bool()
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    pixels = torch.stack((y, x), -1).view(-1, 2)
    along = torch.linspace(0, 1, 200)[:, None]
    for i in range(4):
        margin = torch.full((48 * 64,), -1e9)
        for start, end, r in zip(
            path[i, :, :-1].reshape(-1, 2), path[i, :, 1:].reshape(-1, 2), radius[i].flatten(), strict=True
        ):
            if r >= 0:
                points = start + along * (end - start)
                margin = margin.maximum(r - torch.cdist(pixels, points).amin(1))
        clear = margin.abs() > 0.05
        assert clear.float().mean() > 0.95
        assert torch.equal(mask[i].flatten()[clear], margin[clear] > 0)


def test_strokes_are_as_many_and_have_as_many_corners_as_named():
    brush = FreeForm(strokes=(2, 4), corners=(3, 6), box=None)
    path, radius = brush.paths(random_for(300, 64, 64))
    assert path.shape == (300, 4, 7, 2)
    pieces = (radius >= 0).sum(2)
    assert set((pieces > 0).sum(1).tolist()) == {2, 3, 4}
    assert set(pieces[pieces > 0].tolist()) == {3, 4, 5, 6}
    widths = 2 * radius[radius >= 0] / 64
    assert 12 / 256 <= widths.min() < widths.max() <= 40 / 256


def test_pieces_go_up_and_down_in_turns_at_the_angles_and_lengths_named():
    steps = FreeForm(turn=(30.0, 60.0), box=None).steps(random_for(200, 64, 64))
    down, across = steps.unbind(-1)
    assert (down[:, :, 1:] * down[:, :, :-1] <= 0).all()
    assert (across[:, :, 1:] * across[:, :, :-1] >= 0).all()
    length = steps.norm(dim=-1)
    angle = torch.atan2(down.abs(), across.abs()).rad2deg()[length > 1e-3]
    assert 29.9 < angle.min() < 32 < 58 < angle.max() < 60.1
    mean = math.sqrt(2) / 8
    assert length.mean() == pytest.approx(mean, rel=0.03)
    assert length.max() == pytest.approx(2 * mean)
    cut = 4 - 3 * math.erf(math.sqrt(2)) - 4 * math.exp(-2) / math.sqrt(2 * math.pi)  # at two deviations
    assert length.std() == pytest.approx(mean / 2 * math.sqrt(cut), rel=0.03)


def test_strokes_begin_at_every_pixel_alike_and_set_out_into_every_quarter():
    """Of 4000 of each; 5 standard errors of a share."""
    brush = FreeForm(strokes=(2, 2), turn=(30.0, 60.0), box=None)
    path, _ = brush.paths(random_for(4000, 3, 4))
    place = path[:, :, 0].floor() @ torch.tensor([4.0, 1.0])
    assert (path[:, :, 0] % 1 == 0.5).all()
    quarter = (brush.steps(random_for(4000, 3, 4))[:, 0, 0] > 0).float() @ torch.tensor([2.0, 1.0])
    for drawn, kinds in ((place[:, 0], 12), (place[:, 1], 12), (quarter, 4)):
        counts = torch.bincount(drawn.long(), minlength=kinds)
        assert len(counts) == kinds
        assert (counts - 4000 / kinds).abs().max() < 5 * math.sqrt(4000 / kinds * (1 - 1 / kinds))


def test_each_corner_is_one_step_from_the_last_and_none_leaves_the_picture():
    size = torch.tensor([160.0, 250.0])
    path, _ = FreeForm(length=0.01, box=None).paths(random_for(100, 160, 250))
    pieces = path.diff(dim=2).norm(dim=-1) / 200  # the side of a square as large
    assert pieces.mean() == pytest.approx(0.01, rel=0.03)
    assert pieces.max() == pytest.approx(0.02, rel=1e-4)  # of coordinates in float32
    far, _ = FreeForm(length=1.0, box=None).paths(random_for(100, 160, 250))
    assert torch.equal(far.amin((0, 1, 2)), 0 * size)
    assert torch.equal(far.amax((0, 1, 2)), size)


def test_a_stroke_that_goes_nowhere_is_a_dot():
    dot = FreeForm(strokes=(1, 1), width=(0.25, 0.25), length=0.0, box=None)
    path, _ = dot.paths(random_for(5, 32, 50))
    y, x = np.mgrid[:32, :50] + 0.5
    for mask, (top, left) in zip(dot(random_for(5, 32, 50)), path[:, 0, 0].tolist(), strict=True):
        assert np.array_equal(mask[0].numpy(), np.hypot(y - top, x - left) <= 5)  # of a side of 40


def test_a_stroke_hangs_together():
    one = FreeForm(strokes=(1, 1), width=(0.1, 0.2), box=None)
    for mask in one(random_for(20, 64, 64))[:, 0]:
        assert label(mask.numpy(), np.ones((3, 3)))[1] == 1


def test_strokes_have_no_preferred_side():
    """Zigzags run to the right; half of the masks are mirrored.  4 standard errors of a mean."""
    centre = torch.linspace(-1, 1, 32)
    mask = STROKES(random_for(400, 32, 32))[:, 0]
    for axis in (1, 2):
        lean = (mask.sum(axis) * centre).sum(1) / mask.sum((1, 2))
        assert abs(lean.mean()) < 4 * lean.std() / math.sqrt(400)


@pytest.mark.parametrize("mask", [FreeForm(), STROKES, Box(), Centre()])
def test_the_share_that_is_missing_is_the_same_at_every_size(mask):
    small, large = (shares(mask(random_for(100, size, size))) for size in (48, 96))
    # the same draws at both sizes, up to what whole pixels make of them
    assert abs(small.mean() - large.mean()) < 0.02
    assert torch.corrcoef(torch.stack((small, large)))[0, 1] > 0.9 or isinstance(mask, Centre)


def test_training_masks_are_strokes_and_a_box_together():
    both, strokes = shares(FreeForm()(random_for(300, 64, 64))), shares(STROKES(random_for(300, 64, 64)))
    assert (both > strokes).all()
    assert both.min() > 0.1  # the smallest box
    assert 0.2 < both.median() < 0.4  # evaluation has 20 to 30 % in strokes
    assert 0.1 < strokes.mean() < 0.2


# Uncropping


def kept(low):
    return 1 - low[:, 3:]


def test_half_the_picture_is_missing_past_one_side_or_around():
    low = Uncropping()(noise(800, 3, 64, 48), seeded())
    # around: whole rows and columns
    assert (shares(kept(low)) - 0.5).abs().max() < 0.02
    top, bottom, left, right = spans(kept(low)).unbind(1)
    borders = torch.stack((top > 0, bottom < 63, left > 0, right < 47))
    assert set(borders.sum(0).tolist()) == {1, 4}
    around = borders.all(0)
    assert abs(around.float().mean() - 0.5) < 4 * math.sqrt(0.25 / 800)
    for border in borders:
        alone = (border & ~around).float().mean()
        assert abs(alone - 0.125) < 4 * math.sqrt(0.125 * 0.875 / 800)
    middle = kept(low)[around]
    assert (top + bottom - 63)[around].abs().max() <= 1
    assert (left + right - 47)[around].abs().max() <= 1
    assert torch.equal(middle, middle[:1].expand_as(middle))


@pytest.mark.parametrize("area", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("around", [0.0, 1.0])
def test_as_much_is_missing_as_named(area, around):
    low = Uncropping(area, around)(noise(8, 3, 200, 200), seeded())
    assert (shares(low[:, 3:]) - area).abs().max() < 0.005
    assert ((shares(kept(low)[:, :, :1]) > 0) != bool(around)).any()
