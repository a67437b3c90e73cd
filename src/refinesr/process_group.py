"""Data-parallel training: the processes that torchrun starts, one for each GPU or group of CPU cores.

All processes draw the same crops, noise levels and noise; each computes gradients on its share of the batch,
and all apply the averaged gradients.  The result equals that of one process up to rounding, and up to what is
drawn inside the network's forward pass: dropout and withheld class labels.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from refinesr import torchrun
from refinesr.errors import ConfigError, RefineSRError

TIMEOUT = timedelta(days=1)
"""The other processes wait while the main one makes previews and saves, which takes long for large models."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process's `rank`, from 0, among `size` processes."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    def local_batch(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """This process's share of a batch.  Raises ValueError if the batch cannot be divided evenly."""
        if len(batch[0]) % self.size:
            raise ValueError(f"a batch of {len(batch[0])} has no {self.size} equal shares")
        return tuple(values.chunk(self.size)[self.rank] for values in batch)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor, in place, by its mean over all processes.

        All processes must pass tensors of the same shapes and of one dtype.
        """
        if self.size == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])  # one message is faster than hundreds
        self._reduce(flat, distributed.ReduceOp.SUM)
        flat /= self.size
        means = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def maximum(self, number: int) -> int:
        """The largest number that a process passes; exchanged between CPUs, without waiting for a GPU."""
        if self.size == 1:
            return number
        value = torch.tensor(number)
        self._reduce(value, distributed.ReduceOp.MAX)
        return int(value)

    def agrees_on(self, number: int) -> bool:
        """Whether all processes pass the same number."""
        return self.maximum(number) == -self.maximum(-number)

    def _reduce(self, values: Tensor, operation: "distributed.ReduceOp.RedOpType") -> None:
        try:
            distributed.all_reduce(values, operation)
        except RuntimeError as error:  # the process that failed prints its own error
            raise RefineSRError("another process has stopped") from error


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def joined_process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """The group of processes that torchrun has started with this one; `SINGLE_PROCESS` without torchrun.

    The processes compute on CPUs, or each on its own GPU.  Raises ConfigError if that is impossible.
    """
    if not torchrun.started_by_torchrun():
        yield SINGLE_PROCESS
        return
    if not distributed.is_available():
        raise ConfigError("torchrun: this build of PyTorch cannot join processes")
    distributed.init_process_group(backend(device), timeout=TIMEOUT)
    yield ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    # not after an exception: it would wait for the other processes, which do not know of it
    distributed.destroy_process_group()


def backend(device: torch.device) -> str:
    """Name of torch's communication backend; the GPU of this process becomes the current one.

    Raises ConfigError for devices that cannot work together.
    """
    if device.type == "cpu":
        return "gloo"
    if device.type != "cuda" or not distributed.is_nccl_available():
        raise ConfigError(f"device: processes share updates on CPUs, and on GPUs by NCCL, not on {device}")
    processes, gpus = torchrun.local_world_size(), torch.cuda.device_count()
    if processes > gpus:
        raise ConfigError(f"device: {processes} processes for {gpus} GPUs")
    torch.cuda.set_device(torchrun.local_rank())
    return "cpu:gloo,cuda:nccl"
