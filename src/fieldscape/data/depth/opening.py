"""``open_depth``: depth of any layout, by looking at what is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldscape.data.depth import (
    kitti,
    nyu,
    own,
    plain,
    seven_scenes,
    synthia_al,
    synthia_rand,
    synthia_seqs,
    synthia_sf,
    tum,
    vkitti2,
)
from fieldscape.data.depth.frames import DepthFrames, Sequence, spread
from fieldscape.data.depth.judging import judge, require_depth
from fieldscape.data.depth.options import DepthOptions, Layout
from fieldscape.data.depth.pixels import numbered, read_png
from fieldscape.errors import BadInput

LOOKED_AT = 3
"""Frames that are read on opening, to see that there is depth in metres."""


@dataclass(frozen=True)
class Reader:
    """``find``: the folders (or file) of its sequences at a path, none if it is another layout; ``read``: one of them.

    own_camera: its files tell the intrinsics, so the user may not.
    """

    find: Callable[[Path], list[Path]]
    read: Callable[[Path, DepthOptions], Sequence]
    own_camera: bool = False


READERS: dict[Layout, Reader] = {
    "fieldscape": Reader(own.find, own.read, own_camera=True),
    "synthia-seqs": Reader(synthia_seqs.find, synthia_seqs.read, own_camera=True),
    "synthia-al": Reader(synthia_al.find, synthia_al.read, own_camera=True),
    "synthia-sf": Reader(synthia_sf.find, synthia_sf.read),
    "vkitti2": Reader(vkitti2.find, vkitti2.read, own_camera=True),
    "kitti": Reader(kitti.find, kitti.read),
    "7-scenes": Reader(seven_scenes.find, seven_scenes.read),
    "tum": Reader(tum.find, tum.read),
    "nyu": Reader(nyu.find, nyu.read),
    "synthia-rand": Reader(synthia_rand.find, synthia_rand.read),
    "plain": Reader(plain.find, plain.read),
}
"""In the order in which they are tried; the plain one fits nearly everything and is the last."""


def recognise(path: Path) -> Layout | None:
    """The layout of the depth data at ``path``; None if there are none that need no word of the user."""
    for layout, reader in READERS.items():
        if layout != "plain" and reader.find(path):
            return layout
    return None


def open_depth(
    path: Path | str,
    layout: Layout = "auto",
    intrinsics: tuple[float, float, float, float] | None = None,
    depth_scale: float | int | None = None,
    rate: float | int = 30.0,
    color: bool = True,
) -> DepthFrames:
    """The depth maps at ``path``, each read when it is asked for. The options are those of ``DepthOptions``.

    A few frames are looked at: ``notes`` says what is missing or seems wrong (units, disparity, poses).

    Raises BadInput: no depth data, data of another layout than ``layout``, options that do not go with them, or nothing
    but unknown pixels or sky in all frames looked at.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"There is no folder or file {path}.")
    found = _chosen(path, layout)
    reader = READERS[found]
    _require_sane(found, reader, intrinsics, depth_scale, rate)
    options = DepthOptions(intrinsics, None if depth_scale is None else float(depth_scale), float(rate), color)
    sequences = [reader.read(home, options) for home in reader.find(path)]
    sequences = [sequence for sequence in sequences if sequence.names]
    if not sequences:
        raise BadInput(f"{path} has the folders of {found} and no depth picture in them.")
    frames = DepthFrames(found, tuple(sequences))
    notes = [note for sequence in sequences for note in sequence.notes]
    if sequences[0].judged is not None:
        notes.append(sequences[0].judged())
    maps = [frames[i] for i in spread(len(frames), LOOKED_AT)]
    require_depth(
        maps, str(path) if len(frames) <= LOOKED_AT else f"{path} (of {len(frames)} frames, {len(maps)} seen)"
    )
    warnings = [finding for finding in judge(maps) if finding.level == "warning"]
    notes += [f"{finding.what}: {finding.evidence}; {finding.advice}." for finding in warnings]
    return DepthFrames(found, tuple(sequences), tuple(notes))


def _chosen(path: Path, layout: Layout) -> Layout:
    if layout != "auto":
        if not READERS[layout].find(path):
            raise BadInput(
                f"{path} does not hold depth as {layout} has it; leave --layout away to find out what it is."
            )
        return layout
    found = recognise(path)
    if found is not None:
        return found
    folder = plain.find(path)
    if folder:
        first = next(iter(numbered(folder[0]).values()))
        if read_png(first).ndim == 2:
            return "plain"
    raise BadInput(
        f"{path} holds no depth that can be read. Looked for: {', '.join(READERS)} (a folder of one-channel PNGs of 16"
        " bits)."
    )


def _require_sane(
    found: Layout,
    reader: Reader,
    intrinsics: tuple[float, float, float, float] | None,
    depth_scale: float | int | None,
    rate: float | int,
) -> None:
    if reader.own_camera and intrinsics is not None:
        raise BadInput(f"{found} tells its own intrinsics; leave --intrinsics away.")
    if found != "plain" and depth_scale is not None:
        raise BadInput(f"{found} has a depth scale of its own; leave --depth-scale away.")
    if depth_scale is not None and not (math.isfinite(depth_scale) and depth_scale > 0):
        raise BadInput(f"--depth-scale is {depth_scale:g}; it is the number of units in a metre, above zero.")
    if not (math.isfinite(rate) and rate > 0):
        raise BadInput(f"--rate is {rate:g} pictures a second; it must be above zero.")
