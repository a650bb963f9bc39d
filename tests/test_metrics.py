"""PSNR and SSIM against two independent implementations, and the laws they obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.metrics import psnr, ssim


def pair(seed: int, noise: float, shape: tuple[int, int, int] = (40, 33, 3)) -> tuple[Tensor, Tensor]:
    """A smooth picture with a flat corner, and a noisy copy of it."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.linspace(0, 5, shape[0]), torch.linspace(0, 3, shape[1])
    truth = (0.5 + 0.5 * torch.sin(rows[:, None, None] + columns[:, None] * torch.arange(1, shape[2] + 1))).float()
    truth[:12, :12] = 0
    image = truth + noise * torch.randn(shape, generator=generator)
    return image.clamp(0, 1), truth


@pytest.mark.parametrize("noise", [0.003, 0.05, 0.4])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_both_agree_with_scikit_image(noise: float, channels: int) -> None:
    image, truth = pair(channels, noise, (40, 33, channels))
    a, b = image.numpy().astype(np.float64), truth.numpy().astype(np.float64)
    assert psnr(image, truth).item() == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-4)
    expected = structural_similarity(
        a, b, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(image, truth).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("noise", [0.003, 0.05, 0.4])
def test_both_agree_with_torchmetrics(noise: float) -> None:
    image_metrics = pytest.importorskip("torchmetrics.functional.image", exc_type=(ImportError, RuntimeError))
    image, truth = pair(7, noise)
    batch, batch_truth = image.movedim(-1, 0)[None], truth.movedim(-1, 0)[None]
    _, each = image_metrics.structural_similarity_index_measure(
        batch, batch_truth, data_range=1.0, return_full_image=True
    )
    whole_windows = each[..., 5:-5, 5:-5]  # theirs also counts windows that hang over the border
    assert ssim(image, truth).item() == pytest.approx(whole_windows.mean().item(), abs=2e-5)
    expected = image_metrics.peak_signal_noise_ratio(batch, batch_truth, data_range=1.0)
    assert psnr(image, truth).item() == pytest.approx(expected.item(), abs=1e-4)


def test_equal_images() -> None:
    _, truth = pair(0, 0.1)
    assert psnr(truth, truth).item() == float("inf")
    assert ssim(truth, truth).item() == pytest.approx(1, abs=1e-7)


def test_symmetry_and_order() -> None:
    image, truth = pair(1, 0.1)
    worse, _ = pair(1, 0.3)
    assert torch.equal(psnr(image, truth), psnr(truth, image))
    torch.testing.assert_close(ssim(image, truth), ssim(truth, image))
    assert psnr(worse, truth) < psnr(image, truth)
    assert ssim(worse, truth) < ssim(image, truth) < 1


def test_ten_times_the_error_is_twenty_decibel() -> None:
    _, truth = pair(2, 0.1)
    difference = psnr(truth + 0.01, truth) - psnr(truth + 0.1, truth)
    assert difference.item() == pytest.approx(20, abs=1e-3)


def test_an_image_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(BadInput, match="11 x 11"):
        ssim(torch.zeros(10, 40, 3), torch.zeros(10, 40, 3))
    assert ssim(torch.zeros(11, 11, 3), torch.zeros(11, 11, 3)).item() == 1
