"""How much memory a process can have, and errors of lack of memory."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refinesr.errors import RefineSRError

GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of a container: a number of bytes, or "max"."""

LACKS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")
"""Parts of messages by which PyTorch's RuntimeErrors for lack of memory are recognised."""

UNKNOWN = 4 * 2**30
"""Bytes that are assumed where the free memory is unknown."""


def memory_limit() -> int | None:
    """Bytes that this process can have at most; None if unknown."""
    return min(
        (limit for limit in (installed_memory(), ulimit_memory(), container_limit()) if limit is not None),
        default=None,
    )


def free_memory() -> int:
    """Bytes that can be allocated now; where only the limit is known, half of that."""
    now, limit = available_memory(), memory_limit()
    if now is None:
        return UNKNOWN if limit is None else limit // 2
    return now if limit is None else min(now, limit)


def available_memory() -> int | None:
    """Bytes available, on Linux; None elsewhere."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return None
    line = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(line[1]) * 1024 if line else None


def installed_memory() -> int | None:
    """Bytes of physical memory; None if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def ulimit_memory() -> int | None:
    """The limit that `ulimit` sets, in bytes; None if there is none."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return min((limit for limit in limits if limit != resource.RLIM_INFINITY), default=None)


def container_limit() -> int | None:
    """The limit of the container, in bytes; None if there is none."""
    for name in GROUPS:
        try:
            return int(Path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None


@contextmanager
def out_of_memory_as(advice: str) -> Iterator[None]:
    """Turn errors of lack of memory into a RefineSRError with this advice; other errors pass."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RefineSRError(advice) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a CPU or a GPU had too little memory; PyTorch raises a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in LACKS)
