"""Tensor types with their shapes.  Checked at every call under pytest; no cost otherwise.

Within one call a letter stands for one size: (B, C, H, W) is the high-resolution image, (B, C, h, w) the
low-resolution one.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "B C H W"]
LowImages = Float[Tensor, "B C h w"]
LowWithPlanes = Float[Tensor, "B K h w"]
"""A low-resolution image and its planes: K channels, of which the first C are the image's (see `Model`)."""
Mask = Float[Tensor, "B 1 H W"]
Features = Float[Tensor, "B F h w"]
PerImage = Float[Tensor, " B"]

# sigma, gamma and the tables are on the CPU in float64: they are differences of nearly equal numbers, and MPS
# has no float64
Sigma = Float[Tensor, ""] | Float[Tensor, " B"]
Grid = Float[Tensor, " steps_and_one"]
Table = Float[Tensor, " T"]

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> x0: x of type `Images`, sigma `Sigma`, x0 like x.  A sampler needs no more of a network."""

Noise = Callable[[Tensor], Tensor]
"""like -> standard normal values of its shape, dtype and device.  Called in the order of use."""
