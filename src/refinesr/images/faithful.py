"""From an estimate to a picture within black and white that, downsampled, is the input.

Projecting and then clipping is not enough: clipping to 0..255 breaks what the projection mended.  So we
look for the picture nearest to the estimate within 0..255 whose downsampling is the input, an input of 0
or 255 asking only for "at most" or "at least", as it may itself have been clipped.  Of 8 bits the clipping
between the two passes of the downsampling is taken into account; deeper pictures are downsampled without.

The dual problem has one unknown u per input value: the answer is `clip(x0 + Aᵀ u)`, and A times it is to
be `low`. Each round adds (A Aᵀ)⁻¹ times what is missing, which is exact at once where nothing is clipped,
with the momentum of Nesterov (1983) for where something is.  A bound on u makes the demand a penalty:
inputs that no picture within 0..255 can give (sharp text, noise) are missed at few values, not chased with
ever wilder patterns.  The price is that inputs which only wild patterns give, as noise of almost full
contrast, are missed at few values, too.  For 8 bits some last rounds use the rounded picture and true 8-bit
arithmetic, for those values alone that still come out wrong.
"""

from collections.abc import Iterator
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

_ROUNDS, _DEEP_ROUNDS = 30, 50
_GIVEN_UP = (4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1)
"""Levels.  Lines of one pixel at full contrast have no picture that gives them; a value that lacks more than
this in a round of corrections is left alone in it, or it would pull at its neighbours for ever."""
_NEAR, _FEW = 0.1, 1e-3
_DEEP_NEAR, _DEEP_FEW = 2e-4, 0.0  # levels are of 8 bits, and one of 16 bits is 0.004 of them
_PULL = 512.0  # levels: no input value changes the picture by more
_SOLVER = 1e-7  # relative accuracy of (A Aᵀ)⁻¹; the rounds correct themselves
_STRIP = 16  # low rows worked on at once, so that a strip of a large picture stays in the processor's cache


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some low rows, all high rows they see, and the parts of the first pass and its adjoint between."""

    low: slice
    high: slice
    own: slice  # of the rows of `high`: those that no other strip owns
    near: slice  # the low rows that have a say in `high`
    down: Tensor  # (low, high) float32
    exact: Tensor  # the same in float64
    up: Tensor  # (high, near) float32


def _strip(band: BandMatrix, start: int, device: torch.device) -> _Strip:
    stop = min(start + _STRIP, band.rows)
    first, down = band.part(start, stop)
    last = first + down.shape[1]
    near, up = transpose(band).part(first, last)
    with torch.inference_mode(False):
        return _Strip(
            low=slice(start, stop),
            high=slice(first, last),
            own=slice(start * band.columns // band.rows - first, stop * band.columns // band.rows - first),
            near=slice(near, near + up.shape[1]),
            down=torch.from_numpy(down).float().to(device),
            exact=torch.from_numpy(down).to(device),
            up=torch.from_numpy(up).float().to(device),
        )


@lru_cache(maxsize=16)
def _strips(band: BandMatrix, device: torch.device) -> tuple[_Strip, ...]:
    return tuple(_strip(band, start, device) for start in range(0, band.rows, _STRIP))


@dataclass(frozen=True, eq=False)
class _Plane:
    """One channel, turned so that the first pass works along its leading axis; levels 0..255, float32.

    u, like `low`, is (h, w): how hard each input value pulls at the picture.  `clips`: between the passes, as
    programs for 8 bits do.
    """

    x0: Tensor  # (H, W)
    low: Tensor  # (h, w)
    way: ResizePasses
    clips: bool

    def candidate(self, u: Tensor) -> Iterator[tuple[_Strip, Tensor]]:
        """`clip(x0 + Aᵀ u)`, strip by strip."""
        wide = along_rows(transpose(self.way.second), u)  # (h, W)
        for strip in _strips(self.way.first, u.device):
            yield strip, torch.addmm(self.x0[strip.high], strip.up, wide[strip.near]).clamp_(0, 255)

    def missing(self, u: Tensor) -> Tensor:
        """What the candidate, downsampled, lacks of low; (h, w)."""
        once = self.x0.new_empty(self.low.shape[0], self.x0.shape[1])
        for strip, part in self.candidate(u):
            torch.mm(strip.down, part, out=once[strip.low])
        once = once.clamp_(0, 255) if self.clips else once
        return self.one_sided(self.low - along_rows(self.way.second, once))

    def wrong(self, u: Tensor) -> Tensor:
        """What the rounded candidate lacks, before the last rounding, where 8 bits do not give low."""
        once = self.x0.new_empty(self.low.shape[0], self.x0.shape[1], dtype=torch.float64)
        for strip, part in self.candidate(u):
            torch.mm(strip.exact, round_levels_(part).double(), out=once[strip.low])
        exact = along_rows(self.way.second, round_levels_(once))
        missing = self.low - exact
        return torch.where(round_levels_(exact) == self.low, 0, missing).float()

    def result(self, u: Tensor) -> Tensor:
        """The rounded candidate, uint8 (H, W)."""
        return torch.cat(
            [round_levels_(part)[strip.own].to(torch.uint8) for strip, part in self.candidate(u)]
        )

    def unrounded(self, u: Tensor) -> Tensor:
        """The candidate, float32 (H, W)."""
        return torch.cat([part[strip.own] for strip, part in self.candidate(u)])

    def step(self, u: Tensor, missing: Tensor) -> Tensor:
        """u plus (A Aᵀ)⁻¹ times what is missing."""
        first, second = (gram_inverse(band, _SOLVER) for band in (self.way.first, self.way.second))
        return u + along_both(first, second, missing)

    def bounded(self, u: Tensor) -> Tensor:
        """u without the wrong signs and the excesses."""
        bound = _PULL * self.x0.numel() / self.low.numel()  # u is shared out among that many pixels
        return self.one_sided(u).clamp_(-bound, bound)

    def one_sided(self, x: Tensor) -> Tensor:
        """An input of 255 may only ask for more, one of 0 only for less."""
        return torch.where(self.low == 255, x.clamp(min=0), torch.where(self.low == 0, x.clamp(max=0), x))


def _fit(plane: _Plane, rounds: int, near: float, few: float) -> Tensor:
    """u of the nearest picture before rounding.

    The rounds end when no more than a share of `few` is missed by more than `near` levels.
    """
    u = before = torch.zeros_like(plane.low)
    for k in range(rounds):
        ahead = u + k / (k + 3) * (u - before)
        missing = plane.missing(ahead)
        before, u = u, plane.bounded(plane.step(ahead, missing))
        if k > 0 and (missing.abs() > near).float().mean() <= few:
            break
    return u


def _correct(plane: _Plane, u: Tensor) -> Tensor:
    """u of the best picture after rounding, of all those tried."""
    best, fewest = u, plane.low.numel() + 1
    for limit in _GIVEN_UP:
        wrong = plane.wrong(u)
        count = int(wrong.count_nonzero())
        if count < fewest:
            best, fewest = u, count
        if count == 0:
            break
        u = plane.step(u, torch.where(wrong.abs() > limit, 0, wrong))
    return best


def _check(image: Images, low: Tensor) -> None:
    larger = any(a > b for a, b in zip(low.shape, image.shape, strict=True))
    if image.shape[:2] != low.shape[:2] or larger or low.shape == image.shape:
        raise ValueError(f"low {tuple(low.shape)} is no smaller picture of image {tuple(image.shape)}")


@torch.no_grad()
def consistent_eight_bits(
    image: Images, low: UInt8[Tensor, "B C h w"], kernel: Kernel = _PILLOW
) -> UInt8[Tensor, "B C H W"]:
    """`image` (-1 black, 1 white) in 8 bits, such that, downsampled in 8 bits with `kernel`, it is `low`.

    The picture nearest to `image` that does so, rounded, whether `image` did so before or not; where no
    picture does, or only one of wild patterns, one that misses few values.  On image's device.  Raises
    ValueError if `low` is not a smaller picture of as many channels.
    """
    _check(image, low)
    if on_float64_device(image) is not image:
        return consistent_eight_bits(on_float64_device(image), on_float64_device(low), kernel).to(
            image.device
        )
    out = torch.empty(image.shape, dtype=torch.uint8, device=image.device)
    way = resize_passes(kernel, (image.shape[-2], image.shape[-1]), (low.shape[-2], low.shape[-1]))
    with torch.autocast(image.device.type, enabled=False):
        for b, c in product(range(image.shape[0]), range(image.shape[1])):
            levels = way.transpose(image[b, c].float() * 127.5 + 127.5).contiguous()
            plane = _Plane(levels, way.transpose(low[b, c].to(levels)).contiguous(), way, clips=True)
            out[b, c] = way.transpose(plane.result(_correct(plane, _fit(plane, _ROUNDS, _NEAR, _FEW))))
    return out


@torch.no_grad()
def consistent_in_range(image: Images, low: LowImages, kernel: Kernel = _PILLOW) -> Images:
    """The image within [-1, 1] nearest to `image` that gives `low`, clipped to [-1, 1], when downsampled.

    As `consistent_eight_bits`, but in float32 and without rounding, for images of 16 bits and of floats.  If
    nothing has to be clipped the result is the orthogonal projection.
    """
    _check(image, low)
    if on_float64_device(image) is not image:
        return consistent_in_range(on_float64_device(image), on_float64_device(low), kernel).to(image.device)
    out = torch.empty(image.shape, dtype=torch.float32, device=image.device)
    vertical, horizontal = Projection.between(image, low, kernel).matrices
    way = ResizePasses(horizontal, vertical, transposed=True)
    with torch.autocast(image.device.type, enabled=False):
        for b, c in product(range(image.shape[0]), range(image.shape[1])):
            levels, wanted = (
                way.transpose(x[b, c].float() * 127.5 + 127.5).contiguous() for x in (image, low)
            )
            plane = _Plane(levels, wanted.clamp_(0, 255), way, clips=False)
            out[b, c] = way.transpose(plane.unrounded(_fit(plane, _DEEP_ROUNDS, _DEEP_NEAR, _DEEP_FEW)))
    return out.div_(127.5).sub_(1)


@torch.no_grad()
def agreement(
    result: UInt8[Tensor, "B C H W"], low: UInt8[Tensor, "B C h w"], kernel: Kernel = _PILLOW
) -> PerImage:
    """Share of `low`'s values that each `result`, downsampled in 8 bits with `kernel`, gives back; 1 is all.

    Its device must have float64.
    """
    again = resize_eight_bits(result, (low.shape[-2], low.shape[-1]), kernel)
    return (again == low).float().mean(dim=(1, 2, 3))
