"""A model file gives back what was put in, and every damage to it is one clear line."""

import json
import math
import os
import stat
import struct
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from methods import normal, packed, plain, stage
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from refinesr.checkpoint import load_stage, save_stage
from refinesr.diffusion.noise import NoiseField
from refinesr.errors import CheckpointError, ConfigError, OutputError
from refinesr.method import Method
from refinesr.model import Model
from refinesr.nets.sr3_unet import SR3UNet, TimeStep
from refinesr.stage import Card, Stage

CARD = Card("name", "a summary of it", "CC0-1.0", ("data",), ("1000 updates", "of 16"), ("31 dB",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "face.safetensors"
    save_stage(replace(stage(packed(2)), card=CARD), file)
    return file


def parts(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return load_file(path), file.metadata()


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float16, torch.bfloat16])
def test_what_is_loaded_is_what_was_saved_in_float32(tmp_path: Path, dtype: torch.dtype | None) -> None:
    """Rounded to 16 bits as torch rounds them, if asked for; the method, the card and every picture alike."""
    made = replace(stage(packed(2)), card=CARD)
    save_stage(made, tmp_path / "a.safetensors", dtype=dtype)
    loaded = load_stage(tmp_path / "a.safetensors")
    assert (loaded.method, loaded.card) == (made.method, made.card)
    for name, tensor in made.model.state_dict().items():
        again = loaded.model.state_dict()[name]
        assert again.dtype == torch.float32
        assert torch.equal(again, tensor.to(dtype or torch.float32).float())
    stored = {tensor.dtype for tensor in load_file(tmp_path / "a.safetensors").values()}
    assert stored == {dtype or torch.float32}


def test_a_loaded_model_works_as_the_saved_one(path: Path) -> None:
    low = normal(1, 3, 5, 6)
    made, loaded = stage(packed(2)), load_stage(path)
    for first, second in zip(made(low, NoiseField((0,))), loaded(low, NoiseField((0,))), strict=True):
        assert torch.equal(first.image, second.image)


def test_a_loaded_model_is_on_the_cpu_at_rest_and_asks_for_no_gradients(path: Path) -> None:
    model = load_stage(path).model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    everything = [*model.parameters(), *model.buffers()]
    assert {tensor.device.type for tensor in everything} == {"cpu"}


def test_buffers_are_no_less_part_of_a_model(tmp_path: Path) -> None:
    network = SR3UNet(width=8, multipliers=(1,), blocks=1, attention=(), groups=4, embedding=TimeStep())
    made = stage(replace(plain(2), network=network))
    names = [name for name, _ in made.model.named_buffers()]
    assert names
    save_stage(made, tmp_path / "a.safetensors", dtype=torch.bfloat16)
    assert not any(buffer.is_meta for buffer in load_stage(tmp_path / "a.safetensors").model.buffers())


def test_equal_models_make_equal_files(tmp_path: Path) -> None:
    """Byte for byte: no times, hosts or paths, and nothing in an order of chance."""
    made = replace(stage(packed(2)), card=CARD)
    (tmp_path / "elsewhere").mkdir()
    files = [tmp_path / f"{k}.safetensors" for k in range(5)] + [tmp_path / "elsewhere" / "a.safetensors"]
    for file in files:
        save_stage(made, file)
    assert len({file.read_bytes() for file in files}) == 1
    text = json.dumps(parts(files[0])[1])
    assert str(tmp_path) not in text
    assert str(datetime.now(UTC).year) not in text


def test_the_file_is_what_the_library_would_have_written(path: Path) -> None:
    """The same but for the order of the metadata: numbers aligned to 8 bytes, and nothing after them."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert list(header["__metadata__"]) == ["format", "method", "card"]
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert 8 + size + max(ends) == len(data)
    weights, metadata = parts(path)
    save_file(weights, path.with_name("library"), metadata)
    assert len(path.with_name("library").read_bytes()) == len(data)


def test_others_may_read_the_file_as_any_other_of_ours(path: Path) -> None:
    """The library would write it for the owner's eyes alone, and a package with it could be nobody else's."""
    path.with_name("plain").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(path.with_name("plain").stat().st_mode)


def test_weights_saved_channels_last_load_the_same(tmp_path: Path) -> None:
    made = stage(packed(2))
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    made.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_stage(made, tmp_path / "a.safetensors")
    after = load_stage(tmp_path / "a.safetensors").model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_an_existing_file_is_not_replaced_unless_asked(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists; --overwrite replaces it"):
        save_stage(stage(packed(2), seed=1), path)
    assert path.read_bytes() == before
    save_stage(stage(packed(2), seed=1), path, overwrite=True)
    assert path.read_bytes() != before


def message(path: Path, kind: type[Exception] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        load_stage(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_a_path_that_is_no_text_is_told_to_be_why(path: Path) -> None:
    named = path.rename(path.with_name(os.fsdecode(b"caf\xe9.safetensors")))
    with pytest.raises(CheckpointError) as caught:
        load_stage(named)
    why = "safetensors opens no file whose path is no UTF-8; rename it, or its folder"
    assert str(caught.value) == f"{str(named)!r}: {why}"


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1000, -1])
def test_a_truncated_file_is_no_model(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    assert message(path).startswith("not a safetensors file")


def test_a_file_that_says_it_has_a_huge_header_is_no_model(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert message(path).startswith("not a safetensors file")


@pytest.mark.parametrize("name", ["gen.pth", "gen.safetensors"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_not_opened_whatever_its_name_and_there_is_advice(
    tmp_path: Path, name: str, zipped: bool
) -> None:
    path = tmp_path / name
    torch.save({"a": torch.zeros(1)}, path, _use_new_zipfile_serialization=zipped)
    advice = f"try: refinesr convert {path} -o MODEL.safetensors"
    assert message(path) == f"a pickled checkpoint, which is not opened; {advice}"


def test_of_the_state_of_a_run_its_folder_is_what_to_give(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save({"a": torch.zeros(1)}, path)
    assert "refinesr convert" in message(path)
    (tmp_path / "run.json").touch()
    told = f"its model is in the run's folder, {tmp_path}; give that"
    assert message(path) == f"is the state of a run, to train on from; {told}"


def test_a_model_that_begins_as_pickles_do_is_opened(path: Path) -> None:
    """By the length of its header, which spaces make a number that ends in 80 hexadecimal."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    longer = size + (0x80 - size) % 0x100
    path.write_bytes(struct.pack("<Q", longer) + data[8 : 8 + size].ljust(longer) + data[8 + size :])
    assert path.read_bytes().startswith(b"\x80")
    assert load_stage(path).card == CARD


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert message(tmp_path / "none.safetensors") == "no such file"
    assert message(tmp_path) == "no such file"


DAMAGES: list[tuple[Callable[[dict[str, str]], object], str]] = [
    (lambda m: m.clear(), "format: null is not 'refinesr-1'"),
    (lambda m: m.update(format="refinesr-9"), "format: 'refinesr-9' is not 'refinesr-1'"),
    (lambda m: m.update(format="\x1b[2J"), "format: '\\x1b[2J' is not 'refinesr-1'"),
    (lambda m: m.pop("method"), "its metadata holds no 'method'"),
    (lambda m: m.pop("card"), "its metadata holds no 'card'"),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=[text for _, text in DAMAGES])
def test_metadata_that_lacks_something_is_named(
    path: Path, damage: Callable[[dict[str, str]], object], expected: str
) -> None:
    weights, metadata = parts(path)
    damage(metadata)
    save_file(weights, path, metadata or None)
    assert message(path) == expected


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    weights, metadata = parts(path)
    method = json.loads(metadata["method"])
    change(method)
    save_file(weights, path, metadata | {"method": json.dumps(method)})


PRECONDS = "Eps, Velocity, Clean, EDM, Blind"
MISTAKES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda m: m["precond"].update(kind="EMD"),
        f"method.precond: 'EMD' is not one of {PRECONDS}; did you mean 'EDM'?",
    ),
    (
        lambda m: m.update(precond={"kind": "os.system"}),
        f"method.precond: 'os.system' is not one of {PRECONDS}",
    ),
    (lambda m: m.update(p=3), "method.p: 3 is not 1 or 2"),
    (lambda m: m.update(scale="2"), "method.scale: '2' is not an integer"),
    (lambda m: m["sampling"].update(steps=0), "method.sampling.steps: 0 is not positive"),
    (lambda m: m.pop("target"), "method.target: missing, and has no default"),
    (lambda m: m.update(scales=2), "method.scales: no such field of Method; did you mean 'scale'?"),
]


