"""Depth as a PNG of 16 bits: planar depth in millimetres, 0 where nothing is known."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

MILLIMETRES = 1000.0


def write_depth(path: Path, planar: Float[Tensor, "h w"]) -> None:
    """``planar`` in metres, rounded to a millimetre; 65.535 m and more become 65.535 m."""
    Image.fromarray((planar * MILLIMETRES).round().clamp(0, 65535).int().numpy().astype("uint16")).save(path)
