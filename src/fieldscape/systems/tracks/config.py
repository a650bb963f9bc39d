"""What a fit of tracks is made with. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from fieldscape.systems.tracks.mesh_settings import MeshSettings

SYSTEM = "tracks"

Preset = Literal["blend", "neural", "original"]
"""How pictures are made. blend: colours are fetched from the nearest frames through the meshes, and a small network
blends them.  neural: a field of features at the place on the mesh paints them.  original: the published pipeline,
features of frame-0 vertices, no depth test."""


@dataclass(frozen=True)
class SourceSettings:
    """From which frames colours are fetched."""

    around: int = 2
    """Frames nearest in time, on either side."""

    turned: int = 4
    """As many in all for a camera off the path: those that look from the most similar directions."""

    spare: int = 2
    """More of them where the others leave more than ``hole`` of a picture unseen."""

    hole: float = 0.002
    """Share of a picture."""


@dataclass(frozen=True)
class BlendSettings:
    """The network that blends, and how it learns."""

    width: int = 16
    """Of its two hidden layers."""

    steps: int = 800
    """Each on one cut of one frame, which is predicted from its neighbours without it."""

    cut: int = 96
    """Side of a cut in pixels, at most."""

    cuts: int = 4
    """Of each frame."""

    rate: float = 3e-3
    """Of Adam, falling to a fiftieth along half a cosine."""

    structure: float = 0.2
    """The share of D-SSIM in the loss."""

    blind: bool = True
    """Cameras and places of the frame to predict are not used either: they too are told from its neighbours, as they
    are for a time between frames."""


@dataclass(frozen=True)
class FillSettings:
    """The field that paints what no frame shows."""

    side: int = 48
    """Texels of a plane's side."""

    channels: int = 8
    width: int = 32
    steps: int = 400
    batch: int = 4096
    rate: float = 1e-2


@dataclass(frozen=True)
class RefineSettings:
    """Whether, and how, places and cameras are moved so that frames predict each other better."""

    vertices: bool = False
    poses: bool = False
    steps: int = 400
    side: int = 320
    """Frames are reduced to this longer side for it."""

    rate: float = 0.05
    """Pixels that a place may move in a step, about; for poses a fifth of it, as seen at the picture's border."""

    tracks: float = 0.02
    """Weight of staying where the tracks were seen, a pixel squared."""

    rigid: float = 0.02
    """Weight of neighbours on a mesh moving alike, a pixel squared."""

    smooth: float = 0.02
    """Weight of what a place does in one frame alone, a pixel squared."""


@dataclass(frozen=True)
class FieldSettings:
    """The presets ``neural`` and ``original``: how long they learn."""

    steps: int = 1500
    batch: int = 4096
    original_steps: int = 200
    original_batch: int = 1024


@dataclass(frozen=True)
class TracksConfig:
    """All of the above."""

    preset: Preset = "blend"
    held_out: int = 8
    """Every so many frames one is not learned from, where the tracks file keeps none apart."""

    mesh: MeshSettings = dataclasses.field(default_factory=MeshSettings)
    source: SourceSettings = dataclasses.field(default_factory=SourceSettings)
    blend: BlendSettings = dataclasses.field(default_factory=BlendSettings)
    fill: FillSettings = dataclasses.field(default_factory=FillSettings)
    refine: RefineSettings = dataclasses.field(default_factory=RefineSettings)
    field: FieldSettings = dataclasses.field(default_factory=FieldSettings)
