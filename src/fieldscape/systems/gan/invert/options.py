"""The options of ``gan invert``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class InvertOptions:
    """Turn one photo into a scene and a fly-through: through a trained generator, or without training."""

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN] PHOTO")]
    """The photo, and before it the run folder of a generator of the same kind of rooms, if there is one."""

    engine: Literal["generator", "box", "depth"] | None = None
    """generator: what the RUN makes that looks like the photo. box: a room of five painted planes, found by the lines
    of the photo. depth: layers cut from a depth map. Default: generator where a RUN is given, else box."""

    out: Path | None = None
    """The run folder. Default: runs/PHOTO-ENGINE."""

    tune: bool = True
    """For generator: tune its weights to the photo in the end."""

    seed: int = 0
    """For generator: of everything random."""

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
    """For box and depth: the photo's horizontal field of view, in degrees. Default: what its lines tell, else 60."""

    camera_height: float = 1.5
    """For box and depth: of the camera over the floor in metres; for box, it gives the room its size."""

    width: int | None = None
    """Of the video's pictures. Default: the photo's, with a long side of at most 1280; for generator, 128."""

    frames: int = 60
    """Pictures in the video, once around."""

    fps: float = 24.0
    """Pictures a second."""

    quiet: bool = False
    """Say nothing but the result."""
