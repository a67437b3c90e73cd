"""The model that verbs work with when none is named."""

import inspect
from collections.abc import Callable

import pytest

from refinesr.cli.fuse import fuse
from refinesr.cli.interpolate import interpolate
from refinesr.cli.upscale import upscale
from refinesr.shipped import shipped_names


@pytest.mark.parametrize("verb", [upscale, interpolate, fuse])
def test_it_is_a_shipped_one(verb: Callable[..., int]) -> None:
    assert inspect.signature(verb).parameters["model"].default in shipped_names()
