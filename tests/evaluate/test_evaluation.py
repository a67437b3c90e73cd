"""Evaluations that stop and go on, keep what was made, and hold little at a time."""

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import packed, plain, stage
from photographs import array, opened, saved

import refinesr.evaluate.pairs
from refinesr.cascade import Cascade, Link
from refinesr.diffusion.levels import OneLevel
from refinesr.diffusion.precond import Blind
from refinesr.diffusion.samplers import Ancestral
from refinesr.diffusion.schedule import Explicit
from refinesr.errors import ConfigError, InputError, OutputError
from refinesr.evaluate.evaluation import EvaluatedMethod, Evaluation, EvaluationPlan, EvaluationProgress
from refinesr.evaluate.pairs import LoadedPair, find_pairs
from refinesr.evaluate.protocols import CLASSIC_Y, SR3_FACES, SR3_NATURAL, SRDIFF_GENERAL
from refinesr.evaluate.report import Report
from refinesr.evaluate.set_metrics import SetAccumulators
from refinesr.evaluate.store import Store, derived_seed
from refinesr.evaluate.upscalers import ModelUpscaler, ResultFolder, UpscalingProgress, interpolations
from refinesr.restore import Options

OUT = Path("out")
BICUBIC = interpolations(CLASSIC_Y.kernel)["bicubic"]
OPTIONS = Options(device="cpu", precision="fp32")


@dataclass
class Counting:
    """Noise around the enlarged picture; remembers what it was asked for."""

    version: int = 0
    asked: list[str] = field(default_factory=list)

    kind, scale, calls, sampled, deterministic = "test", 4, 1, True, False

    def settings(self) -> dict[str, Any]:
        return {"version": self.version}

    def check(self, shown: LoadedPair, samples: int) -> None: ...

    def checksum(self, shown: LoadedPair, sample: int) -> str:
        return shown.checksum

    def upscale(
        self, shown: Sequence[LoadedPair], scale: int, seeds: Sequence[int], sample: int
    ) -> Iterator[UpscalingProgress]:
        self.asked += [each.name for each in shown]
        *_, last = BICUBIC.upscale(shown, scale, seeds, sample)
        made = [
            (image.int() + torch.randint(-9, 9, image.shape, generator=torch.Generator().manual_seed(seed)))
            for image, seed in zip(last.image, seeds, strict=True)
        ]
        yield replace(last, image=tuple(image.clamp(0, 255).byte() for image in made))


def evaluation(maker: Any = None, **changes: Any) -> Evaluation:
    saved("high")
    methods = [EvaluatedMethod("noisy", maker or Counting()), EvaluatedMethod("bicubic", BICUBIC)]
    asked = Evaluation(CLASSIC_Y, 4, find_pairs(Path("high")), methods, CLASSIC_Y.metrics(4))
    return replace(asked, **changes)


def run(asked: Evaluation, **options: bool) -> str:
    """The report's JSON."""
    sets = SetAccumulators.of((), [method.name for method in asked.methods])
    images = [at.image for at in asked.run(OUT, sets, **options) if at.image]
    return Report(asked, "high", False, images, {}).json()


def interrupted(asked: Evaluation, pictures: int) -> None:
    walk = asked.run(OUT, SetAccumulators.of((), [method.name for method in asked.methods]))
    for at in walk:
        if at.image and at.done == pictures:
            walk.close()
            return


def test_stopped_and_begun_again_it_comes_to_the_same_to_the_byte() -> None:
    asked = evaluation()
    interrupted(asked, 2)
    assert (OUT / "pictures/noisy/eye.png").exists()
    assert not (OUT / "pictures/noisy/nose.png").exists()
    resumed = run(evaluation())
    (OUT).rename("first")
    assert run(evaluation()) == resumed


