"""Where results go, and what is refused before any work."""

import os
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from commands import picture

import refinesr.cli.results
from refinesr.cli.listing import Skipped, list_inputs
from refinesr.cli.results import Job, plan_jobs
from refinesr.cli.upscale_options import ResultOptions
from refinesr.errors import ConfigError, InputError, OutputError, RefineSRError
from refinesr.files import is_case_sensitive


def planned(
    *inputs: str,
    o: str | None = None,
    suffix: str | None = None,
    ext: str | None = None,
    samples: int = 1,
    scale: float = 4.0,
    overwrite: bool = False,
    recursive: bool = False,
) -> dict[str, list[str]]:
    output = None if o is None else Path(o)
    asked = ResultOptions(output, samples=samples, suffix=suffix, ext=ext, overwrite=overwrite)
    asked.check()
    made = plan_jobs(list_inputs([Path(name) for name in inputs], suffix, output, recursive), asked, scale)
    return {str(job.input): [str(path) for path in job.results] for job in made}


def refused(kind: type[RefineSRError], *inputs: str, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        planned(*inputs, **options)
    return str(caught.value)


def test_a_result_is_a_png_beside_its_input() -> None:
    assert planned("a/photo.jpg") == {"a/photo.jpg": ["a/photo-x4.png"]}


@pytest.mark.parametrize(
    ("scale", "name"), [(2.5, "photo-x2.5.png"), (8.0, "photo-x8.png"), (0.5, "photo-x0.5.png")]
)
def test_the_suffix_says_the_scale(scale: float, name: str) -> None:
    assert planned("photo.jpg", scale=scale) == {"photo.jpg": [name]}


def test_suffix_and_ext_change_the_name() -> None:
    assert planned("photo.jpg", suffix=".large", ext="webp") == {"photo.jpg": ["photo.large.webp"]}


def test_only_the_last_suffix_of_an_input_goes() -> None:
    assert planned("photo.v2.jpg") == {"photo.v2.jpg": ["photo.v2-x4.png"]}


def test_samples_are_numbered() -> None:
    assert planned("photo.jpg", samples=3) == {
        "photo.jpg": ["photo-x4-1.png", "photo-x4-2.png", "photo-x4-3.png"]
    }
    assert planned("photo.jpg", o="big.jpg", samples=2) == {"photo.jpg": ["big-1.jpg", "big-2.jpg"]}


def test_out_is_the_file_for_a_single_input_and_a_picture_suffix() -> None:
    assert planned("photo.jpg", o="out/big.JPG") == {"photo.jpg": ["out/big.JPG"]}


def test_out_without_a_picture_suffix_is_a_folder() -> None:
    assert planned("photo.jpg", o="out.v2") == {"photo.jpg": ["out.v2/photo-x4.png"]}


def test_out_is_a_folder_for_several_inputs_whatever_it_is_called() -> None:
    assert planned("a.jpg", "b.jpg", o="out.png") == {
        "a.jpg": ["out.png/a-x4.png"],
        "b.jpg": ["out.png/b-x4.png"],
    }


def test_out_is_a_folder_if_it_is_one() -> None:
    Path("old.png").mkdir()
    assert planned("a.jpg", o="old.png") == {"a.jpg": ["old.png/a-x4.png"]}


def test_a_folder_stands_for_its_pictures_in_natural_order_and_makes_out_a_folder() -> None:
    for name in ("in/10.png", "in/2.png", "in/.hidden.png"):
        picture(name)
    Path("in/notes.txt").write_text("no picture")
    made = planned("in", o="out.png")
    assert list(made.items()) == [("in/2.png", ["out.png/2-x4.png"]), ("in/10.png", ["out.png/10-x4.png"])]


def test_an_empty_folder_is_refused() -> None:
    Path("in/sub").mkdir(parents=True)
    message = "in: no pictures in this folder; skipped: 1 folder (--recursive includes it)"
    assert refused(InputError, "in") == message
    assert refused(InputError, "in/sub") == "in/sub: no pictures in this folder"


def found(folder: str, **options: Any) -> tuple[set[str], Skipped]:
    listing = list_inputs([Path(folder)], **options)
    return {each.path.relative_to(folder).as_posix() for each in listing.files}, listing.skipped


RESULTS = ("a-x4.png", "a-x2.5.png", "a-x4-2.png", "b.jpg-x4.png", "a-x4-x4.png")


def test_earlier_results_in_a_folder_are_no_inputs() -> None:
    """By their names; without the input they come from they are pictures as any other."""
    for name in ("a.png", "b.jpg", *RESULTS, "c-x4.png", "a-xl.png", "x4.png", "sub/a-x4.png"):
        picture(f"in/{name}")
    assert found("in") == ({"a.png", "b.jpg", "c-x4.png", "a-xl.png", "x4.png"}, Skipped(1, 0, len(RESULTS)))
    assert [str(each.path) for each in list_inputs([Path("in/a-x4.png")]).files] == ["in/a-x4.png"]


def test_earlier_results_are_recognised_by_the_suffix() -> None:
    for name in ("a.png", "a+big.png", "a+big-1.png", "abig.png", "a-x4.png", "a-1.png"):
        picture(f"in/{name}")
    assert found("in", suffix="+big") == ({"a.png", "abig.png", "a-x4.png", "a-1.png"}, Skipped(results=2))
    assert found("in", suffix="")[1] == Skipped()


def test_skipped_files_are_counted_without_hidden_ones() -> None:
    for name in ("in/a.png", "in/sub/b.png", "in/other/deep/c.png", "in/.thumbs/d.png"):
        picture(name)
    for name in ("in/a.heic", "in/notes.txt", "in/sub/more.txt", "in/.DS_Store"):
        Path(name).write_text("")
    assert found("in") == ({"a.png"}, Skipped(folders=2, others=2))
    everything = {"a.png", "sub/b.png", "other/deep/c.png"}
    assert found("in", recursive=True) == (everything, Skipped(others=3))


@pytest.mark.parametrize(
    ("skipped", "recursive", "line"),
    [
        (Skipped(), False, None),
        (Skipped(1), False, "skipped: 1 folder (--recursive includes it)"),
        (Skipped(2, 2), False, "skipped: 2 folders (--recursive includes them), 2 files of other types"),
        (Skipped(1, 0, 1), True, "skipped: 1 folder, 1 result of earlier runs"),
        (Skipped(0, 1, 3), True, "skipped: 1 file of another type, 3 results of earlier runs"),
    ],
)
def test_the_message_on_skipped_files(skipped: Skipped, recursive: bool, line: str | None) -> None:
    assert skipped.message(recursive) == line


def test_results_keep_the_sub_folders() -> None:
    for name in ("in/a.png", "in/x/a.png", "in/x/y/a.png"):
        picture(name)
    assert planned("in", o="out", recursive=True) == {
        "in/a.png": ["out/a-x4.png"],
        "in/x/a.png": ["out/x/a-x4.png"],
        "in/x/y/a.png": ["out/x/y/a-x4.png"],
    }
    assert planned("in", recursive=True)["in/x/y/a.png"] == ["in/x/y/a-x4.png"]


def test_the_output_folder_is_no_input() -> None:
    """But what is below it can be."""
    for name in ("in/a.png", "in/out/a-x4.png", "in/out/x/b.png"):
        picture(name)
    assert found("in", output=Path("in/out"), recursive=True) == ({"a.png"}, Skipped())
    assert found("in", output=Path("in/out")) == ({"a.png"}, Skipped())
    assert found("in/out/x", output=Path("in/out")) == ({"b.png"}, Skipped())
    assert found("in", output=Path("in")) == ({"a.png"}, Skipped(folders=1))


def test_links_to_folders_are_not_followed() -> None:
    picture("in/a.png")
    Path("in/circle").symlink_to(Path("in").absolute())
    assert found("in", recursive=True) == ({"a.png"}, Skipped(folders=1))


def test_a_clash_of_names_is_refused() -> None:
    message = "out/a.png-x4.png would be the result of both a.png and b/a.png; upscale them into two folders"
    assert refused(OutputError, "a.png", "b/a.png", o="out") == message


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows."""
    monkeypatch.setattr("refinesr.cli.results.is_case_sensitive", lambda folder: False)


@pytest.mark.usefixtures("folding")
def test_results_that_differ_in_case_clash_on_a_case_insensitive_file_system() -> None:
    """The second would replace the first."""
    alike = "would be the result of both x/a.png and y/A.png, as this file system ignores case"
    told = f"out/A.png-x4.png {alike}; upscale them into two folders"
    assert refused(OutputError, "x/a.png", "y/A.png", o="out") == told
    assert "would be the result of both" in refused(OutputError, "x/\u00e9.png", "y/e\u0301.png", o="out")
    itself = "PHOTO.PNG: its result would replace itself; give --suffix or -o"
    assert refused(OutputError, "PHOTO.PNG", suffix="", overwrite=True) == itself


@pytest.mark.skipif(not is_case_sensitive(Path("tests")), reason="they are one file here")
def test_results_that_differ_in_case_are_two_on_a_case_sensitive_file_system() -> None:
    assert planned("a.png", "A.png") == {"a.png": ["a-x4.png"], "A.png": ["A-x4.png"]}


@pytest.mark.usefixtures("folding")
def test_inputs_that_differ_in_case_keep_extensions_on_a_case_insensitive_file_system() -> None:
    assert planned("cat.jpg", "CAT.png") == {"cat.jpg": ["cat.jpg-x4.png"], "CAT.png": ["CAT.png-x4.png"]}


@pytest.mark.parametrize("inputs", list(permutations(["cat.jpg", "cat.png", "dog.png"])))
def test_inputs_of_one_stem_keep_their_extensions_in_any_order(inputs: tuple[str, ...]) -> None:
    assert planned(*inputs, o="out", samples=2) == {
        "cat.jpg": ["out/cat.jpg-x4-1.png", "out/cat.jpg-x4-2.png"],
        "cat.png": ["out/cat.png-x4-1.png", "out/cat.png-x4-2.png"],
        "dog.png": ["out/dog-x4-1.png", "out/dog-x4-2.png"],
    }


def test_a_name_that_is_made_longer_may_clash_in_turn() -> None:
    assert planned("cat.jpg", "cat.png", "cat.jpg.bmp") == {
        "cat.jpg": ["cat.jpg-x4.png"],
        "cat.png": ["cat.png-x4.png"],
        "cat.jpg.bmp": ["cat.jpg.bmp-x4.png"],
    }


def test_a_result_must_not_replace_its_input_even_with_overwrite() -> None:
    message = "photo.png: its result would replace itself; give --suffix or -o"
    assert refused(OutputError, "photo.png", suffix="", overwrite=True) == message


def test_a_result_must_not_replace_another_input() -> None:
    message = "a.jpg: its result would replace the input a-x4.png; give --suffix or -o"
    assert refused(OutputError, "a.jpg", "a-x4.png", overwrite=True) == message


def test_a_result_must_not_replace_an_input_that_links_lead_to() -> None:
    picture("real/photo.png")
    Path("linked").symlink_to("real")
    Path("link.png").symlink_to("real/photo.png")
    message = "its result would replace itself; give --suffix or -o"
    for source, out in (("link.png", "real/photo.png"), ("linked/photo.png", "real/photo.png")):
        assert refused(OutputError, source, o=out, overwrite=True) == f"{source}: {message}"
    found = refused(OutputError, "real/photo.png", o="linked", suffix="", overwrite=True)
    assert found == f"real/photo.png: {message}"
    assert planned("real/photo.png", o="link.png", overwrite=True)  # the link is replaced, and not the photo


def test_a_dangling_link_counts_as_existing() -> None:
    Path("a-x4.png").symlink_to("nowhere")
    assert refused(OutputError, "a.jpg").startswith("a-x4.png exists; --overwrite replaces it")


def test_existing_results_are_refused_without_overwrite() -> None:
    picture("a-x4.png")
    assert (
        refused(OutputError, "a.jpg", "b.jpg")
        == "a-x4.png exists; --overwrite replaces it, --skip-existing keeps it"
    )
    picture("b-x4.png")
    message = (
        "a-x4.png exists, and 1 more of the results; --overwrite replaces them, --skip-existing keeps them"
    )
    assert refused(OutputError, "a.jpg", "b.jpg", "c.jpg") == message
    assert planned("a.jpg", overwrite=True) == {"a.jpg": ["a-x4.png"]}


def test_out_must_be_writable_as_its_suffix_says() -> None:
    message = "-o: a.gif: suffix '.gif' is not one of .png, .jpg, .jpeg, .webp, .tif, .tiff"
    assert refused(OutputError, "photo.jpg", o="a.gif") == message


def test_what_contradicts_out_is_refused() -> None:
    message = "--suffix: '-big' has no place in a.png; give a folder to -o"
    assert refused(ConfigError, "photo.jpg", o="a.png", suffix="-big") == message
    message = "--ext: 'webp' is not what a.png ends in; give one of the two"
    assert refused(ConfigError, "photo.jpg", o="a.png", ext="webp") == message
    assert planned("photo.jpg", o="a.jpeg", ext="jpg") == {"photo.jpg": ["a.jpeg"]}


def test_a_suffix_is_no_folder() -> None:
    message = "--suffix: 'big/' names a folder; that is what -o is for"
    assert refused(ConfigError, "photo.jpg", suffix="big/") == message


def test_a_file_is_no_folder_for_results() -> None:
    picture("there.png")
    message = "there.png: is a file, not a folder for results"
    assert refused(OutputError, "photo.jpg", o="there.png/sub") == str(Path.cwd() / message)
    Path("out").write_text("")
    assert refused(OutputError, "photo.jpg", o="out") == "out: is a file, not a folder for results"


def test_a_folder_that_may_not_be_written_to_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    Path("out").mkdir()
    assert refused(OutputError, "photo.jpg", o="out") == "out: no permission to write into this folder"


def test_a_missing_input_is_reported_when_it_is_read() -> None:
    """So the other files of a batch are done."""
    planned = plan_jobs(list_inputs([Path("no.jpg")]), ResultOptions(), 4.0)
    assert planned == [Job(Path("no.jpg"), (Path("no-x4.png"),))]


def test_a_file_that_is_named_twice_is_one_input() -> None:
    picture("in/a.png")
    assert planned("in", "in/a.png", "./in/a.png") == {"in/a.png": ["in/a-x4.png"]}


def test_each_folder_is_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Path] = []

    def apart(folder: Path) -> bool:
        asked.append(folder)
        return is_case_sensitive(folder)

    monkeypatch.setattr(refinesr.cli.results, "is_case_sensitive", apart)
    counts = []
    for number in (2, 30):
        for k in range(number):
            picture(f"in/{k}.png")
        asked.clear()
        assert len(planned("in", o="out", samples=2)) == number
        counts.append(len(asked))
        assert {path.name for path in asked} == {"in", "out"}
    assert counts[0] == counts[1]
