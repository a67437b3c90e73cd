"""Writes docs/cli.md from the output of `--help`; with --check only checks that it is up to date.

python docs/generate_cli.py [--check]
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console

from refinesr.cli.app import COMMANDS, application, command_name

PAGE = Path(__file__).with_name("cli.md")

HEAD = """# Command line

*What `--help` says. This page is made by `python docs/generate_cli.py`, and `tests/test_docs.py` checks it.
Guides: [upscale a photo](guides/upscale.md), [train](guides/train.md).*
"""


def page() -> str:
    names = [command_name(command) for command, *_ in COMMANDS]
    parts = [HEAD, section("refinesr", []), *(section(f"refinesr {name}", [name]) for name in names)]
    return "\n".join(parts)


def section(title: str, tokens: list[str]) -> str:
    return f"## {title}\n\n```text\n{help_text(tokens)}\n```\n"


def help_text(tokens: list[str]) -> str:
    """The help as plain text, 100 characters wide, without empty lines in a row."""
    text = io.StringIO()
    console = Console(file=text, width=100, color_system=None, force_terminal=False, legacy_windows=False)
    application().help_print(tokens, console=console)
    lines = "\n".join(line.rstrip() for line in text.getvalue().splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def words(text: str) -> list[str]:
    """The words without the layout: another release of the libraries may draw the boxes differently."""
    return re.findall(r"[^\s─│╭╮╰╯]+", text)


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif words(PAGE.read_text(encoding="utf-8")) != words(page()):
        print(f"{PAGE.name} is not what the command line says; run python docs/generate_cli.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
