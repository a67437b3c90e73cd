"""The files in the folder of a run.

- run.json: the `Run`
- model.safetensors: the averaged weights, written at every save
- state.pt: everything that an exact continuation needs
- log.jsonl: one line for every update: step, loss, gradient norm, learning rate
- held_out.jsonl: one line for every measurement on held-out pictures, if there are any
- best.safetensors: the averaged weights of the lowest held-out loss
- previews/STEP.png: rows of: base, estimate, truth
- .lock: empty; locked by the process that trains here, as long as it lives
"""

from dataclasses import dataclass
from pathlib import Path

from refinesr.errors import OutputError
from refinesr.files import check_unlocked


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files in the folder of a run."""

    path: Path

    @property
    def run(self) -> Path:
        return self.path / "run.json"

    @property
    def model(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def state(self) -> Path:
        return self.path / "state.pt"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def held_out(self) -> Path:
        return self.path / "held_out.jsonl"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    def preview(self, step: int) -> Path:
        return self.path / "previews" / f"{step:07d}.png"


def check_folder(files: RunFolder, resume: bool) -> None:
    """Raise OutputError if a run cannot start, or resume, in this folder."""
    check_unlocked(files.path)
    check_files(files, resume)


def check_files(files: RunFolder, resume: bool) -> None:
    """Raise OutputError if there is no state to resume, or a run that a fresh start would overwrite."""
    if resume and not files.state.exists():
        raise OutputError(f"{files.path}: no run to resume here; start one without --resume")
    if not resume and files.state.exists():
        raise OutputError(f"{files.path}: holds a run already; --resume continues it")
    for model in (files.model, files.best):
        if not resume and model.exists():
            raise OutputError(f"{model} exists, without the state of its run; choose another folder")
