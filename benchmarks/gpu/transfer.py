"""The files that transfer a training from one machine to another: small, and enough to continue.

model.safetensors    the averaged weights in 16 bits: a model like any other
weights.safetensors  the weights themselves in bfloat16, and if wanted the optimiser's moments
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from refinesr import load
from refinesr.checkpoint import save_stage
from refinesr.errors import CheckpointError
from refinesr.fit import State
from refinesr.run import Run
from refinesr.stage import Stage

MODEL, WEIGHTS = "model.safetensors", "weights.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")
"""AdamW's two, Muon's one."""


def save_transfer(run: Run, state: State, folder: Path, *, moments: bool = False) -> list[Path]:
    """Write both files; the model first."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(run.method, state.average, run.card_after(state.step))
    save_stage(stage, folder / MODEL, dtype=torch.float16, overwrite=True)
    tensors = {f"model.{name}": tensor for name, tensor in state.model.state_dict().items()}
    tensors |= dict(moments_of(state)) if moments else {}
    small = {name: tensor.detach().to("cpu", torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    save_file(small, folder / WEIGHTS, {"step": str(state.step)})
    return [folder / MODEL, folder / WEIGHTS]


def moments_of(state: State) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in state.model.named_parameters():
        for moment in MOMENTS:
            if moment in state.optimizer.state[parameter]:
                yield f"{moment}.{name}", state.optimizer.state[parameter][moment]


def load_transfer(state: State, source: Path) -> None:
    """Load transferred files, or only the weights of a model file, into a new state.

    The updates are counted anew, so that a plan begins with its warm-up.  Raises CheckpointError if the
    weights are of another network.
    """
    average = load(source).model.state_dict()
    stored = tensors(source / WEIGHTS) if (source / WEIGHTS).is_file() else {}
    own = {name.removeprefix("model."): t for name, t in stored.items() if name.startswith("model.")}
    try:
        state.average.load_state_dict(average)
        state.model.load_state_dict(own or average)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{source}: weights of another network: {reason}") from error
    if any(name.startswith(MOMENTS) for name in stored):
        restore_moments(state, stored)


def restore_moments(state: State, stored: dict[str, Tensor]) -> None:
    """The optimiser's moments, as of many updates: their bias has long been corrected."""
    for name, parameter in state.model.named_parameters():
        names = {moment: f"{moment}.{name}" for moment in MOMENTS}
        made = {
            moment: torch.empty_like(parameter).copy_(stored[key])
            for moment, key in names.items()
            if key in stored
        }
        if not made:
            continue  # what is frozen has none
        step = torch.tensor(float(stored["step"]), device=parameter.device)
        state.optimizer.state[parameter] = {"step": step, **made}


def tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        found = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        return {**found, "step": torch.tensor(float((file.metadata() or {}).get("step", 0)))}
