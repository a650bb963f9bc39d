"""How close a picture is to the truth: PSNR and SSIM of one image.

The mean over views is the caller's: the figure this field reports is the mean of each image's PSNR, which is not the
PSNR of the mean error.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.errors import BadInput

WINDOW = 11
"""Width in pixels of the Gaussian window of SSIM."""


def psnr(image: Float[Tensor, "h w c"], truth: Float[Tensor, "h w c"]) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in dB of values in 0..1: -10 log10 of the mean squared error; infinite if equal.

    >>> psnr(torch.full((2, 2, 3), 0.5), torch.full((2, 2, 3), 0.6))
    tensor(20.0000)
    """
    return -10 * torch.log10(torch.mean((image - truth) ** 2))


def ssim(image: Float[Tensor, "h w c"], truth: Float[Tensor, "h w c"]) -> Float[Tensor, ""]:
    """Structural similarity of values in 0..1: 1 if equal, about 0 if unrelated.

    Wang et al. 2004, equation 13, with their constants: an 11 x 11 Gaussian window of sigma 1.5, K1 = 0.01 and
    K2 = 0.03. The mean runs over the channels and over the windows that lie fully inside the image. Raises
    ``BadInput`` for an image smaller than one window.

    >>> ssim(torch.full((16, 16, 3), 0.5), torch.full((16, 16, 3), 0.5))
    tensor(1.)
    """
    height, width, _ = image.shape
    if min(height, width) < WINDOW:
        raise BadInput(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels; this one is {width} x {height}.")
    c1, c2 = 0.01**2, 0.03**2
    # Differences of nearly equal means of squares: double precision keeps flat regions exact.
    x, y = image.double().movedim(-1, 0)[:, None], truth.double().movedim(-1, 0)[:, None]
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = _local_mean(x * x) - mean_x**2
    variance_y = _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean().to(image.dtype)


def _local_mean(image: Float[Tensor, "c 1 h w"]) -> Float[Tensor, "c 1 h2 w2"]:
    """The Gaussian-weighted mean around each pixel that has a whole window around it, one axis at a time."""
    offset = torch.arange(WINDOW, dtype=image.dtype, device=image.device) - WINDOW // 2
    kernel = torch.exp(-0.5 * (offset / 1.5) ** 2)
    kernel = kernel / kernel.sum()
    rows = torch.nn.functional.conv2d(image, kernel.reshape(1, 1, -1, 1))
    return torch.nn.functional.conv2d(rows, kernel.reshape(1, 1, 1, -1))
