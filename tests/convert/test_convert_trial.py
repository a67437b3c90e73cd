"""Groups of norms, which leave no trace in weights, are found by what the network then does."""

from pathlib import Path

import pytest
import torch
from exports import LINEAR, Weights, saved, stored, weights

from refinesr.convert import convert, sr3
from refinesr.convert.selection import SourceWeights
from refinesr.convert.trial import best_fit
from refinesr.diffusion.schedule import Linear
from refinesr.errors import CheckpointError
from refinesr.nets.sr3_unet import SR3UNet

GREY = SR3UNet(
    channels=1, image_channels=0, width=4, multipliers=(1,), blocks=1, attention=(), size=8, groups=2
)
AWAY = 3.0
NOISY = 8 * LINEAR
"""Betas of up to 0.8: over half of the rows are all but pure noise."""


def finding_noise_with_two_groups() -> Weights:
    """All but straight: the output is the input, which is mostly noise, if the last norm has two groups.

    Four channels x + b, -x - b, 0, 0 come to that norm, of variance 1 + b² together.  One alone would lose
    its mean, and all four together have half the variance.  SiLU(y) - SiLU(-y) = y does the rest.
    """
    made = {name: torch.zeros_like(tensor) for name, tensor in weights(GREY).items()}
    sign = torch.tensor([1.0, -1.0, 0.0, 0.0])
    made["denoise_fn.downs.0.weight"][:, 0, 1, 1] = sign
    made["denoise_fn.downs.0.bias"][:] = AWAY * sign
    for number in (0, 1):
        made[f"denoise_fn.ups.{number}.res_block.res_conv.weight"][:, :4, 0, 0] = torch.eye(4)
    made["denoise_fn.final_conv.block.0.weight"][:] = 1
    made["denoise_fn.final_conv.block.3.weight"][0, :, 1, 1] = (1 + AWAY**2) ** 0.5 * sign
    made["denoise_fn.final_conv.block.3.bias"][:] = -AWAY
    return made


def test_the_groups_with_which_the_noise_is_found_are_taken(tmp_path: Path) -> None:
    stage = convert(saved(tmp_path / "gen.pth", stored(NOISY) | finding_noise_with_two_groups()))
    assert stage.method.network == GREY
    assert "assumed: 2 groups of norms, for with others it finds the noise less well" in stage.card.training


def test_a_network_that_finds_no_noise_tells_nothing(tmp_path: Path) -> None:
    made = finding_noise_with_two_groups()
    made["denoise_fn.final_conv.block.3.weight"] *= 0.5
    with pytest.raises(CheckpointError, match="groups of norms leave no trace"):
        convert(saved(tmp_path / "gen.pth", stored(NOISY) | made))


def test_groups_that_make_no_difference_are_asked_for() -> None:
    table = Linear(8e-4, 0.8, 20)
    method = sr3.sr3_method(GREY, 1, table, table)
    found = SourceWeights(Path("gen.pth"), (), finding_noise_with_two_groups(), {})
    assert best_fit(found, [method], 8) == method
    assert best_fit(found, [method, method], 8) is None
    assert best_fit(found, [], 8) is None
