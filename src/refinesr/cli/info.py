"""`refinesr info`: facts about a model, a cascade or a recipe."""

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
    refinesr info recipe:photo-x4     the recipe with the name of a shipped model
"""

WIDTH = 12
"""Characters of the column of names."""


def info(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    steps: int | None = None,
    settings: SamplingSettings = (),
    json: Flag = False,
) -> int:
    """Describe a model, a cascade or a recipe: method, size, cost, training, noise levels, licence.

    The noise levels are checked for problems.  Costs are for an input of 128 x 128 pixels, or for a cascade's
    own size; a multiply-add counts as 2 operations.

    Parameters
    ----------
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the
        Hugging Face Hub, a cascade (cascade.json or the folder it is in), or a recipe.  If a shipped model
        and a recipe have the same name, recipe:NAME is the recipe.
    steps
        Number of sampling steps to show levels and calls for; default: the model's own.  Not for a cascade.
    json
        Print everything as one line of JSON.
    """
    from ..cascade_files import is_cascade_source, override_sampling
    from .cascade_facts import cascade_facts
    from .facts import facts, subject_named

    if is_cascade_source(model):
        known: Facts | CascadeFacts = cascade_facts(model, steps, settings)
    else:
        subject = subject_named(model)
        known = facts(replace(subject, method=override_sampling(subject.method, settings)), steps)
    print_result(*(as_json(known) if json else as_text(known)).split("\n"))
    return 0


def as_json(known: "Facts | CascadeFacts") -> str:
    return json.dumps(known.data())


def as_text(known: "Facts | CascadeFacts") -> str:
    rows = ((name if k == 0 else "", line) for name, lines in known.lines() for k, line in enumerate(lines))
    return "\n".join(f"{name:{WIDTH}}{line}".rstrip() for name, line in rows)
