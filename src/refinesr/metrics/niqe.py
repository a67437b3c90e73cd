"""NIQE (Mittal, Soundararajan and Bovik 2013): distance of an image's statistics from those of good photos.

Follows the authors' MATLAB code: an image is divided into blocks of 96 pixels, each described by 18 features
at full size and 18 at half size; the distance is between normal distributions of these features.
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
"""Side of a block in pixels, for which the published parameters were fitted."""

WIDTH, REACH = 7 / 6, 3  # the Gaussian window, 7 x 7

GREY = (0.298936021293776, 0.587043074451121, 0.114020904255103)
"""MATLAB's `rgb2gray`: the first row of the inverse of NTSC's matrix."""

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))

EXPONENTS = 0.2 + 0.001 * torch.arange(9801, dtype=torch.float64)
"""Candidate exponents, 0.2 to 10."""

RATIOS = (2 * (2 / EXPONENTS).lgamma() - (1 / EXPONENTS).lgamma() - (3 / EXPONENTS).lgamma()).exp()
"""(E|x|)² / E x² of the symmetric distribution with each exponent; increases with the exponent."""

Rows = Float64[Tensor, "n 36"]
Half = Float64[Tensor, "n 18"]
Blocks = Float64[Tensor, "n s s"]
PerBlock = Float64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class NIQE:
    """NIQE relative to a normal distribution of block features: mean (36,), covariance (36, 36), float64."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def read(path: str | Path) -> "NIQE":
        """Read an .npz with `mu_pris_param` and `cov_pris_param`: the authors' parameters, as in BasicSR.

        Raises CheckpointError if it is missing or invalid.
        """
        stored = read_arrays(Path(path), PARAMETERS, f"the parameters of NIQE, {HOME}")
        shapes = {name: tuple(values.shape) for name, values in stored.items()}
        if shapes != PARAMETERS:
            raise CheckpointError(f"{path}: holds {shapes or 'neither'}; NIQE's parameters are {PARAMETERS}")
        mean, covariance = (stored[name] for name in PARAMETERS)
        return NIQE(mean.flatten(), covariance)

    @staticmethod
    def fitted(photos: Iterable[Tensor], sharp: float = 0.75) -> "NIQE":
        """Fit to photos (B, 1 or 3, H, W) in [0, 1] of any sizes.

        Only sharp blocks are used: those whose mean local deviation is above `sharp` times the largest one of
        their photo.
        """
        rows = torch.cat(
            [sharp_block_rows(photo, sharp) for batch in photos for photo in torch.split(batch, 1)]
        )
        return NIQE(rows.mean(0), torch.cov(rows.mT))

    def __call__(self, images: Images) -> PerImage:
        """NIQE of RGB or grey images in [0, 1], float64 on the CPU; lower is better.

        Images need at least two blocks of 96 x 96.  RGB is converted to grey as by `rgb2gray` of uint8; many
        papers on super-resolution use MATLAB's Y (`luma`) instead and cut a border of `scale`.  Grey values
        are rounded to 8 bits.  Pixels right of and below complete blocks are ignored.  NaN for an image with
        fewer than two blocks that are not flat.
        """
        return torch.stack([self.distance(block_rows(image)[0]) for image in torch.split(images, 1)])

    def distance(self, rows: Rows) -> Float64[Tensor, ""]:
        """Mahalanobis distance with the mean of both covariances (equation 10)."""
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
    """The 36 features of each block of an image, NaN for flat blocks, and its mean local deviation."""
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
    """Grey values rounded to levels of 255, float64 on the CPU."""
    if image.shape[1] not in (1, 3):
        raise ValueError(f"NIQE is of grey or RGB images, not of {image.shape[1]} channels")
    x = image.detach().cpu().double() * 255
    if image.shape[1] == 3:
        x = (x * x.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    return x.round()


def normalised(x: Images) -> tuple[Images, Images]:
    """(x - local mean) / (local deviation + 1) (equation 1), and the local deviation."""
    width = x.new_tensor([WIDTH])
    mean = gaussian_blur(x, width, width, REACH)
    deviation = (gaussian_blur(x.square(), width, width, REACH) - mean.square()).abs().sqrt()
    return (x - mean) / (deviation + 1), deviation


def blocks(x: Float64[Tensor, "1 1 H W"], side: int) -> Blocks:
    """The square blocks of an image, row by row."""
    cut = x[0, 0].unfold(0, side, side).unfold(1, side, side)
    return cut.reshape(-1, side, side)


def block_features(x: Blocks) -> Half:
    """18 features of each block: fits to its values and to products of neighbours, cyclic in the block."""
    shape, left, right = fit_aggd(x.flatten(1))
    columns = [shape, (left + right) / 2]
    for shift in NEIGHBOURS:
        shape, left, right = fit_aggd((x * x.roll(shift, (1, 2))).flatten(1))
        mean = (right - left) * ((2 / shape).lgamma() - (1 / shape).lgamma()).exp()
        columns += [shape, mean, left, right]
    return torch.stack(columns, 1)


def fit_aggd(x: Float64[Tensor, "n N"]) -> tuple[PerBlock, PerBlock, PerBlock]:
    """Fit an asymmetric generalised Gaussian to each row: its exponent and its scales left and right of 0.

    The fit is by moments (Lasmar et al. 2009); the density is proportional to exp(-(|x| / scale)**exponent).
    A scale is NaN if its side has no values.
    """
    left, right = (
        (x.square() * side).sum(1).div(side.sum(1)).sqrt() for side in ((x < 0).double(), (x > 0).double())
    )
    lean = left / right
    ratio = x.abs().mean(1).square() / x.square().mean(1)
    ratio = ratio * (lean**3 + 1) * (lean + 1) / (lean**2 + 1).square()
    # for NaN MATLAB's minimum gives the first index
    nearest = torch.bucketize(ratio.nan_to_num(nan=0.0), (RATIOS[1:] + RATIOS[:-1]) / 2)
    shape = EXPONENTS[nearest]
    scale = ((1 / shape).lgamma() - (3 / shape).lgamma()).mul(0.5).exp()
    return shape, left * scale, right * scale
