"""Combinators: functions that take denoisers and return a denoiser.

A denoiser maps x (B, C, H, W) and sigma, () or (B,), to its estimate of x0, of x's shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refinesr.diffusion.precond import over_pixels
from refinesr.shapes import Denoiser, Images, Mask, Sigma
from refinesr.tiles import Box, Window, blended


def clipped(denoise: Denoiser) -> Denoiser:
    """Clips every estimate to [-1, 1], as the published samplers of SR3, SRDiff and DDPM do."""
    return lambda x, sigma: denoise(x, sigma).clamp(-1, 1)


def consistent(denoise: Denoiser, project: Callable[[Tensor], Tensor]) -> Denoiser:
    """Applies `project` to every estimate: the nearest image whose downsampling is the low image."""
    return lambda x, sigma: project(denoise(x, sigma))


def inpainted(denoise: Denoiser, known: Images, mask: Mask) -> Denoiser:
    """Inpainting as in Palette: where `mask` (B, 1, H, W) is 1 the estimate is the denoiser's, else `known`.

    The network sees the known pixels without noise, as in Palette's public code (`unveiled`).
    """

    def fill(x: Images, sigma: Sigma) -> Images:
        return torch.lerp(known, denoise(unveiled(x, sigma, known, mask), sigma), mask)

    return fill


def unveiled(x: Images, sigma: Sigma, known: Images, mask: Mask) -> Images:
    """x with its known pixels (mask 0) replaced by sqrt(1 + sigma²) * known.

    A network's input is sqrt(gamma) * x, so that it sees exactly `known` there.
    """
    return torch.lerp(over_pixels((1 + sigma**2).sqrt(), x) * known, x, mask)


def guided(conditional: Denoiser, unconditional: Denoiser, weight: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6), written in x0.

    `weight` is the paper's 1 + w: 0 gives the unconditional estimate, 1 the conditional one.
    """

    def denoise(x: Images, sigma: Sigma) -> Images:
        without = unconditional(x, sigma)
        return without + weight * (conditional(x, sigma) - without)

    return denoise


def tiled(parts: Sequence[tuple[Box, Window, Denoiser]]) -> Denoiser:
    """One denoiser for a large image, given (box in pixels of x, blending window, denoiser) for each tile.

    The estimates of the tiles are averaged with their windows as weights.  Windows should already be on the
    device of x; otherwise they are copied there in every step.
    """
    if len(parts) == 1:  # one tile covers the whole image: nothing to blend
        ((whole, _, only),) = parts
        return lambda x, sigma: only(whole.of(x), sigma)

    def denoise(x: Images, sigma: Sigma) -> Images:
        estimates = ((box, window, part(box.of(x), sigma)) for box, window, part in parts)
        return blended(torch.zeros_like(x), estimates)

    return denoise


@dataclass(frozen=True)
class Dihedral:
    """One of the eight symmetries of a square: a left-right flip or none, then `turns` quarter turns left."""

    turns: int
    flip: bool

    def apply(self, x: Tensor) -> Tensor:
        """The transformed images; the last two axes of x are height and width."""
        return torch.rot90(x.flip(-1) if self.flip else x, self.turns, (-2, -1))

    def invert(self, x: Tensor) -> Tensor:
        """The inverse of `apply`."""
        x = torch.rot90(x, -self.turns, (-2, -1))
        return x.flip(-1) if self.flip else x


DIHEDRAL = tuple(Dihedral(turns, flip) for turns in (0, 2, 1, 3) for flip in (False, True))
"""The first two keep the image upright; the first four keep horizontal edges horizontal."""


def mirrored(parts: Sequence[tuple[Dihedral, Denoiser]]) -> Denoiser:
    """Geometric self-ensemble (Timofte et al. 2016): the mean of the estimates in several orientations.

    Each denoiser is called with x transformed by its symmetry, and its estimate is transformed back.
    """

    def denoise(x: Images, sigma: Sigma) -> Images:
        total = torch.zeros_like(x)
        for symmetry, part in parts:  # one at a time: eight large images may not fit in memory
            total += symmetry.invert(part(symmetry.apply(x), sigma))
        return total / len(parts)

    return denoise
