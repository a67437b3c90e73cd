"""Files of other people: nothing in them runs, and of the networks in them the right one is taken."""

import argparse
import collections
import os
import pathlib
import pickle
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import LINEAR, Weights, saved, stored, stored_by_palette, weights
from safetensors.torch import save_file

from refinesr.checkpoint import save_stage
from refinesr.convert import convert
from refinesr.errors import CheckpointError
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.stage import Stage

SMALL = SR3UNet(width=4, multipliers=(1,), blocks=1, attention=(), size=8, groups=2)
PALETTE = ADMUNet(width=32, multipliers=(1,), blocks=1, attention=(), head_channels=32)


def whole(seed: int = 0) -> Weights:
    return stored(LINEAR) | weights(SMALL, seed=seed)


def of_seed(stage: Stage, seed: int) -> bool:
    """Whether the weights are those of `weights(..., seed)`."""
    network = SMALL if isinstance(stage.method.network, SR3UNet) else PALETTE
    wanted, found = weights(network, "", seed), stage.model.network.state_dict()
    return all(torch.equal(found[name], wanted[name]) for name in wanted)


def message(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        convert(path, groups=2)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("shape", [(4,), (), (4, 0, 3, 3)])
def test_weights_of_no_layer_are_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    name = "denoise_fn.downs.0.weight"
    path = saved(tmp_path / "gen.pth", whole() | {name: torch.zeros(shape)})
    assert message(path) == f"{name} has the shape {shape}, which no layer's weights have"


@pytest.mark.parametrize("betas", [torch.tensor(0.1), torch.zeros(0)])
def test_betas_that_are_no_table_are_none(tmp_path: Path, betas: torch.Tensor) -> None:
    path = saved(tmp_path / "gen.pth", whole() | {"betas": betas})
    assert "\n" not in message(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_both_of_torchs_formats_are_read(tmp_path: Path, zipped: bool) -> None:
    path = saved(tmp_path / "gen.pth", whole(), _use_new_zipfile_serialization=zipped)
    assert of_seed(convert(path, groups=2), 0)


def test_safetensors_of_other_peoples_layouts_are_read(tmp_path: Path) -> None:
    save_file(whole(), tmp_path / "gen.safetensors")
    assert of_seed(convert(tmp_path / "gen.safetensors", groups=2), 0)


def test_weights_of_16_bits_become_those_of_32(tmp_path: Path) -> None:
    halves = stored(LINEAR) | {name: tensor.half() for name, tensor in weights(SMALL).items()}
    stage = convert(saved(tmp_path / "gen.pth", halves), groups=2)
    wanted = weights(SMALL, "")
    for name, tensor in stage.model.network.state_dict().items():
        assert torch.equal(tensor, wanted[name].half().float())


def test_a_model_of_ours_needs_no_conversion(tmp_path: Path) -> None:
    stage = convert(saved(tmp_path / "gen.pth", whole()), groups=2)
    save_stage(stage, tmp_path / "model.safetensors")
    assert (
        message(tmp_path / "model.safetensors") == "is a model of ours already; there is nothing to convert"
    )


# What may be in a file


class Attack:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_is_executed(tmp_path: Path, zipped: bool) -> None:
    marker = tmp_path / "executed"
    pickle.loads(pickle.dumps(Attack(marker)))  # it would work
    assert marker.is_dir()
    marker.rmdir()
    data = whole() | {"config": Attack(marker)}
    text = message(saved(tmp_path / "gen.pth", data, _use_new_zipfile_serialization=zipped))
    assert text.startswith(f"holds a {os.mkdir.__module__}.mkdir, which is not opened")
    assert not marker.exists()


def test_modules_and_functions_are_refused_by_name(tmp_path: Path) -> None:
    assert message(saved(tmp_path / "a.pth", torch.nn.Linear(1, 1))).startswith(
        "holds a torch.nn.modules.linear.Linear, which is not opened: it might run code; save the state dict"
    )
    text = message(saved(tmp_path / "b.pth", whole() | {"hook": collections.Counter.most_common}))
    assert text.startswith("holds a getattr, which is not opened")


HARMLESS: list[Any] = [
    np.float64(1.5),
    np.float32(1.5),
    np.int64(3),
    np.bool_(True),
    {"a": [1, (2.5, None, "x")], "b": {True, 2}},
    collections.OrderedDict(a=1),
    collections.defaultdict(list, {"losses": [0.1, np.float64(0.2)]}),
    collections.Counter("aab"),
    argparse.Namespace(rate=1e-4, name="x"),
    types.SimpleNamespace(rate=1e-4),
    pathlib.PurePosixPath("/a/b"),
    pathlib.PureWindowsPath("c:/a"),
    Path("runs/a"),
    torch.float16,
    torch.device("cpu"),
    torch.Size([1, 2]),
]


@pytest.mark.parametrize("value", HARMLESS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("zipped", [True, False])
def test_what_trainers_keep_beside_weights_does_no_harm(tmp_path: Path, value: object, zipped: bool) -> None:
    data = {"state_dict": whole(), "kept": value, "many": [value, value]}
    path = saved(tmp_path / "gen.pth", data, _use_new_zipfile_serialization=zipped)
    assert of_seed(convert(path, groups=2), 0)


def test_numbers_that_an_older_numpy_wrote_are_read(tmp_path: Path) -> None:
    """It called its modules numpy.core, now numpy._core; so does a pickle with that name put in."""
    path = saved(
        tmp_path / "gen.pth", {"sd": whole(), "best": np.float64(1)}, _use_new_zipfile_serialization=False
    )
    data = path.read_bytes()
    name = np.float64(0).__reduce__()[0].__module__.encode()
    other = b"numpy.core.multiarray" if name == b"numpy._core.multiarray" else b"numpy._core.multiarray"
    assert data.count(b"c" + name + b"\n") == 1
    path.write_bytes(data.replace(b"c" + name + b"\n", b"c" + other + b"\n"))
    assert of_seed(convert(path, groups=2), 0)


def test_a_file_that_contains_itself_is_read_once(tmp_path: Path) -> None:
    data: dict[str, Any] = {"state_dict": whole()}
    data["self"], data["list"] = data, [data, [data]]
    assert of_seed(convert(saved(tmp_path / "gen.pth", data), groups=2), 0)


# Files that are none


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("keep", [5, 100, 2000, -3000, -20])
def test_a_truncated_file_is_no_checkpoint(tmp_path: Path, keep: int, zipped: bool) -> None:
    path = saved(tmp_path / "gen.pth", whole(), _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:keep])
    assert message(path).startswith(("damaged, or", "not a safetensors file"))


@pytest.mark.parametrize("content", [b"", b"{}", b"not a checkpoint at all", bytes(1000), b"\x80\x02]q\x00."])
def test_a_file_of_something_else_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gen.pth"
    path.write_bytes(content)
    assert message(path).startswith(("damaged, or", "not a safetensors file"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert message(tmp_path / "gen.pth") == "no such file"
    assert message(tmp_path) == "no such file"


def test_an_unknown_layout_is_told_what_was_looked_for(tmp_path: Path) -> None:
    text = message(saved(tmp_path / "a.pth", {"model": {"conv.weight": torch.zeros(1), "b": torch.zeros(1)}}))
    assert text == (
        r"no network that is known here; looked for denoise_fn.downs.N.res_block. (SR3), "
        r"denoise_fn.input_blocks. (Palette), denoise_fn.cond_proj. (SRDiff), "
        r"RRDB_trunk.N.RDB1. (SRDiff's encoder); it has conv.weight, b"
    )
    assert message(saved(tmp_path / "b.pth", {"a": 1})).endswith("; it has no tensors")
    assert message(saved(tmp_path / "c.pth", [1, 2])).endswith("; it has no tensors")
    assert message(saved(tmp_path / "d.pth", "text")).endswith("; it has no tensors")


OPTIMISERS = [("I10_E1_opt.pth", "I10_E1_gen.pth"), ("200.state", "200_Network.pth")]


@pytest.mark.parametrize(("name", "beside"), OPTIMISERS)
def test_the_state_of_an_optimiser_is_called_so(tmp_path: Path, name: str, beside: str) -> None:
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    kept = optimiser.state_dict()
    key = {"optimizer": kept} if name.endswith("pth") else {"optimizers": [kept], "schedulers": []}
    text = message(saved(tmp_path / name, {"epoch": 1, "iter": 10, "scheduler": None, **key}))
    assert text == f"holds the state of an optimiser and no network; give the {beside} beside it"


def test_the_state_of_a_run_of_ours_is_called_so_and_its_folder_is_what_to_give(tmp_path: Path) -> None:
    """Even if its network is laid out as one that is known."""
    path = saved(tmp_path / "state.pt", {"step": 1, "model": whole(), "average": {}, "optimizer": {}})
    told = "is the state of a run, to train on from; its model is in the run's folder"
    assert message(path) == f"{told}, as model.safetensors, and needs no conversion"
    (tmp_path / "run.json").touch()
    assert message(path) == f"{told}, {tmp_path}, and needs no conversion"


# Which network


PLACES: list[tuple[str, Callable[[Weights], Any]]] = [
    ("parallel", lambda w: {f"module.{name}": tensor for name, tensor in w.items()}),
    ("compiled", lambda w: {f"_orig_mod.{name}": tensor for name, tensor in w.items()}),
    ("inside", lambda w: {name.replace("denoise_fn.", "denoise_fn.module."): t for name, t in w.items()}),
    ("deep", lambda w: {"a": [{"b": w}]}),
    ("prefixed", lambda w: {"state_dict": {f"netG.{name}": tensor for name, tensor in w.items()}}),
    ("beside an optimiser", lambda w: {**w, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}}),
]


@pytest.mark.parametrize(("name", "place"), PLACES, ids=[name for name, _ in PLACES])
def test_the_network_is_found_wherever_it_is(
    tmp_path: Path, name: str, place: Callable[[Weights], Any]
) -> None:
    assert of_seed(convert(saved(tmp_path / "gen.pth", place(whole(1))), groups=2), 1)


AVERAGES = ["ema", "ema_state_dict", "model_ema", "netG_EMA", "ema_model", "averaged", "params_ema", "shadow"]


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("first", [True, False])
def test_averaged_weights_are_preferred(tmp_path: Path, name: str, first: bool) -> None:
    """With the noise table of the others where the averaged ones come without."""
    both = [("model", whole(0)), (name, weights(SMALL, seed=1))]
    stage = convert(saved(tmp_path / "gen.pth", dict(both if first else both[::-1])), groups=2)
    assert of_seed(stage, 1)
    assert "averaged weights" in stage.card.training


def test_averaged_weights_may_be_told_by_the_names_of_tensors(tmp_path: Path) -> None:
    data = {f"model.{name}": tensor for name, tensor in whole(0).items()}
    data |= {f"model_ema.{name}": tensor for name, tensor in whole(1).items()}
    assert of_seed(convert(saved(tmp_path / "gen.pth", {"state_dict": data}), groups=2), 1)


def test_a_scheme_is_no_average(tmp_path: Path) -> None:
    """The letters alone do not count."""
    stage = convert(saved(tmp_path / "gen.pth", {"schema": whole(1)}), groups=2)
    assert "weights as trained" in stage.card.training


def test_several_networks_of_a_kind_are_not_chosen_from(tmp_path: Path) -> None:
    text = message(saved(tmp_path / "gen.pth", {"student": whole(0), "teacher": whole(1)}))
    assert text == "holds 2 such networks, under 'student', 'teacher'; save one alone"


def test_a_files_own_average_comes_before_one_beside_it(tmp_path: Path) -> None:
    saved(tmp_path / "gen_ema.pth", whole(2))
    path = saved(tmp_path / "gen.pth", {"model": whole(0), "ema": whole(1)})
    assert of_seed(convert(path, groups=2), 1)


def test_tensors_of_odd_kinds_are_no_weights(tmp_path: Path) -> None:
    odd = whole()
    odd["denoise_fn.downs.0.bias"] = torch.zeros(4).to_sparse()
    assert message(saved(tmp_path / "a.pth", odd)).endswith("denoise_fn.downs.0.bias is missing")
    odd["denoise_fn.downs.0.bias"] = torch.zeros(4, dtype=torch.complex64)
    assert message(saved(tmp_path / "b.pth", odd)).endswith("denoise_fn.downs.0.bias is missing")


def palette(folder: Path, *, plain: bool = True, average: bool = True) -> Path:
    """As its code saves: the average without a noise table."""
    if plain:
        saved(folder / "5_Network.pth", stored_by_palette(LINEAR) | weights(PALETTE, seed=0))
    if average:
        saved(folder / "5_Network_ema.pth", weights(PALETTE, seed=1))
    return folder / "5_Network.pth"


def test_the_averaged_file_beside_is_taken_and_said_so(tmp_path: Path) -> None:
    path = palette(tmp_path)
    expected = f"{path}: 5_Network_ema.pth beside it has the averaged weights; they are taken"
    with pytest.warns(UserWarning, match=f"^{re.escape(expected)}$"):
        stage = convert(path, head_channels=32)
    assert of_seed(stage, 1)
    assert stage.card.summary == "Palette, converted from 5_Network_ema.pth and 5_Network.pth"


def test_the_averaged_file_finds_its_noise_table_beside_it(tmp_path: Path) -> None:
    palette(tmp_path)
    assert of_seed(convert(tmp_path / "5_Network_ema.pth", head_channels=32), 1)


def test_a_plain_file_alone_is_taken_as_it_is(tmp_path: Path) -> None:
    palette(tmp_path, average=False)
    saved(tmp_path / "6_Network_ema.pth", weights(PALETTE, seed=1))
    assert of_seed(convert(tmp_path / "5_Network.pth", head_channels=32), 0)


def test_a_table_of_16_bits_is_none(tmp_path: Path) -> None:
    halves = {name: tensor.half() for name, tensor in whole().items()}
    assert message(saved(tmp_path / "gen.pth", halves)).startswith("there is no noise table in it")


def test_an_averaged_file_alone_has_no_noise_table(tmp_path: Path) -> None:
    palette(tmp_path, plain=False)
    with pytest.raises(CheckpointError, match="there is no noise table in it; give --config"):
        convert(tmp_path / "5_Network_ema.pth", head_channels=32)
