"""The pages say what is: links lead somewhere, files exist, commands parse, and code runs.

All Python blocks of a page run from top to bottom in one namespace, in a folder with a photo (`cat.jpg`) and
drawings (`my_photos`); blocks with prompts also print what they say.  It is done in a process of its
own: `python tests/test_docs.py REPORT.json`.
"""

import doctest
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES = [page for page in PAGES if "_build" not in page.parts]
NAMES = {page.relative_to(ROOT).as_posix(): page for page in PAGES}
RUN = [name for name in NAMES if name.startswith("docs/")]  # the README's commands are CI's


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `line` is that of its first line of text, from 1."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    fence, start, lines = "", 0, page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if not fence and (opened := re.match(r"(`{3,})\{?([\w-]*)", line)):
            fence, language, start = opened[1], opened[2], number + 1
        elif fence and line.strip() == fence:
            fence = ""
            yield Block(language, "\n".join(lines[start:number]) + "\n", start + 1)


def prose(page: Path) -> str:
    """The page without its blocks and its code."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]+`", "", text)


def anchors(page: Path) -> set[str]:
    """Those of headings, as GitHub and myst make them, and those set by hand."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#{1,3} (.+)$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE))


def targets(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page, broken = NAMES[name], []
    for target in targets(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_what_a_package_index_shows_has_no_links_into_the_repository() -> None:
    """As the build does it, so `pyproject.toml` says; words, code and links to the net stay."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["metadata"]
    whole = shown = (ROOT / "README.md").read_text(encoding="utf-8")
    for each in asked["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(each["pattern"], each["replacement"], shown)
    links = re.compile(r"\]\(([^)]*)\)")
    assert [target for target in links.findall(shown) if not re.match("https?:|#", target)] == []
    assert "in TIFF also georeferencing and missing values" in " ".join(shown.split())
    outside = re.sub(r"!\[.*\n\n\*[^*]*\*\n\n", "", whole)
    assert links.sub("", shown).replace("[", "") == links.sub("", outside).replace("[", "")


def test_every_page_is_in_the_table_of_contents() -> None:
    toctrees = [block for block in blocks(ROOT / "docs" / "index.md") if block.language == "toctree"]
    lines = [line for block in toctrees for line in block.text.splitlines()]
    entries = {f"docs/{line}.md" for line in lines if line and not line.startswith(":")}
    assert entries == set(RUN) - {"docs/index.md"}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    """Names in code like `tests/test_docs.py` or `diffusion/noise.py`; capitals stand for something else."""
    text = NAMES[name].read_text(encoding="utf-8")
    named = {
        word
        for code in re.findall(r"`([^`\n]+)`", text)
        for word in re.findall(r"[a-z_0-9/.]+/[a-z_0-9]+\.py\b", code)
    }
    roots = (ROOT, ROOT / "src" / "refinesr", ROOT / "src")
    assert [word for word in sorted(named) if not any((root / word).exists() for root in roots)] == []


@pytest.mark.parametrize("name", NAMES)
def test_json_blocks_are_json(name: str) -> None:
    for block in blocks(NAMES[name]):
        if block.language == "json":
            json.loads(block.text)


def test_formulas_can_be_shown() -> None:
    tex2mathml = pytest.importorskip("docutils.utils.math.latex2mathml").tex2mathml
    for page in PAGES:
        for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", prose(page), flags=re.DOTALL):
            tex2mathml(block or inline, as_block=bool(block))


def test_what_the_reference_names_is_there() -> None:
    """Every class, function and listed member, in the current module; Sphinx is not needed to see it."""
    module, found, members = "refinesr", [], []
    for line in NAMES["docs/api.md"].read_text(encoding="utf-8").splitlines():
        match line.split():
            case ["..", "module::" | "py:module::" | "currentmodule::" | "py:currentmodule::", name]:
                module = name
            case ["..", "autoclass::" | "autofunction::" | "autoexception::", name]:
                found.append((module, name))
            case [":members:", *names]:
                members += [(located(*found[-1]), name.strip(",")) for name in names]
    assert len(found) > 50
    assert [f"{module}: {name}" for module, name in found if located(module, name) is None] == []
    assert [f"{owner}: {name}" for owner, name in members if not hasattr(owner, name)] == []
    assert members


def located(module: str, name: str) -> object:
    """The thing, by its full name or in the module; None if there is none."""
    path, _, own = name.rpartition(".")
    return getattr(importlib.import_module(path or module), own, None)


def test_the_tour_is_as_short_as_it_says() -> None:
    page = NAMES["docs/guides/tour.md"]
    code = [line for block in blocks(page) if block.language == "python" for line in block.text.splitlines()]
    said = re.search(r"code on this page is (\d+)\s+lines", page.read_text(encoding="utf-8"))
    assert said is not None
    assert int(said[1]) == sum(bool(line.strip()) for line in code)


def test_the_command_lines_page_is_what_it_says() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate_cli.py"), "--check"]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong on each page, "" for nothing; all run once."""
    report = tmp_path_factory.mktemp("docs") / "report.json"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    command = [sys.executable, __file__, str(report)]
    ran = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str] = json.loads(report.read_text())
    return found


@pytest.mark.parametrize("name", RUN)
def test_python_blocks_run(name: str, outcomes: dict[str, str]) -> None:
    assert outcomes[name] == ""


@pytest.mark.parametrize("name", NAMES)
def test_commands_would_be_understood(name: str, outcomes: dict[str, str]) -> None:
    assert outcomes[f"commands of {name}"] == ""


# ------------------------------------------------------------------------------------ in the other process


def main(report: Path) -> None:
    """Run all pages and write what went wrong as JSON."""
    wrong = {name: tried(lambda name=name: walk(name, report.parent)) for name in RUN}  # type: ignore[misc]
    wrong |= {f"commands of {name}": tried(lambda name=name: understand(NAMES[name])) for name in NAMES}  # type: ignore[misc]
    report.write_text(json.dumps(wrong))


def tried(work) -> str:  # type: ignore[no-untyped-def]
    try:
        work()
    except BaseException:
        return traceback.format_exc()
    return ""


def walk(name: str, folder: Path) -> None:
    """Run a page's blocks; their line numbers are the page's."""
    place = folder / name.replace("/", "-")
    furnish(place)
    os.chdir(place)
    globs: dict[str, object] = {"__name__": name}
    for block in blocks(NAMES[name]):
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.text, name, "exec", dont_inherit=True), globs)
        elif block.language == "pycon":
            test = doctest.DocTestParser().get_doctest(block.text, globs, name, name, block.line - 1)
            said: list[str] = []
            doctest.DocTestRunner().run(test, out=said.append, clear_globs=False)
            globs |= test.globs
            assert not said, "".join(said)


