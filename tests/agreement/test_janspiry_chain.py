"""Whole chains of the public SR3 code, with its weights and its draws: every row of the table, x0 clipped."""

import json
from collections.abc import Iterator

import pytest
import torch
from recorded import arrays, found, relative
from test_janspiry_unet import configured, weights
from torch import Tensor

from refinesr.diffusion.labels import SqrtGamma, Timestep
from refinesr.diffusion.levels import Continuous, Discrete
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Even, Linear
from refinesr.images.reduction import Bicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.sources import Blank, Upsampled
from refinesr.stage import Stage

TABLE = Linear(1e-4, 0.1, 20)
VARIANTS = {
    "janspiry_sr3": (Upsampled(), SqrtGamma(), Continuous(TABLE)),
    "janspiry_sr3_unconditional": (Blank(), SqrtGamma(), Continuous(TABLE)),
    "janspiry_ddpm": (Upsampled(), Timestep(TABLE), Discrete(TABLE)),
}


def published(name: str) -> tuple[Stage, dict[str, Tensor]]:
    """The published model as one of ours, and what it was recorded doing."""
    source, label, levels = VARIANTS[name]
    config = json.loads(found(f"{name}.json").read_text())
    assert config["model"]["beta_schedule"]["val"] == {
        "schedule": "linear",
        "n_timestep": TABLE.rows,
        "linear_start": TABLE.first,
        "linear_end": TABLE.last,
    }
    method = Method(
        scale=1,
        channels=3,
        network=configured(name),
        source=source,
        precond=Eps(),
        label=label,
        levels=levels,
        target=Pixels(),
        degradation=Bicubic(1),
        sampling=Sampling(Ancestral(1.0), Even(TABLE), TABLE.rows, clip=True),
    )
    model = method.build().eval().requires_grad_(False)
    model.network.load_state_dict(weights(name), strict=True)
    return Stage(method, model), arrays(name)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_whole_chain_agrees_with_the_published_code(name: str) -> None:
    """Relative to the largest value.  1e-4 leaves room for other orders of summation over 20 calls; measured:
    at most 1.6e-6."""
    stage, recorded = published(name)
    low = recorded.get("lr_upsampled", torch.zeros_like(recorded["sample"]))
    draws: Iterator[Tensor] = iter(recorded["noise"])

    *_, last = stage(low, lambda like: next(draws))

    assert relative(last.image, recorded["sample"]) < 1e-4
    assert (last.done, last.total) == (20, 20)
    assert len(list(draws)) in (0, 1)  # the DDPM variant draws once more, and multiplies it by zero
