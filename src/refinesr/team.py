"""Processes that make every update together, as torchrun starts them: one for each GPU, or for each core.

All draw the same crops, levels and noise, each goes through its share of them, and all move their weights by
the mean gradient.  So what is learnt is what one process would learn, to rounding, and what dropout drops.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Team:
    """One of `size` processes, counted from 0."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def share(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """What this process is to go through.  Raises ValueError for a batch that has no equal shares."""
        if len(batch[0]) % self.size:
            raise ValueError(f"a batch of {len(batch[0])} has no {self.size} equal shares")
        return tuple(values.chunk(self.size)[self.rank] for values in batch)

    def average(self, numbers: Iterable[Tensor]) -> None:
        """Put the mean of all processes into each, in place; all must give the same shapes, of one dtype."""
        if self.size == 1:
            return
        numbers = list(numbers)
        flat = torch.cat([each.flatten() for each in numbers])  # one message is faster than hundreds
        distributed.all_reduce(flat)
        flat /= self.size
        means = torch.split(flat, [each.numel() for each in numbers])
        for each, mean in zip(numbers, means, strict=True):
            each.copy_(mean.view_as(each))

    def largest(self, number: int) -> int:
        """Of what all say.  It passes between CPUs: no GPU is waited for."""
        if self.size == 1:
            return number
        said = torch.tensor(number)
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return int(said)


ALONE = Team()


@contextmanager
def assembled() -> Iterator[Team]:
    """The processes that torchrun has started with this one, each with a GPU of its own; else `ALONE`."""
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield ALONE
        return
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