def test_what_is_there_is_not_made_again() -> None:
    interrupted(evaluation(), 2)
    maker = Counting()
    run(evaluation(maker))
    assert maker.asked == ["fur", "nose"]
    maker.asked.clear()
    run(evaluation(maker))
    assert maker.asked == []


def test_a_batch_is_made_again_whole_but_only_what_lacks_is_written() -> None:
    """So that a picture never depends on which others were there."""
    plan = EvaluationPlan(batch=2)
    first = run(evaluation(plan=plan))
    Path("out/pictures/noisy/ear.png").unlink()
    stamp = Path("out/pictures/noisy/eye.png").stat().st_mtime_ns
    maker = Counting()
    assert run(evaluation(maker, plan=plan)) == first
    assert maker.asked == ["ear", "eye"]
    assert Path("out/pictures/noisy/eye.png").stat().st_mtime_ns == stamp


def test_other_settings_are_refused_until_overwritten() -> None:
    first = run(evaluation())
    with pytest.raises(
        OutputError, match=r"^out/pictures/noisy: was made with version 0, not 1; --overwrite"
    ):
        run(evaluation(Counting(1)))
    with pytest.raises(OutputError, match="was made with seed 0, not 3"):
        run(evaluation(plan=EvaluationPlan(seed=3)))
    other = run(evaluation(plan=EvaluationPlan(seed=3)), overwrite=True)
    assert other != first
    assert run(evaluation(plan=EvaluationPlan(seed=3))) == other


def test_what_sees_no_noise_is_made_once_and_its_samples_are_what_seeds_would_make() -> None:
    grid = replace(packed(4).sampling, sampler=Ancestral(0.0), grid=Explicit((1.0,)), steps=1)
    blind = stage(replace(packed(4), precond=Blind(), levels=OneLevel(1.0), sampling=grid))
    maker, calls = ModelUpscaler(blind, OPTIONS), []
    blind.model.network.register_forward_hook(lambda *_: calls.append(1))
    asked = evaluation(maker, plan=EvaluationPlan(samples=3))
    first = run(asked)
    assert len(calls) == 4
    for pair in asked.pairs:
        for sample, place in enumerate((f"{pair.name}", f"samples/{pair.name}-2", f"samples/{pair.name}-3")):
            *_, made = maker.upscale([asked.load(pair)], 4, [99 + sample], sample)
            assert np.array_equal(opened(OUT / f"pictures/noisy/{place}.png"), array(made.image[0]))
    assert run(asked) == first
    two = Cascade((Link(stage(plain(2))), Link(stage(plain(2)))))
    assert [ModelUpscaler(x, OPTIONS).deterministic for x in (blind, stage(packed(4)), two)] == [
        True,
        False,
        False,
    ]


def test_results_of_another_picture_of_that_name_are_refused() -> None:
    run(evaluation())
    asked = evaluation()
    Path("high/fur.png").write_bytes(Path("high/nose.png").read_bytes())
    with pytest.raises(OutputError, match=r"fur\.png: was made of another picture of that name; --overwrite"):
        run(asked)


def files(folder: str) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def other(count: int = 4, **changes: Any) -> Evaluation:
    """Of other pictures, of other names, by bicubic alone."""
    for name in ("a", "b", "c", "d")[:count]:
        saved("given", "nose")
        Path("more").mkdir(exist_ok=True)
        Path("given/nose.png").rename(f"more/{name}.png")
    changes = {
        "pairs": find_pairs(Path("more")),
        "methods": [EvaluatedMethod("bicubic", BICUBIC)],
        **changes,
    }
    return evaluation(**changes)


def test_results_of_other_pictures_are_refused_and_nothing_is_changed() -> None:
    run(evaluation())
    before = files("out")
    with pytest.raises(OutputError, match=r"bicubic/ear\.png: is none of the pictures .*; choose another"):
        run(other())
    with pytest.raises(OutputError, match=r"ear\.png: is none of the pictures that are evaluated now"):
        list(other().check(OUT))
    assert files("out") == before


