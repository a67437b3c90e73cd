"""Which model works: what the verbs that make pictures of pictures share."""

from typing import Annotated

from cyclopts import Parameter

DEFAULT = "photo-x4"

Model = Annotated[str, Parameter(name=("--model", "-m"), group="Model")]
