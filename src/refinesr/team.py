"""Processes that make every update together, as torchrun starts them: one for each GPU, or for each core.

All draw the same crops, levels and noise, each goes through its share of them, and all move their weights by
the mean gradient.  So what is learnt is what one process would learn, to rounding, and to what is drawn while
the network is at work: dropout, and classes withheld.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from refinesr import torchrun
from refinesr.errors import ConfigError, RefineSRError

PATIENCE = timedelta(days=1)
"""The first process makes previews and saves while the others wait; those of large models take long."""


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
        self._reduce(flat, distributed.ReduceOp.SUM)
        flat /= self.size
        means = torch.split(flat, [each.numel() for each in numbers])
        for each, mean in zip(numbers, means, strict=True):
            each.copy_(mean.view_as(each))

    def largest(self, number: int) -> int:
        """Of what all say.  It passes between CPUs: no GPU is waited for."""
        if self.size == 1:
            return number
        said = torch.tensor(number)
        self._reduce(said, distributed.ReduceOp.MAX)
        return int(said)

    def agrees(self, number: int) -> bool:
        """Whether all say the same."""
        return self.largest(number) == -self.largest(-number)

    def _reduce(self, values: Tensor, how: "distributed.ReduceOp.RedOpType") -> None:
        try:
            distributed.all_reduce(values, how)
        except RuntimeError as error:  # what went wrong there is told there
            raise RefineSRError("another process has stopped") from error


ALONE = Team()


@contextmanager
def assembled(device: torch.device) -> Iterator[Team]:
    """The processes that torchrun has started with this one, on CPUs or each on its own GPU; else `ALONE`.

    Raises ConfigError if they have no devices to work on together.
    """
    if not torchrun.started_by_torchrun():
        yield ALONE
        return
    if not distributed.is_available():
        raise ConfigError("torchrun: this build of PyTorch cannot join processes")
    distributed.init_process_group(backend(device), timeout=PATIENCE)
    yield Team(distributed.get_rank(), distributed.get_world_size())
    # not if something went wrong: it would wait for the others, who do not know
    distributed.destroy_process_group()


def backend(device: torch.device) -> str:
    """How they talk; the GPU of this process becomes the current one.  Raises ConfigError."""
    if device.type == "cpu":
        return "gloo"
    if device.type != "cuda" or not distributed.is_nccl_available():
        raise ConfigError(f"device: processes share updates on CPUs, and on GPUs by NCCL, not on {device}")
    if torchrun.local_world_size() > torch.cuda.device_count():
        raise ConfigError(
            f"device: {torchrun.local_world_size()} processes for {torch.cuda.device_count()} GPUs"
        )
    torch.cuda.set_device(torchrun.local_rank())
    return "cpu:gloo,cuda:nccl"
