"""The options of the commands that serve all systems. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from fieldscape.data.depth.options import Layout

PathName = Literal[
    "auto",
    "orbit",
    "turntable",
    "spiral",
    "dolly",
    "zoom",
    "interpolate",
    "walk",
    "still",
    "clip",
    "stabilise",
    "freeze",
]


@dataclass(frozen=True)
class EvalOptions:
    """Render the held-out views of DATA from the scene in RUN and compare: mean PSNR and SSIM, to RUN/report.json."""

    run: tyro.conf.Positional[Path]
    """The run folder."""

    data: tyro.conf.Positional[Path]
    """The photos to compare with; read as the run read its own."""

    out: Path | None = None
    """Also write each rendered view as a PNG into this folder."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    quiet: bool = False
    """Say nothing but the result."""


@dataclass(frozen=True)
class RenderOptions:
    """Render the scene in RUN along a camera path, or once."""

    run: tyro.conf.Positional[Path]
    """The run folder."""

    path: PathName = "auto"
    """The camera's way. auto: a walk through a room of many photos, a spiral before a scene that the camera stands in,
    an orbit around an object, a clip again. still: one picture from the start. Of clips: clip, stabilise (without the
    unrest of the hand), freeze (around a moment that stands still); on other paths time goes on, unless --set time=1.5.
    """

    out: Path | None = None
    """The file: .mp4, .gif, or for a still .png or .jpg. Default: RUN/PATH.mp4."""

    frames: int = 120
    """Pictures in the video."""

    fps: float = 24.0
    """Pictures a second."""

    width: int | None = None
    """Of the picture, in pixels. Default: that of the photos; the height follows."""

    depth: bool = False
    """Show depth beside the colour."""

    strength: float = 1.0
    """How far a spiral, dolly or zoom goes: 1 is gentle, 2 is twice as far."""

    set: tuple[str, ...] = ()
    """Controls of the scene, NAME=VALUE, such as scene=7 for a generator; fieldscape info RUN names them."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    quiet: bool = False
    """Say nothing but where the file is."""


@dataclass(frozen=True)
class InfoOptions:
    """Say what a run or a data set is. For data, check the poses and draw the layout of the cameras."""

    path: tyro.conf.Positional[Path]
    """A run folder, data as `nerf fit` takes it, or depth maps."""

    out: Path | None = None
    """Where the picture of the cameras goes. Default: NAME-cameras.png here."""

    background: Literal["auto", "white", "black"] = "auto"
    """As for `nerf fit`."""

    downscale: float = 1.0
    """As for `nerf fit`."""

    layout: Layout = "auto"
    """Of depth maps. plain: a folder of 16-bit PNGs, which needs --intrinsics and --depth-scale."""

    intrinsics: tuple[float, float, float, float] | None = None
    """Of depth maps that come without: fx fy cx cy in pixels, the centre of the first pixel being 0 0."""

    depth_scale: float | None = None
    """Of plain depth maps: units in a metre, 1000 for millimetres."""


@dataclass(frozen=True)
class MakeRoomsOptions:
    """Make synthetic furnished living rooms: posed photos from inside one, or one photo each of many."""

    out: Path
    """The folder to write: with --views in nerfstudio's layout, with --photos photos/, truth/ and an LSUN database."""

    views: int | None = None
    """Posed photos of one room to learn from. Default, without --photos: 60."""

    held_out: int = 8
    """With --views: photos to measure on, taken between the others."""

    photos: int | None = None
    """Photos of so many different rooms, one each."""

    width: int = 160
    """With --views: of a photo, in pixels."""

    height: int = 120
    """With --views: of a photo, in pixels."""

    size: int = 64
    """With --photos: side of a photo, in pixels."""

    style: Literal["mixed", "modern", "classic", "rustic", "nordic"] = "mixed"
    """Of the rooms; mixed: one after the other."""

    seed: int = 0
    """Of the rooms: furniture, colours and light."""

    workers: int | None = None
    """Processes that share the work. Default: one a core."""

    quiet: bool = False
    """Say nothing but where the rooms are."""


@dataclass(frozen=True)
class DemoOptions:
    """Make a room, learn it from 60 photos of it, and fly through."""

    out: Path = Path("demo")
    """The folder for the room, the run, the video and the contact sheet."""

    seconds: float = 25.0
    """Time to train."""

    seed: int = 0
    """Of the room and of the training."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""

    quiet: bool = False
    """Say nothing but the result."""
