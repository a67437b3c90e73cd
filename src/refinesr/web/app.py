"""The HTTP interface of `refinesr serve`.

GET    /model                    the model's name, scale and steps, and the settings that can be changed
POST   /jobs?name=&settings=     body: a picture file; `settings`: JSON of `JobSettings`; answers {"key": KEY}
GET    /jobs/KEY                 the job's state and report
GET    /jobs/KEY/before          the input, in a format that browsers show; likewise `estimate` and `after`
GET    /jobs/KEY/result          the result's file, as a download
DELETE /jobs/KEY                 cancels and removes the job

Any other path is a file of `page/`.  Errors are answered by {"message": ...}.
"""

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refinesr.config import from_data, parse
from refinesr.errors import ConfigError, RefineSRError
from refinesr.files import writing
from refinesr.web.job import Job, JobSettings
from refinesr.web.worker import QueueFullError, Worker

FORMATS = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".tiff": "image/tiff"}

PAGE = Path(__file__).with_name("page")

MAX_UPLOAD_BYTES = 2**29
"""Most bytes of an uploaded file."""

UPLOAD_TYPE = "application/octet-stream"
"""Content type of an upload.  Pages of other sites cannot send it: browsers first ask for permission by a
CORS preflight, which this server does not grant."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(worker: Worker, hosts: Sequence[str]) -> Starlette:
    """The application.

    Only requests to one of `hosts` are answered, against DNS rebinding: another site could let its own name
    resolve to this computer.
    """
    handlers = Handlers(worker)
    routes = [
        Route("/model", handlers.model),
        Route("/jobs", handlers.submit, methods=["POST"]),
        Route("/jobs/{key}", handlers.state),
        Route("/jobs/{key}", handlers.cancel, methods=["DELETE"]),
        Route("/jobs/{key}/result", handlers.result),
        Route("/jobs/{key}/{picture}", handlers.picture),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
        exception_handlers={
            RefineSRError: error_response,
            HTTPException: http_error_response,
            ClientDisconnect: disconnected_response,
            Exception: internal_error_response,
        },
    )


class Handlers:
    """One method per route."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def model(self, request: Request) -> Response:
        worker, model = self.worker, self.worker.model
        facts = {"name": worker.name, "scale": model.scale, "steps": worker.options.total_steps(model)}
        return JSONResponse({**facts, "adjustable": adjustable_settings(worker)})

    async def submit(self, request: Request) -> Response:
        if request.headers.get("content-type") != UPLOAD_TYPE:
            raise HTTPException(415, f"a picture is sent as {UPLOAD_TYPE}")
        name = request.query_params.get("name") or "picture"
        text = request.query_params.get("settings", "{}")
        settings = from_data(JobSettings, parse(text, "settings"), "settings")
        with self.worker.upload_path() as path:
            await receive_upload(request, name, path)
            key = await run_in_threadpool(self.worker.submit, name, path, settings)
        return JSONResponse({"key": key}, 201)

    def state(self, request: Request) -> Response:
        job = self.job(request)
        return JSONResponse({"state": job.state, "ahead": self.worker.jobs_ahead(job), **job.report})

    def cancel(self, request: Request) -> Response:
        self.worker.cancel(self.job(request))
        return Response(status_code=204)

    def picture(self, request: Request) -> Response:
        """The picture `before`, the newest `estimate`, or the result, `after`."""
        job, name = self.job(request), request.path_params["picture"]
        if name == "estimate" and job.estimate is not None:
            return Response(job.estimate, media_type="image/png")
        return file_response({"before": job.before, "after": job.after}.get(name))

    def result(self, request: Request) -> Response:
        job = self.job(request)
        return file_response(job.result, save=True)

    def job(self, request: Request) -> Job:
        job = self.worker.jobs.get(request.path_params["key"])
        if job is None:
            raise HTTPException(404, "this picture is no longer kept; send it again")
        return job


def adjustable_settings(worker: Worker) -> dict[str, bool]:
    """Whether each setting can be changed for this model: a typical value is tried."""
    trials: dict[str, Any] = {"steps": 1, "consistent": True, "fidelity": 0.5, "orientations": 2}
    return {name: is_possible(worker, {name: value}) for name, value in trials.items()}


def is_possible(worker: Worker, changes: dict[str, Any]) -> bool:
    try:
        replace(worker.options, **changes).check(worker.model)
    except ConfigError:
        return False
    return True


async def receive_upload(request: Request, name: str, path: Path) -> None:
    """Write the body to a file as it arrives.  Raises HTTPException over `MAX_UPLOAD_BYTES`; OutputError."""
    size = 0
    with writing(Path(name)), path.open("wb", buffering=0) as file:
        async for part in request.stream():
            size += len(part)
            if size > MAX_UPLOAD_BYTES:
                raise HTTPException(413, f"{name}: at most {MAX_UPLOAD_BYTES >> 20} MiB can be sent")
            file.write(part)


def file_response(path: Path | None, *, save: bool = False) -> Response:
    if path is None or not path.is_file():
        raise HTTPException(404, "not there yet")
    return FileResponse(path, media_type=FORMATS[path.suffix], filename=path.name if save else None)


def error_response(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 503 if isinstance(error, QueueFullError) else 400)


def http_error_response(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail}, error.status_code, error.headers)


def disconnected_response(request: Request, error: Exception) -> Response:
    """The browser has closed the connection while it sent a photo."""
    return Response(status_code=400)


def internal_error_response(request: Request, error: Exception) -> Response:
    """A bug: print its traceback once, here, and not by the server too."""
    traceback.print_exception(error)
    return JSONResponse({"message": f"{type(error).__name__}: {error}"}, 500)


class SecurityHeaders:
    """Middleware that adds `HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
