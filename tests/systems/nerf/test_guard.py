"""The collapse guard on curves of every kind: it must see the dead and leave the living alone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fieldscape.systems.nerf import guard

ONE_COLOR = 0.04


def healthy(steps: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A noisy error that falls from that of one colour by some 10 dB over a few hundred steps."""
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(seed))
    decibel = 10 * (1 - torch.exp(-torch.arange(steps) / 100)) + 0.5 * noise
    return ONE_COLOR * 10 ** (-decibel / 10), torch.ones(steps)


def test_a_healthy_run_is_left_alone_at_every_step() -> None:
    for seed in range(5):
        errors, alphas = healthy(1000, seed)
        assert all(guard.verdict(0, errors[:n], alphas[:n], ONE_COLOR) is None for n in range(1, 1000, 7))


def test_a_late_bloomer_is_left_alone() -> None:
    """A long plateau that is being left counts as learning."""
    errors = ONE_COLOR * 10 ** (-torch.cat([torch.zeros(220), torch.linspace(0, 0.6, 100)]) / 10)
    assert guard.verdict(0, errors, torch.ones(320), ONE_COLOR) is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_seen_at_once(value: float) -> None:
    errors, alphas = healthy(40)
    errors[38] = value
    assert guard.verdict(5000, errors, alphas, ONE_COLOR) == "the loss was not a number at step 5038"


def test_an_empty_picture_is_seen_early_and_late() -> None:
    errors, alphas = healthy(80)
    alphas[30:] = 0
    assert guard.verdict(0, errors[:50], alphas[:50], ONE_COLOR) is None
    assert "empty" in str(guard.verdict(0, errors[:60], alphas[:60], ONE_COLOR))
    assert "empty" in str(guard.verdict(9000, errors, alphas, ONE_COLOR))


def test_a_few_empty_batches_are_no_collapse() -> None:
    errors, alphas = healthy(80)
    alphas[::2] = 0
    assert guard.verdict(0, errors, alphas, ONE_COLOR) is None


@pytest.mark.parametrize("decibel", [0.0, -5.0, 0.4])
def test_one_colour_everywhere_is_seen_after_the_first_few_hundred_steps(decibel: float) -> None:
    """All white and all black stop all light, so only the error gives them away."""
    noise = torch.randn(300, generator=torch.Generator().manual_seed(1))
    errors, alphas = ONE_COLOR * 10 ** (-(decibel + 0.2 * noise) / 10), torch.ones(300)
    assert guard.verdict(0, errors[:290], alphas[:290], ONE_COLOR) is None
    assert "one colour" in str(guard.verdict(0, errors, alphas, ONE_COLOR))


def test_the_history_kept_is_enough() -> None:
    """The loop keeps the last three windows only; the verdict must be the same as with all."""
    errors, alphas = torch.full((300,), ONE_COLOR), torch.ones(300)
    kept = 3 * guard.WINDOW
    assert guard.verdict(300 - kept, errors[-kept:], alphas[-kept:], ONE_COLOR) == guard.verdict(
        0, errors, alphas, ONE_COLOR
    )


def test_photos_of_one_colour_have_nothing_to_collapse_from() -> None:
    assert guard.verdict(0, torch.full((300,), 1e-9), torch.zeros(300), 0.0) is None


def test_the_one_colour_error_is_that_of_the_best_one_colour_picture() -> None:
    colors = torch.rand(500, 3, generator=torch.Generator().manual_seed(0))
    best = ((colors - colors.mean(0)) ** 2).mean().item()
    assert guard.one_color_error(colors) == pytest.approx(best, rel=1e-5)
