"""`refinesr info`: what a model is, and what it costs."""

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .messages import tell

if TYPE_CHECKING:
    from .facts import Facts

EXAMPLES = """
Examples:

    refinesr info photo-x4
    refinesr info runs/a/model.safetensors --json
    refinesr info recipe:photo-x4     the recipe of a shipped model's name
"""

WIDTH = 12
"""Of the names of facts, in characters."""


def info(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    steps: int | None = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Describe a model or a recipe: method, size, training, noise levels and what is odd about them, licence.

    Costs are counted for an input of 128 x 128 pixels, 2 operations for a multiplication with addition.

    Parameters
    ----------
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the Hugging Face
        Hub, or a recipe.  A shipped model comes before a recipe of its name; recipe:NAME is the recipe.
    steps
        Levels and calls for this many sampling steps; default: the model's choice.
    json
        Print all of it as one line of JSON.
    """
    from .facts import facts, found

    known = facts(found(model), steps)
    tell(as_json(known) if json else as_text(known))
    return 0


def as_json(known: "Facts") -> str:
    return json.dumps(known.data())


def as_text(known: "Facts") -> str:
    rows = ((name if k == 0 else "", line) for name, lines in known.lines() for k, line in enumerate(lines))
    return "\n".join(f"{name:{WIDTH}}{line}" for name, line in rows)
