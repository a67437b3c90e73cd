"""`refinesr serve`: a page for the browser that enlarges photos, on this computer."""

import socket
import webbrowser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ConfigError, OutputError
from .messages import print_result
from .options import DEFAULT_MODEL, Device, Model, Precision, SamplingSettings

if TYPE_CHECKING:
    from ..cascade import Cascade
    from ..restore import Options
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr serve                      opens the page
    refinesr serve -m runs/mine         with a model of your own
    refinesr serve --host 0.0.0.0       for all who can reach this computer: there is no password

It needs two more packages: pip install 'refinesr[web]'.  Ctrl-C ends it, and removes what it has made.
"""

NEEDED = ("starlette", "uvicorn")

OWN = ("127.0.0.1", "localhost", "[::1]")
"""Names of this computer for itself."""

PATIENCE = 1
"""Seconds that photos on their way have at the end."""


def serve(
    *,
    model: Model = DEFAULT_MODEL,
    host: str = "127.0.0.1",
    port: int = 8042,
    browser: bool = True,
    tile: Annotated[int | None, Parameter(name=("--tile", "-t"), group="Model")] = None,
    settings: Annotated[SamplingSettings, Parameter(group="Model")] = (),
    device: Annotated[Device, Parameter(group="Model")] = "auto",
    precision: Annotated[Precision, Parameter(group="Model")] = "auto",
) -> int:
    """Enlarge photos in the browser: drop them on a page, watch, compare, save.

    Photos are sent to this program alone, on this computer unless --host says otherwise.

    Parameters
    ----------
    model
        A shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the Hugging Face
        Hub, or a cascade: a folder with cascade.json, or such a file.
    host
        Address to listen at.
    port
        0: any that is free.
    browser
        Open the page in the browser, or only print its address.
    tile
        Work in tiles of this many input pixels a side; 0: no tiles; default: the model's choice.
    """
    for package in NEEDED:
        if find_spec(package) is None:
            raise ConfigError(f"serve: needs the package {package}: pip install 'refinesr[web]'")
    from uvicorn import Config, Server

    from ..restore import Options
    from ..web.app import application
    from ..web.desk import Desk

    options = Options(tile=tile, device=device, precision=precision)
    loaded = restoring(model, options, settings)
    with listening(host, port) as heard, Desk(loaded, options, model) as desk:
        address = f"http://{shown(host)}:{heard.getsockname()[1]}/"
        print_result(f"{address}  Ctrl-C ends it")
        if browser:  # some keep us waiting until they have the page
            Thread(target=webbrowser.open, args=[address], daemon=True).start()
        app = application(desk, names(host, heard.getsockname()[0]))
        Server(Config(app, log_level="critical", timeout_graceful_shutdown=PATIENCE)).run(sockets=[heard])
    return 0


def restoring(model: str, options: "Options", settings: tuple[str, ...]) -> "Stage | Cascade":
    """Raises ConfigError for one that a picture alone is not enough for."""
    from ..chains import load_model, with_sampling_settings
    from ..restore import only_inpaints
    from ..stage import Stage

    loaded = with_sampling_settings(load_model(model), settings)
    first = loaded if isinstance(loaded, Stage) else loaded.links[0].stage
    if first.method.generates:
        raise ConfigError(f"{model}: makes pictures from nothing; `refinesr generate` is for it")
    if only_inpaints(first):
        raise ConfigError(f"{model}: only makes up what a mask marks; `refinesr upscale --mask` is for it")
    options.check(loaded)
    return loaded


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Raises ConfigError, or OutputError where nobody could be heard."""
    if not 0 <= port < 2**16:
        raise ConfigError(f"--port: {port} is not from 0 to {2**16 - 1}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        heard = socket.create_server((host, port), family=family)
    except OSError as error:
        why = f"{error.strerror}; --host and --port choose another"
        raise OutputError(f"{host}, port {port}: {why}") from error
    with closing(heard):
        yield heard


def names(host: str, address: str) -> tuple[str, ...]:
    """That the server answers to: of sites elsewhere, which may lead here, none where only we are heard."""
    return (*OWN, shown(host).lower()) if ip_address(address).is_loopback else ("*",)


def shown(host: str) -> str:
    """As a browser on this computer is told."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
