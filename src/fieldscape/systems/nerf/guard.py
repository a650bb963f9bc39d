"""The collapse guard: notices a NeRF that has stopped learning before it wastes the night.

A NeRF can fall into a state it never leaves. The density becomes zero everywhere, or the colour one colour, and then
no gradient comes back: published runs have spent a day on an all-white picture. The signs are plain, and this module
knows three:

* the loss is not a number;
* the picture is empty (no light stopped on any ray) for many steps on end, so that nothing can be learned from it;
* after the first few hundred steps the error is still that of the best one-colour picture, and is not falling.

``verdict`` is a pure function of what training recorded; what to do about it is the training loop's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EMPTY_STEPS = 30
"""So many empty batches in a row are no accident: with zero density everywhere the gradient is exactly zero."""

EMPTY_ALPHA = 1e-4
"""A ray that stops less light than this has met nothing."""

JUDGED_AT = 300
"""By this step a healthy run has left the one-colour picture behind."""

WINDOW = 50
"""Steps whose median stands for the present state."""

FLAT = 0.1
"""Gain in dB over the last 2 windows below which the error counts as not falling."""

MARGIN = 0.5
"""A run counts as stuck while it beats the one-colour picture by less than this, in dB."""


def one_color_error(colors: Float[Tensor, "n c"]) -> float:
    """The mean squared error of the best picture of a single colour: the mean over channels of their variance.

    >>> one_color_error(torch.tensor([[0.0], [1.0]]))
    0.25
    """
    return float(colors.var(dim=0, correction=0).mean())


def verdict(first_step: int, errors: Float[Tensor, "n"], alphas: Float[Tensor, "n"], one_color: float) -> str | None:
    """Why training has collapsed, in words, or None while it is well.

    errors: the mean squared colour error of each step since ``first_step``.  alphas: the largest alpha among each
    step's rays.  one_color: the error of the best one-colour picture; where it is zero there is nothing to learn.
    """
    now = first_step + len(errors)
    if not bool(torch.isfinite(errors).all()):
        step = first_step + int(torch.nonzero(~torch.isfinite(errors))[0])
        return f"the loss was not a number at step {step}"
    if one_color < 1e-6:
        return None
    if len(alphas) >= EMPTY_STEPS and bool((alphas[-EMPTY_STEPS:] < EMPTY_ALPHA).all()):
        return f"the picture was empty for {EMPTY_STEPS} steps up to step {now}"
    if JUDGED_AT <= now < JUDGED_AT + WINDOW and len(errors) >= 3 * WINDOW:
        # In decibel, relative to the one-colour picture: 0 means no better than it.
        gain = -10 * torch.log10(errors / one_color)
        present, before = gain[-WINDOW:].median(), gain[-3 * WINDOW : -2 * WINDOW].median()
        if present < MARGIN and present - before < FLAT:
            return f"at step {now} it was no better than one colour everywhere ({float(present):+.2f} dB against it)"
    return None
