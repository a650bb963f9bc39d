"""The options of a scene from one photo without training. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class PhotoOptions:
    """Turn one photo into a scene and a fly-through, without training."""

    photo: tyro.conf.Positional[Path]
    """The photo. Its EXIF orientation is respected."""

    engine: Literal["box", "depth"] = "box"
    """box: a room of five painted planes, found by the lines of the photo. depth: layers cut from a depth map."""

    out: Path | None = None
    """The run folder. Default: runs/PHOTO-ENGINE."""

    corners: Path | None = None
    """For box: a JSON file with the back wall's corners, as corners.json of an earlier run, to adjust by hand."""

    depth: str | None = None
    """For depth: the depth map, .png of 16 bits or .npy in metres; or auto, to have a model estimate it."""

    depth_kind: Literal["metric", "inverse"] = "metric"
    """metric: depth along the optical axis. inverse: larger is nearer and the scale is unknown, as models predict."""

    depth_unit: float | None = None
    """Metres of one step of a metric depth map. Default: 0.001 for a PNG, 1 for .npy."""

    depth_model: str = "depth-anything/Depth-Anything-V2-Small-hf"
    """With --depth auto: a folder with a model of transformers, or its name on the Hugging Face hub."""

    fov: float | None = None
    """The photo's horizontal field of view, in degrees. Default: what its lines tell, else 60."""

    camera_height: float = 1.5
    """Of the camera over the floor in metres: for box, it gives the room its size."""

    width: int | None = None
    """Of the video's pictures. Default: the photo's, with a long side of at most 1280."""

    frames: int = 60
    """Pictures in the video, once around."""

    fps: float = 24.0
    """Pictures a second."""

    quiet: bool = False
    """Say nothing but the result."""
