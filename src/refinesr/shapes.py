"""Types that say shapes.  Checked call by call under pytest, free at run time.

Within one call a letter stands for one size: (B, C, H, W) is the good image, (B, C, h, w) the poor one.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "B C H W"]
LowImages = Float[Tensor, "B C h w"]
LowWithPlanes = Float[Tensor, "B K h w"]
"""A poor image with its planes: K channels, of which the first C are the image's (`Model`)."""
Mask = Float[Tensor, "B 1 H W"]
Features = Float[Tensor, "B F h w"]
PerImage = Float[Tensor, " B"]

# sigma, gamma and the tables live on the CPU in float64: they are differences of nearly equal numbers, and
# MPS has no float64
Sigma = Float[Tensor, ""] | Float[Tensor, " B"]
Grid = Float[Tensor, " steps_and_one"]
Table = Float[Tensor, " T"]

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(x, sigma) -> x0: x as `Images`, sigma as `Sigma`, x0 as x.  All that a sampler knows of a network."""

Noise = Callable[[Tensor], Tensor]
"""like -> standard normal values of its shape, dtype and device.  Called in the order of use."""
