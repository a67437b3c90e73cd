"""The augmentation of cascades: what it does to a picture, how much of it, and that the level is told."""

from dataclasses import replace

import pytest
import skimage.data
import torch
from torch import Tensor

from refinesr.config import from_data, to_data
from refinesr.errors import ConfigError
from refinesr.images.augment import CascadeAugmented
from refinesr.images.degrade import Bicubic, Degradation, GaussianBlurred


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(count: int, size: int = 64) -> Tensor:
    """Crops of a photo, in [-1, 1]."""
    whole = torch.from_numpy(skimage.data.astronaut()).movedim(-1, 0).float() / 127.5 - 1
    corners = torch.randint(512 - size, (count, 2), generator=seeded()).tolist()
    return torch.stack([whole[:, top : top + size, left : left + size] for top, left in corners])


def test_without_blur_and_noise_it_is_bicubic_at_level_0() -> None:
    high = crops(3)
    low = CascadeAugmented(4, blur=0.0, noise=0.0)(high, seeded())
    assert torch.equal(low[:, :3], Bicubic(4)(high, seeded()))
    assert torch.equal(low[:, 3:], torch.zeros(3, 1, 16, 16))


def test_without_noise_it_is_the_gaussian_blur() -> None:
    """With the same draws: the widths come first."""
    high = crops(8)
    low = CascadeAugmented(2, blur=1.5, noise=0.0)(high, seeded(3))
    assert torch.equal(low[:, :3], GaussianBlurred(2, most=1.5)(high, seeded(3)))


def test_the_plane_tells_the_noise_of_each_image() -> None:
    """On grey, which reduction and blur leave as it is: 4096 values an image, so to 1.1 per cent (one of its
    standard deviations); five of them are allowed."""
    low = CascadeAugmented(2, noise=0.7, eight_bit=False)(torch.zeros(64, 1, 128, 128), seeded())
    level, spread = low[:, 1, 0, 0], low[:, 0].std((1, 2))
    assert torch.equal(low[:, 1:], level[:, None, None, None].expand(64, 1, 64, 64))
    assert bool((((spread - level) / level).abs() < 5 * 0.011).all())
    assert low[:, 0].mean().abs() < 0.01


def test_levels_are_even_up_to_the_most() -> None:
    low = CascadeAugmented(1, noise=0.4)(torch.zeros(4000, 1, 1, 1), seeded())
    counts = torch.histc(low[:, 1, 0, 0], 4, 0.0, 0.4)
    assert int(counts.sum()) == 4000
    assert bool(((counts - 1000).abs() < 5 * 750**0.5).all())


def test_noise_is_added_to_the_levels_of_a_file() -> None:
    """Before it, low is 8 bit; with it, it is neither rounded nor clipped, as a sample with noise is not."""
    low = CascadeAugmented(2, noise=5.0)(crops(4), seeded())
    levels = (low[:, :3] + 1) * 127.5
    assert low[:, :3].abs().max() > 2
    assert not torch.allclose(levels, levels.round(), atol=1e-2)


def test_a_batch_is_a_function_of_the_seed() -> None:
    high = crops(2)
    first, again, other = (CascadeAugmented(2)(high, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (2, 4, 32, 32)


def test_sides_are_rounded_up_and_any_number_of_channels_will_do() -> None:
    assert CascadeAugmented(4)(torch.zeros(2, 5, 17, 30), seeded()).shape == (2, 6, 5, 8)


def test_crops_may_come_channels_last() -> None:
    high = crops(2)
    low = CascadeAugmented(2)(high.contiguous(memory_format=torch.channels_last), seeded())
    assert torch.equal(low, CascadeAugmented(2)(high, seeded()))


def test_json_and_back() -> None:
    value = CascadeAugmented(4, blur=0.8, noise=0.2)
    assert from_data(Degradation, to_data(value, Degradation), "test") == value


@pytest.mark.parametrize(("field", "value"), [("scale", 0), ("blur", -1.0), ("noise", -0.5)])
def test_values_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: {value:g} must lie in"):
        replace(CascadeAugmented(4), **{field: value})
