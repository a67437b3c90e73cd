"""The public names, no more and no fewer, each documented, annotated and imported only when asked for."""

import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import refinesr

FUNCTIONS = {"load", "upscale", "refine", "load_cascade", "interpolate", "fuse", "score"}
TYPES = {"Method", "Sampling", "Stage", "Cascade", "Link", "Card", "Progress", "Patch", "Box", "Span"}
ERRORS = {"RefineSRError", "InputError", "ConfigError", "CheckpointError", "OutputError"}
PUBLIC = {"METHODS"} | FUNCTIONS | TYPES | ERRORS

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these() -> None:
    assert sorted(refinesr.__all__) == sorted(PUBLIC)


def test_dir_shows_the_public_names_only() -> None:
    assert [name for name in dir(refinesr) if not re.fullmatch("__.*__", name)] == sorted(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_is_there_when_asked_for(name: str) -> None:
    assert getattr(refinesr, name) is getattr(refinesr, name)


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from refinesr import *", names)
    assert set(names) >= PUBLIC


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match=r"^module 'refinesr' has no attribute 'upscaled'$"):
        refinesr.upscaled  # noqa: B018
    with pytest.raises(ImportError, match="upscaled"):
        exec("from refinesr import upscaled")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, refinesr; dir(refinesr); print(*sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize("name", sorted(PUBLIC - {"METHODS"}))
def test_a_public_name_has_a_docstring_of_its_own(name: str) -> None:
    thing = getattr(refinesr, name)
    text = inspect.cleandoc(vars(thing).get("__doc__") or thing.__doc__ or "")
    assert text
    assert not text.startswith(f"{name}(")  # what @dataclass writes when nobody did
    assert text.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", sorted(FUNCTIONS | TYPES))
def test_a_public_callable_is_annotated_throughout(name: str) -> None:
    thing = getattr(refinesr, name)
    methods = [method for key, method in vars(thing).items() if inspect.isfunction(method) and key[0] != "_"]
    callables: list[Callable[..., object]] = [thing, *methods] if inspect.isclass(thing) else [thing]
    for function in callables:
        signature = inspect.signature(function)
        bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
        assert bare == []
        assert inspect.isclass(function) or signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_is_one_of_ours(name: str) -> None:
    assert issubclass(getattr(refinesr, name), refinesr.RefineSRError)


def test_methods_are_named_values() -> None:
    assert refinesr.METHODS
    for name, method in refinesr.METHODS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
        assert isinstance(method, refinesr.Method)
        assert hash(method) == hash(refinesr.METHODS[name])


def test_the_version_is_told_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert refinesr.__version__ == project["version"]
    assert f"\nversion: {refinesr.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## [{refinesr.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
