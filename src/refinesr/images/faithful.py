"""From an estimate to an image within black and white that, downsampled, is the input.

Projecting and then clipping is not enough: clipping to 0..255 violates the constraint again.  So we solve for
the image nearest to the estimate within 0..255 whose downsampling is the input.  Inputs of 0 and 255 may have
been clipped themselves, and only require "at most" or "at least".  For 8 bits the clipping between the two
passes of the downsampling is taken into account; deeper images are downsampled without it.

The dual problem has one unknown u per input value: the solution is `clip(x0 + Aᵀ u)`, and A times it must be
`low`.  Each iteration adds (A Aᵀ)⁻¹ times the residual, which is exact at once where nothing is clipped, with
the momentum of Nesterov (1983) for where something is.  A bound on u turns the constraint into a penalty:
inputs that no image within 0..255 can give (sharp text, noise) are missed at few values, instead of being
approached by patterns of ever larger amplitude.  The price is that inputs which only such patterns give, as
noise of almost full contrast, are missed at few values, too.  For 8 bits some last iterations use the rounded
image and exact 8-bit arithmetic, for the values that still come out wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import torch
from jaxtyping import UInt8
from torch import Tensor

from refinesr.devices import on_float64_device
from refinesr.images.band_matrix import BandMatrix, along_both, along_rows, transpose
from refinesr.images.eight_bits import ResizePasses, resize_eight_bits, resize_passes, round_levels_
from refinesr.images.projection import Projection, gram_inverse
from refinesr.images.resize import Kernel, PillowBicubic
from refinesr.shapes import Images, LowImages, PerImage

_PILLOW = PillowBicubic()

# differences are in 8-bit levels, of which a 16-bit level is 0.004
_ITERATIONS, _DEEP_ITERATIONS = 30, 50
_TOLERANCE, _DEEP_TOLERANCE = 0.1, 2e-4
_MISSED, _DEEP_MISSED = 1e-3, 0.0  # fraction of inputs that may be off by more than the tolerance
_LARGEST_CHANGE = 512.0  # no input value changes the image by more levels than this
_CORRECTED = (4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1)
"""The largest difference that each round of corrections still corrects.

No image gives one-pixel lines at full contrast; correcting such values would disturb their neighbours for
ever.
"""
_SOLVER_ACCURACY = 1e-7  # relative accuracy of (A Aᵀ)⁻¹; errors are corrected by the next iteration
_STRIP_ROWS = 16  # low rows processed at once, so that a strip of a large image fits in the processor's cache


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some low rows, all high rows that they depend on, and these parts of the first pass and its adjoint."""

    low: slice
    high: slice
    own: slice  # rows of `high` that belong to no other strip
    near: slice  # all low rows that affect `high`
    down: Tensor  # (low, high) float32
    exact: Tensor  # the same in float64
    up: Tensor  # (high, near) float32


