"""`refinesr serve`: its address, its errors and its end."""

import json
import socket
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cascades import PAGE
from commands import Command
from methods import plain, stage
from serving import interrupt, serving

from refinesr.checkpoint import save_stage
from refinesr.cli import serve
from refinesr.diffusion.samplers import DPM2M
from refinesr.images.tasks import Inpainting
from refinesr.restore import Options
from refinesr.stage import Stage
from refinesr.web.app import UPLOAD_TYPE


def test_the_server_answers_until_ctrl_c(model: str) -> None:
    with serving("-m", model, "--no-browser") as (process, address):
        with urllib.request.urlopen(address + "model") as answer:
            said = json.load(answer)
        assert interrupt(process) == (130, "", "interrupted\n")
    assert (said["name"], said["scale"]) == (model, 4)


def sending(address: str) -> socket.socket:
    """A connection whose upload has begun."""
    port = urlsplit(address).port
    assert port is not None
    sender = socket.create_connection(("127.0.0.1", port))
    head = f"POST /jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {UPLOAD_TYPE}\r\ncontent-length: 99\r\n"
    sender.sendall(f"{head}expect: 100-continue\r\n\r\n".encode())
    assert b"100" in sender.recv(100), "the server reads"
    return sender


def test_ctrl_c_neither_waits_for_uploads_nor_leaves_their_files(model: str, tmp_path: Path) -> None:
    with serving("-m", model, "--no-browser", TMPDIR=str(tmp_path)) as (process, address), sending(address):
        assert len(list(tmp_path.glob("refinesr-*/*"))) == 1
        assert interrupt(process) == (130, "", "interrupted\n")
    assert list(tmp_path.glob("refinesr-*")) == []


def test_an_aborted_upload_is_no_error(model: str) -> None:
    with serving("-m", model, "--no-browser") as (process, address):
        sending(address).close()
        with urllib.request.urlopen(address + "model"):
            pass
        assert interrupt(process) == (130, "", "interrupted\n")


def test_a_browser_command_that_blocks_does_not_block_the_server(model: str, tmp_path: Path) -> None:
    """As browsers in a terminal do; the server answers meanwhile."""
    browser, page = tmp_path / "browser", tmp_path / "page"
    fetch = (
        "import pathlib, sys, urllib.request\ndata = urllib.request.urlopen(sys.argv[1], timeout=60).read()\n"
    )
    browser.write_text(f"#!{sys.executable}\n{fetch}pathlib.Path({str(page)!r}).write_bytes(data)\n")
    browser.chmod(0o755)
    with serving("-m", model, BROWSER=str(browser)) as (process, _):
        for _ in range(300):
            if page.exists() and page.stat().st_size:
                break
            time.sleep(0.1)
        assert interrupt(process) == (130, "", "interrupted\n")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_port_in_use_is_an_error(refinesr: Command, model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = refinesr("serve", "-m", model, "--port", port, "--no-browser")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"127.0.0.1, port {port}: ")
    assert ran.err.endswith("; --host and --port choose another\n")


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, "--port: 65536 is not from 0 to 65535"),
        ("127.0.0.1", -1, "--port: -1 is not from 0 to 65535"),
        ("nobody.invalid", 0, "nobody.invalid, port 0: "),
    ],
)
def test_an_impossible_address_is_an_error(
    refinesr: Command, model: str, host: str, port: int, message: str
) -> None:
    ran = refinesr("serve", "-m", model, "--host", host, "--port", port, "--no-browser")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(message)


def test_a_missing_package_is_an_error(
    refinesr: Command, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "REQUIRED_PACKAGES", ("starlette", "no_such_package"))
    ran = refinesr("serve", "-m", model)
    message = "serve: needs the package no_such_package: pip install 'refinesr[web]'\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def holes() -> Stage:
    return stage(replace(plain(1), degradation=Inpainting()))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (PAGE, "generates pictures without an input; use `refinesr generate`"),
        (holes(), "is for inpainting, which needs a mask; use `refinesr upscale --mask`"),
    ],
)
def test_models_that_do_not_upscale_are_refused(
    refinesr: Command, tmp_path: Path, made: Stage, message: str
) -> None:
    save_stage(made, tmp_path / "m.safetensors")
    ran = refinesr("serve", "-m", "m.safetensors")
    assert (ran.code, ran.out, ran.err) == (2, "", f"m.safetensors: {message}\n")


def test_options_that_make_no_sense_are_refused(refinesr: Command, model: str) -> None:
    ran = refinesr("serve", "-m", model, "--tile", -1)
    assert (ran.code, ran.err) == (2, "tile: -1 is negative; 0 means no tiles\n")


def test_a_sampling_is_set_for_all_photos(refinesr: Command, model: str) -> None:
    loaded = serve.load_upscaler(model, Options(), ("sampling.steps=9", "sampling.sampler=DPM2M"))
    assert isinstance(loaded, Stage)
    assert (loaded.method.sampling.steps, loaded.method.sampling.sampler) == (9, DPM2M())
    ran = refinesr("serve", "-m", model, "--set", "sampling.temperature=2")
    message = "--set: sampling.temperature: 2 is not between 0 (no noise) and 1 (all)\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("box", "box")]
)
def test_the_address_is_one_that_a_browser_can_open(host: str, told: str) -> None:
    assert serve.browser_host(host) == told


@pytest.mark.parametrize(
    ("host", "address", "own"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "::1", "localhost"),
        ("::1", "::1", "[::1]"),
        ("Box", "127.0.1.1", "box"),
        ("0.0.0.0", "0.0.0.0", None),
        ("::", "::", None),
        ("192.168.0.2", "192.168.0.2", None),
    ],
)
def test_on_loopback_only_local_host_names_are_allowed(host: str, address: str, own: str | None) -> None:
    expected = {"*"} if own is None else {"127.0.0.1", "localhost", "[::1]", own}
    assert set(serve.allowed_hosts(host, address)) == expected
