"""The score: in which direction a noisy state becomes more likely, and how fast."""

from refinesr.diffusion.precond import over_pixels
from refinesr.shapes import Denoiser, Images, Sigma


def score(denoise: Denoiser, x: Images, sigma: Sigma) -> Images:
    """The gradient of log p(x; sigma), of x's shape: (x0 - x) / sigma².

    p is the density of noisy states at the level sigma, one for all images or one each; x0 is the mean of
    all that x may have been.  That one tells the other is Tweedie's formula; that training a denoiser learns
    it, Vincent 2011.  A network that predicts the noise says the score times -sigma (Song and Ermon 2019; Ho
    et al. 2020, section 3.2).
    """
    return (denoise(x, sigma) - x) / over_pixels(sigma**2, x)