def _strip(matrix: BandMatrix, start: int, device: torch.device) -> _Strip:
    stop = min(start + _STRIP_ROWS, matrix.rows)
    first, down = matrix.part(start, stop)
    last = first + down.shape[1]
    near, up = transpose(matrix).part(first, last)
    begin, end = (row * matrix.columns // matrix.rows - first for row in (start, stop))
    with torch.inference_mode(False):
        return _Strip(
            low=slice(start, stop),
            high=slice(first, last),
            own=slice(begin, end),
            near=slice(near, near + up.shape[1]),
            down=torch.from_numpy(down).float().to(device),
            exact=torch.from_numpy(down).to(device),
            up=torch.from_numpy(up).float().to(device),
        )


@lru_cache(maxsize=16)
def _strips(matrix: BandMatrix, device: torch.device) -> tuple[_Strip, ...]:
    return tuple(_strip(matrix, start, device) for start in range(0, matrix.rows, _STRIP_ROWS))


@dataclass(frozen=True, eq=False)
class _Plane:
    """The problem for a channel, transposed so that the first pass is along its leading axis; levels 0..255.

    `clips`: whether values are clipped between the passes, as programs for 8 bits do.  The unknown u has the
    shape of `low`.
    """

    x0: Tensor  # (H, W) float32
    low: Tensor  # (h, w) float32
    passes: ResizePasses
    clips: bool

    def candidate(self, u: Tensor) -> Iterator[tuple[_Strip, Tensor]]:
        """`clip(x0 + Aᵀ u)`, strip by strip."""
        wide = along_rows(transpose(self.passes.second), u)  # (h, W)
        for strip in _strips(self.passes.first, u.device):
            yield strip, torch.addmm(self.x0[strip.high], strip.up, wide[strip.near]).clamp_(0, 255)

    def residual(self, u: Tensor) -> Tensor:
        """`low` minus the downsampled candidate, (h, w)."""
        once = self.x0.new_empty(self.low.shape[0], self.x0.shape[1])
        for strip, part in self.candidate(u):
            torch.mm(strip.down, part, out=once[strip.low])
        once = once.clamp_(0, 255) if self.clips else once
        return self.one_sided(self.low - along_rows(self.passes.second, once))

    def rounded_residual(self, u: Tensor) -> Tensor:
        """The rounded candidate's residual before the last rounding; 0 where 8-bit arithmetic gives low."""
        once = self.x0.new_empty(self.low.shape[0], self.x0.shape[1], dtype=torch.float64)
        for strip, part in self.candidate(u):
            torch.mm(strip.exact, round_levels_(part).double(), out=once[strip.low])
        exact = along_rows(self.passes.second, round_levels_(once))
        residual = self.low - exact
        return torch.where(round_levels_(exact) == self.low, 0, residual).float()

    def rounded(self, u: Tensor) -> Tensor:
        """The rounded candidate, uint8 (H, W)."""
        parts = (round_levels_(part)[strip.own] for strip, part in self.candidate(u))
        return torch.cat([part.to(torch.uint8) for part in parts])

    def unrounded(self, u: Tensor) -> Tensor:
        """The candidate, float32 (H, W)."""
        return torch.cat([part[strip.own] for strip, part in self.candidate(u)])

    def step(self, u: Tensor, residual: Tensor) -> Tensor:
        """u plus (A Aᵀ)⁻¹ times the residual."""
        first, second = self.passes.first, self.passes.second
        return u + along_both(
            gram_inverse(first, _SOLVER_ACCURACY), gram_inverse(second, _SOLVER_ACCURACY), residual
        )

    def bounded(self, u: Tensor) -> Tensor:
        """u with wrong signs set to 0 and magnitudes clipped."""
        bound = _LARGEST_CHANGE * self.x0.numel() / self.low.numel()  # u is spread over that many pixels
        return self.one_sided(u).clamp_(-bound, bound)

    def one_sided(self, x: Tensor) -> Tensor:
        """x without negative values at inputs of 255, and without positive ones at inputs of 0."""
        return torch.where(self.low == 255, x.clamp(min=0), torch.where(self.low == 0, x.clamp(max=0), x))


def _solve(plane: _Plane, iterations: int, tolerance: float, missed: float) -> Tensor:
    """u of the nearest image, before rounding.

    Ends as soon as at most a fraction `missed` of the inputs is off by more than `tolerance` levels.
    """
    u = before = torch.zeros_like(plane.low)
    for k in range(iterations):
        ahead = u + k / (k + 3) * (u - before)
        residual = plane.residual(ahead)
        before, u = u, plane.bounded(plane.step(ahead, residual))
        if k > 0 and (residual.abs() > tolerance).float().mean() <= missed:
            break
    return u


def _correct_rounding(plane: _Plane, u: Tensor) -> Tensor:
    """The u, of all that are tried, whose rounded image misses the fewest inputs."""
    best, fewest = u, plane.low.numel() + 1
    for limit in _CORRECTED:
        residual = plane.rounded_residual(u)
        count = int(residual.count_nonzero())
        if count < fewest:
            best, fewest = u, count
        if count == 0:
            break
        u = plane.step(u, torch.where(residual.abs() > limit, 0, residual))
    return best


def _check_sizes(image: Images, low: Tensor) -> None:
    larger = any(a > b for a, b in zip(low.shape, image.shape, strict=True))
    if image.shape[:2] != low.shape[:2] or larger or low.shape == image.shape:
        raise ValueError(f"low {tuple(low.shape)} is no smaller picture of image {tuple(image.shape)}")


def _solve_planes(
    image: Images,
    low: Tensor,
    passes: ResizePasses,
    solve: Callable[[Tensor, Tensor], Tensor],
    dtype: torch.dtype,
) -> Tensor:
    """solve(x0, low) for each channel of each image, in levels 0..255 and transposed for the first pass."""
    out = torch.empty(image.shape, dtype=dtype, device=image.device)
    with torch.autocast(image.device.type, enabled=False):
        for b, c in product(range(image.shape[0]), range(image.shape[1])):
            x0 = passes.transpose(image[b, c].float() * 127.5 + 127.5).contiguous()
            out[b, c] = passes.transpose(solve(x0, passes.transpose(low[b, c]).contiguous()))
    return out


@torch.no_grad()
def consistent_eight_bits(
    image: Images, low: UInt8[Tensor, "B C h w"], kernel: Kernel = _PILLOW
) -> UInt8[Tensor, "B C H W"]:
    """`image` (-1 black, 1 white) in 8 bits, changed so that, downsampled in 8 bits, it is `low`.

    The nearest such image, rounded; `image` itself need not be consistent with `low`.  If no image gives
    `low`, or only one with patterns of large amplitude, the result misses few values.  On image's device.
    Raises ValueError if `low` is not a smaller image with the same number of channels.
    """
    _check_sizes(image, low)
    moved = on_float64_device(image)
    if moved is not image:
        return consistent_eight_bits(moved, on_float64_device(low), kernel).to(image.device)
    passes = resize_passes(kernel, (image.shape[-2], image.shape[-1]), (low.shape[-2], low.shape[-1]))

    def solve(x0: Tensor, low: Tensor) -> Tensor:
        plane = _Plane(x0, low, passes, clips=True)
        return plane.rounded(_correct_rounding(plane, _solve(plane, _ITERATIONS, _TOLERANCE, _MISSED)))

    return _solve_planes(image, low.float(), passes, solve, torch.uint8)


@torch.no_grad()
def consistent_in_range(image: Images, low: LowImages, kernel: Kernel = _PILLOW) -> Images:
    """The image within [-1, 1] nearest to `image` that gives `low`, clipped to [-1, 1], when downsampled.

    As `consistent_eight_bits`, but in float32 and without rounding, for images of 16 bits and of floats.  If
    nothing has to be clipped the result is the orthogonal projection.
    """
    _check_sizes(image, low)
    moved = on_float64_device(image)
    if moved is not image:
        return consistent_in_range(moved, on_float64_device(low), kernel).to(image.device)
    vertical, horizontal = Projection.between(image, low, kernel).matrices
    passes = ResizePasses(horizontal, vertical, transposed=True)

    def solve(x0: Tensor, low: Tensor) -> Tensor:
        plane = _Plane(x0, low, passes, clips=False)
        return plane.unrounded(_solve(plane, _DEEP_ITERATIONS, _DEEP_TOLERANCE, _DEEP_MISSED))

    levels = (low.float() * 127.5 + 127.5).clamp_(0, 255)
    return _solve_planes(image, levels, passes, solve, torch.float32).div_(127.5).sub_(1)


@torch.no_grad()
def agreement(
    result: UInt8[Tensor, "B C H W"], low: UInt8[Tensor, "B C h w"], kernel: Kernel = _PILLOW
) -> PerImage:
    """Fraction of `low`'s values that each `result` gives when downsampled in 8 bits with `kernel`.

    Its device must support float64.
    """
    again = resize_eight_bits(result, (low.shape[-2], low.shape[-1]), kernel)
    return (again == low).float().mean(dim=(1, 2, 3))
