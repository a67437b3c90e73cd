"""Frozen dataclasses <-> plain JSON data: strict, with errors that say what would be valid.

The annotations are the schema.  A field is a bool, int, float, str, Path or Literal, a tuple of these, a
frozen dataclass, or a union.  A member of a union of dataclasses is tagged with its class name,
`{"kind": "EDM", "sigma_data": 0.5}`; the bare name, `"EDM"`, is the member with its defaults.  A dataclass
that is not a member of such a union has no tag, and `X | None` is `null` or an X.  Fields with a default may
be omitted when reading; all fields are written.  Nothing is converted, except that an integer is accepted for
a float and lists become tuples.  NaN and infinities are refused, as JSON has none.
"""

from refinesr.config.overriding import override
from refinesr.config.structure import from_data, parse, to_data

__all__ = ["from_data", "override", "parse", "to_data"]
