"""Image super-resolution by diffusion: faithful to the input, seamless in tiles, good in a few steps.

>>> import refinesr
>>> model = refinesr.load("photo-x4")
>>> large = refinesr.upscale(model, image, seed=0)  # a PIL image, an array or a tensor
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refinesr.cascade import Cascade, Link
    from refinesr.cascade_files import load_cascade
    from refinesr.diffusion.score import score
    from refinesr.errors import CheckpointError, ConfigError, InputError, OutputError, RefineSRError
    from refinesr.images.span import Span
    from refinesr.method import Method, Sampling
    from refinesr.mixing import Patch, fuse, interpolate
    from refinesr.recipes import METHODS
    from refinesr.restore import refine, upscale
    from refinesr.shipped import load
    from refinesr.stage import Card, Progress, Stage
    from refinesr.tiles import Box

__version__ = "0.1.0"

_HOME = {
    "METHODS": "recipes",
    "Box": "tiles",
    "Card": "stage",
    "Cascade": "cascade",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "InputError": "errors",
    "Link": "cascade",
    "Method": "method",
    "OutputError": "errors",
    "Patch": "mixing",
    "Progress": "stage",
    "RefineSRError": "errors",
    "Sampling": "method",
    "Span": "images.span",
    "Stage": "stage",
    "fuse": "mixing",
    "interpolate": "mixing",
    "load": "shipped",
    "load_cascade": "cascade_files",
    "refine": "restore",
    "score": "diffusion.score",
    "upscale": "restore",
}

__all__ = [
    "METHODS",
    "Box",
    "Card",
    "Cascade",
    "CheckpointError",
    "ConfigError",
    "InputError",
    "Link",
    "Method",
    "OutputError",
    "Patch",
    "Progress",
    "RefineSRError",
    "Sampling",
    "Span",
    "Stage",
    "fuse",
    "interpolate",
    "load",
    "load_cascade",
    "refine",
    "score",
    "upscale",
]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first asked for: `import refinesr` does not wait for PyTorch."""
    if name not in _HOME:
        raise AttributeError(f"module 'refinesr' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
