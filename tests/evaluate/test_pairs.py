"""What belongs together, and what is refused by name before anything is measured."""

import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import array, cat, opened, save, saved
from PIL import Image

from refinesr.errors import InputError
from refinesr.evaluate.cropping import ModCrop
from refinesr.evaluate.pairs import LoadedPair, find_pairs
from refinesr.images.io import write
from refinesr.images.naming import without_marks
from refinesr.images.picture import Picture
from refinesr.images.resize import MatlabBicubic, PillowBicubic

KERNEL = PillowBicubic()


def read(data: str, low: str | None = None, scale: int = 4) -> list[LoadedPair]:
    found = find_pairs(Path(data), None if low is None else Path(low))
    return [pair.load(ModCrop(), scale, KERNEL) for pair in found]


def reduced(values: np.ndarray, scale: int = 4) -> np.ndarray:
    """By Pillow itself."""
    height, width = values.shape[0] // scale, values.shape[1] // scale
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("good", "poor"),
    [
        ("0801", "0801x4"),
        ("img_001_SRF_4_HR", "img_001_SRF_4_LR"),
        ("Baby", "baby-x4"),
        ("a_HR", "a_LRBI_x4"),
        ("Canon_001_HR", "Canon_001_LR4"),
    ],
)
def test_names_belong_together_but_for_what_data_sets_hang_on_them(good: str, poor: str) -> None:
    assert without_marks(good) == without_marks(poor)


@pytest.mark.parametrize(
    ("one", "other"), [("0801", "0802"), ("img_1", "img_11"), ("x4", "x2"), ("hr", "lr")]
)
def test_other_names_do_not(one: str, other: str) -> None:
    assert without_marks(one) != without_marks(other)


def test_a_poor_picture_is_what_pillow_makes_of_the_good_one() -> None:
    saved("high", "nose", height=50, width=43)
    (shown,) = read("high")
    assert shown.high.shape == (1, 3, 48, 40)
    np.testing.assert_array_equal(array(shown.low), reduced(cat("nose", 48, 40)))


def test_a_poor_picture_that_is_given_is_taken_as_it_is() -> None:
    saved("high", "nose")
    save("low/nosex4.png", reduced(cat("nose")) ^ 1)
    (shown,) = read("high", "low")
    np.testing.assert_array_equal(array(shown.low), reduced(cat("nose")) ^ 1)


def test_a_tar_file_is_read_as_a_folder_is() -> None:
    saved("high")
    with tarfile.open("high.tar", "w") as archive:
        for path in sorted(Path("high").iterdir()):
            archive.add(path, path.name)
    for one, other in zip(read("high"), read("high.tar"), strict=True):
        assert one.name == other.name
        assert torch.equal(one.high, other.high)


def test_a_limit_takes_the_first_by_name() -> None:
    saved("high")
    assert [pair.name for pair in find_pairs(Path("high"), None, 2)] == ["ear", "eye"]


def test_a_limit_takes_the_first_by_their_own_name_whatever_folder_they_lie_in() -> None:
    """ImageNet's first pictures are of many classes, and so of many folders."""
    for path in ("b/1.png", "a/3.png", "a/2.png", "c/0.png"):
        save(f"data/{path}", cat("ear", 8, 8))
    assert [pair.name for pair in find_pairs(Path("data"), limit=3)] == ["0", "1", "2"]


def test_a_picture_without_a_partner_is_named() -> None:
    saved("high")
    saved("low", "ear", "eye", "fur")
    with pytest.raises(InputError, match=r"^high/nose\.png: no picture in low has this name$"):
        read("high", "low")
    saved("more", "ear")
    with pytest.raises(InputError, match=r"^low/eye\.png: no picture in more has this name$"):
        read("more", "low")


def test_two_pictures_of_one_name_are_refused() -> None:
    saved("high", "nose")
    saved("high/more", "nose")
    with pytest.raises(InputError, match=r"high/more/nose\.png and high/nose\.png: both are called 'nose'"):
        read("high")


def test_two_files_of_one_picture_are_both_named_with_what_to_do() -> None:
    for name in ("cat.jpg", "cat.png"):
        save(f"high/{name}", cat("nose"))
    with pytest.raises(InputError) as refused:
        find_pairs(Path("high"))
    told = "both are called 'cat', and images are identified by their names without suffix"
    assert str(refused.value) == (
        f"high/cat.jpg and high/cat.png: {told}; rename one, or take it out of the folder"
    )


def test_a_poor_picture_of_another_size_is_refused_with_all_sizes() -> None:
    saved("high", "nose")
    save("low/nose.png", reduced(cat("nose"))[:, :-1])
    with pytest.raises(InputError) as refused:
        read("high", "low")
    assert str(refused.value) == (
        "low/nose.png: 9 x 12 pixels; high/nose.png, 40 x 48 pixels, at scale 4 has 10 x 12"
    )


