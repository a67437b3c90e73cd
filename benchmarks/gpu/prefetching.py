"""Batches prepared on their own CUDA stream while the network computes on the previous one."""

import torch
from torch import Tensor

from refinesr.data import Pairs

Batch = tuple[Tensor, Tensor]


class PrefetchedBatches:
    """The batches of `pairs`, on CUDA; each is prepared before it is requested."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.stream = torch.cuda.Stream(pairs.photos.device)
        self.next: tuple[int, Batch] | None = None

    def at(self, step: int) -> Batch:
        number, batch = self.next or (None, None)
        if batch is None or number != step:
            batch = self.begun(step)
        own = torch.cuda.current_stream(self.pairs.photos.device)
        own.wait_stream(self.stream)
        for images in batch:
            images.record_stream(own)  # its memory is not given away while the network reads it
        self.next = (step + 1, self.begun(step + 1))
        return batch

    def begun(self, step: int) -> Batch:
        with torch.cuda.stream(self.stream):
            return self.pairs.at(step)
