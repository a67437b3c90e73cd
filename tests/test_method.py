"""A method is a value: what does not fit is refused at once, what fits is built, and JSON holds all of it."""

import json
from dataclasses import replace

import pytest
import torch
from methods import normal, packed, plain, stage

from refinesr.config import from_data, to_data
from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import EDM
from refinesr.diffusion.samplers import DPM2M, Ancestral, Heun, Renoised, SR3Ancestral
from refinesr.diffusion.schedule import Even, Explicit, Karras, Linear
from refinesr.errors import ConfigError
from refinesr.images.degrade import Jpeg, Photo
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import PillowBicubic
from refinesr.images.tasks import Grey, JpegRestoration
from refinesr.method import Method, Sampling
from refinesr.nets.packed_unet import PackedEncoder, PackedUNet
from refinesr.nets.sr3_unet import SR3UNet
from refinesr.nets.tiny import Tiny
from refinesr.sources import Blank, Encoded, Upsampled

NARROW = PackedUNet(4, 3, features=8, widths=(8, 12, 16), blocks=(1, 1, 1), embedding=16)

FIVE = {"channels": 5, "network": replace(NARROW, channels=5), "source": Encoded(PackedEncoder(5, width=8))}

MISFITS: list[tuple[dict[str, object], str]] = [
    ({"channels": 1}, "network.channels: 3 is not channels 1"),
    ({"network": replace(NARROW, scale=2)}, "network.scale: 2 is not scale 4"),
    ({"network": replace(NARROW, features=0)}, "network.features: 0 is not what the source makes, 8"),
    ({"network": Tiny()}, "network.image_channels: 3 is not what the source makes, 0"),
    ({"network": Tiny(image_channels=0, features=8, scale=2)}, "network.scale: 2 is not scale 4"),
    ({"network": SR3UNet()}, "network.image_channels: 3 is not what the source makes, 0"),
    ({"source": Blank()}, "network.features: 8 is not what the source makes, 0"),
    ({"source": Encoded(PackedEncoder(1, width=8))}, "source.encoder.channels: 1 is not channels 3"),
    (
        {"source": Upsampled(), "network": SR3UNet(image_channels=0)},
        "network.image_channels: 0 is not what the source makes, 3",
    ),
    ({"degradation": Bicubic(2)}, "degradation.scale: 2 is not scale 4"),
    (
        {"degradation": Photo(4), **FIVE},
        "degradation.jpeg.share is 0.7 for pictures of 5 channels; JPEG holds 1 or 3, so set it to 0",
    ),
    ({"p": 3}, "p: 3 is not 1 or 2"),
    ({"tile": -1}, "tile: -1 is negative; 0 means no tiles"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS, ids=[message for _, message in MISFITS])
def test_parts_that_do_not_fit_are_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(packed(4), **change)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_task_that_cannot_take_the_channels_is_refused_before_there_is_a_picture() -> None:
    with pytest.raises(ConfigError, match="Grey of pictures of 1 channels; colour has 3"):
        replace(plain(1, 1), degradation=Grey())
    with pytest.raises(ConfigError, match="JPEG holds pictures of 1 or 3 channels, not 2"):
        replace(plain(1, 2), degradation=JpegRestoration())
    assert replace(plain(1, 1), degradation=JpegRestoration()).channels == 1
    assert replace(packed(4), degradation=Photo(4, jpeg=Jpeg(share=0.0)), **FIVE).channels == 5


def test_nothing_can_be_kept_where_nothing_is_lost() -> None:
    method = plain(1)
    with pytest.raises(ConfigError, match="nothing is lost at scale 1"):
        replace(method, sampling=replace(method.sampling, consistent=PillowBicubic()))


def test_sampling_needs_a_step() -> None:
    with pytest.raises(ConfigError, match="steps: 0 is not positive"):
        Sampling(Ancestral(), Karras(0.1, 10.0), 0)


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [(Ancestral(), 5), (SR3Ancestral(), 5), (DPM2M(), 5), (Heun(), 9), (Renoised(), 5)],
    ids=str,
)
def test_calls_are_those_of_the_network(sampler: Ancestral | Heun, calls: int) -> None:
    assert Sampling(sampler, Karras(0.1, 10.0), 5).calls == calls


