"""Networks in TorchScript files that map images to rows of numbers."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from refinesr.errors import CheckpointError


@final
class ScriptNetwork:
    """The network of a TorchScript file.

    It is called with a batch (B, 3, H, W) and those of the `options` whose names are among its arguments; it
    returns (B, D), or (B, D, 1, 1).  `makes` names its results in messages, as "features".

    A TorchScript file is a program.  It does not run as Python, but in PyTorch's interpreter, which knows
    only tensors and their operators; still, use only files from sources you trust.

    Raises CheckpointError if the file is missing, is not TorchScript, or does not return such rows.
    """

    def __init__(
        self, path: Path, device: torch.device | None, makes: str, options: Mapping[str, bool]
    ) -> None:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file; a TorchScript file that makes {makes} is needed")
        self.path, self.device, self.makes = path, device or torch.device("cpu"), makes
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the format lives on in published files
                module = torch.jit.load(str(path), map_location=self.device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"{path}: not a TorchScript file: {_line(error)}") from error
        self.module = module.eval()
        names = {argument.name for argument in module.forward.schema.arguments}
        self.options = {name: value for name, value in options.items() if name in names}

    @torch.no_grad()
    def __call__(self, images: Shaped[Tensor, "B 3 H W"]) -> Float64[Tensor, "B D"]:
        """Rows (B, D), float64 on the CPU, of a batch in the type and range that the network expects."""
        try:
            made = self.module(images.to(self.device).contiguous(), **self.options)
        except RuntimeError as error:
            wanted = f"a {str(images.dtype).removeprefix('torch.')} batch {tuple(images.shape)}"
            raise CheckpointError(f"{self.path}: cannot be called with {wanted}: {_line(error)}") from error
        shape = tuple(made.shape) if isinstance(made, Tensor) else ()
        if len(shape) < 2 or shape[0] != len(images) or any(side != 1 for side in shape[2:]):
            found, wanted = shape or type(made).__name__, f"{self.makes} are (B, D)"
            raise CheckpointError(f"{self.path}: makes {found} of {len(images)} images; {wanted}")
        rows: Tensor = made.flatten(1).cpu().double()
        return rows


def uint8_rgb(images: Shaped[Tensor, "B C H W"]) -> Shaped[Tensor, "B 3 H W"]:
    """Grey or RGB images as uint8 RGB; floats in [0, 1] are rounded to 8 bits."""
    if images.shape[1] not in (1, 3):
        raise ValueError(f"features are made of grey or RGB images, not of {images.shape[1]} channels")
    whole = images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().byte()
    return whole.expand(-1, 3, -1, -1)


def _line(error: BaseException) -> str:
    """The last line of the error's text, which follows TorchScript's traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else type(error).__name__
