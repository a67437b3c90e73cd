"""Whole numbers that are meant as such."""

from typing import Any, get_args

from cyclopts import CoercionError, Token, convert


def convert_strictly(hint: Any, tokens: tuple[Token, ...]) -> Any:
    """As cyclopts converts, which alone would round 1.9 to 2: a mistyped seed would be another one."""
    if int in (hint, *get_args(hint)):
        for token in tokens:
            if "." in token.value:
                raise CoercionError(token=token, target_type=int)
    return convert(hint, tokens)
