"""NIQE (Mittal, Soundararajan and Bovik 2013): how far a picture's statistics are from those of good photos.

Follows the authors' MATLAB code: a picture is cut into whole blocks of 96 pixels, each described by 18
numbers at its size and 18 at half of it; the distance is between normal distributions of such rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from refinesr.errors import CheckpointError
from refinesr.images.blur import gaussian_blur
from refinesr.images.resize import MatlabBicubic, resize
from refinesr.metrics.arrays import read_arrays
from refinesr.shapes import Images, PerImage

HOME = "niqe_pris_params.npz of https://github.com/XPixelGroup/BasicSR/tree/master/basicsr/metrics"

PARAMETERS = {"mu_pris_param": (1, 36), "cov_pris_param": (36, 36)}

BLOCK = 96
"""Pixels of a block, for which the published parameters were made."""

WIDTH, REACH = 7 / 6, 3  # the Gaussian window, 7 x 7

GREY = (0.298936021293776, 0.587043074451121, 0.114020904255103)
"""MATLAB's `rgb2gray`: the first row of the inverse of NTSC's matrix."""

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

EXPONENTS = 0.2 + 0.001 * torch.arange(9801, dtype=torch.float64)
"""Exponents that are tried, 0.2 to 10."""

RATIOS = (2 * (2 / EXPONENTS).lgamma() - (1 / EXPONENTS).lgamma() - (3 / EXPONENTS).lgamma()).exp()
"""E|x|² / E x² of the symmetric distribution with each exponent; it grows with the exponent."""

Rows = Float64[Tensor, "n 36"]
Half = Float64[Tensor, "n 18"]
Blocks = Float64[Tensor, "n s s"]
PerBlock = Float64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class NIQE:
    """The distance from a normal distribution of rows: its mean (36,) and covariance (36, 36), float64."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def read(path: str | Path) -> "NIQE":
        """Of an .npz with `mu_pris_param` and `cov_pris_param`: the authors' parameters, as BasicSR has them.

        Raises CheckpointError if it is missing or of another kind.
        """
        stored = read_arrays(Path(path), PARAMETERS, f"the parameters of NIQE, {HOME}")
        shapes = {name: tuple(values.shape) for name, values in stored.items()}
        if shapes != PARAMETERS:
            raise CheckpointError(f"{path}: holds {shapes or 'neither'}; NIQE's parameters are {PARAMETERS}")
        mean, covariance = (stored[name] for name in PARAMETERS)
        return NIQE(mean.flatten(), covariance)

    @staticmethod
    def fitted(photos: Iterable[Tensor], sharp: float = 0.75) -> "NIQE":
        """To photos (B, 1 or 3, H, W) in [0, 1], of any sizes: to the blocks whose mean local deviation is
        more than `sharp` of the largest of their photo.
        """
        rows = torch.cat(
            [sharp_block_rows(photo, sharp) for batch in photos for photo in torch.split(batch, 1)]
        )
        return NIQE(rows.mean(0), torch.cov(rows.mT))

    def __call__(self, images: Images) -> PerImage:
        """float64 on the CPU; less is better.  RGB or grey in [0, 1], at least two blocks of 96 x 96.

        RGB becomes grey as by `rgb2gray` of uint8; many papers on super-resolution take MATLAB's Y (`luma`)
        instead and cut a border of `scale`.  Either is rounded to whole levels.  What is left right of and
        below whole blocks is not looked at.  NaN for a picture with less than two blocks that are not flat.
        """
        return torch.stack([self.distance(block_rows(image)[0]) for image in torch.split(images, 1)])

    def distance(self, rows: Rows) -> Float64[Tensor, ""]:
        """Mahalanobis', by the mean of both covariances (equation 10)."""
        whole = rows[rows.isfinite().all(1)]
        if len(whole) < 2:
            return rows.new_tensor(torch.nan)
        apart = rows.nanmean(0) - self.mean
        between = torch.linalg.pinv((torch.cov(whole.mT) + self.covariance) / 2, hermitian=True)
        return torch.sqrt(apart @ between @ apart)


