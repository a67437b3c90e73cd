"""One picture after the other, by one thread; the newest few are kept."""

import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from types import TracebackType

from refinesr.cascade import Cascade
from refinesr.errors import RefineSRError
from refinesr.files import writing
from refinesr.restore import Options
from refinesr.stage import Stage
from refinesr.web.job import Job, Wish

KEPT = 100
"""Pictures that are over and can still be looked at."""

WAITING = 100
"""Pictures that may wait."""


class FullError(RefineSRError):
    """Too many pictures wait."""


class Desk:
    """A model, called `name`, at work in a `with` block; files of pictures are in a temporary folder."""

    def __init__(self, model: Stage | Cascade, options: Options, name: str) -> None:
        self.model, self.options, self.name = model, options, name
        self.jobs: dict[str, Job] = {}
        self.queue: SimpleQueue[Job | None] = SimpleQueue()
        self.lock = Lock()  # of `jobs`
        self.thread = Thread(target=self.work, name="desk")
        self.folder = TemporaryDirectory(prefix="refinesr-")

    def __enter__(self) -> "Desk":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in list(self.jobs.values()):
            self.drop(job)
        self.queue.put(None)
        self.thread.join()
        self.folder.cleanup()

    def work(self) -> None:
        while (job := self.queue.get()) is not None:
            try:
                job.run(self.model)
            except Exception:  # a mistake of ours: this picture is lost, the next ones need not be
                traceback.print_exc()
            if job.cancelled.is_set():
                self.drop(job)

    @contextmanager
    def arriving(self) -> Iterator[Path]:
        """A place for a file on its way, which is gone afterwards if nobody took it."""
        path = Path(self.folder.name, f"arriving-{secrets.token_urlsafe(16)}")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def take(self, name: str, sent: Path, wish: Wish) -> str:
        """The key of a new job, of the file `sent`, which is moved.

        Raises ConfigError for what cannot be asked, FullError, OutputError.
        """
        options = wish.options(self.options)
        options.check(self.model)
        key = secrets.token_urlsafe(16)
        with self.lock:
            if sum(not job.over for job in self.jobs.values()) >= WAITING:
                raise FullError(f"{name}: {WAITING} pictures wait already; try again later")
            over = [job for job in self.jobs.values() if job.over]
            for old in over[: max(0, len(over) + 1 - KEPT)]:
                self.forget(old)
            job = Job(name, wish, options, Path(self.folder.name, key))
            with writing(Path(name)):
                job.folder.mkdir()
                sent.replace(job.sent)
            self.jobs[key] = job
        self.queue.put(job)
        return key

    def ahead(self, job: Job) -> int:
        """Pictures that come before it."""
        waiting = [each for each in list(self.jobs.values()) if not each.over]
        return waiting.index(job) if job in waiting else 0

    def drop(self, job: Job) -> None:
        """Nobody wants it any more."""
        with self.lock:
            job.cancelled.set()
            if job.state != "working":
                self.forget(job)

    def forget(self, job: Job) -> None:
        self.jobs.pop(job.folder.name, None)
        rmtree(job.folder, ignore_errors=True)  # on Windows the browser may be fetching one of its files
