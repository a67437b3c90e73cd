"""Recipes by name."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..run import Run

PREFIX = "recipe:"
"""Says that a recipe is meant where a shipped model has the same name."""


OPTIONS_FOR_FIELDS = {"start": "--from", "distance": "--perceptual or --lpips"}
"""What a card tells, and what says so: nobody else may."""


def recipe_named(name: str) -> "Run":
    """Raises ConfigError if there is none of that name."""
    from ..recipes import RECIPES

    bare = name.removeprefix(PREFIX)
    if bare not in RECIPES:
        hint = suggestion(bare, RECIPES)
        raise ConfigError(
            f"recipe: '{bare}' is none{hint}"
            if hint
            else f"recipe: '{bare}' is not one of {', '.join(RECIPES)}"
        )
    return RECIPES[bare]()


def suggestion(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean '{found[0]}'?" if found else ""


def with_settings(run: "Run", settings: tuple[str, ...]) -> "Run":
    """The run with what `--set` says.  Raises ConfigError."""
    from ..config import override

    made = override(run, *settings)
    for name, option in OPTIONS_FOR_FIELDS.items():
        if getattr(made, name) != getattr(run, name):
            raise ConfigError(f"--set: {name}: is not to be set; {option} does that")
    return made
