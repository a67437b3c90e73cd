"""Two stages of training: an encoder learns first, a second model begins with what it has learnt."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from methods import FewPairs, packed, plan

import refinesr
from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Explicit
from refinesr.errors import ConfigError
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method, Sampling
from refinesr.model import Pixels
from refinesr.nets.rrdb import RRDB, RRDBNetwork
from refinesr.nets.tiny import Tiny
from refinesr.pretrained import load_pretrained, new_model
from refinesr.run import Run
from refinesr.sources import Encoded, Low
from refinesr.train import train

CPU = torch.device("cpu")
VALUE = RRDB(width=4, growth=2, blocks=2, scale=2)
FIRST = replace(
    packed(2),
    network=RRDBNetwork(VALUE),
    source=Low(),
    precond=Blind(),
    levels=OneLevel(1.0),
    target=Pixels(),
    sampling=Sampling(Ancestral(0.0), Explicit((1.0,)), 1),
    p=1,
)
SECOND = replace(
    packed(2),
    network=Tiny(image_channels=0, features=VALUE.features, scale=2),
    source=Encoded(VALUE, MatlabBicubic(), frozen=True),
)


def trained(method: Method, folder: Path, **options: object) -> Path:
    run = Run("one", method, plan(steps=3))
    list(train(run, FewPairs(method), folder, device=CPU, **options))  # type: ignore[arg-type]
    return folder


def test_a_frozen_encoder_stays_what_the_first_stage_made_it(tmp_path: Path) -> None:
    first = refinesr.load(trained(FIRST, tmp_path / "first"))
    second = refinesr.load(trained(SECOND, tmp_path / "second", encoder=tmp_path / "first"))
    learnt, kept = first.model.network.rrdb.state_dict(), second.model.source.encoder.state_dict()  # type: ignore[union-attr, operator]
    assert learnt.keys() == kept.keys()
    assert all(torch.equal(learnt[name], kept[name]) for name in learnt)
    begun = new_model(FIRST, CPU, seed=0).network.rrdb.state_dict()  # type: ignore[union-attr, operator]
    assert any(not torch.equal(learnt[name], begun[name]) for name in learnt)


def test_an_encoder_that_is_not_frozen_begins_there_and_goes_on(tmp_path: Path) -> None:
    trained(FIRST, tmp_path / "first")
    thawed = replace(SECOND, source=Encoded(VALUE, MatlabBicubic()))
    begins = new_model(thawed, CPU, seed=0)
    load_pretrained(begins, thawed, tmp_path / "first")
    second = refinesr.load(trained(thawed, tmp_path / "second", encoder=tmp_path / "first"))
    there, here = begins.source.encoder.state_dict(), second.model.source.encoder.state_dict()  # type: ignore[union-attr, operator]
    assert not torch.equal(there["conv_first.weight"], here["conv_first.weight"])
    torch.testing.assert_close(there["conv_first.weight"], here["conv_first.weight"], atol=0.01, rtol=0)


def test_a_model_with_an_encoder_may_give_it_too(tmp_path: Path) -> None:
    trained(FIRST, tmp_path / "first")
    trained(SECOND, tmp_path / "second", encoder=tmp_path / "first")
    trained(SECOND, tmp_path / "third", encoder=tmp_path / "second" / "model.safetensors")


def test_a_resumed_run_has_its_encoder_already(tmp_path: Path) -> None:
    trained(FIRST, tmp_path / "first")
    folder = trained(SECOND, tmp_path / "second", encoder=tmp_path / "first")
    run = Run("one", SECOND, plan(steps=5))
    reports = list(train(run, FewPairs(SECOND), folder, device=CPU, resume=True))
    assert [report.step for report in reports] == [4, 5]


def test_a_frozen_encoder_of_random_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method\.source\.frozen: .*--encoder"):
        trained(SECOND, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_encoders_and_none_are_refused_by_name(tmp_path: Path) -> None:
    trained(FIRST, tmp_path / "first")
    other = replace(SECOND, source=Encoded(replace(VALUE, growth=3), MatlabBicubic(), frozen=True))
    with pytest.raises(
        ConfigError, match=r"first: holds RRDB\(.*growth=2.* but the method has RRDB\(.*growth=3"
    ):
        trained(other, tmp_path / "run", encoder=tmp_path / "first")
    with pytest.raises(ConfigError, match="--encoder: the method has no encoder"):
        trained(FIRST, tmp_path / "run", encoder=tmp_path / "first")
