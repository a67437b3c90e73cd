"""Model files: one .safetensors file with the weights, and in its metadata the method and the card as JSON.

Nothing in a file is executed.  Weights may be stored in 16 bits; `load_stage` always returns float32.  Equal
models give equal files, byte for byte.
"""

import json
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import get_ident

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from refinesr.config import from_data, parse, to_data
from refinesr.config.messages import printable_name, short_json
from refinesr.errors import CheckpointError
from refinesr.files import is_utf8, replacing
from refinesr.method import Method
from refinesr.model import Model
from refinesr.stage import Card, Stage

FORMAT = "refinesr-1"
MAX_MISSING = 1_000
"""Tolerated number of weights that a method needs beyond those in its file, so that they can be listed."""
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
PICKLE_MAGIC = (b"PK\x03\x04", b"\x80")
"""First bytes of the files of `torch.save`: a zip archive that contains a pickle, or a plain pickle."""


def save_stage(
    stage: Stage, path: str | Path, *, dtype: torch.dtype | None = None, overwrite: bool = False
) -> None:
    """Writes the model to a file; with `dtype`, floating-point weights are stored in that type.

    Raises OutputError.
    """
    weights = {
        name: tensor.detach().cpu().to(dtype if dtype and tensor.is_floating_point() else tensor.dtype)
        for name, tensor in stage.model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "method": json.dumps(to_data(stage.method)),
        "card": json.dumps(to_data(stage.card)),
    }
    header, body = serialized({name: tensor.contiguous() for name, tensor in weights.items()}, metadata)
    with replacing(Path(path), overwrite=overwrite) as part, part.open("wb") as file:
        file.write(header)
        file.write(body)


def serialized(weights: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """The bytes of the file, as header and body.

    Rewrites the header that safetensors makes, as its order of the metadata changes from call to call.
    """
    data = memoryview(save(weights, metadata))
    end = 8 + struct.unpack("<Q", data[:8])[0]
    entries = {**json.loads(bytes(data[8:end])), "__metadata__": metadata}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensors
    return struct.pack("<Q", len(text)) + text, data[end:]


def load_stage(path: str | Path) -> Stage:
    """The model of a file, in float32 on the CPU, in evaluation mode.

    Raises CheckpointError if the file is not a RefineSR model or its weights do not fit its method,
    ConfigError if its method or card is invalid.
    """
    path = Path(path)
    weights, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format: {short_json(metadata.get('format'))} is not '{FORMAT}'")
    method = from_data(Method, parsed_metadata(path, metadata, "method"), str(path), path="method")
    card = from_data(Card, parsed_metadata(path, metadata, "card"), str(path), path="card")
    return Stage(method, model_with_weights(path, method, weights), card)


def model_with_weights(
    path: Path, method: Method, weights: dict[str, Tensor], key_in_file: Callable[[str], str] = str
) -> Model:
    """The model of a method with the weights of a file: float32, evaluation mode, no gradients.

    `key_in_file` maps a key of the model's state dict to the tensor's name in the file.  Raises
    CheckpointError if the weights do not fit.
    """
    model = model_on_meta(path, method, len(weights) + MAX_MISSING)
    expected = model.state_dict()
    check_weights(path, weights, {key_in_file(name): tensor for name, tensor in expected.items()})
    # copies, as memory-mapped tensors would change or vanish with the file
    loaded = {
        name: weights[key_in_file(name)].to(
            torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True
        )
        for name, tensor in expected.items()
    }
    model.load_state_dict(loaded, assign=True)
    return model.eval().requires_grad_(False)


def model_on_meta(path: Path, method: Method, limit: int) -> Model:
    """The model of a method on the meta device: shapes without data.

    Raises CheckpointError if it has more than `limit` parameter tensors, before they exhaust the memory, or
    impossible sizes.
    """
    thread, numbers = get_ident(), count(1)

    def check_count(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        if get_ident() == thread and next(numbers) > limit:  # other threads may build networks, too
            raise CheckpointError(f"{path}: method: needs more weights than the file could hold")

    hook = register_module_parameter_registration_hook(check_count)
    try:
        with torch.device("meta"):
            return method.build()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(f"{path}: method: no network has such sizes ({reason})") from error
    finally:
        hook.remove()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a .safetensors file.

    Raises CheckpointError for any other file.  A pickle, which may run code when it is loaded, is not opened.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        if is_pickled(path):
            if is_run_state(path):
                raise CheckpointError(f"{path}: {RUN_STATE}, {path.parent}; give that")
            advice = f"refinesr convert {path} -o MODEL.safetensors"
            raise CheckpointError(f"{path}: a pickled checkpoint, which is not opened; try: {advice}")
        if not is_utf8(str(path)):
            why = "safetensors opens no file whose path is no UTF-8; rename it, or its folder"
            raise CheckpointError(f"{str(path)!r}: {why}")
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


RUN_STATE = "is the state of a run, to train on from; its model is in the run's folder"


def is_run_state(path: Path) -> bool:
    """Whether the file is the training state in the folder of a run."""
    return path.name == "state.pt" and path.with_name("run.json").is_file()


def is_pickled(path: Path) -> bool:
    """Whether the file begins like one of `torch.save`, whatever its name.

    A .safetensors file begins with 8 bytes, the length of its header, and a brace.
    """
    with path.open("rb") as file:
        start = file.read(9)
    return start.startswith(PICKLE_MAGIC) and start[8:] != b"{"


def parsed_metadata(path: Path, metadata: dict[str, str], name: str) -> object:
    """The JSON value of an entry of the metadata.  Raises CheckpointError if it is missing."""
    if name not in metadata:
        raise CheckpointError(f"{path}: its metadata holds no {name!r}")
    return parse(metadata[name], f"{path}: {name}")


def check_weights(path: Path, found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raises CheckpointError naming missing and unknown tensors, and those of wrong shape, type or values.

    A model therefore never runs with randomly initialised weights.
    """
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{printable_name(name)} is unknown" for name in found if name not in expected]
    wrong += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} is {found[name].dtype}, not {tensor.dtype}".replace("torch.", "")
        for name, tensor in expected.items()
        if name in found and found[name].is_floating_point() != tensor.is_floating_point()
    ]
    wrong += [
        f"{name} holds NaN or infinity"
        for name, tensor in found.items()
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all())  # as it will be used
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(f"{path}: weights do not fit the method: {'; '.join(wrong[:3])}{more}")
