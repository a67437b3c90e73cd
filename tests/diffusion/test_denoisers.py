"""Combinators of denoisers, each by the law it is there for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from refinesr.diffusion.denoisers import DIHEDRAL, Dihedral, clipped, consistent, guided, mirrored, tiled
from refinesr.tiles import Box, Window, cover

SIGMA = torch.tensor(0.7, dtype=torch.float64)
RNG = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=RNG)


# --- tiled


class Local:
    """A small network: `layers` 3 x 3 convolutions between blocks of block x block pixels, each followed by
    tanh.

    What it says of a pixel depends on nothing farther than `reach`, not on the size of the picture, but on
    where the blocks lie: it has a stride.  Zeros around the picture, as in a network with padding.
    """

    def __init__(self, block, layers):
        self.block, self.reach = block, block * (layers + 1) - 1
        self.weights = [normal(2 * block**2, 2 * block**2, 3, 3) / block for _ in range(layers)]

    def __call__(self, x, sigma):
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.block, 0, -height % self.block))
        x = F.pixel_unshuffle(x, self.block)
        for weight in self.weights:
            x = torch.tanh(F.conv2d(x, weight, padding=1) + sigma)
        return F.pixel_shuffle(x, self.block)[..., :height, :width]


NETWORKS = {(block, layers): Local(block, layers) for block in (1, 2, 4) for layers in (1, 2)}


def in_tiles(denoise, height, width, **how):
    tiles = cover(height, width, **how)
    scale = how.get("scale", 1)
    return tiled([(tile.box.scaled(scale), tile.window, denoise) for tile in tiles])


@settings(deadline=None, max_examples=80)
@given(
    network=st.sampled_from(sorted(NETWORKS)),
    height=st.integers(1, 40),
    width=st.integers(1, 80),
    core=st.sampled_from([0, 1, 3, 8, 20]),
    blend=st.integers(1, 5),
)
def test_tiled_equals_whole_for_a_network_that_sees_no_farther_than_its_reach(
    network, height, width, core, blend
):
    """To rounding: every tile says the same of a pixel that its window counts; the mean is that too."""
    denoise, x = NETWORKS[network], normal(2, 2, height, width)
    by_tiles = in_tiles(
        denoise, height, width, core=core, reach=denoise.reach, stride=network[0], blend=blend
    )
    torch.testing.assert_close(by_tiles(x, SIGMA), denoise(x, SIGMA), rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=30)
@given(
    low=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    core=st.integers(1, 12),
    stride=st.sampled_from([1, 2]),
)
def test_tiled_equals_whole_when_the_windows_are_larger_than_the_boxes(low, core, stride):
    """Scale 2: boxes in low pixels, windows and states in high ones, a reach of 3 high pixels within 2 low
    ones.
    """
    denoise, (height, width) = NETWORKS[2, 1], low
    x = normal(1, 2, 2 * height, 2 * width)
    by_tiles = in_tiles(denoise, height, width, core=core, reach=2, stride=stride, scale=2)
    torch.testing.assert_close(by_tiles(x, SIGMA), denoise(x, SIGMA), rtol=0, atol=1e-13)


def test_tiled_in_single_precision_is_within_rounding():
    denoise = NETWORKS[2, 2]
    single = Local(2, 2)
    single.weights = [weight.float() for weight in denoise.weights]
    x = normal(1, 2, 61, 47).float()
    by_tiles = in_tiles(single, 61, 47, core=16, reach=single.reach, stride=2)
    torch.testing.assert_close(by_tiles(x, SIGMA), single(x, SIGMA), rtol=0, atol=2e-6)


@pytest.mark.parametrize("wrong", [{"reach": 1}, {"stride": 1}], ids=str)
def test_a_reach_or_a_stride_that_is_not_the_networks_leaves_seams(wrong):
    """So the law above is sharp: a reach short of a block, or corners that cut blocks, are seen."""
    denoise, x = NETWORKS[2, 1], normal(1, 2, 60, 61)
    right = {"core": 9, "reach": 3, "stride": 2}
    whole = denoise(x, SIGMA)
    assert (in_tiles(denoise, 60, 61, **right)(x, SIGMA) - whole).abs().max() < 1e-13
    assert (in_tiles(denoise, 60, 61, **right | wrong)(x, SIGMA) - whole).abs().max() > 1e-6


def test_tiled_blends_by_the_windows():
    """Two tiles that say 0 and 1 over a shared strip of windows 1/4 and 3/4."""

    def window(*across):
        return Window(torch.ones(1), torch.tensor(across))

    parts = [
        (Box(0, 0, 1, 2), window(1.0, 0.25), lambda x, sigma: torch.zeros_like(x)),
        (Box(0, 1, 1, 2), window(0.75, 1.0), lambda x, sigma: torch.ones_like(x)),
    ]
    assert tiled(parts)(torch.zeros(1, 1, 1, 3), SIGMA).flatten().tolist() == [0, 0.75, 1]


# --- mirrored and Dihedral


def test_there_are_eight_ways_to_lay_a_square_and_each_has_its_way_back():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    laid = {tuple(way.apply(x).flatten().tolist()) for way in DIHEDRAL}
    assert len(laid) == len(DIHEDRAL) == 8
    assert all(torch.equal(way.invert(way.apply(x)), x) for way in DIHEDRAL)
    assert DIHEDRAL[0] == Dihedral(0, False)
    assert torch.equal(DIHEDRAL[0].apply(x), x)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(-4, 7), st.booleans())
def test_back_undoes_any_turn_of_any_rectangle(height, width, turns, flip):
    x = torch.rand(2, 3, height, width)
    assert torch.equal(Dihedral(turns, flip).invert(Dihedral(turns, flip).apply(x)), x)


def everywhere(denoise):
    return mirrored([(way, denoise) for way in DIHEDRAL])


def test_mirrored_changes_nothing_for_a_network_without_a_direction():
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], dtype=torch.float64).view(
        1, 1, 3, 3
    )

    def blurred(x, sigma):
        return F.conv2d(x, kernel / 16, padding=1) * sigma

    x = normal(2, 1, 9, 12)
    torch.testing.assert_close(everywhere(blurred)(x, SIGMA), blurred(x, SIGMA), rtol=0, atol=1e-14)


def test_mirrored_has_no_direction_whatever_the_network():
    denoise, x = NETWORKS[1, 2], normal(2, 2, 8, 11)
    said = everywhere(denoise)(x, SIGMA)
    for way in DIHEDRAL:
        torch.testing.assert_close(
            everywhere(denoise)(way.apply(x), SIGMA), way.apply(said), rtol=0, atol=1e-14
        )
    assert not torch.allclose(said, denoise(x, SIGMA))


def test_mirrored_asks_each_denoiser_about_the_picture_laid_its_way():
    """Each knows its own condition: here the picture it must see."""
    x = normal(1, 1, 3, 4)

    def expecting(way):
        def denoise(y, sigma):
            assert torch.equal(y, way.apply(x))
            return y

        return denoise

    torch.testing.assert_close(mirrored([(way, expecting(way)) for way in DIHEDRAL])(x, SIGMA), x)


# --- others


def test_clipped_stays_in_range_and_leaves_what_is():
    x = torch.tensor([-3.0, -1.0, 0.5, 1.0, 2.0]).view(1, 1, 1, 5)
    assert clipped(lambda x, sigma: x)(x, SIGMA).flatten().tolist() == [-1, -1, 0.5, 1, 1]


def test_consistent_projects_every_estimate():
    """Onto the pictures whose mean is 0.3."""
    kept = consistent(lambda x, sigma: x * sigma, lambda x0: x0 - x0.mean() + 0.3)
    x = normal(1, 1, 4, 4)
    torch.testing.assert_close(kept(x, SIGMA), 0.7 * (x - x.mean()) + 0.3)


@pytest.mark.parametrize("weight", [0.0, 1.0, 4.0])
def test_guided_is_classifier_free_guidance_in_the_papers_units(weight):
    """Ho and Salimans 2022, eq. 6: eps = (1 + w) eps_c - w eps_u with w = weight - 1."""
    sigma, x = float(SIGMA), normal(1, 1, 4, 4)

    def with_class(x, sigma):
        return 0.5 * x + 0.1

    def without(x, sigma):
        return 0.2 * x - 0.3

    eps_c, eps_u = (x - with_class(x, SIGMA)) / sigma, (x - without(x, SIGMA)) / sigma
    eps = weight * eps_c - (weight - 1) * eps_u
    torch.testing.assert_close(guided(with_class, without, weight)(x, SIGMA), x - sigma * eps)


def test_combinators_nest():
    """In any order, for sigma of one number or one an image.  Guidance of a denoiser by itself is that
    denoiser, and clipping each way of looking differs from clipping their mean.
    """
    denoise = NETWORKS[1, 1]
    x = normal(2, 2, 12, 12)

    def seen(x, sigma):
        return 2 * denoise(x, sigma.view(-1, 1, 1, 1))

    looks = [way.invert(seen(way.apply(x), SIGMA)) for way in DIHEDRAL]
    clipped_mean = (sum(looks) / 8).clamp(-1, 1)
    mean_of_clipped = sum(look.clamp(-1, 1) for look in looks) / 8
    assert not torch.allclose(clipped_mean, mean_of_clipped)

    def guiding(d):
        return guided(d, d, 3.0)

    expected = {
        (clipped, everywhere): clipped_mean,
        (everywhere, clipped): mean_of_clipped,
        (clipped, guiding): looks[0].clamp(-1, 1),
        (guiding, clipped): looks[0].clamp(-1, 1),
        (everywhere, guiding): sum(looks) / 8,
        (guiding, everywhere): sum(looks) / 8,
    }
    for (outer, inner), said in expected.items():
        for sigma in (SIGMA, SIGMA.expand(2)):
            torch.testing.assert_close(outer(inner(seen))(x, sigma), said, rtol=0, atol=1e-13)
