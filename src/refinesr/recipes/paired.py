"""Runs that train on given pairs: high-resolution images and the low-resolution image of each."""

from dataclasses import replace

from refinesr.errors import ConfigError
from refinesr.images.degrade import Given
from refinesr.run import Run
from refinesr.sources import Augmented


def paired(run: Run) -> Run:
    """The run with given low-resolution images as its degradation; unchanged if it has them already.

    Results are not projected to be consistent with their inputs, because in real pairs the low-resolution
    image is not the bicubic reduction of the other.  Raises ConfigError for a generator, and for a network
    that is conditioned on the noise level of its low-resolution images.
    """
    method = run.method
    if isinstance(method.degradation, Given):
        return run
    if method.generates:
        raise ConfigError(f"--low: {run.name} generates images from noise and has no low-resolution input")
    if isinstance(method.source, Augmented):
        why = "is conditioned on the noise level of its low-resolution images, unknown for given ones"
        raise ConfigError(f"--low: the network of {run.name} {why}; choose another recipe")
    sampling = replace(method.sampling, consistent=None)
    return replace(run, method=replace(method, degradation=Given(method.scale), sampling=sampling))
