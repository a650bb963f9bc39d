"""What decides how a photo is looked for among what a generator can make; saved with the run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InvertConfig:
    """How hard to look for a photo. Losses are of colours 0..1; codes and poses count in standard deviations."""

    scenes: int = 256
    """Random scenes that are tried, each from nine sides."""

    starts: int = 8
    """So many of the best are followed at 16 pixels."""

    coarse_steps: int = 150
    """Steps for them."""

    finalists: int = 3
    """So many of the best of those are followed at full size."""

    steps: int = 200
    """Steps for them."""

    last_steps: int = 400
    """Steps for the best of those, each of its layers with a code of its own."""

    lr_code: float = 0.03
    """Step size of codes."""

    lr_pose: float = 0.015
    """Step size of poses."""

    edges: float = 0.5
    """Weight of the squared error of differences between neighbouring pixels."""

    code_weight: float = 3e-4
    """Weight of a code's mean square."""

    layers_weight: float = 1e-3
    """Weight of the mean square by which the codes of a generator's layers differ from their mean."""

    pose_weight: float = 3e-4
    """Weight of a pose's mean square."""

    noise: float = 0.03
    """Standard deviation of noise on codes, as a share of theirs; it fades."""

    tune: bool = True
    """Tune the generator's weights to the photo in the end."""

    tune_steps: int = 500
    """Steps for that."""

    lr_tune: float = 1e-3
    """Step size of the weights."""

    anchor: float = 0.01
    """Weight of the mean change of density by tuning, as a share of it: without it the photo is painted on a board."""

    anchors: int = 4096
    """Random places in the box where the change is measured, fresh ones every step."""

    carry: float = 0.5
    """Weight of what is seen from aside and has other colours than the photo has of it; 0: not looked at."""

    swing: tuple[float, float] = (8.0, 3.0)
    """Standard deviations of the yaw and pitch aside, in degrees."""
