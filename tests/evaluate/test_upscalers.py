"""What makes results: against Pillow, against `upscale`, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cascades import PAGE
from methods import packed, plain, stage
from photographs import array, cat, save, saved, shown
from PIL import Image

from refinesr.cascade import Cascade, Link
from refinesr.diffusion.loops import last_of
from refinesr.errors import CheckpointError, ConfigError, InputError
from refinesr.evaluate.upscalers import (
    ModelUpscaler,
    ResultFolder,
    Upscaler,
    interpolations,
    is_result_folder,
)
from refinesr.images.picture import Picture
from refinesr.images.resize import MatlabBicubic, PillowBicubic
from refinesr.method import Method
from refinesr.restore import Options, restore_batch, restore_picture, upscale

CAT = [shown(name) for name in ("nose", "ear", "eye")]
OPTIONS = Options(device="cpu", precision="fp32")


def results(maker: Upscaler, pictures: list, seeds: list[int], scale: int = 4) -> tuple:
    *_, last = maker.upscale(pictures, scale, seeds, 0)
    return last.image


@pytest.mark.parametrize("name", ["bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("grey", [False, True])
def test_interpolation_is_pillows(name: str, grey: bool) -> None:
    picture = shown(grey=grey)
    (made,) = results(interpolations(PillowBicubic())[name], [picture], [0])
    low = Image.fromarray(array(picture.low).squeeze())
    expected = np.asarray(low.resize((40, 48), Image.Resampling[name.upper()]))
    np.testing.assert_array_equal(array(made).squeeze(), expected)


def test_matlabs_bicubic_differs_at_borders_only() -> None:
    one, other = (interpolations(kernel)["bicubic"] for kernel in (MatlabBicubic(), PillowBicubic()))
    apart = results(one, [CAT[0]], [0])[0].int() - results(other, [CAT[0]], [0])[0].int()
    assert apart[..., 8:-8, 8:-8].abs().max() <= 1
    assert apart.abs().max() > 1
    assert one.settings() != other.settings()


def test_a_model_makes_what_upscale_makes() -> None:
    model = stage(packed(4))
    made = results(ModelUpscaler(model, OPTIONS), CAT[:1], [7])
    expected = upscale(model, CAT[0].low[0].float() / 255, seed=7, device="cpu", precision="fp32")
    assert (made[0][0].float() / 255 - expected).abs().max() <= 0.5 / 255 + 1e-3


def test_pictures_restored_at_once_are_those_restored_alone() -> None:
    """Up to a last bit: sums are added in another order."""
    maker = ModelUpscaler(stage(packed(4)), OPTIONS)
    alone = [results(maker, [picture], [seed])[0] for picture, seed in zip(CAT, (1, 2, 3), strict=True)]
    together = results(maker, CAT, [1, 2, 3])
    for one, other in zip(alone, together, strict=True):
        assert one.shape == other.shape == (1, 3, 48, 40)
        assert (one.int() - other.int()).abs().max() <= 1


def test_a_broken_model_is_noticed_at_once_by_all_pictures() -> None:
    broken, calls = stage(packed(4)), []
    next(broken.model.network.parameters()).fill_(float("nan"))
    broken.model.network.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(CheckpointError, match=r"^nose\.png: the model makes NaN or infinity"):
        results(ModelUpscaler(broken, OPTIONS), CAT, [1, 2, 3])
    assert len(calls) == 1


@pytest.mark.parametrize("model", [packed(4, 3), packed(4, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_colours_may_be_restored_together(model: Method, channels: int) -> None:
    """Grey as a colour, and each colour as a grey: to each picture its own bands, and its own noise."""
    maker = stage(model)
    pictures = tuple(Picture(np.ascontiguousarray(array(each.low)[..., :channels])) for each in CAT)
    alone = [last_of(restore_picture(maker, one, replace(OPTIONS, seed=k))) for k, one in enumerate(pictures)]
    made = last_of(restore_batch(maker, pictures, OPTIONS, range(3))).image
    for one, other in zip(alone, made, strict=True):
        assert one.image.channels == other.channels == channels
        np.testing.assert_allclose(other.pixels.astype(int), one.image.pixels, atol=1)


def test_grey_pictures_and_those_of_other_sizes_are_restored_one_by_one() -> None:
    maker = ModelUpscaler(stage(packed(4)), OPTIONS)
    made = results(maker, [CAT[0], shown(grey=True)], [1, 2])
    assert [image.shape[1] for image in made] == [3, 1]
    assert torch.equal(made[0], results(maker, CAT[:1], [1])[0])


def test_a_cascade_is_a_maker_too() -> None:
    two = stage(plain(2))
    maker = ModelUpscaler(Cascade((Link(two), Link(two))), OPTIONS)
    assert (maker.kind, maker.scale, maker.calls) == ("cascade", 4, 6)
    assert results(maker, CAT[:1], [1])[0].shape == (1, 3, 48, 40)


def test_facts_tell_weights_and_steps_apart() -> None:
    makers = [
        ModelUpscaler(stage(packed(4)), OPTIONS),
        ModelUpscaler(stage(packed(4), seed=1), OPTIONS),
        ModelUpscaler(stage(packed(4)), Options(steps=2, device="cpu", precision="fp32")),
        ModelUpscaler(stage(packed(4)), Options(tile=8, device="cpu", precision="fp32")),
        ModelUpscaler(stage(packed(4)), Options(device="cpu", precision="bf16")),
    ]
    facts = [str(maker.settings()) for maker in makers]
    assert len(set(facts)) == len(facts)
    assert str(ModelUpscaler(stage(packed(4)), OPTIONS).settings()) == facts[0]
    assert [maker.calls for maker in makers[:3]] == [3, 3, 2]


def test_a_model_that_makes_pictures_from_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model: generates images from noise"):
        ModelUpscaler(PAGE, OPTIONS)


def test_a_folder_gives_what_it_holds() -> None:
    saved("made", "nose")
    save("made/ear-x4.png", cat("ear") // 2)
    maker = ResultFolder.of(Path("made"), 1)
    made = results(maker, CAT[:2], [0, 0])
    np.testing.assert_array_equal(array(made[0]), cat("nose"))
    np.testing.assert_array_equal(array(made[1]), cat("ear") // 2)


def test_a_folder_holds_samples_as_upscale_names_them() -> None:
    for k in (1, 2):
        save(f"made/nose-x4-{k}.png", cat("nose") // 3 + 80 * k)
    maker = ResultFolder.of(Path("made"), 2)
    for k in (1, 2):
        *_, last = maker.upscale(CAT[:1], 4, [0], k - 1)
        np.testing.assert_array_equal(array(last.image[0]), cat("nose") // 3 + 80 * k)
    with pytest.raises(
        InputError, match=r"^made: holds no sample 3 of nose\.png; its name must be 'nose-3'$"
    ):
        maker.check(CAT[0], 3)


def test_what_lacks_in_a_folder_is_named() -> None:
    maker = ResultFolder.of(saved("made", "nose"), 1)
    with pytest.raises(InputError, match=r"^made: holds no picture of ear\.png; its name must be 'ear'$"):
        maker.check(CAT[1], 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (cat("nose")[:-1], "made/nose.png: 40 x 47 pixels; nose.png has 40 x 48 pixels"),
        (cat("nose")[..., 0], "made/nose.png is grey and nose.png is RGB; both must be of one mode"),
        (
            np.roll(cat("nose"), (1, -2), (0, 1)),
            "made/nose.png: is shifted: of 40 x 48 pixels, its content lies "
            "-2 pixels to the right and +1 down of where it should be",
        ),
    ],
)
def test_results_that_do_not_fit_are_refused(values: np.ndarray, words: str) -> None:
    save("made/nose.png", np.ascontiguousarray(values))
    with pytest.raises(InputError) as refused:
        ResultFolder.of(Path("made"), 1).check(CAT[0], 1)
    assert str(refused.value) == words


def test_interpolated_results_are_not_called_shifted() -> None:
    for name, maker in interpolations(PillowBicubic()).items():
        for picture in CAT:
            save(f"{name}/{picture.name}.png", array(results(maker, [picture], [0])[0]))
        for picture in CAT:
            ResultFolder.of(Path(name), 1).check(picture, 1)


def test_a_folder_with_a_model_is_a_model() -> None:
    assert is_result_folder(str(saved("made", "nose")))
    (Path("made") / "model.safetensors").touch()
    assert not is_result_folder("made")
    assert not is_result_folder("photo-x4")


def test_fidelity_and_tiles_are_facts_that_results_depend_on() -> None:
    """Of a cascade too: kept results of another fidelity or tile are no results of this one."""
    chain = Cascade((Link(stage(packed(2))), Link(stage(packed(2), seed=1))))
    for model in (stage(packed(4)), chain):
        makers = [ModelUpscaler(model, replace(OPTIONS, fidelity=share)) for share in (None, 0.0, 1.0)]
        facts = [maker.settings() for maker in makers]
        assert facts[0] == facts[1] != facts[2]
        assert makers[2].calls == len(makers[2].links)
        turned = ModelUpscaler(model, replace(OPTIONS, orientations=8))
        assert turned.settings() != facts[0]
        assert turned.calls == 8 * (makers[0].calls or 0)
        assert ModelUpscaler(model, replace(OPTIONS, tile=8)).settings() != facts[0]
