"""`refinesr serve` as a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running(*words: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """As a user runs it: its own process, any free port; and the address that it tells."""
    line = [sys.executable, "-m", "refinesr", "serve", "--port", "0", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    variables = os.environ | {"PYTHONUNBUFFERED": "1"} | environment
    with subprocess.Popen(line, env=variables, **pipes) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)  Ctrl-C ends it\n", told)
            assert found is not None, told
            yield process, found[1]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """By Ctrl-C, which is heard once."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err
