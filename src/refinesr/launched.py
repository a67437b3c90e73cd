"""What torchrun tells each process that it starts; of others, that there is one."""

import os


def by_torchrun() -> bool:
    """Other launchers set RANK, too, and do not mean that processes work together."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def leads() -> bool:
    """Whether it is this process that shows what all have to tell."""
    return rank() == 0


def rank() -> int:
    return int(os.environ["RANK"]) if by_torchrun() else 0


def place_here() -> int:
    """Among the processes of this computer."""
    return int(os.environ["LOCAL_RANK"]) if by_torchrun() else 0


def number_here() -> int:
    """Of the processes of this computer, which share its memory and its cores."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if by_torchrun() else 1
