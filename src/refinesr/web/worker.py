"""A thread that upscales pictures one after the other; the newest finished ones are kept."""

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
from refinesr.web.job import Job, JobSettings

MAX_FINISHED = 100
"""Finished pictures that are kept; older ones are removed."""

MAX_WAITING = 100
"""Unfinished pictures; more are refused."""


class QueueFullError(RefineSRError):
    """Too many pictures are waiting."""


class Worker:
    """Runs jobs with a model, called `name`, while its `with` block lasts.

    The jobs' files are in a temporary folder, which is removed at the end.
    """

    def __init__(self, model: Stage | Cascade, options: Options, name: str) -> None:
        self.model, self.options, self.name = model, options, name
        self.jobs: dict[str, Job] = {}
        self.queue: SimpleQueue[Job | None] = SimpleQueue()
        self.lock = Lock()  # guards `jobs`
        self.thread = Thread(target=self.run_jobs, name="worker")
        self.folder = TemporaryDirectory(prefix="refinesr-")

    def __enter__(self) -> "Worker":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for job in list(self.jobs.values()):
            self.cancel(job)
        self.queue.put(None)
        self.thread.join()
        self.folder.cleanup()

    def run_jobs(self) -> None:
        """Run queued jobs until None is in the queue."""
        while (job := self.queue.get()) is not None:
            try:
                job.run(self.model)
            except Exception:  # a bug: the job has failed; go on with the next one
                traceback.print_exc()
            if job.cancelled.is_set():
                self.cancel(job)

    @contextmanager
    def upload_path(self) -> Iterator[Path]:
        """A path for an upload; the file is removed afterwards unless `submit` has moved it."""
        path = Path(self.folder.name, f"upload-{secrets.token_urlsafe(16)}")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def submit(self, name: str, upload: Path, settings: JobSettings) -> str:
        """Queue a job for the file `upload`, which is moved, and return the job's key.

        `name` is the file's name in the browser.  Raises ConfigError for settings that the model does not
        support, QueueFullError and OutputError.
        """
        options = settings.options(self.options)
        options.check(self.model)
        key = secrets.token_urlsafe(16)
        with self.lock:
            if sum(not job.finished for job in self.jobs.values()) >= MAX_WAITING:
                raise QueueFullError(f"{name}: {MAX_WAITING} pictures wait already; try again later")
            finished = [job for job in self.jobs.values() if job.finished]
            for old in finished[: max(0, len(finished) + 1 - MAX_FINISHED)]:
                self.remove(old)
            job = Job(name, settings, options, Path(self.folder.name, key))
            with writing(Path(name)):
                job.folder.mkdir()
                upload.replace(job.upload)
            self.jobs[key] = job
        self.queue.put(job)
        return key

    def jobs_ahead(self, job: Job) -> int:
        """How many jobs will be finished before this one."""
        unfinished = [other for other in list(self.jobs.values()) if not other.finished]
        return unfinished.index(job) if job in unfinished else 0

    def cancel(self, job: Job) -> None:
        """Stop the job, if it is running, and remove it with its files."""
        with self.lock:
            job.cancelled.set()
            if job.state != "working":
                self.remove(job)

    def remove(self, job: Job) -> None:
        """Remove the job and its files."""
        self.jobs.pop(job.folder.name, None)
        rmtree(job.folder, ignore_errors=True)  # on Windows, files that are being sent cannot be removed