def test_begun_anew_on_other_pictures_only_their_results_are_there() -> None:
    """Those of methods that are not asked for any more, and further samples, go too; what we have not made
    stays."""
    run(evaluation(plan=EvaluationPlan(samples=2)))
    saved("mine", "nose")
    Path("mine/nose.png").rename("out/pictures/bicubic/whose.png")
    Path("out/pictures/theirs").mkdir()
    Path("out/pictures/theirs/evaluate.json").write_text("{}")
    run(other(), overwrite=True)
    folders = ("bicubic", "high", "low")
    names = ("a.png", "b.png", "c.png", "d.png", "evaluate.json", "inputs.csv")
    ours = [f"{folder}/{name}" for folder in folders for name in names]
    assert files("out/pictures") == sorted([*ours, "bicubic/whose.png", "theirs/evaluate.json"])
    assert not Path("out/pictures/noisy").exists()
    assert run(other()) == run(other(), overwrite=True)


def test_begun_anew_on_the_same_pictures_other_methods_keep_theirs() -> None:
    run(evaluation())
    run(evaluation(methods=[EvaluatedMethod("bicubic", BICUBIC)]), overwrite=True)
    maker = Counting()
    run(evaluation(maker))
    assert maker.asked == []


def test_begun_anew_on_changed_pictures_of_the_same_names_nothing_older_is_left() -> None:
    run(evaluation())
    asked = evaluation(methods=[EvaluatedMethod("bicubic", BICUBIC)])
    Path("high/fur.png").write_bytes(Path("high/nose.png").read_bytes())
    with pytest.raises(OutputError, match=r"high/fur\.png: was made of another picture of that name"):
        list(asked.check(OUT))
    run(asked, overwrite=True)
    assert not Path("out/pictures/noisy").exists()


def test_begun_anew_further_samples_of_other_settings_are_removed() -> None:
    run(evaluation(plan=EvaluationPlan(samples=2)))
    run(evaluation(plan=EvaluationPlan(seed=1)), overwrite=True)
    assert not list(Path("out/pictures/noisy/samples").glob("*"))


def test_more_pictures_go_on_from_what_is_there_and_fewer_are_refused() -> None:
    few = evaluation()
    few = replace(few, pairs=few.pairs[:2])
    run(few)
    maker = Counting()
    run(evaluation(maker))
    assert maker.asked == ["fur", "nose"]
    with pytest.raises(OutputError, match=r"fur\.png: is none of the pictures"):
        run(few)


def test_another_protocol_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run(evaluation())
    monkeypatch.setattr(refinesr.evaluate.pairs.Pair, "load", None)
    with pytest.raises(OutputError, match=r"was made with protocol classic-y, not srdiff-general"):
        list(evaluation(protocol=SRDIFF_GENERAL).check(OUT))


def test_a_list_of_pictures_that_leads_out_of_the_folder_removes_nothing() -> None:
    run(evaluation())
    saved("mine", "nose")
    store = Store(Path("out/pictures/noisy"))
    store.inputs.write_text(store.inputs.read_text() + '"../../../mine/nose.png",12ab\n')
    run(evaluation(Counting(1)), overwrite=True)
    assert Path("mine/nose.png").exists()


def test_pictures_of_others_are_not_touched() -> None:
    saved("out/pictures/noisy", "nose")
    with pytest.raises(OutputError, match=r"^out/pictures/noisy/nose\.png exists, without evaluate\.json"):
        run(evaluation())


def test_a_line_that_was_cut_off_counts_for_nothing() -> None:
    run(evaluation())
    store = Store(Path("out/pictures/noisy"))
    text = store.inputs.read_text()
    store.inputs.write_text(text[:-4])
    maker = Counting()
    run(evaluation(maker))
    assert maker.asked == ["nose"]
    assert store.inputs.read_text() == text


