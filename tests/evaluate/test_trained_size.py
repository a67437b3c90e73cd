"""A model shown another size: against Pillow's own resizing, both ways."""

import numpy as np
import pytest
from methods import packed, stage
from photographs import array, shown
from PIL import Image

from refinesr.errors import ConfigError
from refinesr.evaluate.trained_size import AtTrainedSize
from refinesr.evaluate.upscalers import ModelUpscaler, interpolations
from refinesr.images.resize import PillowBicubic
from refinesr.restore import Options

BICUBIC = Image.Resampling.BICUBIC


def test_it_is_shown_the_other_size_and_its_result_is_resized_back() -> None:
    """12 x 10 pixels become 19 x 16, times four, and 48 x 40 again."""
    picture, nearest = shown(), interpolations(PillowBicubic())["nearest"]
    *_, last = AtTrainedSize(nearest, 16, PillowBicubic()).upscale([picture], 4, [0], 0)
    low = Image.fromarray(array(picture.low)).resize((16, 19), BICUBIC)
    large = low.resize((64, 76), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(array(last.image[0]), large.resize((40, 48), BICUBIC))


def test_a_model_works_several_at_once_and_its_settings_say_so() -> None:
    model = ModelUpscaler(stage(packed(4)), Options(device="cpu", precision="fp32"))
    detour = AtTrainedSize(model, 16, PillowBicubic())
    steps = list(detour.upscale([shown("nose"), shown("ear")], 4, [1, 2], 0))
    assert [image.shape for image in steps[-1].image] == [(1, 3, 48, 40)] * 2
    assert steps[-1].done == steps[-1].total
    assert (detour.kind, detour.scale, detour.calls, detour.sampled) == ("model", 4, model.calls, True)
    assert detour.settings() != model.settings()
    assert detour.checksum(shown(), 0) == model.checksum(shown(), 0)


def test_no_pixels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^via: 0 is not positive$"):
        AtTrainedSize(interpolations(PillowBicubic())["nearest"], 0, PillowBicubic())
