"""What every reader of depth gives: one moment as a depth camera saw it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fieldscape.types import Camera


@dataclass(frozen=True)
class DepthMap:
    """A depth map with all that is known of it.

    depth: planar (z in camera axes), metres; 0 where nothing is known, and at the sky.
    valid: depth was measured there.  sky: it is known that nothing stands there up to the far end of what was measured;
    a pixel that is neither is unknown, not empty.
    camera: a single one, camera to world; its pose is the identity where ``posed`` is False.
    time: seconds.  instances: numbers of things, 0 for none.  classes: numbers as the data set has them.
    """

    name: str
    depth: Float[Tensor, "h w"]
    valid: Bool[Tensor, "h w"]
    sky: Bool[Tensor, "h w"]
    camera: Camera
    posed: bool
    time: float
    instances: Int[Tensor, "h w"] | None = None
    classes: Int[Tensor, "h w"] | None = None
    color: UInt8[Tensor, "h w 3"] | None = None
