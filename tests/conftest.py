"""Shapes in annotations are checked in every call the tests make; this import hook switches it on."""

import os

# two workers on two cores; set before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("refinesr", "beartype.beartype")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Functions and such would be named by their address, and two workers would disagree about them."""
    return getattr(val, "__name__", type(val).__name__) if " at 0x" in repr(val) else None
