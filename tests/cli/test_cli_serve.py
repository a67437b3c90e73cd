"""`refinesr serve`: where it listens, what it refuses, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from cascades import PAGE
from commands import Command
from methods import plain, stage

from refinesr.checkpoint import save_stage
from refinesr.cli import serve
from refinesr.images.tasks import Inpainting
from refinesr.stage import Stage


def test_a_browser_is_answered_until_ctrl_c(model: str) -> None:
    """As a user runs it: its own process, any free port."""
    words = [sys.executable, "-m", "refinesr", "serve", "-m", model, "--port", "0", "--no-browser"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **pipes) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)  Ctrl-C ends it\n", line)
        assert found is not None, line
        with urllib.request.urlopen(found[1] + "model") as answer:
            said = json.load(answer)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (said["name"], said["scale"]) == (model, 4)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_a_port_that_is_taken_is_told(refinesr: Command, model: str) -> None:
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
def test_an_address_that_cannot_be_is_told(
    refinesr: Command, model: str, host: str, port: int, message: str
) -> None:
    ran = refinesr("serve", "-m", model, "--host", host, "--port", port, "--no-browser")
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(message)


def test_what_it_needs_is_told(refinesr: Command, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "NEEDED", ("starlette", "no_such_package"))
    ran = refinesr("serve", "-m", model)
    message = "serve: needs the package no_such_package: pip install 'refinesr[web]'\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)


def holes() -> Stage:
    return stage(replace(plain(1), degradation=Inpainting()))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (PAGE, "makes pictures from nothing; `refinesr generate` is for it"),
        (holes(), "only makes up what a mask marks; `refinesr upscale --mask` is for it"),
    ],
)
def test_models_that_a_picture_is_not_enough_for_are_refused(
    refinesr: Command, tmp_path: Path, made: Stage, message: str
) -> None:
    save_stage(made, tmp_path / "m.safetensors")
    ran = refinesr("serve", "-m", "m.safetensors")
    assert (ran.code, ran.out, ran.err) == (2, "", f"m.safetensors: {message}\n")


def test_options_that_make_no_sense_are_refused(refinesr: Command, model: str) -> None:
    ran = refinesr("serve", "-m", model, "--tile", -1)
    assert (ran.code, ran.err) == (2, "tile: -1 is negative; 0 means no tiles\n")


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("box", "box")]
)
def test_the_address_is_one_that_a_browser_can_open(host: str, told: str) -> None:
    assert serve.shown(host) == told
