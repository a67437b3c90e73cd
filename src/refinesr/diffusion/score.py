"""The score function, computed from a denoiser."""

from refinesr.diffusion.precond import over_pixels
from refinesr.shapes import Denoiser, Images, Sigma


def score(denoise: Denoiser, x: Images, sigma: Sigma) -> Images:
    """The score, the gradient of log p(x; sigma) with respect to x, of x's shape: (x0 - x) / sigma².

    p is the density of noisy states at the noise level sigma, () or (B,), and x0 = denoise(x, sigma) is the
    posterior mean E[x0 | x].  The relation is Tweedie's formula; that denoiser training learns the score is
    due to Vincent 2011.  A network that predicts the noise predicts -sigma times the score (Song and Ermon
    2019; Ho et al. 2020, section 3.2).
    """
    return (denoise(x, sigma) - x) / over_pixels(sigma**2, x)
