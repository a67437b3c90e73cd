"""A cascade learns shapes that are drawn here; a classifier that learnt the same shapes tells what it makes.

A base of 8 x 8 pixels is asked for a class, a stage makes its pictures twice as large.  Stages that differ in
nothing but the augmentation of what they learn from are given the same pictures, good ones and hasty ones.
Minutes on one core.
"""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refinesr.cascade import Cascade, Link
from refinesr.diffusion.labels import LogSigma
from refinesr.diffusion.levels import LogNormal
from refinesr.diffusion.precond import EDM
from refinesr.diffusion.samplers import DPM2M
from refinesr.diffusion.schedule import Karras
from refinesr.fit import Batches, Plan, State, fit
from refinesr.generate import generate_images, pictures, with_options
from refinesr.images.augment import CascadeAugmented
from refinesr.images.picture import to_tensor
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.metrics.sets import Statistics
from refinesr.model import Pixels, with_plane
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.sr3_unet import BigGAN, SR3UNet
from refinesr.sources import Augmented, Labelled
from refinesr.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SIDE, FINE = 16, 4
CLASSES = ("disc", "square", "cross", "triangle")
BATCH = 32


def shapes(labels: Tensor, rng: torch.Generator) -> Tensor:
    """(B,) -> (B, 1, SIDE, SIDE) in [-1, 1]: on black, of any brightness, size and place that fits."""
    ruler = (torch.arange(SIDE * FINE) + 0.5) / (SIDE * FINE) * 2 - 1
    radius = 0.55 + 0.25 * torch.rand(len(labels), 1, 1, generator=rng)
    left, top = ((2 * torch.rand(len(labels), 1, 1, generator=rng) - 1) * (1 - radius) for _ in range(2))
    x, y = (ruler[None, None, :] - left) / radius, (ruler[None, :, None] - top) / radius
    inside = torch.stack(
        (
            x**2 + y**2 < 1,
            torch.maximum(x.abs(), y.abs()) < 0.85,
            (torch.minimum(x.abs(), y.abs()) < 0.28) & (torch.maximum(x.abs(), y.abs()) < 1),
            (y < 0.8) & (x.abs() < 0.53 * (y + 1)),
        ),
        1,
    )
    drawn = F.avg_pool2d(inside[torch.arange(len(labels)), labels][:, None].float(), FINE)
    return (0.8 + 1.2 * torch.rand(len(labels), 1, 1, 1, generator=rng)) * drawn - 1


