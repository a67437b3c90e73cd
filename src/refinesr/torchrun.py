"""The place of this process among those that torchrun started; without torchrun there is one process."""

import os


def started_by_torchrun() -> bool:
    """Whether torchrun started this process.  Other launchers set RANK for processes that work alone."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_main_process() -> bool:
    """Whether this process writes files and messages for all."""
    return rank() == 0


def rank() -> int:
    """Number of this process, from 0."""
    return int(os.environ["RANK"]) if started_by_torchrun() else 0


def local_rank() -> int:
    """Number of this process, from 0, among those of this computer."""
    return int(os.environ["LOCAL_RANK"]) if started_by_torchrun() else 0


def local_world_size() -> int:
    """Number of processes on this computer, which share its memory and its cores."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if started_by_torchrun() else 1