@pytest.mark.parametrize(("change", "expected"), MISTAKES, ids=[text for _, text in MISTAKES])
def test_a_method_that_makes_no_sense_is_named_by_file_and_field(
    path: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    changed(path, change)
    assert message(path, ConfigError) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m["network"].update(blocks=[10**9] * 3), "needs more weights than the file could hold"),
        (lambda m: m["network"].update(widths=[10**9] * 3), "no network has such sizes"),
        (lambda m: m["network"].update(embedding=2**40), "no network has such sizes"),
    ],
    ids=["deep", "wide", "embedding"],
)
def test_a_network_of_absurd_size_is_refused_before_it_is_built(
    path: Path, change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    """A small file may claim anything: time and memory are those of the weights that are there."""
    changed(path, change)
    tracemalloc.start()
    assert message(path).startswith(f"method: {expected}")
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_networks_that_other_threads_build_meanwhile_are_not_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refinesr.checkpoint.MAX_MISSING", 0)
    built = type(stage(packed(2)).method).build

    def meanwhile(method: Method) -> Model:
        other = Thread(target=lambda: [torch.nn.Linear(1, 1) for _ in range(1000)])
        other.start()
        other.join()
        return built(method)

    monkeypatch.setattr(type(stage(packed(2)).method), "build", meanwhile)
    assert load_stage(path).model


def test_a_method_that_is_no_json_is_named(path: Path) -> None:
    weights, metadata = parts(path)
    save_file(weights, path, metadata | {"method": "{'single': 'quotes'}"})
    assert message(path, ConfigError).startswith("method: not valid JSON")


Weights = dict[str, torch.Tensor]
NAME = "network.stem.weight"
MISFITS: list[tuple[Callable[[Weights], object], str]] = [
    (lambda w: w.pop(NAME), f"{NAME} is missing"),
    (lambda w: w.update(extra=torch.zeros(2)), "extra is unknown"),
    (lambda w: w.update({NAME: torch.zeros(8, 12, 1, 1)}), f"{NAME} is (8, 12, 1, 1), not (8, 12, 3, 3)"),
    (lambda w: w[NAME][0, 0].fill_(float("nan")), f"{NAME} holds NaN or infinity"),
    (lambda w: w.update({NAME: w[NAME].double() + 1e300}), f"{NAME} holds NaN or infinity"),
    (
        lambda w: w.update({NAME: (w[NAME] * math.nan).to(torch.float8_e4m3fn)}),
        f"{NAME} holds NaN or infinity",
    ),
    (lambda w: w.update({NAME: w[NAME].to(torch.complex64)}), f"{NAME} is complex64, not float32"),
    (lambda w: w.update({NAME: w[NAME].to(torch.int8)}), f"{NAME} is int8, not float32"),
    (lambda w: w.update({"\x1b[2Jgone": torch.zeros(2)}), "'\\x1b[2Jgone' is unknown"),
]


@pytest.mark.parametrize(("damage", "expected"), MISFITS, ids=[text for _, text in MISFITS])
def test_weights_that_do_not_fit_are_named(
    path: Path, damage: Callable[[Weights], object], expected: str
) -> None:
    weights, metadata = parts(path)
    damage(weights)
    save_file(weights, path, metadata)
    assert message(path) == f"weights do not fit the method: {expected}"


def test_of_many_misfits_three_are_named(path: Path) -> None:
    _, metadata = parts(path)
    save_file({"a": torch.zeros(1)}, path, metadata)
    missing = len(stage(packed(2)).model.state_dict())
    assert message(path).endswith(f"is missing and {missing + 1 - 3} more")
    assert message(path).count(";") == 2


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match=r"a\.safetensors: cannot be written: No space left on device"):
        save_stage(stage(packed(2)), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_says_what_it_is() -> None:
    assert Stage(packed(2), packed(2).build()).card == Card()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_loaded_model_no_longer_needs_its_file(tmp_path: Path, dtype: torch.dtype) -> None:
    """What is mapped would change with the file, and end the process where the file has become shorter."""
    made, path = stage(packed(2)), tmp_path / "model.safetensors"
    save_stage(made, path, dtype=dtype)
    loaded = load_stage(path)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    with path.open("r+b") as file:
        file.seek(-5000, 2)
        file.write(b"\x7f" * 5000)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items())


@pytest.mark.usefixtures("unchecked")
def test_paths_may_be_text(tmp_path: Path) -> None:
    file = str(tmp_path / "face.safetensors")
    save_stage(stage(packed(2)), file)
    assert load_stage(file).method == packed(2)
