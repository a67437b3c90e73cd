"""Functions that take long, as generators: they yield (done, total) after each step and return a result."""

from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

Steps = Generator[tuple[int, int], None, Result]
"""Yields how many steps are done, of how many in all; returns the result."""


def finish(steps: Steps[Result], show: Callable[[int, int], object] | None = None) -> Result:
    """Run the generator to its end and return its result; `show(done, total)` is called after each step."""
    while True:
        try:
            done, total = next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if show is not None:
            show(done, total)


def at_once(function: Callable[Arguments, Steps[Result]]) -> Callable[Arguments, Result]:
    """The same function without its steps: a call returns the result."""

    @wraps(function)
    def call(*args: Arguments.args, **named: Arguments.kwargs) -> Result:
        return finish(function(*args, **named))

    return call
