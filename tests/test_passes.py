"""How far a picture has come: every pass of an encoder or a network is seen, and their number is known."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from methods import packed, photo, plain, stage

from refinesr.cascade import Cascade, Link
from refinesr.diffusion.loops import last_of
from refinesr.diffusion.samplers import Heun
from refinesr.restore import Options, picture_of, restore_picture, shared_preparation, watch_passes
from refinesr.stage import Stage

OURS = stage(replace(packed(2), tile=16))
CAT = picture_of(photo(20, 40, 50, 70))


def heun() -> Stage:
    sampling = replace(OURS.method.sampling, sampler=Heun(), mean=2.0)
    return replace(OURS, method=replace(OURS.method, sampling=sampling))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (OURS, {}),
        (OURS, {"tile": 0}),
        (OURS, {"tile": 8, "orientations": 4}),
        (OURS, {"fidelity": 1.0}),
        (OURS, {"sampling": replace(OURS.method.sampling, sampler=Heun(), steps=2), "orientations": 2}),
        (heun(), {"fidelity": 0.5, "steps": 2}),
        (stage(plain(2)), {"tile": 16}),
        (Cascade((Link(OURS, tile=16), Link(stage(plain(2)), tile=24))), {}),
        (Cascade((Link(OURS, tile=16), Link(OURS))), {"tile": 32}),
    ],
)
def test_every_pass_is_shown_and_their_number_is_known(
    model: Stage | Cascade, options: dict[str, Any]
) -> None:
    seen: list[tuple[int, int]] = []
    chosen = Options(**options, precision="fp32")
    with watch_passes(model, CAT.size, chosen, lambda done, total: seen.append((done, total))):
        watched = last_of(restore_picture(model, CAT, chosen)).image
    (total,) = {total for _, total in seen}
    assert [done for done, _ in seen] == list(range(1, total + 1))
    alone = last_of(restore_picture(model, CAT, chosen)).image
    assert len(seen) == total, "nothing is seen when it is over"
    assert np.array_equal(watched.pixels, alone.pixels)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (OURS, {}),
        (OURS, {"tile": 8, "orientations": 4}),
        (OURS, {"fidelity": 1.0, "steps": 2}),
        (heun(), {"fidelity": 0.5, "steps": 2}),
        (stage(plain(2)), {"tile": 16}),
        (Cascade((Link(OURS, tile=16), Link(heun()))), {"fidelity": 0.5}),
    ],
)
@pytest.mark.parametrize("kept", [2**25, 0])
def test_of_further_samples_only_what_they_do_themselves_is_counted(
    model: Stage | Cascade, options: dict[str, Any], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what they share with the first; with little memory several orientations share nothing."""
    monkeypatch.setattr("refinesr.method.CACHE_LIMIT", kept)
    prepare, chosen = shared_preparation(CAT, 2), Options(**options, precision="fp32")
    for _ in range(2):
        seen: list[tuple[int, int]] = []
        with watch_passes(model, CAT.size, chosen, lambda *far: seen.append(far), prepare):  # noqa: B023
            last_of(restore_picture(model, CAT, chosen, prepare=prepare))
        assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
        assert {total for _, total in seen} <= {len(seen)}


def test_a_pass_is_one_tile_of_the_encoder_or_of_the_network() -> None:
    passed: Counter[str] = Counter()
    hooks = [
        part.register_forward_hook(lambda module, *_: passed.update([type(module).__name__]))
        for part in (OURS.model.get_submodule("source.encoder"), OURS.model.network)
    ]
    seen: list[int] = []
    with watch_passes(OURS, CAT.size, Options(), lambda done, total: seen.append(total)):
        last_of(restore_picture(OURS, CAT, Options()))
    for hook in hooks:
        hook.remove()
    assert len(passed) == 2
    assert seen[0] == len(seen) == sum(passed.values())


def test_what_the_watcher_raises_ends_the_walk() -> None:
    class EnoughError(Exception):
        pass

    def show(done: int, total: int) -> None:
        if done == 3:
            raise EnoughError

    with pytest.raises(EnoughError), watch_passes(OURS, CAT.size, Options(), show):
        last_of(restore_picture(OURS, CAT, Options()))
