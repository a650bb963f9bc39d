"""What a check has to say, and how it says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it stands, what it is, the figures behind that, and what to do (empty if nothing).

    unknown: the data do not allow an answer.
    """

    level: Literal["ok", "unknown", "warning"]
    what: str
    evidence: str
    advice: str = ""


def listed(values: Tensor) -> str:
    """Numbers with three digits, separated by commas."""
    return ", ".join(f"{value:.3g}" for value in values.tolist())


def some(bad: Tensor, names: tuple[str, ...]) -> str:
    """The names where ``bad`` is true: the first three, and how many more there are.

    >>> import torch
    >>> some(torch.tensor([True, False, True, True, True]), ("a", "b", "c", "d", "e"))
    'a, c, d and 1 more of 5'
    """
    which = [names[i] for i, is_bad in enumerate(bad.tolist()) if is_bad]
    return ", ".join(which[:3]) + (f" and {len(which) - 3} more of {len(names)}" if len(which) > 3 else "")
