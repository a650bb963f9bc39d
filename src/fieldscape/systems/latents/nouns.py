"""What both representations give and take: an object that was added, how it is drawn, how a training is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from fieldscape.types import Camera, Rendered

Draw: TypeAlias = Callable[[Camera], Rendered]
"""What one camera sees of an object: colour 0..1, depth along the ray and alpha, leading dims [height, width]."""

Save: TypeAlias = Callable[[int, dict[str, Tensor], dict[str, Any]], None]
"""Is called with step, tensors and state of a checkpoint."""


@dataclass(frozen=True)
class Added:
    """An object to store: bytes that mean something beside what its class shares, and what adding it took.

    figures: seconds of the processor and others of the representation's own.
    """

    payload: bytes
    figures: dict[str, float]
