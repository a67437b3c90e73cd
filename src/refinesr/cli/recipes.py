"""Recipes by name, changed by `--set`."""

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..run import Run

PREFIX = "recipe:"
"""Marks the name of a recipe, as a shipped model may have the same name."""

OPTIONS_FOR_FIELDS = {"start": "--from", "distance": "--perceptual or --lpips"}
"""Fields of a run that only these options may set, and not --set: the model card reports them."""


def recipe_named(name: str) -> "Run":
    """The recipe of that name, with or without `PREFIX`.  Raises ConfigError."""
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
    """A hint to the most similar of `names`, for an error message; empty if none is similar."""
    found = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean '{found[0]}'?" if found else ""


def with_settings(run: "Run", settings: tuple[str, ...]) -> "Run":
    """The run with the changes of `--set`.  Raises ConfigError."""
    from ..config import override

    made = override(run, *settings)
    for name, option in OPTIONS_FOR_FIELDS.items():
        if getattr(made, name) != getattr(run, name):
            raise ConfigError(f"--set: {name}: cannot be set; use {option}")
    return made
