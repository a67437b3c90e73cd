"""One picture: what is asked for, how far it is, what became of it."""

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

ESTIMATE = 1024
"""Pixels a side, at most, of what is shown while the picture is refined."""

LONGEST = 200
"""Bytes of a result's name before its ending; file systems have 255."""

AFTER = "after.png"
"""The result, where browsers cannot show its file."""

State = Literal["waiting", "working", "done", "failed", "cancelled"]


class CancelledError(RefineSRError):
    """Whoever asked does not want it any more."""


@dataclass(frozen=True)
class Wish:
    """What is asked for a picture; None leaves a choice to the model.  As in `restore.Options`.

    ext     format of the result
    """

    steps: int | None = None
    seed: int = 0
    consistent: bool | None = None
    fidelity: float | None = None
    orientations: int | None = None
    ext: Literal["png", "jpg", "webp", "tiff"] = "png"

    def options(self, own: Options) -> Options:
        """`own` are the server's.  Raises ConfigError."""
        asked = {name: value for name, value in vars(self).items() if name != "ext"}
        return replace(own, **asked)


@dataclass(eq=False)
class Job:
    """Written by the thread at work alone; others read, and may cancel.

    name    the picture's file, as the user calls it
    folder  where its files are: what was sent, until it is read, before.png, and the result
    report  what the browser is told besides the state
    estimate  the newest, as a PNG: no file, for it changes while it is sent
    """

    name: str
    wish: Wish
    options: Options
    folder: Path
    state: State = "waiting"
    report: dict[str, Any] = field(default_factory=dict)
    result: Path | None = None
    estimate: bytes | None = None
    cancelled: Event = field(default_factory=Event)

    @property
    def over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    @property
    def sent(self) -> Path:
        return self.folder / "sent"

    @property
    def before(self) -> Path:
        return self.folder / "before.png"

    @property
    def shown(self) -> Path | None:
        """The result as browsers can show it."""
        if self.result is None:
            return None
        after = self.folder / AFTER
        return after if after.exists() else self.result

    def run(self, model: Stage | Cascade) -> None:
        """To its end, whatever that is."""
        self.state = "working"
        try:
            with out_of_memory_as(f"{self.name}: not enough memory"):
                self.report = self.made(model)
            self.state = "done"
        except CancelledError:
            self.state = "cancelled"
        except RefineSRError as error:
            self.fail(str(error))
        except Exception as error:
            self.fail(f"{self.name}: {type(error).__name__}: {error}")
            raise

    def fail(self, message: str) -> None:
        """`message` without the place of our own files."""
        self.report, self.state = {"message": message.replace(f"{self.folder}{os.sep}", "")}, "failed"

    def taken(self) -> bytes:
        data = self.sent.read_bytes()
        self.sent.unlink()
        return data

    def made(self, model: Stage | Cascade) -> dict[str, Any]:
        """Writes the files; what is to be told of them."""
        started = perf_counter()
        self.passed(0, 1)
        picture = read_bytes(self.taken(), self.name, span=model.span)
        path = self.folder / named(self.name, model.scale, self.wish.ext)
        check_output(picture, path, model.scale)
        if lost := lost_metadata(picture, path):
            self.report |= {"warning": f"{lost}; choose TIFF as the format"}
        height, width = picture.size
        self.report |= {"from": picture.size, "size": (height * model.scale, width * model.scale)}
        show(picture, self.before)
        large = self.enlarged(model, picture)
        write(large, path)
        if self.wish.ext == "tiff" or large.span is not None:  # else of another contrast than before
            show(large, self.folder / AFTER)
        measured = measure_fidelity(picture, large)
        self.result = path
        return {
            **self.report,
            "name": path.name,
            "bytes": path.stat().st_size,
            "seconds": perf_counter() - started,
            "agreement": measured and measured.agreement,
        }

    def enlarged(self, model: Stage | Cascade, picture: Picture) -> Picture:
        options, large = self.options, picture
        with (
            advise_on_memory(model, options, picture),
            watch_passes(model, picture.size, options, self.passed),
        ):
            for progress in restore_picture(model, picture, options, watched=True):
                large = progress.image
                if progress.done < progress.total:
                    self.estimate = encode(for_display(reduced(large)), "PNG")
                    self.report |= {"estimate": progress.done}
        return large

    def passed(self, done: int, total: int) -> None:
        """Raises CancelledError."""
        if self.cancelled.is_set():
            raise CancelledError(f"{self.name}: cancelled")
        self.report |= {"done": done, "total": total}


def show(picture: Picture, path: Path) -> None:
    """As browsers can show it; whole or not at all, for they may ask at any time."""
    with replacing(path, overwrite=True) as part:
        part.write_bytes(encode(replace(for_display(picture), exif=None), "PNG"))


def named(name: str, scale: int, ext: str) -> str:
    """Of the result: whatever a browser says, a plain name."""
    stem = Path(name.replace("\\", "/")).stem
    plain = "".join(letter for letter in stem if letter.isprintable() and letter not in '<>:"|?*')
    kept = plain.encode("utf-8", "ignore")[:LONGEST].decode("utf-8", "ignore")
    return f"{kept if kept.strip('. ') else 'picture'}-x{scale}.{ext}"


def reduced(picture: Picture) -> Picture:
    """To so many pixels a side at most, by leaving some out: it is looked at for a second."""
    every = -(-max(picture.size) // ESTIMATE)
    alpha = picture.alpha
    return replace(
        picture,
        pixels=np.ascontiguousarray(picture.pixels[::every, ::every]),
        alpha=None if alpha is None else np.ascontiguousarray(alpha[::every, ::every]),
    )
