"""Noise is a function of seed, draw and place, and it is noise."""

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from refinesr.diffusion import noise
from refinesr.diffusion.noise import NoiseField
from refinesr.tiles import Box

sides = st.integers(1, 40)


def draw(shape, seeds=None, **how):
    return NoiseField(seeds or tuple(range(shape[0])), **how)(torch.zeros(shape))


@settings(deadline=None, max_examples=60)
@given(top=sides, left=sides, height=sides, width=sides, cell=st.integers(5, 20))
def test_any_window_is_the_crop_of_the_whole(top, left, height, width, cell):
    box = Box(top, left, height, width)
    whole = draw((2, 3, top + height + 5, left + width + 3), cell=cell)
    assert torch.equal(NoiseField((0, 1), cell).window(0, box, 3), box.of(whole))


@settings(deadline=None)
@given(height=sides, width=sides, more=sides)
def test_larger_pictures_continue_smaller_ones(height, width, more):
    small, large = draw((1, 3, height, width), cell=16), draw((1, 3, height + more, width + more), cell=16)
    assert torch.equal(large[..., :height, :width], small)


def test_a_cell_is_the_generator_of_its_seed_draw_row_and_column():
    """The values themselves are a promise: the same seed gives the same picture in the next release."""
    field = NoiseField((7,), cell=4)
    field(torch.zeros(1, 2, 9, 14))
    second = field(torch.zeros(1, 2, 9, 14))
    expected = np.random.default_rng([7, 1, 2, 3]).standard_normal((2, 4, 4), np.float32)
    np.testing.assert_array_equal(second[0, :, 8:, 12:].numpy(), expected[:, :1, :2])


def test_does_not_depend_on_batch_place_channels_or_dtype():
    batch = draw((3, 3, 20, 20), seeds=(5, 9, 5))
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(batch[1], draw((1, 3, 20, 20), seeds=(9,))[0])
    assert torch.equal(batch[:, :1], draw((3, 1, 20, 20), seeds=(5, 9, 5)))
    double = NoiseField((5,))(torch.zeros(1, 3, 20, 20, dtype=torch.float64))
    assert double.dtype == torch.float64
    assert torch.equal(double.float(), batch[:1])
    half = NoiseField((5,))(torch.zeros(1, 3, 20, 20, dtype=torch.bfloat16))
    assert torch.equal(half, batch[:1].bfloat16())


def test_each_call_is_the_next_draw():
    field, like = NoiseField((3,)), torch.zeros(1, 3, 8, 8)
    first, second = field(like), field(like)
    assert not torch.equal(first, second)
    box = Box(0, 0, 8, 8)
    assert torch.equal(field.window(0, box, 3), first)
    assert torch.equal(field.window(1, box, 3), second)
    assert torch.equal(NoiseField((3,))(like), first)


def test_wants_one_seed_for_each_image():
    with pytest.raises(ValueError, match="2 images and 1 seed"):
        NoiseField((1,))(torch.zeros(2, 3, 4, 4))


def test_is_standard_normal():
    """900 000 values: mean within 5 / sqrt(n), variance within 5 * sqrt(2 / n); Kolmogorov and Smirnov at a
    fixed seed.
    """
    values = draw((1, 4, 500, 450), seeds=(11,)).flatten().double().numpy()
    n = len(values)
    assert abs(values.mean()) < 5 / n**0.5
    assert abs(values.var() - 1) < 5 * (2 / n) ** 0.5
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert abs(stats.kurtosis(values)) < 5 * (24 / n) ** 0.5


def test_seeds_draws_channels_cells_and_neighbours_are_independent():
    """Correlations of 4096 values each are within 5 / sqrt(4096) = 0.08 of 0, those of one value with itself
    are 1.
    """
    field, like = NoiseField((0, 1, 2**40)), torch.zeros(3, 2, 64, 130)
    fields = torch.stack([field(like), field(like)])
    cells = [fields[..., :64], fields[..., 64:128], fields[..., 1:65], fields[..., 2:66]]
    flat = torch.cat([cell.reshape(-1, 4096) for cell in cells]).numpy()
    correlations = np.corrcoef(flat)
    assert np.abs(correlations - np.eye(len(flat))).max() < 5 / 64


def test_seeds_beyond_32_bits_are_seeds():
    pictures = [draw((1, 1, 8, 8), seeds=(seed,)) for seed in (0, 1, 2**32, 2**32 + 1, 2**63)]
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(pictures, 2))


def test_large_draws_are_made_in_threads_and_are_the_same(monkeypatch):
    """So that a GPU waits less; a small draw is not worth a thread."""
    used = set()
    real = np.random.default_rng

    def noted(seed):
        used.add(threading.get_ident())
        return real(seed)

    monkeypatch.setattr(np.random, "default_rng", noted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    small = draw((2, 3, 500, 300))
    assert used == {threading.get_ident()}
    monkeypatch.setattr(noise, "THREADED_SIZE", small.numel())
    used.clear()
    assert torch.equal(draw((2, 3, 500, 300)), small)
    assert threading.get_ident() not in used
    assert len(used) in (1, 2)  # one may have done all before the other began
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    used.clear()
    assert torch.equal(draw((2, 3, 500, 300)), small)
    assert used == {threading.get_ident()}


def test_what_goes_wrong_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(noise, "THREADED_SIZE", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(ValueError, match="negative"):
        draw((1, 1, 8, 8), seeds=(-1,))


def test_a_large_picture_takes_milliseconds():
    """About 10 ms for 512 x 512 x 3; ten times that is a mistake, not a busy machine."""
    field, like = NoiseField((0,)), torch.zeros(1, 3, 512, 512)
    times = []
    for _ in range(5):
        start = time.process_time()
        field(like)
        times.append(time.process_time() - start)
    assert min(times) < 0.1
