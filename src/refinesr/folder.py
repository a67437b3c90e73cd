"""Where a run lives.

- run.json: the run as a value
- model.safetensors: the averaged weights, at the end and at every save
- state.pt: what an exact continuation needs
- log.jsonl: one line for every update: step, loss, gradient, rate
- held_out.jsonl: one line for every measurement on held-out pictures, if there are any
- best.safetensors: the averaged weights of the least loss on them
- previews/STEP.png: rows of: low plainly enlarged, estimate, truth
- .lock: empty; held by the process that trains here, as long as it lives
"""

from dataclasses import dataclass
from pathlib import Path

from refinesr.errors import OutputError
from refinesr.files import refuse_held


@dataclass(frozen=True)
class Folder:
    """Where a run lives."""

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


def check_folder(place: Folder, resume: bool) -> None:
    """Raises OutputError; cheap, to be asked before photos are read."""
    refuse_held(place.path)
    check_files(place, resume)


def check_files(place: Folder, resume: bool) -> None:
    """Raises OutputError if what lies there does not go with `resume`."""
    if resume and not place.state.exists():
        raise OutputError(f"{place.path}: no run to resume here; start one without --resume")
    if not resume and place.state.exists():
        raise OutputError(f"{place.path}: holds a run already; --resume continues it")
    for model in (place.model, place.best):
        if not resume and model.exists():
            raise OutputError(f"{model} exists, without the state of its run; choose another folder")
