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
    refinesr serve --host 0.0.0.0       for everyone who can reach this computer: there is no password

It needs two more packages: pip install 'refinesr[web]'.  Ctrl-C ends it and deletes all uploads and results.
"""

REQUIRED_PACKAGES = ("starlette", "uvicorn")

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names by which a computer reaches itself."""

SHUTDOWN_SECONDS = 1
"""Seconds that running uploads have to complete when the server ends."""


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

    Photos are sent to this program only, and the page can be opened only on this computer unless --host says
    otherwise.

    Parameters
    ----------
    model
        The name of a shipped model, a .safetensors file, a folder with model.safetensors, OWNER/NAME on the
        Hugging Face Hub, or a cascade (cascade.json or the folder it is in).
    host
        Address to listen on.
    port
        Port to listen on; 0: any free one.
    browser
        Whether to open the page in the browser, besides printing its address.
    tile
        Work in square tiles with sides of this many input pixels; 0: no tiles; default: the model's own.
    """
    for package in REQUIRED_PACKAGES:
        if find_spec(package) is None:
            raise ConfigError(f"serve: needs the package {package}: pip install 'refinesr[web]'")
    from uvicorn import Config, Server

    from ..restore import Options
    from ..web.app import application
    from ..web.worker import Worker

    options = Options(tile=tile, device=device, precision=precision)
    loaded = load_upscaler(model, options, settings)
    with listening_socket(host, port) as server_socket, Worker(loaded, options, model) as worker:
        own_address, own_port = server_socket.getsockname()[:2]
        address = f"http://{browser_host(host)}:{own_port}/"
        print_result(f"{address}  Ctrl-C ends it")
        if browser:  # in a thread, as some browsers block until they have loaded the page
            Thread(target=webbrowser.open, args=[address], daemon=True).start()
        app = application(worker, allowed_hosts(host, own_address))
        config = Config(app, log_level="critical", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
        Server(config).run(sockets=[server_socket])
    return 0


def load_upscaler(model: str, options: "Options", settings: tuple[str, ...]) -> "Stage | Cascade":
    """Load the model.  Raises ConfigError if it does not upscale, or if the options do not fit it."""
    from ..cascade_files import load_model, with_sampling_settings
    from ..restore import only_inpaints
    from ..stage import Stage

    loaded = with_sampling_settings(load_model(model), settings)
    first = loaded if isinstance(loaded, Stage) else loaded.links[0].stage
    if first.method.generates:
        raise ConfigError(f"{model}: generates pictures without an input; use `refinesr generate`")
    if only_inpaints(first):
        raise ConfigError(f"{model}: is for inpainting, which needs a mask; use `refinesr upscale --mask`")
    options.check(loaded)
    return loaded


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens.  Raises ConfigError for an impossible port, OutputError if it cannot listen."""
    if not 0 <= port < 2**16:
        raise ConfigError(f"--port: {port} is not from 0 to {2**16 - 1}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server_socket = socket.create_server((host, port), family=family)
    except OSError as error:
        why = f"{error.strerror}; --host and --port choose another"
        raise OutputError(f"{host}, port {port}: {why}") from error
    with closing(server_socket):
        yield server_socket


def allowed_hosts(host: str, address: str) -> tuple[str, ...]:
    """Host names that the server answers to.

    If only this computer can reach it, these are its own names: no other site may let its name resolve here.
    """
    return (*LOCAL_HOSTS, browser_host(host).lower()) if ip_address(address).is_loopback else ("*",)


def browser_host(host: str) -> str:
    """The host in the address for a browser on this computer."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
