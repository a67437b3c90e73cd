"""How far a picture has come: a large one takes minutes for a step, made of many passes, tile by tile."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import torch

from refinesr.cascade import Cascade
from refinesr.encoding import encoding, parts
from refinesr.restore.options import Options
from refinesr.stage import Stage


@contextmanager
def passing(
    model: Stage | Cascade, size: tuple[int, int], options: Options, show: Callable[[int, int], None]
) -> Iterator[None]:
    """`show(done, total)` after each pass of an encoder or a network, while such a picture is restored.

    `size` is its (height, width).  What `show` raises ends the walk.
    """
    total, passed = passes(model, size, options), count(1)
    stages = [model] if isinstance(model, Stage) else [link.stage for link in model.links]
    modules = {module for stage in stages for module in (encoding(stage.model), stage.model.network)}
    with ExitStack() as hooks:
        for module in modules:  # one that works in two stages is counted once each time
            hooks.enter_context(module.register_forward_hook(lambda *_: show(next(passed), total)))
        yield


def passes(model: Stage | Cascade, size: tuple[int, int], options: Options) -> int:
    """Those of encoders and networks that a picture of that size takes, tile by tile."""
    total = 0
    for link in options.links(model):
        scale, sampling = link.stage.scale, link.chosen
        low = torch.empty(1, 0, *size, device="meta")
        encodings = link.stage.method.encodings(sampling, size[0] * size[1])
        total += encodings * len(parts(link.stage.model, low, link.tile))
        total += sampling.calls * len(link.stage.tiles(low, link.tile))
        size = size[0] * scale, size[1] * scale
    return total