def sharp_block_rows(photo: Images, sharp: float) -> Rows:
    made, deviation = block_rows(photo)
    made = made[deviation > sharp * deviation.max()]
    return made[made.isfinite().all(1)]


def block_rows(image: Float[Tensor, "1 C H W"]) -> tuple[Rows, PerBlock]:
    """Of one image: the 36 numbers of each block, NaN where it is flat, and its mean local deviation."""
    x = grey_levels(image)
    height, width = x.shape[-2] // BLOCK, x.shape[-1] // BLOCK
    if height * width < 2:
        found = f"{x.shape[-2]} x {x.shape[-1]}"
        raise ValueError(f"NIQE needs two blocks of {BLOCK} x {BLOCK} pixels; the image has {found}")
    x = x[..., : height * BLOCK, : width * BLOCK]
    flat, deviation = normalised(x)
    small, _ = normalised(resize(x, (height * BLOCK // 2, width * BLOCK // 2), MatlabBicubic()))
    both = (block_features(blocks(flat, BLOCK)), block_features(blocks(small, BLOCK // 2)))
    return torch.cat(both, 1), blocks(deviation, BLOCK).mean((1, 2))


def grey_levels(image: Float[Tensor, "1 C H W"]) -> Float64[Tensor, "1 1 H W"]:
    """Grey in whole levels of 255, float64 on the CPU."""
    if image.shape[1] not in (1, 3):
        raise ValueError(f"NIQE is of grey or RGB images, not of {image.shape[1]} channels")
    x = image.detach().cpu().double() * 255
    if image.shape[1] == 3:
        x = (x * x.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    return x.round()


def normalised(x: Images) -> tuple[Images, Images]:
    """Local mean taken off, divided by the local deviation + 1 (equation 1); and that deviation."""
    width = x.new_tensor([WIDTH])
    mean = gaussian_blur(x, width, width, REACH)
    deviation = (gaussian_blur(x.square(), width, width, REACH) - mean.square()).abs().sqrt()
    return (x - mean) / (deviation + 1), deviation


def blocks(x: Float64[Tensor, "1 1 H W"], side: int) -> Blocks:
    """The squares it consists of, row by row."""
    cut = x[0, 0].unfold(0, side, side).unfold(1, side, side)
    return cut.reshape(-1, side, side)


def block_features(x: Blocks) -> Half:
    """Fits to the values of each block and to products of neighbours, which go around within the block."""
    shape, left, right = fit_aggd(x.flatten(1))
    columns = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = fit_aggd((x * x.roll(shift, (1, 2))).flatten(1))
        mean = (right - left) * ((2 / shape).lgamma() - (1 / shape).lgamma()).exp()
        columns += [shape, mean, left, right]
    return torch.stack(columns, 1)


def fit_aggd(x: Float64[Tensor, "n N"]) -> tuple[PerBlock, PerBlock, PerBlock]:
    """The asymmetric generalised Gaussian of each row: its exponent and its scales left and right of 0.

    By moments (Lasmar et al. 2009): the density is proportional to exp(-(|x| / scale)**exponent).  The scales
    are NaN where one side has no values.
    """
    left, right = (
        (x.square() * side).sum(1).div(side.sum(1)).sqrt() for side in ((x < 0).double(), (x > 0).double())
    )
    lean = left / right
    ratio = x.abs().mean(1).square() / x.square().mean(1)
    ratio = ratio * (lean**3 + 1) * (lean + 1) / (lean**2 + 1).square()
    # MATLAB's minimum over nothing but NaN is the first
    nearest = torch.bucketize(ratio.nan_to_num(nan=0.0), (RATIOS[1:] + RATIOS[:-1]) / 2)
    shape = EXPONENTS[nearest]
    scale = ((1 / shape).lgamma() - (3 / shape).lgamma()).mul(0.5).exp()
    return shape, left * scale, right * scale