def furnish(place: Path) -> None:
    from PIL import Image, ImageDraw

    (place / "my_photos").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "cat.jpg", place)
    for number in range(4):
        page = Image.new("L", (64, 64), "white")
        ImageDraw.Draw(page).ellipse((8 * number, 8, 8 * number + 30, 50), 60 * number)
        page.save(place / "my_photos" / f"{number}.png")


def understand(page: Path) -> None:
    """Every `refinesr` command of the page, and every `--set` in its text, without doing it."""
    from refinesr.cascade_files import override_sampling
    from refinesr.cli.app import application
    from refinesr.cli.recipes import recipe_named
    from refinesr.config import override

    def perhaps_changed(tokens: list[str]) -> None:
        run = recipe_named(tokens[1] if tokens[0] == "train" else "photo-x4-small")
        settings = [after for before, after in pairwise(tokens) if before == "--set"]
        if tokens[0] in ("train", "distill") or (tokens[0] == "--set" and settings[0][:9] != "sampling."):
            override(run, *settings)
        else:
            override_sampling(run.method, settings)

    for tokens in commands(page):
        application().parse_args(tokens, print_error=False, exit_on_error=False)
        perhaps_changed(tokens)
    for phrase in re.findall(r"`(--set [^`\n]+)`", page.read_text(encoding="utf-8")):
        if "=" in phrase and "FIELD" not in phrase:
            perhaps_changed(shlex.split(phrase))


def commands(page: Path) -> Iterator[list[str]]:
    for block in blocks(page):
        if block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                for command in line.split("&&"):
                    words = shlex.split(command, comments=True)
                    if words and Path(words[0]).name == "refinesr":
                        yield words[1:]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
