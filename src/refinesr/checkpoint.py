"""A model is one .safetensors file: weights, and in its metadata the method and the card as JSON.

Nothing in it is executed.  Weights may be stored in 16 bits; `load_stage` always gives float32.  Equal models
make equal files, byte for byte.
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
SPARE = 1_000
"""Weights that a method may need beyond those in its file: so many can be named as missing."""
PICKLES = (".pt", ".pth", ".ckpt", ".bin")
PICKLED = (b"PK\x03\x04", b"\x80")
"""How torch's files begin: a zip archive with a pickle in it, or a pickle as it is."""


def save_stage(
    stage: Stage, path: str | Path, *, dtype: torch.dtype | None = None, overwrite: bool = False
) -> None:
    """`dtype` is that of the stored weights, theirs if None.  Raises OutputError."""
    weights = {
        name: tensor.detach().cpu().to(dtype if dtype and tensor.is_floating_point() else tensor.dtype)
        for name, tensor in stage.model.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "method": json.dumps(to_data(stage.method)),
        "card": json.dumps(to_data(stage.card)),
    }
    header, body = parts({name: tensor.contiguous() for name, tensor in weights.items()}, metadata)
    with replacing(Path(path), overwrite=overwrite) as part, part.open("wb") as file:
        file.write(header)
        file.write(body)


def parts(weights: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, memoryview]:
    """The file in two parts.  The library writes the metadata in an order that changes from call to call."""
    data = memoryview(save(weights, metadata))
    end = 8 + struct.unpack("<Q", data[:8])[0]
    entries = {**json.loads(bytes(data[8:end])), "__metadata__": metadata}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers after it stay aligned
    return struct.pack("<Q", len(text)) + text, data[end:]


def load_stage(path: str | Path) -> Stage:
    """The model in a file, in float32 on the CPU, ready to be used.

    Raises CheckpointError if the file is not a model of ours or its weights are not its method's, ConfigError
    if the method or the card in it makes no sense.
    """
    path = Path(path)
    weights, metadata = contents(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format: {short_json(metadata.get('format'))} is not '{FORMAT}'")
    method = from_data(Method, described(path, metadata, "method"), str(path), path="method")
    card = from_data(Card, described(path, metadata, "card"), str(path), path="card")
    return Stage(method, filled(path, method, weights), card)


def filled(
    path: Path, method: Method, weights: dict[str, Tensor], theirs: Callable[[str], str] = str
) -> Model:
    """The module of a method with the weights of a file, in float32, at rest.

    `theirs` says what a tensor of the module is called there.  Raises CheckpointError if they do not fit.
    """
    model = hollow(path, method, len(weights) + SPARE)
    wanted = model.state_dict()
    agree(path, weights, {theirs(name): tensor for name, tensor in wanted.items()})
    # copies: what is only mapped would change, or be gone, with the file
    ready = {
        name: weights[theirs(name)].to(
            torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True
        )
        for name, tensor in wanted.items()
    }
    model.load_state_dict(ready, assign=True)
    return model.eval().requires_grad_(False)


def hollow(path: Path, method: Method, most: int) -> Model:
    """The module of a method out of a file, its weights sizes only.

    Raises CheckpointError if it would have more than `most`, before they fill the memory, or sizes that
    nothing has.
    """
    thread, made = get_ident(), count(1)

    def counted(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        if get_ident() == thread and next(made) > most:  # other threads build networks of their own
            raise CheckpointError(f"{path}: method: needs more weights than the file could hold")

    watch = register_module_parameter_registration_hook(counted)
    try:
        with torch.device("meta"):
            return method.build()
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise CheckpointError(f"{path}: method: no network has such sizes ({reason})") from error
    finally:
        watch.remove()


def contents(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a .safetensors file.

    Raises CheckpointError for any other; a pickle, which may run code when it is opened, stays closed.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        if pickled(path):
            if in_run(path):
                raise CheckpointError(f"{path}: {OF_RUN}, {path.parent}; give that")
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


OF_RUN = "is the state of a run, to train on from; its model is in the run's folder"


def in_run(path: Path) -> bool:
    """Whether it lies where a run of ours keeps its state."""
    return path.name == "state.pt" and path.with_name("run.json").is_file()


def pickled(path: Path) -> bool:
    """Whether the file begins as those of `torch.save` do, whatever its name.

    One of safetensors begins with any number of 8 bytes, then a brace.
    """
    with path.open("rb") as file:
        start = file.read(9)
    return start.startswith(PICKLED) and start[8:] != b"{"


def described(path: Path, metadata: dict[str, str], name: str) -> object:
    """Plain data out of the metadata."""
    if name not in metadata:
        raise CheckpointError(f"{path}: its metadata holds no {name!r}")
    return parse(metadata[name], f"{path}: {name}")


def agree(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raises CheckpointError naming what is missing, unknown, of another shape or not finite.

    Neither random weights nor black pictures come out of a file that does not fit.
    """
    wrong = [f"{name} is missing" for name in wanted if name not in found]
    wrong += [f"{printable_name(name)} is unknown" for name in found if name not in wanted]
    wrong += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    wrong += [
        f"{name} is {found[name].dtype}, not {tensor.dtype}".replace("torch.", "")
        for name, tensor in wanted.items()
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
