"""One picture to upscale: its settings, its state and its files."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any, Literal

import numpy as np

from refinesr.cascade import Cascade
from refinesr.errors import RefineSRError
from refinesr.files import replacing
from refinesr.images.display import for_display
from refinesr.images.io import check_output, encode, lost_metadata, read_bytes, write
from refinesr.images.picture import Picture
from refinesr.memory import out_of_memory_as
from refinesr.restore import Options, restore_picture, watch_passes
from refinesr.restore.fidelity import measure_fidelity
from refinesr.restore.memory import advise_on_memory
from refinesr.stage import Stage

MAX_ESTIMATE_SIDE = 1024
"""Most pixels a side of an estimate that is shown while the picture is refined."""

MAX_NAME_BYTES = 200
"""Most bytes of the stem of a result's file name; file systems allow 255 for a whole name."""

AFTER_NAME = "after.png"
"""File name of the result as PNG, where browsers cannot show its own format."""

State = Literal["waiting", "working", "done", "failed", "cancelled"]


class CancelledError(RefineSRError):
    """The job was cancelled."""


@dataclass(frozen=True)
class JobSettings:
    """How to upscale a picture, as in `restore.Options`; None is the model's default.

    ext     format of the result
    """

    steps: int | None = None
    seed: int = 0
    consistent: bool | None = None
    fidelity: float | None = None
    orientations: int | None = None
    ext: Literal["png", "jpg", "webp", "tiff"] = "png"

    def options(self, defaults: Options) -> Options:
        """The server's options `defaults` with these settings.  Raises ConfigError."""
        return replace(defaults, **{name: value for name, value in vars(self).items() if name != "ext"})


@dataclass(eq=False)
class Job:
    """A picture and its state.  The worker's thread alone writes it; others read it and set `cancelled`.

    name      name of the picture's file in the browser
    folder    its files: the upload, until it is read, before.png, and the result
    report    facts for the browser besides the state
    estimate  the newest estimate as PNG: not a file, as it is replaced while being sent
    """

    name: str
    settings: JobSettings
    options: Options
    folder: Path
    state: State = "waiting"
    report: dict[str, Any] = field(default_factory=dict)
    result: Path | None = None
    estimate: bytes | None = None
    cancelled: Event = field(default_factory=Event)

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def upload(self) -> Path:
        return self.folder / "upload"

    @property
    def before(self) -> Path:
        return self.folder / "before.png"

    @property
    def after(self) -> Path | None:
        """The result in a format that browsers can show; None while there is none."""
        if self.result is None:
            return None
        after = self.folder / AFTER_NAME
        return after if after.exists() else self.result

    def run(self, model: Stage | Cascade) -> None:
        """Upscale the picture; the state is then "done", "failed" or "cancelled"."""
        self.state = "working"
        try:
            with out_of_memory_as(f"{self.name}: not enough memory"):
                self.report = self.upscale(model)
            self.state = "done"
        except CancelledError:
            self.state = "cancelled"
        except RefineSRError as error:
            self.fail(str(error))
        except Exception as error:
            self.fail(f"{self.name}: {type(error).__name__}: {error}")
            raise

    def fail(self, message: str) -> None:
        """Record a failure; `message` is shown without the path of the temporary folder."""
        self.report, self.state = {"message": message.replace(f"{self.folder}{os.sep}", "")}, "failed"

    def read_upload(self) -> bytes:
        """The upload's bytes; the file is removed."""
        data = self.upload.read_bytes()
        self.upload.unlink()
        return data

    def upscale(self, model: Stage | Cascade) -> dict[str, Any]:
        """Write the result and the files to show, and return the final report."""
        started = perf_counter()
        self.show_passes(0, 1)
        picture = read_bytes(self.read_upload(), self.name, span=model.span)
        path = self.folder / result_name(self.name, model.scale, self.settings.ext)
        check_output(picture, path, model.scale)
        if lost := lost_metadata(picture, path):
            self.report |= {"warning": f"{lost}; choose TIFF as the format"}
        height, width = picture.size
        self.report |= {"from": picture.size, "size": (height * model.scale, width * model.scale)}
        write_view(picture, self.before)
        large = self.restore(model, picture)
        write(large, path)
        if self.settings.ext == "tiff" or large.span is not None:  # with a span, the contrast differs
            write_view(large, self.folder / AFTER_NAME)
        measured = measure_fidelity(picture, large)
        self.result = path
        return {
            **self.report,
            "name": path.name,
            "bytes": path.stat().st_size,
            "seconds": perf_counter() - started,
            "agreement": measured and measured.agreement,
        }

    def restore(self, model: Stage | Cascade, picture: Picture) -> Picture:
        """The upscaled picture; estimates on the way are shown."""
        options, large = self.options, picture
        with (
            advise_on_memory(model, options, picture),
            watch_passes(model, picture.size, options, self.show_passes),
        ):
            for progress in restore_picture(model, picture, options, watched=True):
                large = progress.image
                if progress.done < progress.total:
                    self.estimate = encode(for_display(subsampled(large)), "PNG")
                    self.report |= {"estimate": progress.done}
        return large

    def show_passes(self, done: int, total: int) -> None:
        """Report how many passes of the networks are done.  Raises CancelledError."""
        if self.cancelled.is_set():
            raise CancelledError(f"{self.name}: cancelled")
        self.report |= {"done": done, "total": total}


def write_view(picture: Picture, path: Path) -> None:
    """Write the picture as browsers can show it: whole or not at all, as it may be asked for at any time."""
    with replacing(path, overwrite=True) as part:
        part.write_bytes(encode(replace(for_display(picture), exif=None), "PNG"))


def result_name(name: str, scale: int, ext: str) -> str:
    """The result's file name: safe on any file system, whatever `name` the browser sends."""
    stem = Path(name.replace("\\", "/")).stem
    plain = "".join(letter for letter in stem if letter.isprintable() and letter not in '<>:"|?*')
    kept = plain.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    return f"{kept if kept.strip('. ') else 'picture'}-x{scale}.{ext}"


def subsampled(picture: Picture) -> Picture:
    """Every n-th pixel, so that no side is over `MAX_ESTIMATE_SIDE`: fast, as estimates are seen briefly."""
    every = -(-max(picture.size) // MAX_ESTIMATE_SIDE)
    alpha = picture.alpha
    return replace(
        picture,
        pixels=np.ascontiguousarray(picture.pixels[::every, ::every]),
        alpha=None if alpha is None else np.ascontiguousarray(alpha[::every, ::every]),
    )