@pytest.mark.parametrize(("down", "right"), [(0, 1), (-1, 0), (2, -2)])
def test_a_poor_picture_that_lies_beside_its_place_is_refused(down: int, right: int) -> None:
    values = np.asarray(Image.fromarray(cat("nose", 160, 160)).resize((80, 80), Image.Resampling.BICUBIC))
    save("high/nose.png", cat("nose", 160, 160))
    save("low/nose.png", np.roll(values, (down, right), (0, 1)))
    with pytest.raises(InputError, match=r"^low/nose\.png: is shifted: of 80 x 80 pixels") as refused:
        read("high", "low", scale=2)
    assert f"{right:+d} pixels to the right and {down:+d} down" in str(refused.value)


def test_flat_and_noisy_poor_pictures_are_not_called_shifted() -> None:
    save("high/flat.png", np.full((96, 96, 3), 90, np.uint8))
    save("high/noise.png", np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    for name in ("flat", "noise"):
        noise = np.random.default_rng(1).integers(0, 9, (24, 24, 3), dtype=np.uint8)
        save(f"low/{name}.png", reduced(opened(f"high/{name}.png")) // 2 + noise)
    assert len(read("high", "low")) == 2


def test_grey_and_colour_are_not_compared() -> None:
    saved("high", "nose")
    save("low/nose.png", reduced(cat("nose"))[..., 0])
    with pytest.raises(InputError, match=r"^high/nose\.png is RGB and low/nose\.png is grey; both must"):
        read("high", "low")


def test_nan_is_refused_by_name() -> None:
    Path("high").mkdir()
    values = cat("nose").astype(np.float32) / 255
    values[3, 4, 1] = np.nan
    write(Picture(values), "high/nose.tiff")
    with pytest.raises(InputError, match=r"high/nose\.tiff: holds NaN"):
        read("high")


def test_transparency_is_refused_unless_nothing_is_transparent() -> None:
    alpha = np.full((48, 40, 1), 255, np.uint8)
    save("high/nose.png", np.dstack([cat("nose"), alpha]))
    assert array(read("high")[0].high).tolist() == cat("nose").tolist()
    alpha[5, 5] = 254
    save("high/nose.png", np.dstack([cat("nose"), alpha]))
    with pytest.raises(InputError, match=r"^high/nose\.png: is transparent in parts"):
        read("high")


def test_sixteen_bits_are_rounded_to_eight() -> None:
    Path("high").mkdir()
    write(Picture(cat("nose").astype(np.uint16) * 257 + 100), "high/nose.png")
    np.testing.assert_array_equal(array(read("high")[0].high), cat("nose"))


def test_the_scale_is_told_by_both_sizes() -> None:
    saved("high", "nose")
    save("low/nose.png", reduced(cat("nose"), 2))
    assert find_pairs(Path("high"), Path("low"))[0].scale == 2
    assert find_pairs(Path("high"))[0].scale is None


def test_the_checksum_knows_size_and_values() -> None:
    one, two = torch.zeros(1, 3, 4, 6, dtype=torch.uint8), torch.zeros(1, 3, 6, 4, dtype=torch.uint8)
    sums = [LoadedPair("a", one, low).checksum for low in (one, two, one + 1, one)]
    assert sums[0] == sums[3]
    assert len(set(sums)) == 3


def test_matlab_and_pillow_reduce_differently() -> None:
    saved("high", "nose")
    (pair,) = find_pairs(Path("high"))
    one, other = (pair.load(ModCrop(), 4, kernel).low for kernel in (MatlabBicubic(), PillowBicubic()))
    assert not torch.equal(one, other)


def renamed(name: bytes | str) -> Path:
    """A folder with one picture of that name."""
    saved("high", "nose")
    os.rename(b"high/nose.png", b"high/" + os.fsencode(name))
    return Path("high")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are text there")
def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        find_pairs(renamed(b"caf\xe9.png"))
    told = "its name is no text in UTF-8, as names in reports are; rename it"
    assert str(refused.value) == f"'high/caf\\udce9.png': {told}"


@pytest.mark.parametrize("name", [r"a\..\..\x.png", "C:x.png", "sub/12:30.png"])
def test_a_name_in_a_tar_that_would_lead_elsewhere_on_windows_is_refused(name: str) -> None:
    saved("high", "nose")
    with tarfile.open("high.tar", "w") as archive:
        archive.add("high/nose.png", name)
    with pytest.raises(InputError) as refused:
        find_pairs(Path("high.tar"))
    why = "results are called as it is, and no file on Windows has \\ or : in its name"
    assert str(refused.value) == f"high.tar:{name}: {why}; rename it in the tar file"


@pytest.mark.skipif(sys.platform == "win32", reason="no file is called so there")
def test_a_file_may_be_called_as_its_system_allows() -> None:
    (pair,) = find_pairs(renamed("12:30.png"))
    assert pair.name == "12:30"


def test_names_are_the_same_however_their_letters_are_encoded() -> None:
    assert without_marks("Caf\u00e9_HR") == without_marks("cafe\u0301x4")
