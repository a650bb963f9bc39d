"""The positional encoding against the formula written out with the standard library."""

from __future__ import annotations

import math

import pytest
import torch

from fieldscape.encodings import positional


def written_out(x: list[float], octaves: int) -> list[float]:
    """The dumb twin: one number at a time."""
    sines = [math.sin(2**k * value) for k in range(octaves) for value in x]
    cosines = [math.cos(2**k * value) for k in range(octaves) for value in x]
    return x + sines + cosines


@pytest.mark.parametrize("octaves", [0, 1, 4, 6, 10])
def test_it_is_the_formula(octaves: int) -> None:
    x = [0.3, -1.7, 2.9]
    expected = torch.tensor(written_out(x, octaves), dtype=torch.float64)
    torch.testing.assert_close(positional(torch.tensor(x, dtype=torch.float64), octaves), expected, rtol=0, atol=1e-11)


def test_float32_keeps_the_finest_octave_accurate() -> None:
    x = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) * 8 - 4
    error = positional(x, 10).double() - positional(x.double(), 10)
    assert error.abs().max() < 1e-6


def test_leading_dimensions_and_width() -> None:
    x = torch.zeros(2, 5, 3)
    assert positional(x, 6).shape == (2, 5, 39)
    assert positional(x, 6, include_input=False).shape == (2, 5, 36)
    assert positional(x[..., :2], 3).shape == (2, 5, 14)
    assert positional(x[:0], 3).shape == (0, 5, 21)


def test_each_row_is_encoded_alone() -> None:
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(positional(x, 5)[3], positional(x[3], 5))


def test_sine_and_cosine_of_one_octave_lie_on_the_unit_circle() -> None:
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    waves = positional(x, 6, include_input=False)
    torch.testing.assert_close(waves[:, :18] ** 2 + waves[:, 18:] ** 2, torch.ones(50, 18))


def test_gradients_reach_the_coordinates() -> None:
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: positional(value, 3), (x,))
