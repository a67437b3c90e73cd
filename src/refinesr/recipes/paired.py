"""Any run made one that learns from given pairs: good pictures, and the poor one of each beside them."""

from dataclasses import replace

from refinesr.errors import ConfigError
from refinesr.images.degrade import Given
from refinesr.run import Run
from refinesr.sources import Augmented


def paired(run: Run) -> Run:
    """The same run, to which poor pictures are given; one of that kind stays as it is.

    Results are not made consistent with their inputs: real pairs are not the bicubic reduction of one
    another.  Raises ConfigError for a network that sees no poor picture, or is told how much noise is in it.
    """
    method = run.method
    if isinstance(method.degradation, Given):
        return run
    if method.generates:
        raise ConfigError(f"--low: {run.name} makes pictures from nothing, and looks at no poor ones")
    if isinstance(method.source, Augmented):
        why = "is told how much noise its poor pictures were given, and of given ones nobody knows"
        raise ConfigError(f"--low: the network of {run.name} {why}; choose another recipe")
    sampling = replace(method.sampling, consistent=None)
    return replace(run, method=replace(method, degradation=Given(method.scale), sampling=sampling))
