"""Self-contained HTML documents: style and scripts are inline, and nothing is fetched."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

ASSETS = Path(__file__).with_name("page_assets")

SECURITY_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""Content-Security-Policy under which the browser fetches nothing."""


def document(title: str, body: str, style: str, scripts: Iterable[str], data: str = "") -> str:
    """The HTML text.  `body` and `data` are HTML, `data` goes before the scripts.

    `style` and `scripts` are names of files in `page_assets`.
    """
    script = "".join(map(asset, scripts))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{SECURITY_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{asset(style)}</style>\n</head>\n<body>\n<main>\n{body}\n"
        f"</main>\n{data}<script>\n{script}</script>\n</body>\n</html>\n"
    )


def asset(name: str) -> str:
    return ASSETS.joinpath(name).read_text(encoding="utf-8")
