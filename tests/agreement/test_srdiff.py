"""SRDiff's official code: its weights, its numbers, its draws."""

from collections.abc import Iterator

import pytest
import torch
from recorded import arrays, found, relative
from torch import Tensor

from refinesr.diffusion.labels import Timestep
from refinesr.diffusion.levels import Discrete
from refinesr.diffusion.precond import Eps
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Cosine, Even
from refinesr.images.reduction import Bicubic
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Residual
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.srdiff_unet import SRDiffUNet
from refinesr.sources import Encoded
from refinesr.stage import Stage

NAME = "srdiff_x4"
TABLE = Cosine(20)
ENCODER = RRDB(width=16, growth=8, blocks=5, scale=4)
UNET = SRDiffUNet(features=ENCODER.features, width=16, multipliers=(1, 2, 2), scale=4)
METHOD = Method(
    scale=4,
    channels=3,
    network=UNET,
    source=Encoded(ENCODER, MatlabBicubic(), frozen=True),
    precond=Eps(),
    label=Timestep(TABLE),
    levels=Discrete(TABLE),
    target=Residual(2.0, clip=True),
    p=1,
    degradation=Bicubic(4, MatlabBicubic()),
    sampling=Sampling(Ancestral(1.0), Even(TABLE), TABLE.rows, clip=True),
)


def weights(inside: str) -> dict[str, Tensor]:
    everything = torch.load(found(f"{NAME}.ckpt"), weights_only=True)["state_dict"]["model"]
    return {key.removeprefix(inside): value for key, value in everything.items() if key.startswith(inside)}


def encoder() -> torch.nn.Module:
    module = ENCODER.build().eval().requires_grad_(False)
    module.load_state_dict(weights("rrdb."), strict=True)
    return module


def published() -> Stage:
    """The published model as one of ours."""
    model = METHOD.build().eval().requires_grad_(False)
    model.network.load_state_dict(weights("denoise_fn."), strict=True)
    model.source.get_submodule("encoder").load_state_dict(weights("rrdb."), strict=True)
    return Stage(METHOD, model)


def test_the_numbers_are_of_the_configuration_written_here() -> None:
    """The configuration file is plain lines of `key: value`."""
    lines = (line.split(": ") for line in found(f"{NAME}.yaml").read_text().splitlines())
    config = dict(lines)
    assert config["unet_dim_mults"] == "|".join(map(str, UNET.multipliers))
    sizes = {"hidden_size": UNET.width, "rrdb_num_feat": ENCODER.width, "rrdb_num_block": ENCODER.blocks}
    assert {key: int(config[key]) for key in sizes} == sizes
    assert (int(config["timesteps"]), float(config["beta_s"])) == (TABLE.rows, TABLE.offset)
    assert (int(config["sr_scale"]), float(config["res_rescale"])) == (METHOD.scale, 2.0)


def test_what_the_encoders_blocks_say_agrees() -> None:
    """1e-5 leaves room for another order of summation in float32; measured: the same bits."""
    recorded = arrays(NAME)
    module = encoder()
    maps = module.block_outputs(recorded["lr"])
    assert len(maps) == ENCODER.blocks + 1
    assert relative(maps[0], recorded["rrdb_feature_0"]) < 1e-5
    assert relative(maps[5], recorded["rrdb_feature_5"]) < 1e-5
    assert torch.equal(module(recorded["lr"]), torch.cat((maps[2], maps[5]), 1))


def test_the_encoders_own_image_agrees_also_where_it_is_clipped() -> None:
    recorded = arrays(NAME)
    image = encoder().image(recorded["lr"])
    assert relative(image, recorded["rrdb_output"]) < 1e-5
    assert (image == -1).any()
    assert (image > -1).any()


def test_the_encoder_as_a_whole_network_gives_its_own_image() -> None:
    recorded = arrays(NAME)
    network = RRDBNetwork(ENCODER).build().eval()
    stored = {key: value for key, value in weights("").items() if key.startswith("rrdb.")}
    network.load_state_dict(stored, strict=True)
    x = torch.randn(recorded["rrdb_output"].shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        image = network(x, torch.zeros(len(x)), recorded["lr"])
    assert relative(image, recorded["rrdb_output"]) < 1e-5


def test_one_call_agrees_with_the_published_code() -> None:
    """1e-5 leaves room for another order of summation in float32; measured: 6e-7."""
    recorded, stage = arrays(NAME), published()
    condition = stage.model.condition(recorded["lr"])
    with torch.inference_mode():
        t = recorded["unet_t"].float()
        output = stage.model.network(recorded["unet_input"], t, **condition.inputs())
    assert relative(output, recorded["unet_output"]) < 1e-5
    assert relative(condition.base, recorded["lr_upsampled"]) < 1e-5


def test_a_whole_chain_agrees_with_the_published_code() -> None:
    """1e-4 leaves room for other orders of summation over 20 calls."""
    recorded, stage = arrays(NAME, "noise", "sample"), published()
    draws: Iterator[Tensor] = iter(recorded["noise"])

    *_, last = stage(recorded["lr"], lambda like: next(draws))

    assert relative(last.image, recorded["sample"]) < 1e-4
    assert (last.done, last.total) == (20, 20)
    assert len(list(draws)) == 1  # the last, which the published code multiplies by zero


def test_weights_of_another_size_are_refused() -> None:
    with pytest.raises(RuntimeError, match=r"cond_proj\.weight"):
        SRDiffUNet(width=16, multipliers=(1, 2, 2)).build().load_state_dict(weights("denoise_fn."))
