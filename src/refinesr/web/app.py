"""What a browser may ask: a picture restored, how far that is, what came of it.

GET    /model                what the model is, and what can be asked of it
POST   /jobs?name=&wish=     a file's bytes; `wish` is JSON (`job.Wish`); the answer holds the job's key
GET    /jobs/KEY             its state and what is to be told of it
GET    /jobs/KEY/before      the picture, as browsers can show it; so `estimate` and `after`
GET    /jobs/KEY/result      the result's file, to be saved
DELETE /jobs/KEY             nobody wants it any more

All else is a file of `page/`.  What is refused is answered by {"message": ...}.
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
from refinesr.web.desk import Desk, FullError
from refinesr.web.job import Job, Wish

FORMATS = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".tiff": "image/tiff"}

PAGE = Path(__file__).with_name("page")

LARGEST = 2**29
"""Bytes of a file."""

BINARY = "application/octet-stream"
"""What a picture is sent as.  A page of another site cannot send that: browsers ask us first, and we do not
answer."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def application(desk: Desk, hosts: Sequence[str]) -> Starlette:
    """`hosts` are the names that the server answers to: a page of another site may lead its own name here."""
    pages = Pages(desk)
    routes = [
        Route("/model", pages.model),
        Route("/jobs", pages.take, methods=["POST"]),
        Route("/jobs/{key}", pages.state),
        Route("/jobs/{key}", pages.drop, methods=["DELETE"]),
        Route("/jobs/{key}/result", pages.result),
        Route("/jobs/{key}/{picture}", pages.picture),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Headed), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={
            RefineSRError: refused,
            HTTPException: unknown,
            ClientDisconnect: unheard,
            Exception: mistaken,
        },
    )


class Pages:
    """The answers."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def model(self, request: Request) -> Response:
        model = self.desk.model
        facts = {"name": self.desk.name, "scale": model.scale, "steps": self.desk.options.total_steps(model)}
        return JSONResponse({**facts, "asks": asks(self.desk)})

    async def take(self, request: Request) -> Response:
        if request.headers.get("content-type") != BINARY:
            raise HTTPException(415, f"a picture is sent as {BINARY}")
        name = request.query_params.get("name") or "picture"
        wish = from_data(Wish, parse(request.query_params.get("wish", "{}"), "wish"), "wish")
        with self.desk.arriving() as path:
            await receive(request, name, path)
            key = await run_in_threadpool(self.desk.take, name, path, wish)
        return JSONResponse({"key": key}, 201)

    def state(self, request: Request) -> Response:
        job = self.job(request)
        return JSONResponse({"state": job.state, "ahead": self.desk.ahead(job), **job.report})

    def drop(self, request: Request) -> Response:
        self.desk.drop(self.job(request))
        return Response(status_code=204)

    def picture(self, request: Request) -> Response:
        """Before, meanwhile, after."""
        job, name = self.job(request), request.path_params["picture"]
        if name == "estimate" and job.estimate is not None:
            return Response(job.estimate, media_type="image/png")
        return sent({"before": job.before, "after": job.shown}.get(name))

    def result(self, request: Request) -> Response:
        job = self.job(request)
        return sent(job.result, save=True)

    def job(self, request: Request) -> Job:
        job = self.desk.jobs.get(request.path_params["key"])
        if job is None:
            raise HTTPException(404, "this picture is no longer kept; send it again")
        return job


def asks(desk: Desk) -> dict[str, bool]:
    """What the model leaves to whoever asks."""
    trials: dict[str, Any] = {"steps": 1, "consistent": True, "fidelity": 0.5, "orientations": 2}
    return {name: possible(desk, {name: value}) for name, value in trials.items()}


def possible(desk: Desk, asked: dict[str, Any]) -> bool:
    try:
        replace(desk.options, **asked).check(desk.model)
    except ConfigError:
        return False
    return True


async def receive(request: Request, name: str, path: Path) -> None:
    """Into a file, as it comes.  Raises HTTPException for more than `LARGEST`, OutputError."""
    size = 0
    with writing(Path(name)), path.open("wb", buffering=0) as file:
        async for part in request.stream():
            size += len(part)
            if size > LARGEST:
                raise HTTPException(413, f"{name}: at most {LARGEST >> 20} MiB can be sent")
            file.write(part)


def sent(path: Path | None, *, save: bool = False) -> Response:
    if path is None or not path.is_file():
        raise HTTPException(404, "not there yet")
    return FileResponse(path, media_type=FORMATS[path.suffix], filename=path.name if save else None)


def refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 503 if isinstance(error, FullError) else 400)


def unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail}, error.status_code, error.headers)


def unheard(request: Request, error: Exception) -> Response:
    """Who sent a photo has gone before it was here."""
    return Response(status_code=400)


def mistaken(request: Request, error: Exception) -> Response:
    """A mistake of ours, which the server need not tell again."""
    traceback.print_exception(error)
    return JSONResponse({"message": f"{type(error).__name__}: {error}"}, 500)


class Headed:
    """Every answer has `HEADERS`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, headed)
