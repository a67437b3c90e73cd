"""What each source makes of a low image: by which door, of what size, how far it sees."""

import numpy as np
import pytest
import torch
from methods import awake, normal
from PIL import Image
from torch import Tensor

from refinesr.images.resize import Kernel, MatlabBicubic, PillowBicubic, resize
from refinesr.model import with_plane
from refinesr.nets.packed_unet import PackedEncoder
from refinesr.sources import Augmented, Blank, Encoded, Labelled, Low, Source, Upsampled

SOURCES: list[Source] = [
    Upsampled(),
    Augmented(width=8),
    Encoded(PackedEncoder(width=4, blocks=1)),
    Low(),
    Blank(),
    Labelled(4),
]


def given(source: Source, count: int) -> Tensor:
    """Pictures with the planes that the source takes: a level, or a class, of 0, 1, 2."""
    low = normal(count, 3, 6, 6)
    return with_plane(low, torch.arange(float(count))) if source.planes else low


@pytest.mark.parametrize("kernel", [MatlabBicubic(), PillowBicubic()])
def test_upsampled_shows_the_network_its_base(kernel: Kernel) -> None:
    low = normal(2, 3, 5, 7)
    condition = Upsampled(kernel).build(4, 3)(low)
    assert torch.equal(condition.base, resize(low, (20, 28), kernel))
    assert condition.inputs().keys() == {"image"}
    assert condition.image is condition.base


def test_upsampled_in_eight_bits_shows_what_pillow_makes_of_the_picture() -> None:
    picture = np.random.default_rng(0).choice([0, 40, 255], (9, 11, 3)).astype(np.uint8)
    large = Image.fromarray(picture).resize((44, 36), Image.Resampling.BICUBIC)
    low = torch.from_numpy(picture / 127.5 - 1).permute(2, 0, 1)[None].float()
    shown = Upsampled(PillowBicubic(), eight_bit=True).build(4, 3)(low).image
    assert shown is not None
    assert shown.dtype == low.dtype
    assert np.array_equal(((shown[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy(), np.asarray(large))
    overshooting = Upsampled(PillowBicubic()).build(4, 3)(low).base
    assert overshooting.abs().max() > 1.2
    assert shown.abs().max() <= 1


def test_at_scale_1_the_condition_is_the_low_image_itself() -> None:
    low = normal(1, 3, 5, 7)
    image = Upsampled().build(1, 3)(low).image
    assert image is not None
    assert torch.equal(image, low)
    assert image.data_ptr() == low.data_ptr()


def test_at_scale_1_a_mask_is_behind_the_planes() -> None:
    picture, hole = normal(1, 3, 5, 7), (normal(1, 1, 5, 7) > 0).float()
    told = with_plane(picture, torch.tensor([0.25]))
    for source, low in ((Upsampled(), picture), (Augmented(width=8), told), (Low(), picture)):
        module = source.build(1, 3)
        assert module.mask(low) is None
        found = module.mask(torch.cat((low, hole), 1))
        assert found is not None
        assert torch.equal(found, hole)
        assert torch.equal(module.base(torch.cat((low, hole), 1)), picture)
        with pytest.raises(ValueError, match=f"low has {low.shape[1] + 2} channels"):
            module(torch.cat((low, hole, hole), 1))


def test_encoded_gives_features_of_lows_size() -> None:
    source = Encoded(PackedEncoder(width=4, blocks=1), PillowBicubic()).build(2, 3)
    low = normal(2, 3, 5, 7)
    condition = source(low)
    assert condition.inputs().keys() == {"features"}
    assert condition.features is not None
    assert condition.features.shape == (2, 4, 5, 7)
    assert torch.equal(condition.base, resize(low, (10, 14), PillowBicubic()))


def test_of_a_blank_page_only_the_shape_counts() -> None:
    """Not even its channels: a model of colours makes colours of it."""
    source = Blank().build(2, 3)
    condition = source(normal(2, 1, 5, 7))
    assert torch.equal(condition.base, torch.zeros(2, 3, 10, 14))
    assert condition.inputs() == {}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_the_doors_that_are_announced_are_the_doors_that_open(source: Source) -> None:
    inputs = source.build(2, 3)(given(source, 1)).inputs()
    found = {{"image": "image_channels"}.get(name, name): value.shape[1] for name, value in inputs.items()}
    assert found == source.input_channels(3)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_an_image_does_not_depend_on_its_neighbours_in_the_batch(source: Source) -> None:
    module = awake(source.build(2, 3))
    low = given(source, 3)
    together, alone = module(low), module(low[1:2])
    torch.testing.assert_close(together.base[1:2], alone.base, rtol=1e-6, atol=1e-6)
    for name, value in alone.inputs().items():
        torch.testing.assert_close(together.inputs()[name][1:2], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", [MatlabBicubic(), PillowBicubic()])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_upsampled_sees_as_far_as_it_says(kernel: Kernel, scale: int) -> None:
    """The pixels of the enlarged image that lie in low pixel 10 depend on low pixels 8 to 12."""
    low = normal(1, 1, 1, 21).requires_grad_()
    image = Upsampled(kernel).build(scale, 1)(low).image
    (gradient,) = torch.autograd.grad(image[..., 10 * scale : 11 * scale].abs().sum(), low)
    seen = gradient[0, 0, 0].nonzero().flatten()
    assert (int(seen[0]), int(seen[-1])) == (10 - Upsampled.reach, 10 + Upsampled.reach)
