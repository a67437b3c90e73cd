"""Denoisers made of denoisers.  A denoiser is (x (B, C, H, W), sigma () or (B,)) -> x0 as x."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refinesr.diffusion.precond import over_pixels
from refinesr.shapes import Denoiser, Images, Mask, Sigma
from refinesr.tiles import Box, Window, blended


def clipped(denoise: Denoiser) -> Denoiser:
    """Every estimate cut to [-1, 1], as the published samplers of SR3, SRDiff and DDPM do."""
    return lambda x, sigma: denoise(x, sigma).clamp(-1, 1)


def consistent(denoise: Denoiser, project: Callable[[Tensor], Tensor]) -> Denoiser:
    """Every estimate moved by `project` to the nearest one that the low image could come from."""
    return lambda x, sigma: project(denoise(x, sigma))


def inpainted(denoise: Denoiser, known: Images, mask: Mask) -> Denoiser:
    """Makes up what `mask` (B, 1, H, W) marks with 1; where it is 0, the estimate is `known` (Palette).

    There the network is shown the picture it will become, without noise, as Palette's public code does.
    """

    def fill(x: Images, sigma: Sigma) -> Images:
        return torch.lerp(known, denoise(unveiled(x, sigma, known, mask), sigma), mask)

    return fill


def unveiled(x: Images, sigma: Sigma, known: Images, mask: Mask) -> Images:
    """x with the known pixels such that sqrt(gamma) times it, which networks see, is `known`."""
    return torch.lerp(over_pixels((1 + sigma**2).sqrt(), x) * known, x, mask)


def guided(conditional: Denoiser, unconditional: Denoiser, weight: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, eq. 6) in x0; with weight 1, the conditional alone."""

    def denoise(x: Images, sigma: Sigma) -> Images:
        without = unconditional(x, sigma)
        return without + weight * (conditional(x, sigma) - without)

    return denoise


def tiled(parts: Sequence[tuple[Box, Window, Denoiser]]) -> Denoiser:
    """One denoiser for a large canvas out of (box in x's pixels, its window, denoiser) for each tile.

    Windows that are not on x's device are sent there in every step: put them there before.
    """
    if len(parts) == 1:  # which is all of it: nothing to blend
        ((whole, _, only),) = parts
        return lambda x, sigma: only(whole.of(x), sigma)

    def denoise(x: Images, sigma: Sigma) -> Images:
        said = ((box, window, part(box.of(x), sigma)) for box, window, part in parts)
        return blended(torch.zeros_like(x), said)

    return denoise


@dataclass(frozen=True)
class Dihedral:
    """One of the eight ways to lay a square on itself: flipped left to right or not, then turned left."""

    turns: int
    flip: bool

    def of(self, x: Tensor) -> Tensor:
        """The picture laid so: its last two axes."""
        return torch.rot90(x.flip(-1) if self.flip else x, self.turns, (-2, -1))

    def back(self, x: Tensor) -> Tensor:
        """The inverse of `of`."""
        x = torch.rot90(x, -self.turns, (-2, -1))
        return x.flip(-1) if self.flip else x


DIHEDRAL = tuple(Dihedral(turns, flip) for turns in (0, 2, 1, 3) for flip in (False, True))
"""The first two keep up and down, the first four what is across."""


def mirrored(parts: Sequence[tuple[Dihedral, Denoiser]]) -> Denoiser:
    """The mean of what each denoiser says of the picture laid its way, laid back (Timofte et al. 2016)."""

    def denoise(x: Images, sigma: Sigma) -> Images:
        total = torch.zeros_like(x)
        for lay, part in parts:  # one after the other: of large pictures there is no room for eight
            total += lay.back(part(lay.of(x), sigma))
        return total / len(parts)

    return denoise
