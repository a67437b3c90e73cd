"""`refinesr train` by a perceptual distance, of made-up weights."""

import json
from pathlib import Path

import pytest
from commands import Command
from squeezenets import squeezenet

TINY = ("--tiny", "--set", "plan.steps=2", "--precision", "fp32", "-o", "run")
LOOKS = ("--set", 'method.perception={"weight": 2, "below": 40}')
NAME = "LPIPS 0.1's linear layers on Caffe's SqueezeNet 1.1"


@pytest.fixture
def train(refinesr: Command, photos: Path) -> Command:
    Path("judge").mkdir()
    squeezenet(Path("judge"))
    return lambda *words: refinesr("train", "photo-x4", "--data", photos, *TINY, *words)


def test_a_run_learns_by_it_and_its_card_says_so(train: Command, refinesr: Command) -> None:
    ran = train(*LOOKS, "--perceptual", "judge")
    assert (ran.code, ran.err) == (0, "")
    run = json.loads(Path("run/run.json").read_text())
    assert run["method"]["perception"] == {"weight": 2.0, "below": 40.0, "lattice": 0.0, "consistent": None}
    assert run["distance"] == NAME
    shown = refinesr("info", "run").out
    assert "also by Perception(weight=2.0, below=40.0, lattice=0.0, consistent=None)" in shown
    assert "none: with a perceptual loss a network does not estimate the mean" in shown
    assert f"besides its error by {NAME}" in " ".join(shown.split())


def test_it_is_not_learnt_as_without(train: Command) -> None:
    def losses() -> list[float]:
        return [json.loads(line)["loss"] for line in Path("run/log.jsonl").read_text().splitlines()]

    train(*LOOKS, "--perceptual", "judge")
    more = losses()
    ran = train("--resume", "--perceptual", "judge", "--set", "plan.steps=3")
    assert ran.code == 0
    assert losses()[:2] == more
    Path("run").rename("other")
    train()
    assert losses()[0] < more[0]


def test_a_run_goes_on_by_what_it_began_with(train: Command) -> None:
    train()
    ran = train("--resume", "--perceptual", "judge", *LOOKS)
    assert (ran.code, ran.err) == (
        2,
        "run: holds a run of another method.perception; --resume may only change the plan\n",
    )


def test_the_shipped_model_can_be_taught_by_it(refinesr: Command, photos: Path) -> None:
    Path("judge").mkdir()
    squeezenet(Path("judge"))
    few = ("--set", "plan.steps=1", "--set", "plan.batch=1", "--set", "plan.size=32")
    ran = refinesr(
        "train", "photo-x4-small", "--from", "photo-x4", "--data", photos, "-o", "run", *few, *LOOKS,
        "--perceptual", "judge", "--set", "method.rollout=Rollout",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (LOOKS, "method.perception: needs a distance to learn by; add --perceptual or --lpips"),
        (
            ("--perceptual", "judge"),
            "--perceptual: the run has no perception to learn by it; add --set method.perception=Perception",
        ),
        (
            (*LOOKS, "--perceptual", "no"),
            "no/squeezenet11.npz: no such file; the perceptual distance needs it",
        ),
        (
            (*LOOKS, "--perceptual", "judge", "--lpips", "vgg.pth"),
            "--lpips: --perceptual is a distance, too; give one of them",
        ),
        (
            (*LOOKS, "--lpips", "resnet.pth"),
            "resnet.pth: no such file; the file's name determines the network of LPIPS; it is one of "
            "alex.pth, vgg.pth, squeeze.pth",
        ),
        (
            (*LOOKS, "--perceptual", "judge", "--backbone", "v.pth"),
            "--backbone: v.pth has no use without --lpips",
        ),
        (
            (*LOOKS, "--perceptual", "judge", "--set", "method.sampling.fidelity=0.5"),
            "--set: method: sampling.fidelity: 0.5 needs an estimate of the posterior mean; at 20 the "
            "perceptual loss sharpens it; use 0, or a sampling.mean of at least 40",
        ),
        (
            (*LOOKS, "--perceptual", "judge", "--set", "plan.size=16"),
            "plan.size: 16 is too small for a perceptual distance; at least 32",
        ),
        (
            ("--set", "method.rollout=Rollout", "--set", "method.precond=EDM"),
            "--set: method.rollout: is for networks that predict the image, Clean; precond is EDM",
        ),
    ],
)
def test_what_is_wrong_is_one_line(train: Command, words: tuple[str, ...], message: str) -> None:
    ran = train(*words)
    assert (ran.code, ran.out, ran.err) == (2, "", message + "\n")
    assert not Path("run").exists()


def test_lpips_is_learnt_by_as_well(train: Command) -> None:
    """Made-up layers of torchvision's network; nobody is told that they are the published ones."""
    import torch

    from refinesr.metrics.lpips import SQUEEZE

    torch.manual_seed(0)
    layers = SQUEEZE.backbone.features().state_dict()
    torch.save({f"features.{name}": value for name, value in layers.items()}, "net.pth")
    widths = enumerate(SQUEEZE.backbone.widths)
    torch.save({f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in widths}, "squeeze.pth")
    ran = train(*LOOKS, "--lpips", "squeeze.pth", "--backbone", "net.pth")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(Path("run/run.json").read_text())["distance"]
    assert told == "LPIPS 0.1 on squeeze, not of the published weights"
