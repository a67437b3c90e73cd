"""Strict parsing of integer options."""

from typing import Any, get_args

from cyclopts import CoercionError, Token, convert


def convert_strictly(hint: Any, tokens: tuple[Token, ...]) -> Any:
    """As cyclopts converts, but 1.9 for an integer is an error: cyclopts would round it to 2."""
    if int in (hint, *get_args(hint)):
        for token in tokens:
            if "." in token.value:
                raise CoercionError(token=token, target_type=int)
    return convert(hint, tokens)
