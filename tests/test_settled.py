"""Whether a seed matters is known beforehand: said of a link, and seen in what two seeds make."""

from dataclasses import replace

import numpy as np
import pytest
from cascades import FORGIVING
from methods import packed, photo, plain, stage

from refinesr.cascade import Cascade, Link
from refinesr.diffusion.precond import Blind
from refinesr.restore import Options, picture_of, restore_picture
from refinesr.stage import Stage

CAT = picture_of(photo(20, 40, 12, 14))
BLIND = stage(replace(plain(2), precond=Blind()))


def mixed(fidelity: float, mean: float | None) -> Stage:
    method = packed(2)
    return stage(replace(method, sampling=replace(method.sampling, fidelity=fidelity, mean=mean)))


@pytest.mark.parametrize(
    ("link", "settled"),
    [
        (Link(BLIND), True),
        (Link(mixed(1.0, 40.0)), True),
        (Link(mixed(1.0, None)), False),
        (Link(mixed(0.5, 40.0)), False),
        (Link(mixed(0.0, 40.0)), False),
        (Link(stage(plain(2))), False),
    ],
)
def test_a_link_is_settled_if_two_seeds_make_one_picture(link: Link, settled: bool) -> None:
    assert link.deterministic == settled == one_picture(Cascade((link,)))


def test_noise_that_a_stage_is_given_unsettles_it() -> None:
    method = replace(FORGIVING.method, precond=Blind())
    for level, settled in ((0.0, True), (0.2, False)):
        chain = Cascade((Link(BLIND), Link(stage(method), level=level)))
        assert chain.links[1].deterministic == settled == one_picture(chain)


def one_picture(cascade: Cascade) -> bool:
    pictures = [list(restore_picture(cascade, CAT, Options(seed=seed)))[-1].image.pixels for seed in (0, 1)]
    return np.array_equal(*pictures)