@pytest.mark.parametrize(("guidance", "each"), [(0.0, 1), (1.0, 1), (0.5, 2), (3.0, 2)])
def test_guidance_between_two_estimates_takes_both(guidance: float, each: int) -> None:
    """Of 0 and of 1 one counts for nothing."""
    for orientations in (1, 8):
        sampling = Sampling(Ancestral(), Karras(0.1, 10.0), 5, guidance=guidance, orientations=orientations)
        assert sampling.calls == 5 * each * orientations


def test_whole_pictures_are_asked_for_with_no_tile() -> None:
    assert replace(packed(4), tile=0).tile == 0


def test_levels_are_the_grid_for_these_steps() -> None:
    table = Linear(1e-4, 0.1, 20)
    assert torch.equal(Sampling(Ancestral(), Even(table), 7).levels(), Even(table).grid(7))
    with pytest.raises(ConfigError, match="steps: 2"):
        Sampling(Ancestral(), Explicit((1.0,)), 2).levels()


@pytest.mark.parametrize("method", [packed(), packed(2, 1), plain(), plain(1, 1)])
def test_json_holds_all_of_a_method(method: Method) -> None:
    text = json.dumps(to_data(method))
    assert from_data(Method, json.loads(text), "test") == method


def test_what_is_misspelt_is_named_with_what_was_meant() -> None:
    data = to_data(packed()) | {"precond": "EMD"}
    with pytest.raises(ConfigError) as caught:
        from_data(Method, data, "face.safetensors", path="method")
    right = "'EMD' is not one of Eps, Velocity, Clean, EDM, Blind; did you mean 'EDM'?"
    assert str(caught.value) == f"face.safetensors: method.precond: {right}"


def test_the_objective_is_the_methods_own() -> None:
    method = replace(plain(), precond=EDM(0.5), levels=OneLevel(2.0), p=1)
    objective = method.objective()
    assert (objective.levels, objective.spread) == (OneLevel(2.0), method.spread)
    assert (objective.target, objective.p) == (method.target, 1)


def test_reach_and_stride_are_in_low_pixels() -> None:
    """Those of the network are in pixels of x: 63 of them are 16 low ones; the encoder sees 4 beyond."""
    assert (NARROW.reach, NARROW.stride) == (63, 16)
    assert (packed(4).reach, packed(4).stride) == (16 + 4, 4)
    assert (plain(2).reach, plain(2).stride) == (2 + 2, 1)  # 3 pixels of x
    sr3 = replace(plain(8), network=SR3UNet())
    assert (sr3.reach, sr3.stride) == (None, 2)  # multiples of 16 pixels


@pytest.mark.parametrize("method", [packed(2), packed(4), plain(2)])
def test_no_estimate_depends_on_a_low_pixel_beyond_reach(method: Method) -> None:
    """By gradients, over one stride of pixels.  Nor is the bound wasteful: some pixel comes within two."""
    model, reach = stage(method).model, method.reach
    assert reach is not None
    size = 2 * (reach + method.stride) + 1
    low = normal(1, 3, 4, size).requires_grad_()
    x = normal(1, 3, 4 * method.scale, size * method.scale).requires_grad_()
    x0 = model.denoiser(low)(x, torch.tensor(1.0, dtype=torch.float64))
    farthest = 0
    for column in range(reach, reach + method.stride + 1):
        pixels = x0[..., column * method.scale : (column + 1) * method.scale].abs().sum()
        for given, scale in ((low, 1), (x, method.scale)):
            (gradient,) = torch.autograd.grad(pixels, given, retain_graph=True)
            seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten() // scale
            farthest = max(farthest, column - int(seen[0]), int(seen[-1]) - column)
    assert reach - 2 <= farthest <= reach


def test_fresh_weights_depend_on_torchs_seed_alone() -> None:
    torch.manual_seed(5)
    first = packed().build().state_dict()
    torch.manual_seed(5)
    second = packed().build().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
