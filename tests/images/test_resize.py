import math
import time
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from refinesr.images.band_matrix import along_columns, along_rows, band_matrix, transpose
from refinesr.images.eight_bits import resize_eight_bits
from refinesr.images.resize import (
    MatlabBicubic,
    PillowBicubic,
    dense_resize_matrix,
    low_size,
    resize,
    resize_matrix,
)

RECORDED = np.load(Path(__file__).parents[1] / "agreement" / "matlab_imresize.npz")
CASES = list(takewhile(lambda case: f"in{case}" in RECORDED, count()))
KERNELS = [MatlabBicubic(), PillowBicubic()]
SIZES = st.integers(1, 40)


def picture(array):
    return torch.from_numpy(array).movedim(-1, 0)[None]


def noise(*shape, dtype=torch.float64):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_matlab_bicubic_gives_the_recorded_numbers_of_imresize(case, dtype, tolerance):
    x, scale = picture(RECORDED[f"in{case}"]).to(dtype), float(RECORDED[f"scale{case}"])
    size = (math.ceil(x.shape[2] * scale), math.ceil(x.shape[3] * scale))
    y = resize(x, size, MatlabBicubic(), scale=scale)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), picture(RECORDED[f"out{case}"]), rtol=0, atol=tolerance)


def test_matlab_bicubic_in_eight_bits_gives_the_recorded_levels_of_imresize():
    y = resize_eight_bits(picture(RECORDED["u8_in"]), RECORDED["u8_out"].shape[:2], MatlabBicubic())
    assert torch.equal(y, picture(RECORDED["u8_out"]))


@pytest.mark.parametrize("size", [(10, 6), (5, 18), (30, 9), (12, 40), (10, 12)])
def test_matlab_rounds_after_each_axis_and_begins_with_the_one_that_shrinks_more(size):
    """The vertical one if both do alike; by dense matrices, of all levels and black and white edges."""
    x = np.random.default_rng(0).choice([*range(256), *[0, 255] * 128], (20, 24)).astype(np.uint8)

    def down(x, axis):
        matrix = dense_resize_matrix(MatlabBicubic(), x.shape[axis], size[axis]).numpy()
        resized = matrix @ x if axis == 0 else x @ matrix.T
        return np.clip(np.floor(resized + 0.5), 0, 255)

    axes = (0, 1) if size[0] / 20 <= size[1] / 24 else (1, 0)
    expected, other = (down(down(x.astype(float), first), second) for first, second in (axes, axes[::-1]))
    assert (expected != other).any()
    found = resize_eight_bits(torch.from_numpy(x)[None, None], size, MatlabBicubic())
    assert np.array_equal(found[0, 0].numpy(), expected)


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES)
def test_pillow_bicubic_is_what_pillow_does_in_floats(height, width, new_height, new_width):
    x = noise(1, 1, height, width, dtype=torch.float32)
    expected = Image.fromarray(x[0, 0].numpy()).resize((new_width, new_height), Image.Resampling.BICUBIC)
    y = resize(x, (new_height, new_width), PillowBicubic())
    np.testing.assert_allclose(y[0, 0].numpy(), np.asarray(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=20, deadline=None)
@given(size=st.tuples(SIZES, SIZES), new=st.tuples(SIZES, SIZES))
def test_resize_is_a_product_with_the_weights_of_either_axis(kernel, size, new):
    x = noise(2, 3, *size)
    expected = (
        dense_resize_matrix(kernel, size[0], new[0]) @ x @ dense_resize_matrix(kernel, size[1], new[1]).mT
    )
    torch.testing.assert_close(resize(x, new, kernel), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("size_in", "size_out"), [(1, 1), (1, 8), (7, 2), (64, 16), (9, 36), (100, 7), (250, 125)]
)
def test_weights_sum_to_one_so_that_flat_pictures_stay_as_they_are(kernel, size_in, size_out):
    whole = dense_resize_matrix(kernel, size_in, size_out)
    assert whole.shape == (size_out, size_in)
    torch.testing.assert_close(
        whole.sum(dim=1), torch.ones(size_out, dtype=torch.float64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_weights_are_symmetric_so_that_a_mirrored_picture_gives_the_mirrored_result(kernel):
    whole = dense_resize_matrix(kernel, 50, 13)
    torch.testing.assert_close(whole.flip(0, 1), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_picture_of_the_same_size_is_the_same(kernel):
    x = noise(1, 2, 9, 13)
    torch.testing.assert_close(resize(x, (9, 13), kernel), x, rtol=0, atol=1e-15)


@pytest.mark.parametrize("kernel", KERNELS)
def test_resize_is_differentiable_and_its_gradient_is_the_adjoint(kernel):
    x = noise(1, 2, 12, 9).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: resize(x, (3, 5), kernel), x)


def test_gradients_work_after_the_first_call_was_in_inference_mode():
    with torch.inference_mode():
        resize(noise(1, 1, 31, 17), (5, 4), PillowBicubic())
    resize(noise(1, 1, 31, 17).requires_grad_(), (5, 4), PillowBicubic()).sum().backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_even_under_autocast(dtype):
    x = noise(1, 3, 40, 40, dtype=torch.float32)
    expected = resize(x, (10, 10), PillowBicubic())
    assert torch.equal(
        resize(x.to(dtype), (10, 10), PillowBicubic()),
        resize(x.to(dtype).float(), (10, 10), PillowBicubic()).to(dtype),
    )
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(resize(x, (10, 10), PillowBicubic()), expected)


def test_two_megapixels_take_well_under_a_second():
    x = noise(1, 3, 1500, 1333, dtype=torch.float32)
    resize(x, (375, 334), PillowBicubic())  # makes the weights
    start = time.process_time()
    resize(x, (375, 334), PillowBicubic())
    assert time.process_time() - start < 1


def test_sizes_of_the_poor_image_are_rounded_up():
    assert low_size((64, 65), 4) == (16, 17)
    assert low_size((1, 3), 8) == (1, 1)


@pytest.mark.parametrize(
    ("size_in", "size_out", "scale"), [(0, 4, None), (4, 0, None), (4, 1, 0.0), (4, 1, -1.0)]
)
def test_impossible_sizes_and_scales_are_refused(size_in, size_out, scale):
    with pytest.raises(ValueError, match="must be"):
        resize_matrix(PillowBicubic(), size_in, size_out, scale)


def test_a_band_adds_up_taps_that_fall_on_one_column():
    folded = band_matrix(np.array([[1, 0, 1, 2], [3, 3, 2, 0]]), np.array([[1.0, 2, 3, 0], [4, 5, 0, 0]]), 4)
    np.testing.assert_array_equal(folded.dense(), [[2, 4, 0, 0], [0, 0, 0, 9]])


@pytest.mark.parametrize(("size_in", "size_out"), [(40, 10), (10, 40), (97, 31), (5, 1), (1, 5)])
def test_a_band_its_transpose_and_its_parts_agree_with_the_dense_matrix(size_in, size_out):
    down = resize_matrix(MatlabBicubic(), size_in, size_out)
    dense, x = torch.from_numpy(down.dense()), noise(3, size_in, size_in)
    np.testing.assert_array_equal(transpose(down).dense(), down.dense().T)
    torch.testing.assert_close(along_columns(down, x), dense @ x, rtol=0, atol=1e-13)
    torch.testing.assert_close(along_rows(down, x), x @ dense.mT, rtol=0, atol=1e-13)
    left, part = down.part(0, (size_out + 1) // 2)
    np.testing.assert_array_equal(part, down.dense()[: len(part), left : left + part.shape[1]])
