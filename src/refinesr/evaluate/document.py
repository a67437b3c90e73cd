"""One self-contained HTML file: style and scripts inside, and nothing is asked for from anywhere."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

ASSETS = Path(__file__).with_name("page_assets")

NOTHING = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself refuses whatever would be fetched."""


def document(title: str, body: str, style: str, scripts: Iterable[str], data: str = "") -> str:
    """As text.  `body` is HTML, and so is `data`, which stands before the scripts; both others are assets."""
    script = "".join(map(asset, scripts))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset(style)}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"</main>\n{data}<script>\n{script}</script>\n</body>\n</html>\n"
    )


def asset(name: str) -> str:
    return ASSETS.joinpath(name).read_text(encoding="utf-8")
