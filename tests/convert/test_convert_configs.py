"""Configuration files: JSON with comments, and YAML that builds on other files."""

import json
from pathlib import Path

import pytest

from refinesr.convert.configs import Config, load_config
from refinesr.diffusion.schedule import JSD, Constant, Cosine, Linear, Quadratic, Schedule, WarmUp
from refinesr.errors import ConfigError

COMMENTED = """{ // one
    "name": "http://a//b", "back": "\\\\", // "two": 2
    "quote": "a \\" // no comment \\"",
    //"off": 1,
    "list": [ 1, // 8
        // 16
    2 ], "empty": [
        // 16
    ], "u": "\\u00e9"//x
} // end
"""


def test_comments_end_with_the_line_and_texts_have_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(COMMENTED)
    assert load_config(path).data == {
        "name": "http://a//b",
        "back": "\\",
        "quote": 'a " // no comment "',
        "list": [1, 2],
        "empty": [],
        "u": "é",
    }


def test_plain_json_is_read_as_ever(tmp_path: Path) -> None:
    data = {"a": {"b": [1.5, "x//y", None, True]}, "//": "//"}
    (tmp_path / "a.json").write_text(json.dumps(data), encoding="utf-8-sig")
    assert load_config(tmp_path / "a.json").data == data


BROKEN = [
    ("a.json", "{'a': 1}"),
    ("a.json", '{"a": 1,}'),
    ("a.json", '{"a": "b'),
    ("a.json", ""),
    ("a.json", "[" * 10**5),
]
BROKEN += [("a.yaml", "a: [1"), ("a.yaml", "a: !!python/object/apply:os.mkdir [x]"), ("a.yaml", "\tb: 1")]


@pytest.mark.parametrize(("name", "text"), BROKEN, ids=[text[:20] for _, text in BROKEN])
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    kind = "YAML" if name.endswith("yaml") else "JSON with // comments"
    assert str(caught.value).startswith(f"{path}: not valid {kind}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read: No such file or directory"):
        load_config(tmp_path / "none.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"a\.json: cannot be read: it is not UTF-8 text"):
        load_config(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"b\.json: holds \[1\], not settings with names"):
        load_config(tmp_path / "b.json")


def tree(into: Path, **files: str) -> Path:
    for name, text in files.items():
        path = into / "configs" / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return into / "configs"


def test_a_chain_of_files_is_followed_and_what_comes_later_counts_more(tmp_path: Path) -> None:
    folder = tree(
        tmp_path,
        main="base_config:\n  - ./model.yaml\n  - ./data.yaml\nc: 3\n",
        model="base_config: ./base.yaml\na: 1\nb: 1\nc: 1\nnested: {x: 1, y: 1}\n",
        data="b: 2\nnested: {y: 2}\n",
        base="a: 0\nd: 0\n",
    )
    data = load_config(folder / "main.yaml").data
    assert {key: data[key] for key in "abcd"} == {"a": 1, "b": 2, "c": 3, "d": 0}
    assert data["nested"] == {"x": 1, "y": 2}


def test_bases_are_beside_the_file_or_below_the_folder_the_code_runs_in(tmp_path: Path) -> None:
    folder = tree(
        tmp_path,
        rrdb__main="base_config:\n  - ../beside.yaml\n  - configs/root.yaml\n  - plain.yaml\n",
        beside="a: 1",
        root="b: 2",
        rrdb__plain="c: 3",
    )
    data = load_config(folder / "rrdb" / "main.yaml").data
    assert [data[key] for key in "abc"] == [1, 2, 3]
    above = tree(tmp_path, rrdb__other="base_config: ./beside.yaml")
    assert load_config(above / "rrdb" / "other.yaml").absent == ("./beside.yaml",)


def test_a_base_that_is_not_there_matters_where_something_is_missing(tmp_path: Path) -> None:
    folder = tree(tmp_path, main="base_config: ./gone.yaml\na: 1\n")
    config = load_config(folder / "main.yaml")
    assert config.number("a") == 1
    with pytest.raises(ConfigError) as caught:
        config.number("b")
    hint = "./gone.yaml, on which it is based, does not exist"
    assert str(caught.value) == f"{folder / 'main.yaml'}: b: missing; {hint}"


def test_a_circle_of_bases_is_an_error(tmp_path: Path) -> None:
    folder = tree(tmp_path, main="base_config: ./other.yaml", other="base_config: ./main.yaml")
    with pytest.raises(ConfigError, match=r"main\.yaml: base_config: refers to itself"):
        load_config(folder / "main.yaml")
    with pytest.raises(ConfigError, match=r"odd\.yaml: base_config: 7 is not a file or a list of files"):
        load_config(tree(tmp_path, odd="base_config: 7") / "odd.yaml")


def test_two_files_may_build_on_the_same(tmp_path: Path) -> None:
    folder = tree(
        tmp_path,
        main="base_config: [./a.yaml, ./b.yaml]",
        a="base_config: ./base.yaml",
        b="base_config: ./base.yaml",
        base="x: 1",
    )
    assert load_config(folder / "main.yaml").get("x") == 1


def test_settings_are_found_by_dotted_names_through_lists() -> None:
    config = Config(Path("a.json"), {"a": {"b": [{"c": 1}, 2]}, "n": None})
    assert [config.get(name) for name in ("a.b.0.c", "a.b.1", "n", "a.b.2", "a.b.0.d", "a.b.c", "x.y")] == [
        1, 2, None, None, None, None, None,
    ]  # fmt: skip


def test_numbers_may_be_texts_as_yaml_has_them() -> None:
    config = Config(Path("a.yaml"), {"a": "1e-6", "b": 3.0, "c": True, "d": "x", "e": [1], "f": float("nan")})
    assert config.number("a") == 1e-6
    assert config.integer("b") == 3
    for name in "cdef":
        with pytest.raises(ConfigError, match=rf"a\.yaml: {name}: .* is not a number"):
            config.number(name)


TABLES: list[tuple[dict[str, object], Schedule]] = [
    ({"schedule": "linear", "linear_start": 1e-6, "linear_end": 1e-2}, Linear(1e-6, 1e-2, 8)),
    ({"schedule": "quad", "linear_start": 1e-6, "linear_end": 1e-2}, Quadratic(1e-6, 1e-2, 8)),
    ({"schedule": "warmup10", "linear_start": 1e-6, "linear_end": 1e-2}, WarmUp(1e-6, 1e-2, 8, 0.1)),
    ({"schedule": "warmup50", "linear_start": 1e-6, "linear_end": 1e-2}, WarmUp(1e-6, 1e-2, 8, 0.5)),
    ({"schedule": "const", "linear_end": 1e-2}, Constant(1e-2, 8)),
    ({"schedule": "jsd"}, JSD(8)),
    ({"schedule": "cosine"}, Cosine(8)),
    ({"schedule": "cosine", "cosine_s": 0.02}, Cosine(8, 0.02)),
]


@pytest.mark.parametrize(("settings", "expected"), TABLES, ids=[str(table) for _, table in TABLES])
def test_tables_are_named_as_the_public_codes_name_them(
    settings: dict[str, object], expected: Schedule
) -> None:
    assert Config(Path("a"), {"t": {"n_timestep": 8, **settings}}).noise_table("t") == expected
    assert Config(Path("a"), {}).noise_table("t") is None
