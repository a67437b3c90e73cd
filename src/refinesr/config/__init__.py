"""Frozen dataclasses <-> plain JSON data, strictly and with errors that say what would be right.

The annotations are the schema.  A field is a bool, int, float, str, Path or Literal, a tuple of these, a
frozen dataclass, or a union.  A member of a union of dataclasses carries its class name,
`{"kind": "EDM", "sigma_data": 0.5}`; its bare name, `"EDM"`, means the member with its defaults.  A dataclass
that is not one of several has no tag, and `X | None` is `null` or an X.  Fields with a default may be left
out when reading; all are written.  Nothing is converted, except that an integer may stand for a float and
that lists become tuples.  NaN and infinities are refused: JSON has none.
"""

from refinesr.config.overriding import override
from refinesr.config.structure import from_data, parse, to_data

__all__ = ["from_data", "override", "parse", "to_data"]
