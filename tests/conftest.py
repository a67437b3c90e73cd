"""Shapes in annotations are checked in every call the tests make; this import hook switches it on."""

import os
from collections.abc import Iterator

# two workers on two cores; set before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest
from jaxtyping import install_import_hook

install_import_hook("refinesr", "beartype.beartype")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Types are not checked, as they are not for users."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Functions and such would be named by their address, and two workers would disagree about them."""
    return getattr(val, "__name__", type(val).__name__) if " at 0x" in repr(val) else None
