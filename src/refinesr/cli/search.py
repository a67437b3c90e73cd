"""`refinesr search`: the best grid of noise levels for a number of steps, found on held-out pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..files import replacing
from ..memory import out_of_memory_as
from .bars import progress_bars, reading_progress
from .drawing import PLOTS, matplotlib_figure
from .grids import grid_name
from .messages import counted, print_message, print_result
from .options import Device, Flag, OptionalData, Precision
from .results import check_output_file, refuse_same_file, write_json
from .search_metrics import METRICS
from .signals import ReceivedSignal, signals_recorded

if TYPE_CHECKING:
    import torch

    from ..search import HeldOutSet, Metric, SearchPlan, SearchProgress
    from ..stage import Stage
    from .ranking import Ranking

EXAMPLES = """
Examples:

    refinesr search photo-x4 --data held_out/ --steps 4 -o photo-x4-4.safetensors
    refinesr search runs/a --data held_out/ --steps 8 --metric perceptual --features lpips/
    refinesr search sr3.safetensors --data faces/ --steps 25 --metric fid --features inception-2015-12-05.pt

Each grid restores the same pictures from the same noise.  The best grid was selected on these pictures:
evaluate it on others.
"""


@Parameter(name="*", group="Results")
@dataclass(frozen=True)
class Outputs:
    """Where results are written, and whether existing files are replaced."""

    store: Annotated[Path | None, Parameter(name=("--store", "-o"))] = None
    """File for a copy of the model, .safetensors, with the best grid and number of steps as its default."""

    plot: Path | None = None
    """File for a plot of the search, .png or .svg."""

    json: Path | None = None
    """File for all grids that were tried as JSON, best first, with score, standard error and difference from
    the model's own grid."""

    overwrite: Flag = False
    """Replace files that exist."""

    def check(self, inputs: Sequence[Path]) -> None:
        """Raise ConfigError or OutputError for results that could not be written after hours of work."""
        refuse_same_file({"--store": self.store, "--plot": self.plot, "--json": self.json})
        for option, path, suffixes in (
            ("--store", self.store, (".safetensors",)),
            ("--plot", self.plot, PLOTS),
            ("--json", self.json, ()),
        ):
            if path is not None:
                check_output_file(option, path, self.overwrite, suffixes, inputs)
        if self.plot is not None:
            matplotlib_figure("--plot", 12, 5)


@Parameter(name="*", group="Search")
@dataclass(frozen=True)
class SearchOptions:
    """How much is searched, on which pictures, by which metric."""

    metric: Literal["psnr", "perceptual", "fid"] = "psnr"
    """psnr: PSNR of all channels, which favours smooth pictures.  perceptual: LPIPS-like distance on
    SqueezeNet.  fid: Frechet distance between features of results and originals; needs hundreds of
    pictures."""

    features: Path | None = None
    """For perceptual: the folder with squeezenet11.npz and lpips-v0.1-squeeze-linear.pth.  For fid: a
    TorchScript network for features of uint8 RGB pictures, such as StyleGAN's inception-2015-12-05.pt."""

    limit: int = 64
    """Number of pictures to measure on, evenly spread over the sorted names."""

    size: int | None = None
    """Side in pixels of the central crop of each picture, a multiple of the scale; default: the largest that
    fits all, at most 256."""

    candidates: int = 48
    """Number of grids to try besides the model's own; for few steps there may be fewer.  Most are given up
    after a quarter of the pictures."""

    batch: int = 8
    """Number of pictures that are restored at once."""

    seed: int = 0
    """Seed of the noise, and of the inputs if the degradation is random."""

    device: Device = "auto"
    precision: Precision = "auto"

    def plan(self, steps: int) -> "SearchPlan":
        from ..search import SearchPlan

        return SearchPlan(steps, self.candidates, self.seed, self.batch)

    def feature_files(self) -> list[Path]:
        """The files that --features may stand for: itself, or those in it as a folder."""
        from ..metrics.perceptual import FEATURES, LINEAR

        return [] if self.features is None else [self.features / name for name in ("", FEATURES, LINEAR)]


OUTPUTS, SEARCH = Outputs(), SearchOptions()


def search(
    model: Annotated[str, Parameter(name="MODEL")],
    /,
    *,
    data: Annotated[Path, Parameter(group="Search")],
    steps: Annotated[int, Parameter(group="Search")],
    low: Annotated[OptionalData, Parameter(group="Search")] = None,
    options: SearchOptions = SEARCH,
    outputs: Outputs = OUTPUTS,
) -> int:
    """Search for the best noise levels to sample at with a given number of steps, on held-out pictures.

    The highest and the lowest level and the spacing are varied.  The model does not change; --store writes a
    copy.  Inputs are made as in training, but without random blur, noise and JPEG after downsampling.

    Parameters
    ----------
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, or OWNER/NAME on
        the Hugging Face Hub.
    data
        Folder (or tar file) of pictures that the model was not trained on.
    steps
        Number of sampling steps; the best levels depend on it.
    low
        Low-resolution pictures of all in --data, as in `refinesr train`, instead of made ones; needed if the
        model was trained with such pairs.
    """
    from ..devices import autocast_dtype, device_named, move_to
    from ..images.entries import list_entries
    from ..search import trained_range
    from ..shipped import load, model_file

    with model_file(model) as file:
        inputs = {entry.path for entry in list_entries((data, *(low or ())))}
        outputs.check([file, *inputs, *options.feature_files()])
    plan, device = options.plan(steps), device_named(options.device)
    autocast = autocast_dtype(options.precision, device)
    metric_for = METRICS[options.metric](options.features, device)
    stage = load(model)
    trained_range(stage.method)  # raises its errors before any picture is read
    pictures = load_pictures(stage, data, options, low)
    move_to(stage.model, device)
    job = SearchJob(model, data, stage, pictures, metric_for(pictures), plan, low)
    with signals_recorded() as notice:
        ranking = job.run(autocast, notice)
    return write_results(job, ranking, notice, outputs)


