"""How much memory there is, what a shell or a container leaves of it, and what is said when it lacks."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refinesr.errors import RefineSRError

GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""What a container may use; a number, or "max"."""

LACKS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")
"""What PyTorch and Python say of memory, for it has no error of its own."""

UNKNOWN = 4 * 2**30
"""Bytes that are counted on where nobody can tell."""


def most() -> int | None:
    """Bytes that a process can have at most; None if nobody says."""
    return min((limit for limit in (installed(), allowed(), contained()) if limit is not None), default=None)


def free() -> int:
    """Bytes that can be had now; where only what is installed is known, half of that."""
    now, limit = available(), most()
    if now is None:
        return UNKNOWN if limit is None else limit // 2
    return now if limit is None else min(now, limit)


def available() -> int | None:
    """On Linux."""
    try:
        told = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    line = re.search(r"MemAvailable:\s+(\d+) kB", told)
    return int(line[1]) * 1024 if line else None


def installed() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def allowed() -> int | None:
    """By `ulimit`."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def contained() -> int | None:
    for name in GROUPS:
        try:
            return int(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None


@contextmanager
def if_memory_lacks(advice: str) -> Iterator[None]:
    """Says what to do then: a RefineSRError.  Other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RefineSRError(advice) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a CPU or a GPU had too little memory; PyTorch says so with a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in LACKS)
