"""What a user may ask of a reader. Imports no torch, so the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ReadOptions:
    """How to read a folder of posed photos."""

    background: Literal["auto", "white", "black"] = "auto"
    """Colour behind photos with transparency. auto: white there; for opaque photos, whatever their borders show."""

    downscale: float | int = 1
    """Make the photos this many times smaller on reading (area average)."""

    holdout: int = 8
    """Keep every n-th view, in order of name, from training, where the data do not say which. 0 keeps none."""

    channels: int = 0
    """Further maps to learn beside the colour: so many channels, from maps/NAME.npy (or .png, .tif) beside images/."""

    weights: Path | None = None
    """A JSON file that says how much each photo counts: {"0001.png": 0.5}. Photos it does not name count 1."""

    cache: Path | None = None
    """Where slow preparation (poses from bare photos) is kept between runs."""
