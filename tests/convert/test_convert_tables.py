"""Noise tables are known again by the buffers that published code stores."""

import math

import numpy as np
import pytest
import torch
from exports import Floats, cosine, stored, stored_by_palette

from refinesr.convert.tables import fits, shortest, table_of
from refinesr.diffusion.schedule import JSD, Constant, Cosine, Linear, Quadratic, Schedule, WarmUp


def rising(first: float, last: float, rows: int, share: float) -> Floats:
    betas = last * np.ones(rows)
    betas[: int(rows * share)] = np.linspace(first, last, int(rows * share))
    return betas


TABLES: list[tuple[Schedule, Floats]] = [
    (Linear(1e-6, 1e-2, 2000), np.linspace(1e-6, 1e-2, 2000)),
    (Linear(1e-4, 0.09, 1000), np.linspace(1e-4, 0.09, 1000)),
    (Linear(1.5e-5, 0.0123, 77), np.linspace(1.5e-5, 0.0123, 77)),
    (Quadratic(1e-4, 0.02, 100), np.linspace(1e-4**0.5, 0.02**0.5, 100) ** 2),
    (Constant(0.05, 30), 0.05 * np.ones(30)),
    (WarmUp(1e-4, 0.02, 50, 0.1), rising(1e-4, 0.02, 50, 0.1)),
    (WarmUp(1e-5, 0.03, 40, 0.5), rising(1e-5, 0.03, 40, 0.5)),
    (JSD(25), 1 / np.linspace(25, 1, 25)),
    (Cosine(100), cosine(100)),
    (Cosine(20), cosine(20)),
    (Cosine(1000, 0.008), cosine(1000)),
    (Cosine(50, 0.02), cosine(50, 0.02)),
    (Cosine(200, 0.0125), cosine(200, 0.0125)),
]


@pytest.mark.parametrize(("table", "betas"), TABLES, ids=[str(table) for table, _ in TABLES])
def test_a_table_is_known_by_its_buffers(table: Schedule, betas: Floats) -> None:
    """To the last digit of its ends: a table of the same betas, however it is called."""
    found = table_of(stored(betas))
    assert found is not None
    assert found == table or torch.equal(found.betas().float(), table.betas().float())
    assert fits(table, stored(betas))


@pytest.mark.parametrize(("table", "betas"), TABLES, ids=[str(table) for table, _ in TABLES])
def test_a_table_is_known_without_its_betas(table: Schedule, betas: Floats) -> None:
    """Palette stores none, and gammas near 1 in float32 have forgotten small betas."""
    found = table_of(stored_by_palette(betas))
    assert found is not None
    assert found == table or torch.equal(found.betas().float(), table.betas().float())


def test_the_ends_are_found_to_the_last_digit() -> None:
    assert table_of(stored(np.linspace(1e-6, 1e-2, 2000))) == Linear(1e-6, 1e-2, 2000)
    assert table_of(stored_by_palette(np.linspace(1e-6, 1e-2, 2000))) == Linear(1e-6, 1e-2, 2000)
    assert table_of(stored(cosine(100, 0.02))) == Cosine(100, 0.02)


def test_no_table_is_made_up() -> None:
    """SRDiff's `linear` ends in a beta of 0.999."""
    betas = np.linspace(1e-4, 0.02, 100)
    betas[-1] = 0.999
    assert table_of(stored(betas)) is None
    assert table_of(stored_by_palette(betas)) is None
    assert table_of({}) is None


@pytest.mark.parametrize("name", sorted(stored(np.linspace(1e-4, 0.1, 20))))
def test_every_buffer_has_to_fit(name: str) -> None:
    buffers = stored(np.linspace(1e-4, 0.1, 20))
    table = Linear(1e-4, 0.1, 20)
    assert fits(table, buffers)
    buffers[name][7] *= 1.001
    assert not fits(table, buffers)
    buffers[name] = buffers[name][:-1]
    assert not fits(table, buffers)


@pytest.mark.parametrize("other", [Linear(1e-4, 0.1, 21), Linear(1.01e-4, 0.1, 20), Quadratic(1e-4, 0.1, 20)])
def test_another_table_does_not_fit(other: Schedule) -> None:
    assert not fits(other, stored(np.linspace(1e-4, 0.1, 20)))


def test_numbers_are_read_as_somebody_wrote_them() -> None:
    for number in (1e-6, 0.09, 0.0123, 0.1, 2e-2):
        assert shortest(float(np.float32(number)), 2e-7) == number
    assert shortest(math.pi, 1e-12) == pytest.approx(math.pi, rel=1e-12)
    assert shortest(math.inf, 1e-6) == math.inf
