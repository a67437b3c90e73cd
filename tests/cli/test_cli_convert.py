"""`refinesr convert` in this process, on checkpoints of tiny networks with random weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Command, picture
from methods import awake
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import refinesr as package
from refinesr.nets.sr3_unet import SR3UNet

NETWORK = SR3UNet(width=4, multipliers=(1, 2), blocks=1, attention=(8,), size=16, groups=2)
BETAS = torch.tensor([1e-2, 0.9])
BUFFERS = {"betas": BETAS, "alphas_cumprod": (1 - BETAS).cumprod(0)}
CONFIG = """{
    "model": { // of the public SR3 code
        "unet": {"norm_groups": 2},
        "diffusion": {"image_size": 16}
    },
    "datasets": {"train": {"l_resolution": 8, "r_resolution": 16}}
}"""


def weights(network: SR3UNet = NETWORK) -> dict[str, Tensor]:
    module = awake(network.build())
    return {f"denoise_fn.{name}": tensor for name, tensor in module.state_dict().items()}


@pytest.fixture
def gen() -> str:
    torch.save(BUFFERS | weights(), "gen.pth")
    Path("config.json").write_text(CONFIG)
    return "gen.pth"


def test_a_model_is_made_and_described_in_a_line(refinesr: Command, gen: str) -> None:
    ran = refinesr("convert", gen, "-o", "a.safetensors", "--config", "config.json")
    assert (ran.code, ran.err) == (0, "")
    count = sum(tensor.numel() for tensor in weights().values()) / 1e6
    assert ran.out == f"a.safetensors  SR3, converted from gen.pth: x2, {count:.2f} M parameters, 2 steps\n"
    assert package.load("a.safetensors").method.network == NETWORK


def test_assumptions_are_printed_on_stderr(refinesr: Command, gen: str) -> None:
    ran = refinesr("convert", gen, "-o", "a.safetensors", "--groups", 2, "--scale", 4)
    assert (ran.code, ran.err) == (0, "assumed: training images of 16 pixels a side\n")
    assert ran.out.startswith("a.safetensors  SR3, converted from gen.pth: x4, ")


def test_the_model_upscales(refinesr: Command, gen: str) -> None:
    refinesr("convert", gen, "-o", "a.safetensors", "--config", "config.json")
    picture("low.png", 10, 14)
    ran = refinesr("upscale", "low.png", "-m", "a.safetensors", "-o", "high.png", "--precision", "fp32")
    assert ran.code == 0
    with Image.open("high.png") as high:
        assert high.size == (28, 20)
        assert np.ptp(np.asarray(high)) > 0


def test_the_file_contains_no_paths(refinesr: Command, gen: str, tmp_path: Path) -> None:
    refinesr("convert", tmp_path / gen, "-o", "a.safetensors", "--config", tmp_path / "config.json")
    assert str(tmp_path).encode() not in Path("a.safetensors").read_bytes()


def test_the_same_checkpoint_makes_the_same_file(refinesr: Command, gen: str) -> None:
    for name in ("a", "b"):
        refinesr("convert", gen, "-o", f"{name}.safetensors", "--groups", 2)
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


@pytest.mark.filterwarnings("default")
def test_averaged_weights_beside_it_are_used_with_a_warning(refinesr: Command, gen: str) -> None:
    torch.save({name: 2 * tensor for name, tensor in weights().items()}, "gen_ema.pth")
    ran = refinesr("convert", gen, "-o", "a.safetensors", "--config", "config.json")
    assert (ran.code, ran.err) == (
        0,
        "warning: gen.pth: gen_ema.pth beside it has the averaged weights; they are taken\n",
    )
    made = package.load("a.safetensors").model.network.state_dict()
    assert torch.equal(made["downs.0.weight"], 2 * weights()["denoise_fn.downs.0.weight"])


def test_an_existing_model_is_not_replaced_without_overwrite(refinesr: Command, gen: str) -> None:
    Path("a.safetensors").write_text("mine")
    ran = refinesr("convert", gen, "-o", "a.safetensors", "--groups", 2)
    assert (ran.code, ran.out, ran.err) == (2, "", "a.safetensors exists; --overwrite replaces it\n")
    assert Path("a.safetensors").read_text() == "mine"
    assert refinesr("convert", gen, "-o", "a.safetensors", "--groups", 2, "--overwrite").code == 0
    assert package.load("a.safetensors").method.network == NETWORK


MISTAKES = [
    (("gen.pth", "-o", "a.pth"), "--output: a.pth: suffix '.pth' is not .safetensors"),
    (("none.pth", "-o", "a.safetensors"), "none.pth: no such file"),
    (("config.json", "-o", "a.safetensors"), "config.json: not a safetensors file ("),
    (
        ("gen.pth", "-o", "a.safetensors"),
        "gen.pth: its groups of norms leave no trace in the weights; give --",
    ),
    (("gen.pth", "-o", "a.safetensors", "--config", "none.json"), "none.json: cannot be read: No such file"),
    (
        ("gen.pth", "-o", "a.safetensors", "--config", "gen.pth"),
        "gen.pth: cannot be read: it is not UTF-8 text",
    ),
    (("gen.pth", "-o", "a.safetensors", "--groups", "2", "--scale", "0"), "--scale: 0 is not positive"),
    (
        ("gen.pth", "-o", "no/a.safetensors", "--groups", "2"),
        "--output: no/a.safetensors: there is no folder",
    ),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[text for _, text in MISTAKES])
@pytest.mark.usefixtures("gen")
def test_an_error_is_one_line_and_leaves_no_files(
    refinesr: Command, words: tuple[str, ...], expected: str
) -> None:
    ran = refinesr("convert", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(expected)
    assert ran.err.count("\n") == 1
    assert not list(Path().rglob("*.part")) + list(Path().rglob("a.*"))


def test_a_checkpoint_itself_is_no_model_and_there_is_advice(refinesr: Command, gen: str) -> None:
    picture("low.png")
    for words in (("upscale", "low.png", "-m", gen), ("info", gen)):
        ran = refinesr(*words)
        advice = f"try: refinesr convert {gen} -o MODEL.safetensors"
        assert (ran.code, ran.err) == (2, f"{gen}: a pickled checkpoint, which is not opened; {advice}\n")


def test_a_generator_is_converted_too(refinesr: Command) -> None:
    network = replace(NETWORK, image_channels=0)
    torch.save(BUFFERS | weights(network), "gen.pth")
    ran = refinesr("convert", "gen.pth", "-o", "a.safetensors", "--groups", 2)
    assert ran.code == 0
    assert package.load("a.safetensors").method.network == network


def test_the_checkpoint_itself_is_never_replaced(refinesr: Command) -> None:
    save_file(weights(), "theirs.safetensors")
    before = Path("theirs.safetensors").read_bytes()
    words = ["--groups", 2, "--scale", 4, "--overwrite"]
    ran = refinesr("convert", "theirs.safetensors", "-o", "./theirs.safetensors", *words)
    message = "theirs.safetensors: the result would replace the input theirs.safetensors; rename one\n"
    assert (ran.code, ran.out, ran.err) == (2, "", message)
    assert Path("theirs.safetensors").read_bytes() == before
