"""Finding and loading a model: a shipped name, a file, a folder, or a repository of the Hugging Face Hub."""

import difflib
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from textwrap import shorten

from refinesr.checkpoint import PICKLES, load_stage
from refinesr.devices import device_named
from refinesr.errors import CheckpointError, ConfigError
from refinesr.stage import Stage
from refinesr.validation import type_error_text

FILE = "model.safetensors"
CASCADE = "cascade.json"


def load(source: str | Path, *, device: str = "cpu") -> Stage:
    """Load a trained model, in float32.

    source  a shipped name (`shipped_names()`), a .safetensors file, a folder that holds model.safetensors, or
            OWNER/NAME on the Hugging Face Hub (needs the `hub` extra, and the network unless it is cached)
    device  where to put the weights: 'auto' (CUDA, then MPS, then the CPU), 'cpu', 'cuda', 'mps'

    Raises CheckpointError if there is no such model or the file is not one, ConfigError if its method makes
    no sense, `source` is of another type, or the device is not there.
    """
    place = device_named(device)
    with model_file(source) as path:
        stage = load_stage(path)
    stage.model.to(place)
    return stage


def load_with_checksum(source: str | Path) -> tuple[Stage, str, str]:
    """The model that `load` returns, the name of its file, and the file's SHA-256."""
    with model_file(source) as path:
        stage = load_stage(path)
        with path.open("rb") as data:
            checksum = hashlib.file_digest(data, "sha256").hexdigest()
    return stage, Path(source).resolve().name, checksum


@contextmanager
def model_file(source: str | Path) -> Iterator[Path]:
    """The path of the model's file, valid within the context; `source` and errors are those of `load`."""
    check_source(source)
    name, path = str(source), Path(source)
    if os.path.isfile(path) or path.suffix in (".safetensors", *PICKLES):
        yield path
    elif name in shipped_names() and not os.path.isfile(path / FILE):
        with as_file(weights_folder() / f"{name}.safetensors") as file:
            yield file
    elif os.path.isdir(path):
        if os.path.isfile(path / CASCADE) and not os.path.isfile(path / FILE):
            raise CheckpointError(f"{path}: holds a cascade, not a model; load_cascade loads it")
        yield path / FILE
    elif re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        yield download(name)
    else:
        raise unknown_model(name)


def check_source(source: object, right: str = "a name or a path") -> None:
    """Raises ConfigError for what is neither a string nor a path, CheckpointError for the empty string."""
    if not isinstance(source, str | Path):
        raise ConfigError(f"model: {type_error_text(source, right)}")
    if source == "":
        raise unknown_model(source)


def unknown_model(name: str) -> CheckpointError:
    """The error for a name that no model has."""
    return CheckpointError(f"model: {name[:60]!r} is no shipped model, file or folder; {suggestion(name)}")


def suggestion(name: str) -> str:
    """A shipped name close to `name`, or all of them."""
    near = difflib.get_close_matches(name, shipped_names(), 1)
    return f"did you mean '{near[0]}'?" if near else f"shipped are: {', '.join(shipped_names()) or 'none'}"


def shipped_names() -> list[str]:
    """Names of the models in the package, sorted."""
    names = (file.name for file in weights_folder().iterdir())
    return sorted(name.removesuffix(".safetensors") for name in names if name.endswith(".safetensors"))


def weights_folder() -> Traversable:
    return files("refinesr") / "weights"


def download(repository: str) -> Path:
    """Path of the repository's model file in the local cache of the Hub, downloaded if it is not there."""
    try:
        from huggingface_hub import hf_hub_download, logging
    except ImportError as error:
        install = "to load it from the Hugging Face Hub: pip install 'refinesr[hub]'"
        raise CheckpointError(f"{repository}: no such file or folder; {install}") from error
    level = logging.get_verbosity()
    # it would print a line for every retry
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return Path(hf_hub_download(repository, FILE))
    except Exception as error:  # of huggingface_hub, of its HTTP library, or of the system
        reason = shorten(" ".join(str(error).split()), 160, placeholder=" ...")
        raise CheckpointError(
            f"{repository}: no such file or folder, and no {FILE} to be had from the Hub: {reason}"
        ) from error
    finally:
        logging.set_verbosity(level)
