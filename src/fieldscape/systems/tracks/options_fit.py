"""The options of ``tracks fit``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from fieldscape.systems.tracks.config import Preset, RefineSettings, SourceSettings
from fieldscape.systems.tracks.mesh_settings import MeshSettings


@dataclass(frozen=True)
class TracksFitOptions:
    """Learn to draw a clip that was followed, from its tracks file: at any time, and from new cameras."""

    tracks: tyro.conf.Positional[Path | None] = None
    """A tracks file, as tracks extract writes it. With --resume it may be left out where it is still in its place."""

    out: Path | None = None
    """The run folder. Default: runs/NAME-tracks."""

    preset: Preset = "blend"
    """blend: colours fetched from the nearest frames, blended by a small network. neural: painted by a field of
    features. original: the published pipeline."""

    steps: int | None = None
    """Steps of learning. Default: 800 (blend), 1500 (neural), 200 (original)."""

    held_out: int = 8
    """One frame in so many is judged by, not learned from, where the tracks file keeps none apart; 0: none."""

    source: SourceSettings = field(default_factory=SourceSettings)
    """From which frames colours are fetched."""

    mesh: MeshSettings = field(default_factory=MeshSettings)
    """How points become meshes."""

    refine: RefineSettings = field(default_factory=RefineSettings)
    """Moving places and cameras so that frames predict each other better."""

    device: str = "cpu"
    """Where the networks run: auto, cpu, cuda, cuda:1 or mps. Meshes are drawn on the CPU."""

    minutes: float | None = None
    """Stop after so long, saving; --resume goes on."""

    resume: bool = False
    """Go on with the run in --out."""

    seed: int = 0
    """Of everything random."""

    quiet: bool = False
    """Say nothing but the result."""
