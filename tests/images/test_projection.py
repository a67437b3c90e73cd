import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refinesr.images.projection import Projection, gram_inverse
from refinesr.images.resize import (
    MatlabBicubic,
    PillowBicubic,
    dense_resize_matrix,
    low_size,
    resize,
    resize_matrix,
)

KERNELS = [MatlabBicubic(), PillowBicubic()]
# (high, low): even and odd, no multiple of the scale, tiny, one axis untouched
SIZES = [
    ((16, 24), (4, 6)),
    ((13, 21), (4, 6)),
    ((7, 6), (4, 3)),
    ((4, 4), (1, 1)),
    ((9, 10), (3, 10)),
    ((40, 33), (5, 5)),
]


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def matrix(projection):
    """A as one dense matrix for pictures written as vectors, by numpy alone."""
    axes = zip(projection.high, projection.low, strict=True)
    vertical, horizontal = (dense_resize_matrix(projection.kernel, high, low).numpy() for high, low in axes)
    return np.kron(vertical, horizontal)


def columns(function, size):
    """The matrix of a linear function, found by trying unit pictures."""
    unit = torch.eye(size[0] * size[1], dtype=torch.float64).reshape(-1, 1, *size)
    return function(unit).flatten(1).mT.numpy()


@pytest.fixture(params=KERNELS, ids=lambda kernel: type(kernel).__name__)
def kernel(request):
    return request.param


@pytest.fixture(params=SIZES, ids=str)
def projection(request, kernel):
    return Projection(*request.param, kernel)


def test_the_parts_are_the_matrix_its_transpose_and_its_pseudo_inverse(projection):
    expected = matrix(projection)
    np.testing.assert_allclose(columns(projection.down, projection.high), expected, atol=1e-13)
    np.testing.assert_allclose(columns(projection.adjoint, projection.low), expected.T, atol=1e-13)
    np.testing.assert_allclose(columns(projection.pinv, projection.low), np.linalg.pinv(expected), atol=1e-11)


def test_the_four_conditions_of_moore_and_penrose_hold(projection):
    a, p = columns(projection.down, projection.high), columns(projection.pinv, projection.low)
    for left, right in [(a @ p @ a, a), (p @ a @ p, p), ((a @ p).T, a @ p), ((p @ a).T, p @ a)]:
        np.testing.assert_allclose(left, right, atol=1e-10)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@settings(max_examples=10, deadline=None)
@given(size=st.tuples(st.integers(2, 70), st.integers(2, 70)))
def test_a_projected_picture_downsampled_is_the_input_whatever_its_size(scale, size):
    for kernel in KERNELS:
        projection = Projection(size, low_size(size, scale), kernel)
        x, low = noise(2, 3, *size), noise(2, 3, *projection.low, seed=1)
        once = projection.project(x, low)
        torch.testing.assert_close(resize(once, projection.low, kernel), low, rtol=0, atol=1e-12)
        torch.testing.assert_close(projection.project(once, low), once, rtol=0, atol=1e-12)


def test_the_projected_picture_is_the_nearest_one(projection):
    """What it moves by stands at right angles to every direction that the downsampling does not see."""
    x, low = noise(1, 1, *projection.high), noise(1, 1, *projection.low, seed=1)
    moved = (projection.project(x, low) - x).flatten().numpy()
    unseen = np.linalg.svd(matrix(projection))[2][projection.low[0] * projection.low[1] :]
    np.testing.assert_allclose(unseen @ moved, 0, atol=1e-11)


def test_projecting_is_linear_in_the_picture_and_the_input(projection):
    x, y = noise(2, 1, *projection.high), noise(2, 1, *projection.low, seed=1)
    mixed = projection.project(2 * x[:1] - 3 * x[1:], 2 * y[:1] - 3 * y[1:])
    expected = 2 * projection.project(x[:1], y[:1]) - 3 * projection.project(x[1:], y[1:])
    torch.testing.assert_close(mixed, expected, rtol=0, atol=1e-12)


def test_gradients_flow_to_the_picture_and_the_input(kernel):
    projection = Projection((9, 8), (3, 2), kernel)
    inputs = noise(1, 1, 9, 8).requires_grad_(), noise(1, 1, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(projection.project, inputs)


def test_float32_is_exact_to_some_units_in_the_last_place(kernel):
    projection = Projection((509, 512), (128, 128), kernel)
    x, low = noise(1, 3, 509, 512, dtype=torch.float32), noise(1, 3, 128, 128, dtype=torch.float32, seed=1)
    error = (projection.down(projection.project(x, low)) - low).abs().max()
    assert error < 16 * torch.finfo(torch.float32).eps * x.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_stays_and_autocast_does_not_matter(dtype, kernel):
    projection = Projection((16, 16), (4, 4), kernel)
    x, low = noise(1, 3, 16, 16).to(dtype), noise(1, 3, 4, 4, seed=1).to(dtype)
    y = projection.project(x, low)
    assert y.dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(projection.project(x, low), y)


@pytest.mark.parametrize(("high", "low"), [(260, 65), (1021, 256), (1500, 750), (499, 498)])
def test_the_inverse_of_a_long_axis_is_as_exact_as_a_short_one(high, low, kernel):
    """Its rows are made from parts of the matrix; 498 of 499 is badly conditioned and fades slowly."""
    down = resize_matrix(kernel, high, low)
    dense = down.dense()
    product = gram_inverse(down).dense() @ (dense @ dense.T)
    np.testing.assert_allclose(product, np.eye(low), atol=1e-13)


def test_an_axis_of_sixteen_thousand_pixels_needs_little_memory(kernel):
    inverse = gram_inverse(resize_matrix(kernel, 16384, 4096))
    assert inverse.taps.nbytes < 4 << 20


@pytest.mark.parametrize(
    ("high", "low"), [((8, 8), (8, 8)), ((8, 8), (9, 2)), ((8, 8), (0, 2)), ((1, 1), (1, 1))]
)
def test_there_is_no_projection_unless_low_is_smaller(high, low):
    with pytest.raises(ValueError, match="low must be smaller"):
        Projection(high, low, PillowBicubic())


def test_pictures_of_another_size_are_refused():
    projection = Projection((16, 16), (4, 4), PillowBicubic())
    with pytest.raises(ValueError, match=r"\(4, 5\)"):
        projection.project(noise(1, 1, 16, 16), noise(1, 1, 4, 5))
    with pytest.raises(ValueError, match=r"\(16, 4\)"):
        projection.down(noise(1, 1, 16, 4))