class Drawn:
    """Training pairs, drawn as they are needed.  The base learns the shapes made small, with their class."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(step)
        labels = torch.randint(len(CLASSES), (BATCH,), generator=rng)
        high = shapes(labels, rng)
        if isinstance(self.method.source, Labelled):
            small = Bicubic(2)(high, rng)
            return small, with_plane(small, labels.float())
        return high, self.method.degradation(high, rng)


def method(scale: int, network: ADMUNet | SR3UNet, source: Labelled | Augmented, **more: object) -> Method:
    """Few steps: what a network does in hundreds is not the question here."""
    return Method(
        scale=scale,
        channels=1,
        network=network,
        source=source,
        precond=EDM(0.7),
        label=LogSigma(),
        levels=LogNormal(-0.4, 1.4),
        target=Pixels(),
        sampling=Sampling(DPM2M(), Karras(0.02, 20.0), steps=10 if scale == 1 else 6, clip=True),
        tile=SIDE // 2,
        **more,  # type: ignore[arg-type]
    )


def learning(method: Method, steps: int, early: int = 0) -> tuple[Stage, Stage]:
    """The stage when it has learnt for `steps` updates, and as it was after the first `early` of them."""
    plan = Plan(steps=steps, batch=BATCH, size=SIDE, rate=2e-3, warmup=20, halflife=steps // 10)
    torch.manual_seed(0)
    state = State(method.build(), plan)
    pairs: Batches = Drawn(method)
    half_learnt = copy.deepcopy(state.average)
    for report in fit(state, pairs, method.objective(), plan, seed=0, autocast=None):
        if report.step == early:
            half_learnt = copy.deepcopy(state.average)
    return Stage(method, state.average), Stage(method, half_learnt)


@pytest.fixture(scope="module")
def bases() -> tuple[Stage, Stage]:
    network = ADMUNet(
        channels=1,
        image_channels=0,
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(2,),
        head_channels=32,
        groups=8,
        vector=len(CLASSES),
    )
    nothing_lost = Bicubic(1)
    return learning(method(1, network, Labelled(len(CLASSES)), degradation=nothing_lost), 800, early=150)


@pytest.fixture(scope="module")
def base(bases: tuple[Stage, Stage]) -> Stage:
    return bases[0]


@pytest.fixture(scope="module")
def half_learnt(bases: tuple[Stage, Stage]) -> Stage:
    return bases[1]


def larger(blur: float, noise: float) -> Stage:
    network = SR3UNet(
        channels=1,
        image_channels=1,
        width=16,
        multipliers=(1, 2),
        blocks=1,
        attention=(),
        groups=4,
        layout=BigGAN(),
        vector=16,
    )
    degradation = CascadeAugmented(2, blur=blur, noise=noise)
    return learning(method(2, network, Augmented(MatlabBicubic(), 16), degradation=degradation), 500)[0]


@pytest.fixture(scope="module")
def plain() -> Stage:
    return larger(blur=0.0, noise=0.0)


@pytest.fixture(scope="module")
def blurred() -> Stage:
    return larger(blur=1.0, noise=0.0)


@pytest.fixture(scope="module")
def spoilt() -> Stage:
    return larger(blur=1.0, noise=0.5)


class Judge:
    """Tells shapes apart, and how far a set of pictures is from shapes as they are (Frechet's distance)."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        convolutions = [
            layer
            for width, to in ((1, 16), (16, 32), (32, 32))
            for layer in (nn.Conv2d(width, to, 3, 2, 1), nn.ReLU())
        ]
        self.features = nn.Sequential(
            *convolutions, nn.Flatten(), nn.Linear(32 * (SIDE // 8) ** 2, 64), nn.ReLU()
        )
        self.last = nn.Linear(64, len(CLASSES))
        optimizer = torch.optim.Adam([*self.features.parameters(), *self.last.parameters()], 2e-3)
        for step in range(800):
            rng = torch.Generator().manual_seed(10**6 + step)
            labels = torch.randint(len(CLASSES), (64,), generator=rng)
            x = shapes(labels, rng)
            x = x + 0.1 * torch.randn(x.shape, generator=rng)
            F.cross_entropy(self.last(self.features(x)), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    @torch.no_grad()
    def right(self, images: Tensor, labels: Tensor) -> Tensor:
        """(classes,): the share of pictures of each that are taken for it."""
        said = self.last(self.features(images)).argmax(1)
        return torch.stack([(said[labels == k] == k).double().mean() for k in range(len(CLASSES))])

    @torch.no_grad()
    def distance(self, images: Tensor) -> float:
        rng = torch.Generator().manual_seed(7)
        real = shapes(LABELS, rng)
        return Statistics.of(self.features(images).double()).frechet(
            Statistics.of(self.features(real).double())
        )


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


EACH = 100
LABELS = torch.arange(len(CLASSES)).repeat_interleave(EACH)


def made(cascade: Cascade) -> Tensor:
    """EACH pictures of each class, (B, 1, SIDE, SIDE) in [-1, 1]."""
    batches = []
    for label in range(len(CLASSES)):
        indexes = range(EACH * label, EACH * (label + 1))
        *_, last = generate_images(cascade, indexes, label=label, device="cpu", precision="fp32")
        batches += [to_tensor(picture) for picture in pictures(last.image)]
    return torch.cat(batches)


def hasty(base: Stage, stage: Stage) -> Cascade:
    """The base has two steps, in which it makes out what is where, but not its edges."""
    return with_options(Cascade((Link(base), Link(stage))), steps=(2, 6))


def judged(judge: Judge, **cascades: Cascade) -> tuple[dict[str, float], dict[str, float]]:
    """By name: the share that is recognised, and the distance."""
    images = {name: made(cascade) for name, cascade in cascades.items()}
    right = {name: float(judge.right(shown, LABELS).mean()) for name, shown in images.items()}
    distance = {name: judge.distance(shown) for name, shown in images.items()}
    print(
        "\n".join(f"{name:20} {right[name]:.3f} recognised, distance {distance[name]:.2f}" for name in images)
    )
    return right, distance


def test_the_judge_knows_shapes(judge: Judge) -> None:
    """Those it has not seen."""
    real = shapes(LABELS, torch.Generator().manual_seed(1))
    assert judge.right(real, LABELS).mean() > 0.98
    assert judge.distance(real) < 2


def test_augmentation_is_the_only_difference(plain: Stage, blurred: Stage, spoilt: Stage) -> None:
    for stage in (blurred, spoilt):
        assert replace(stage.method, degradation=plain.method.degradation) == plain.method


def test_a_cascade_makes_the_shapes_that_it_is_asked_for(base: Stage, blurred: Stage, judge: Judge) -> None:
    images = made(Cascade((Link(base), Link(blurred))))
    right = judge.right(images, LABELS)
    print(dict(zip(CLASSES, right.tolist(), strict=True)))
    assert right.mean() > 0.9
    assert right.min() > 0.8


def test_guidance_stresses_the_class_and_without_any_it_is_forgotten(
    base: Stage, blurred: Stage, judge: Judge
) -> None:
    """At 0 only the estimate without the class counts: four classes, so a quarter is right by chance."""
    whole = Cascade((Link(base), Link(blurred)))
    right, _ = judged(
        judge,
        as_it_is=whole,
        strong=with_options(whole, guidance=3.0),
        none=with_options(whole, guidance=0.0),
    )
    assert right["strong"] > right["as_it_is"] - 0.03
    assert right["none"] < 0.5


def test_blur_in_training_buys_shapes_out_of_hasty_pictures(
    base: Stage, plain: Stage, blurred: Stage, judge: Judge
) -> None:
    """What a stage without it takes for a picture to be kept, a stage with it takes for a poor one."""
    right, distance = judged(judge, plain=hasty(base, plain), blurred=hasty(base, blurred))
    assert right["blurred"] > right["plain"] + 0.2
    assert distance["blurred"] < distance["plain"] / 2


def test_a_stage_with_blur_is_as_good_on_good_pictures(
    base: Stage, plain: Stage, blurred: Stage, judge: Judge
) -> None:
    cascades = {
        name: Cascade((Link(base), Link(stage))) for name, stage in (("plain", plain), ("blurred", blurred))
    }
    right, _ = judged(judge, **cascades)
    assert right["blurred"] > right["plain"] - 0.03


def test_blur_and_noise_buy_better_shapes_out_of_a_base_that_has_learnt_little(
    half_learnt: Stage, plain: Stage, blurred: Stage, spoilt: Stage, judge: Judge
) -> None:
    """Many of its shapes are none; the less a stage has to keep of them, the nearer it comes to some."""
    links = {"plain": Link(plain), "blurred": Link(blurred), "blurred and noisy": Link(spoilt, level=0.2)}
    _, distance = judged(judge, **{name: Cascade((Link(half_learnt), link)) for name, link in links.items()})
    assert distance["blurred and noisy"] < 0.7 * distance["plain"]
    assert distance["blurred"] < distance["plain"]
