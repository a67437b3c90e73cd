"""Imports point down, never up or across: read from the syntax trees, lazy and typing-only ones included."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "refinesr"

# Above to below.  What shares a line does not import one another; a package is one name, free inside.
LAYERS = """
    __main__
    cli
    web
    recipes
    train mixing evaluate
    run
    pretrained monitoring restore convert search generate
    cascade_files
    shipped
    checkpoint
    editing cascade album distill held_out log compiling folder
    stage fit data preview
    method
    encoding
    sources objective
    model
    diffusion nets metrics
    images
    optimizers decays measurements
    shapes tiles config files devices process_group memory stepwise
    validation
    errors torchrun
    weights
"""
HEIGHT = {name: -line for line, names in enumerate(LAYERS.split("\n")) for name in names.split()}

# The front door shows names of every layer; each is imported when it is asked for.
FRONT_DOOR = "refinesr"


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(SOURCE.rglob("*.py"))}


def imports(module: str) -> Iterator[tuple[int, str]]:
    """Line and name of every module of ours that one module imports, anywhere in its text."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            start = package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(filter(None, [start, node.module]))
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                if name in FILES or origin in FILES:
                    yield node.lineno, name if name in FILES else origin


def layer(module: str) -> str:
    return module.split(".")[1]


BELOW_THE_DOOR = [module for module in FILES if module != FRONT_DOOR]


@pytest.mark.parametrize("module", BELOW_THE_DOOR)
def test_imports_point_down(module: str) -> None:
    assert layer(module) in HEIGHT, f"give {module} a place in the picture"
    wrong = [
        f"line {line}: {target}"
        for line, target in imports(module)
        if target != FRONT_DOOR  # its version, a plain text
        and layer(target) != layer(module)
        and not HEIGHT[layer(target)] < HEIGHT[layer(module)]
    ]
    assert wrong == []


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: {target for _, target in imports(module)} - {FRONT_DOOR} for module in BELOW_THE_DOOR}
    TopologicalSorter({module: targets - {module} for module, targets in graph.items()}).prepare()


def test_the_front_door_imports_nothing_until_asked() -> None:
    tree = ast.parse(FILES[FRONT_DOOR].read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {getattr(node, "module", None) for node in at_once} <= {"importlib", "typing"}


def test_weights_are_data_only() -> None:
    code = [
        node for name, file in FILES.items() if name.startswith("refinesr.weights") for node in body(file)
    ]
    assert code == []


def body(file: Path) -> list[ast.stmt]:
    """The statements of a file except its docstring."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return tree.body[1:] if ast.get_docstring(tree) is not None else tree.body


def test_nothing_is_called_utils() -> None:
    assert [name for name in FILES if {"util", "utils", "helpers", "common"} & set(name.split("."))] == []


def test_no_file_is_over_300_lines_but_a_papers_network() -> None:
    lines = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in FILES.items()}
    assert {name for name, n in lines.items() if n > 300 and not name.startswith("refinesr.nets.")} == set()


@pytest.mark.parametrize("module", ["refinesr", "refinesr.cli", "refinesr.config", "refinesr.errors"])
def test_torch_is_not_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys, refinesr.cli\n"
        "sys.argv = ['refinesr', '--help']\n"
        "try: refinesr.cli.main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "upscale" in ran.stdout
