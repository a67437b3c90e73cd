"""Comparison of two methods by set metrics (FID, KID), with a permutation test of their difference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from refinesr.errors import InputError
from refinesr.evaluate.aims import Lower
from refinesr.evaluate.comparison import SIGNIFICANCE, Comparison
from refinesr.evaluate.set_metrics import Network
from refinesr.evaluate.sign_flip import ROUNDING
from refinesr.metrics.kid import mmd
from refinesr.metrics.sets import Normal

FeatureRows = Float[Tensor, "n D"]

PERMUTATIONS = 199
"""Number of random permutations; the smallest p is 1 / (PERMUTATIONS + 1)."""


def fid_from(truth: FeatureRows) -> Callable[[FeatureRows], float]:
    """FID of results against features of the truth, whose distribution is fitted only once."""
    normal = Normal.fitted(truth)
    return lambda made: Normal.fitted(made).distance(normal)


def kid_from(truth: FeatureRows) -> Callable[[FeatureRows], float]:
    """KID of results against features of the truth, over all images, times 1000."""
    return lambda made: 1000 * float(mmd(truth, made))


DISTANCES: Mapping[str, Callable[[Tensor], Callable[[Tensor], float]]] = {"FID": fid_from, "KID": kid_from}


@dataclass(frozen=True, eq=False)
class PairedFeatures:
    """Features of the truth and of the results of methods A and B; row i belongs to image i."""

    truth: Tensor
    a: Tensor
    b: Tensor

    @staticmethod
    def of(pictures: Sequence[tuple[Tensor, Tensor, Tensor]]) -> "PairedFeatures":
        """From the rows that `paired_features` yields.  Raises InputError for fewer than two images."""
        if len(pictures) < 2:
            raise InputError(f"{len(pictures)} picture is no set; distances of sets take at least 2")
        return PairedFeatures(*(torch.cat(rows) for rows in zip(*pictures, strict=True)))

    def permuted(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A and B as they are, then `PERMUTATIONS` times with the two results of random images exchanged."""
        yield self.a, self.b
        rng = np.random.default_rng(0)
        for _ in range(PERMUTATIONS):
            swap = torch.from_numpy(rng.random((len(self.a), 1)) < 0.5)
            yield torch.where(swap, self.b, self.a), torch.where(swap, self.a, self.b)

    def distances(self) -> Iterator[tuple[tuple[float, float], ...]]:
        """For each permutation, the identity first: each of `DISTANCES`, of A and of B."""
        measures = [distance_from(self.truth) for distance_from in DISTANCES.values()]
        for a, b in self.permuted():
            yield tuple((measure(a), measure(b)) for measure in measures)


def paired_features(match: Comparison, network: Network) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each image, a row of features of the truth, of A and of B.

    Raises InputError for missing images, and for images that are neither grey nor RGB.
    """
    if match.bands:
        raise InputError(f"{match.context}: has pictures of {match.bands} bands, and --features judges RGB")
    loaders = {"the original": match.truth, match.a.name: match.a.picture, match.b.name: match.b.picture}
    for name in match.names:
        pictures = {of: load(name) for of, load in loaders.items()}
        for of, pixels in pictures.items():
            if pixels is None:
                raise InputError(f"{match.context}: the picture '{name}' of {of} is not kept; evaluate again")
        truth, a, b = (
            network(torch.from_numpy(pixels).permute(2, 0, 1)[None])
            for pixels in pictures.values()
            if pixels is not None
        )
        yield truth, a, b


@dataclass(frozen=True)
class SetComparison:
    """A set metric of methods A and B over `count` images.

    p is the share of permutations in which B - A is at least as far from 0.  Each exchanges the two results
    of random images, which makes no difference under the null hypothesis (Fisher 1935).
    """

    title: str
    a: float
    b: float
    p: float
    count: int

    @property
    def key(self) -> str:
        return self.title.lower()

    @property
    def difference(self) -> float:
        return self.b - self.a

    @property
    def smallest_p(self) -> float:
        """The smallest p."""
        return 1 / (PERMUTATIONS + 1)

    def verdict(self, a: str, b: str) -> str:
        """A sentence naming the better method, if the difference is significant."""
        if self.p > SIGNIFICANCE:
            return "no significant difference"
        return Lower().verdict(a, b, (self.difference, self.difference))


def set_comparisons(found: Sequence[tuple[tuple[float, float], ...]], count: int) -> Iterator[SetComparison]:
    """The comparison in each of `DISTANCES`, from what `PairedFeatures.distances` yields."""
    table = np.array(found)  # (1 + SWAPS, distances, A and B)
    for title, pairs in zip(DISTANCES, table.transpose(1, 0, 2), strict=True):
        differences = np.abs(pairs[:, 1] - pairs[:, 0])
        reached = differences >= differences[0] - ROUNDING * np.abs(pairs[0]).sum()
        yield SetComparison(title, float(pairs[0, 0]), float(pairs[0, 1]), float(reached.mean()), count)