def test_names_with_commas_and_quotes_are_kept() -> None:
    store = Store(Path("odd"))
    store.open({})
    name = 'a, "b"'
    store.write(name, 0, torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "12ab")
    again = Store(Path("odd"))
    assert again.holds(name, 0, "12ab")


def test_names_of_all_letters_are_kept_whatever_the_default_encoding() -> None:
    """A second `open` in a process whose default is ASCII: it neither fails nor forgets."""
    name = "Straße 日本"
    store = Store(Path("odd"))
    store.open({})
    store.write(name, 0, torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "12ab")
    code = "from pathlib import Path; from refinesr.evaluate.store import Store; Store(Path('odd')).open({})"
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code], env=plain, check=True)
    assert Store(Path("odd")).holds(name, 0, "12ab")


def test_a_store_that_is_whole_is_not_written_again_and_one_cut_off_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(Path("odd"))
    store.open({})
    for name in ("a", "é"):
        store.write(name, 0, torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "12ab")
    whole = store.inputs.read_bytes()
    node = store.inputs.stat().st_ino
    Store(Path("odd")).open({})
    assert store.inputs.stat().st_ino == node
    cut = whole + '"ü'.encode()[:2]  # in the middle of a letter
    store.inputs.write_bytes(cut)

    def break_off(path: Path, data: bytes) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", break_off)
        with pytest.raises(KeyboardInterrupt):
            Store(Path("odd")).open({})
    assert store.inputs.read_bytes() == cut
    Store(Path("odd")).open({})
    assert store.inputs.read_bytes() == whole


def test_further_samples_do_not_change_the_first() -> None:
    run(evaluation())
    first = Path("out/pictures/noisy/nose.png").read_bytes()
    maker = Counting()
    run(evaluation(maker, plan=EvaluationPlan(samples=3)))
    assert len(maker.asked) == 8
    pictures = [
        Path(f"out/pictures/noisy/{name}.png") for name in ("nose", "samples/nose-2", "samples/nose-3")
    ]
    assert pictures[0].read_bytes() == first
    assert len({path.read_bytes() for path in pictures}) == 3
    assert not Path("out/pictures/bicubic/samples").exists()