def load_pictures(
    stage: "Stage", data: Path, options: SearchOptions, low: tuple[Path, ...] | None
) -> "HeldOutSet":
    """Load the pictures, with a progress bar."""
    from ..search import loading_search_set
    from ..stepwise import finish

    steps = loading_search_set(
        stage.method, data, limit=options.limit, size=options.size, seed=options.seed, low=low
    )
    with reading_progress() as show:
        return finish(steps, show)


@dataclass(frozen=True)
class SearchJob:
    """Everything that determines a search."""

    name: str
    data: Path
    stage: "Stage"
    pictures: "HeldOutSet"
    metric: "Metric"
    plan: "SearchPlan"
    low: tuple[Path, ...] | None = None

    def run(self, autocast: "torch.dtype | None", notice: ReceivedSignal) -> "Ranking":
        """The ranking of all trials made until the end, or until a signal arrives."""
        from .. import search as searching
        from .ranking import Ranking

        trials = []
        with out_of_memory_as(advice(self)), search_progress(self.plan.steps) as show:
            for state in searching.search(self.stage, self.pictures, self.metric, self.plan, autocast):
                trials += [state.trial] if state.trial else []
                show(state, len(trials))
                if notice.signal is not None:
                    break
        return Ranking(self.metric, tuple(trials))

    def facts(self) -> dict[str, object]:
        """For JSON: everything needed to repeat the search."""
        return {
            "model": self.name,
            "data": str(self.data),
            "low": [str(path) for path in self.low or ()],
            "pictures": list(self.pictures.names),
            "size": list(self.pictures.high.shape[2:]),
            "metric": self.metric.title,
            "higher_is_better": self.metric.higher_is_better,
            "steps": self.plan.steps,
            "candidates": self.plan.candidates,
            "batch": self.plan.batch,
            "seed": self.plan.seed,
        }


def write_results(job: SearchJob, ranking: "Ranking", notice: ReceivedSignal, outputs: Outputs) -> int:
    """Write the requested files and print the ranking; the exit code."""
    if notice.signal is not None:
        print_result(*ranking.lines())
        print_message(f"{notice.word} after {counted(len(ranking.trials), 'trial')}; nothing is stored")
        return 128 + notice.signal
    try:
        write_files(job, ranking, outputs)
    finally:  # print even if a file cannot be written; files are written even if printing fails
        print_result(*ranking.lines())
    if outputs.store is not None:
        print_result(f"{outputs.store}  {grid_name(ranking.best.sampling.grid)}")
    return 0


def write_files(job: SearchJob, ranking: "Ranking", outputs: Outputs) -> None:
    if outputs.json is not None:
        write_json(outputs.json, job.facts() | ranking.data(), outputs.overwrite)
    if outputs.plot is not None:
        with replacing(outputs.plot, overwrite=outputs.overwrite) as part:
            ranking.draw(part, outputs.plot.suffix[1:].lower())
    if outputs.store is not None:
        store_model(job, ranking, outputs)


def store_model(job: SearchJob, ranking: "Ranking", outputs: Outputs) -> None:
    """Save the model with the best grid and a note on its card; its weights and their dtype are unchanged."""
    from ..checkpoint import save_stage
    from ..search import with_sampling

    assert outputs.store is not None
    stage = with_sampling(job.stage, ranking.best)
    card = replace(stage.card, figures=(*stage.card.figures, ranking.remark()))
    save_stage(
        replace(stage, card=card), outputs.store, dtype=lossless_dtype(stage), overwrite=outputs.overwrite
    )


def lossless_dtype(stage: "Stage") -> "torch.dtype | None":
    """A 16-bit dtype that holds all weights exactly, as after loading a 16-bit file; else None."""
    import torch

    weights = [tensor for tensor in stage.model.state_dict().values() if tensor.is_floating_point()]
    for dtype in (torch.bfloat16, torch.float16):
        if all(torch.equal(tensor.to(dtype).to(tensor.dtype), tensor) for tensor in weights):
            return dtype
    return None


@contextmanager
def search_progress(steps: int) -> Iterator[Callable[["SearchProgress", int], None]]:
    """A progress bar; `show(state, trials)` updates the sampling steps and the number of evaluated grids."""
    from rich.progress import TextColumn, TimeElapsedColumn, TimeRemainingColumn

    judged = TextColumn("{task.fields[judged]}", markup=False)
    with progress_bars(judged, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(f"grids of {counted(steps, 'step')}", total=None, judged="")
        yield lambda state, trials: progress.update(
            task, completed=state.done, total=state.total, judged=counted(trials, "trial")
        )


def advice(job: SearchJob) -> str:
    """What to change when memory runs out."""
    batch, side = job.plan.batch, job.pictures.high.shape[-1]
    hint = f"--batch {batch // 2}" if batch > 1 else "a smaller --size"
    return f"not enough memory for {batch} x {side} x {side} pixels; use {hint}"
