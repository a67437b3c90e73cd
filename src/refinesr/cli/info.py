"""`refinesr info`: what a model or a cascade is, and what it costs."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .messages import print_result
from .options import Flag, SamplingSettings

if TYPE_CHECKING:
    from .cascade_facts import CascadeFacts
    from .facts import Facts

EXAMPLES = """
Examples:

    refinesr info photo-x4
    refinesr info runs/a/model.safetensors --json
    refinesr info faces/              a cascade
    refinesr info recipe:photo-x4     the recipe of a shipped model's name
"""

WIDTH = 12
"""Of the names of facts, in characters."""


def info(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    steps: int | None = None,
    settings: SamplingSettings = (),
    json: Flag = False,
) -> int:
    """Describe a model or a recipe: method, size, training, noise levels and what is odd about them, licence.

    Of a cascade that is said of each stage, as it samples there.  Costs are counted for an input of 128 x 128
    pixels, of a cascade for the size that it makes, 2 operations for a multiplication with addition.

    Parameters
    ----------
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the Hugging Face
        Hub, a cascade (a folder with cascade.json, or such a file), or a recipe.  A shipped model comes
        before a recipe of its name; recipe:NAME is the recipe.
    steps
        Levels and calls for this many sampling steps; default: the model's choice.  Not for a cascade.
    json
        Print all of it as one line of JSON.
    """
    from ..chains import is_cascade_source, override_sampling
    from .cascade_facts import cascade_facts
    from .facts import facts, found

    if is_cascade_source(model):
        known: Facts | CascadeFacts = cascade_facts(model, steps, settings)
    else:
        subject = found(model)
        known = facts(replace(subject, method=override_sampling(subject.method, settings)), steps)
    print_result(*(as_json(known) if json else as_text(known)).split("\n"))
    return 0


def as_json(known: "Facts | CascadeFacts") -> str:
    return json.dumps(known.data())


def as_text(known: "Facts | CascadeFacts") -> str:
    rows = ((name if k == 0 else "", line) for name, lines in known.lines() for k, line in enumerate(lines))
    return "\n".join(f"{name:{WIDTH}}{line}".rstrip() for name, line in rows)