def test_seeds_depend_on_the_name_not_on_the_place() -> None:
    run(evaluation())
    whole = Path("out/pictures/noisy/nose.png").read_bytes()
    OUT.rename("whole")
    run(evaluation(pairs=find_pairs(Path("high"))[3:]))
    assert Path("out/pictures/noisy/nose.png").read_bytes() == whole
    seeds = {derived_seed(seed, name, sample) for seed in (0, 1) for name in "ab" for sample in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_pictures_as_measured_are_kept_for_pages() -> None:
    run(evaluation())
    names = [path.name for path in sorted(Path("out/pictures/high").glob("*.png"))]
    assert names == ["ear.png", "eye.png", "fur.png", "nose.png"]
    assert Path("out/pictures/low/nose.png").exists()


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_no_more_than_a_batch_of_pictures_is_held(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[LoadedPair] = weakref.WeakSet()
    most, make = [], refinesr.evaluate.pairs.Pair.load

    def counted(*given: Any) -> LoadedPair:
        made = make(*given)
        alive.add(made)
        gc.collect()
        most.append(len(alive))
        return made

    monkeypatch.setattr(refinesr.evaluate.pairs.Pair, "load", counted)
    asked = evaluation(plan=EvaluationPlan(batch=batch))
    list(asked.check())
    run(asked)
    assert max(most) <= 2 * batch  # the one before lives until the next is there


class OfNumpy1(np.random.SeedSequence):
    """An unsigned integer as numpy 1 has it: without a shift."""

    def __int__(self) -> int:
        return 5

    def generate_state(self, count: int, kind: type) -> list["OfNumpy1"]:
        return [self]


def test_seeds_do_not_need_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert derived_seed(3, "a", 1) == 342976040533759166
    monkeypatch.setattr(np.random, "SeedSequence", lambda _: OfNumpy1())
    assert derived_seed(3, "a", 1) == 2


@pytest.mark.parametrize("name", ["a\u2028b", "a\rb", "a\x1cb", 'a"b,c'])
def test_a_picture_is_known_again_whatever_is_in_its_name(name: str) -> None:
    """Of these, the first three end a line for `str.splitlines`."""
    store = Store(Path("made"))
    store.open({})
    store.write(name, 0, torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "0a")
    assert Store(Path("made")).holds(name, 0, "0a")


@pytest.mark.parametrize("name", ["High", "LOW", os.fsdecode(b"caf\xe9")])
def test_names_that_no_folder_beside_the_others_can_have_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a method's name, which is a folder's"):
        EvaluatedMethod(name, BICUBIC)


def test_methods_whose_names_differ_in_case_alone_are_refused() -> None:
    """Their folders would be one on macOS and Windows."""
    with pytest.raises(ConfigError, match=r"^Bicubic: two methods of one name"):
        evaluation(methods=[EvaluatedMethod("Bicubic", BICUBIC), EvaluatedMethod("bicubic", BICUBIC)])


def test_progress_tells_pictures_and_steps() -> None:
    asked = evaluation(ModelUpscaler(stage(packed(4)), OPTIONS))
    assert [(at.task, at.done, at.total) for at in asked.check()] == [("read", k, 4) for k in (1, 2, 3, 4)]
    seen = list(asked.run(OUT, SetAccumulators.of((), ["noisy", "bicubic"])))
    steps = [(at.step, at.steps) for at in seen if at.method == "noisy" and at.done == 0]
    assert steps[:3] == [(1, 3), (2, 3), (3, 3)]
    assert [at.done for at in seen if isinstance(at, EvaluationProgress) and at.image] == [1, 2, 3, 4]


def test_everything_is_read_before_any_work() -> None:
    saved("made", "ear", "eye", "fur")
    asked = evaluation(ResultFolder.of(Path("made"), 1))
    with pytest.raises(InputError, match=r"^made: holds no picture of high/nose\.png"):
        list(asked.check())


def test_a_scale_the_protocol_or_a_method_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^scale: 4 is not that of protocol sr3-faces, 8$"):
        evaluation(protocol=SR3_FACES)
    with pytest.raises(ConfigError, match=r"^noisy: has scale 4, not 2$"):
        evaluation(scale=2)
    with pytest.raises(ConfigError, match="enlarges nothing"):
        evaluation(scale=1)


def test_methods_need_names_of_their_own() -> None:
    with pytest.raises(ConfigError, match=r"^bicubic: two methods of one name; give NAME="):
        evaluation(methods=[EvaluatedMethod("bicubic", BICUBIC)] * 2)
    for name in ("high", "low", "a/b", "..", ""):
        with pytest.raises(ConfigError, match="cannot be a method's name"):
            EvaluatedMethod(name, BICUBIC)


@pytest.mark.parametrize("field", ["samples", "batch"])
def test_plans_are_of_positive_numbers(field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: 0 is not positive$"):
        EvaluationPlan(**{field: 0})
    with pytest.raises(ConfigError, match=r"^seed: -1 is not between"):
        EvaluationPlan(seed=-1)


def test_pictures_too_small_to_be_measured_are_named() -> None:
    asked = evaluation()
    saved("high", "ear", height=16, width=16)
    with pytest.raises(
        InputError, match=r"^high/ear\.png: SSIM-Y cannot be measured: 8 x 8 pixels are fewer"
    ):
        run(asked)


def test_all_pictures_that_cannot_be_measured_are_named_at_once() -> None:
    asked = evaluation(protocol=SR3_NATURAL)
    first, *others = (pair.high.name for pair in asked.pairs)
    with pytest.raises(
        InputError, match=f"^{first}: .* a side are needed; nor can {', '.join(others)} be used$"
    ):
        list(asked.check())
