"""Progress within steps: for a large picture one step takes minutes and many network passes, tile by tile."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import torch

from refinesr.cascade import Cascade
from refinesr.encoding import encoder_module, encoding_boxes
from refinesr.restore.options import Options
from refinesr.restore.restoring import Prepare, PrepareOnce, prepare
from refinesr.stage import Stage


@contextmanager
def watch_passes(
    model: Stage | Cascade,
    size: tuple[int, int],
    options: Options,
    show: Callable[[int, int], None],
    prepare: Prepare = prepare,
) -> Iterator[None]:
    """Within the context, `show(done, total)` is called after each pass of an encoder or a network.

    `size` is the (height, width) of the picture that is restored, `prepare` the argument of
    `restore_picture`.  What `show` raises ends the restoring.
    """
    prepared = isinstance(prepare, PrepareOnce) and prepare.first is not None
    total, passed = count_passes(model, size, options, prepared=prepared), count(1)
    stages = [model] if isinstance(model, Stage) else [link.stage for link in model.links]
    modules = {module for stage in stages for module in (encoder_module(stage.model), stage.model.network)}
    with ExitStack() as hooks:
        for module in modules:  # a set: a module that two stages share needs one hook
            hooks.enter_context(module.register_forward_hook(lambda *_: show(next(passed), total)))
        yield


def count_passes(
    model: Stage | Cascade, size: tuple[int, int], options: Options, *, prepared: bool = False
) -> int:
    """Passes of encoders and networks that a picture of that size takes, tile by tile.

    If `prepared`, an earlier sample has encoded the picture for the first stage, and computed the posterior
    mean; neither is done again.
    """
    total = 0
    for number, link in enumerate(options.links(model)):
        method, sampling, pixels = link.stage.method, link.effective_sampling, size[0] * size[1]
        low = torch.empty(1, 0, *size, device="meta")
        encodings, calls = method.encoder_runs(sampling, pixels), sampling.calls
        if prepared and number == 0:
            calls -= sampling.mean_calls
            # several orientations of a large picture are encoded again for every call
            kept = sampling.orientations == 1 or method.caches_inputs(sampling.orientations * pixels)
            encodings = 0 if kept else calls
        total += encodings * len(encoding_boxes(link.stage.model, low, link.tile))
        total += calls * len(link.stage.tiles(low, link.tile))
        size = size[0] * method.scale, size[1] * method.scale
    return total
