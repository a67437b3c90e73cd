"""A large picture is encoded once, in parts, and nobody can tell from the features."""

import pytest
import torch
from methods import normal, packed, stage
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from refinesr.devices import autocasting
from refinesr.encoding import encode, encoder_module, encoding_boxes, strips
from refinesr.nets.packed_unet import PackedEncoderModule
from refinesr.nets.strips import StripCache
from refinesr.stage import Stage

MADE = stage(packed(2))
REACH = MADE.method.source.reach


def encoded(made: Stage, low: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    with torch.no_grad(), autocasting(low.device, dtype):
        return encode(made.model, low, 0)["features"]


def encoder(made: Stage) -> PackedEncoderModule:
    found = made.model.get_submodule("source.encoder")
    assert isinstance(found, PackedEncoderModule)
    return found


def cut(monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    monkeypatch.setattr("refinesr.encoding.STRIP", positions)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize(
    ("size", "positions"),
    [
        ((1, 40, 30), 30),  # row by row
        ((1, 40, 30), 1),  # less than a row
        ((1, 41, 30), 30 * 7),
        ((1, 40, 1), 5),
        ((2, 23, 17), 2 * 17 * 4),
        ((1, REACH + 2, 9), 9),  # the first strip, and a single row
    ],
)
def test_strips_say_what_the_whole_says(
    size: tuple[int, int, int],
    positions: int,
    dtype: torch.dtype | None,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, (count, height, width) = stage(packed(2)), size
    made.model.to(memory_format=layout)
    low = normal(count, 3, height, width)
    whole = encoded(made, low, dtype).float()
    cut(monkeypatch, positions)
    assert len(encoding_boxes(made.model, low, 0)) > 1
    in_strips = encoded(made, low, dtype)
    assert whole.std() > 0.01
    step = 2**-8 if dtype else 1e-6
    torch.testing.assert_close(in_strips, whole, rtol=4 * step, atol=4 * step)


def test_nothing_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    low = normal(1, 3, 60, 20)
    cut(monkeypatch, 20 * 3)
    with FlopCounterMode(display=False) as strip_by_strip:
        encoded(MADE, low)
    with FlopCounterMode(display=False) as at_once, torch.no_grad():
        encoder(MADE)(low)
    assert strip_by_strip.get_total_flops() == at_once.get_total_flops() > 0


def test_every_row_comes_once_and_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    low, came, known = normal(1, 3, 50, 20), [], []
    whole = encoder(MADE).strip

    def seen(strip: Tensor, above: StripCache) -> Tensor:
        came.append(strip)
        known.append(whole(strip, above))
        return known[-1]

    cut(monkeypatch, 20 * 6)
    monkeypatch.setattr(encoder(MADE), "strip", seen)
    called = []
    hook = encoder_module(MADE.model).register_forward_hook(lambda *_: called.append(1))
    encoded(MADE, low)
    hook.remove()
    assert len(came) == len(called) == len(encoding_boxes(MADE.model, low, 0))
    assert torch.equal(torch.cat(came, 2), low)
    heights = [found.shape[2] for found in known]
    assert heights == [6] * (len(known) - 1) + [50 - 6 * (len(known) - 1)]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("width", [7, 100, 5000])
def test_strips_cover_the_picture_and_none_is_large(
    count: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, 1000)
    boxes = strips(torch.empty(count, 3, 333, width, device="meta"), REACH)
    assert boxes[0].top == 0
    assert [box.top + box.height for box in boxes] == [*(box.top for box in boxes[1:]), 333]
    assert {(box.left, box.width) for box in boxes} == {(0, width)}
    assert min(box.height for box in boxes) > 0
    rows = max(1, 1000 // (count * width))
    assert all(box.height <= rows for box in boxes[1:])
    assert boxes[0].height <= rows + REACH


def test_a_tile_changes_nothing_of_what_is_encoded_in_strips() -> None:
    low = normal(1, 3, 90, 100)
    assert encoding_boxes(MADE.model, low, 8) == encoding_boxes(MADE.model, low, 0)


def test_more_rows_than_the_picture_has_are_refused() -> None:
    above = StripCache(6)
    encoder(MADE).strip(torch.zeros(1, 3, 5, 4), above)
    with pytest.raises(ValueError, match="a strip of 2 rows, where 1 still come"):
        encoder(MADE).strip(torch.zeros(1, 3, 2, 4), above)


def test_an_encoder_that_is_compiled_takes_strips_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made, low = stage(packed(2)), normal(1, 3, 40, 30)
    cut(monkeypatch, 30 * 5)
    plain = encoded(made, low)

    def compiling(*_: Tensor) -> Tensor:
        raise AssertionError("for strips it would be compiled anew")

    monkeypatch.setattr(encoder(made), "_compiled_call_impl", compiling)  # what nn.Module.compile sets
    with pytest.raises(AssertionError, match="compiled anew"):
        encoder(made)(low)
    assert torch.equal(encoded(made, low), plain)
