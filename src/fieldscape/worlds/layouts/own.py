"""Our own layout of depth videos: the reference for whatever reads them.

    OUT/world.json                      kind, count and settings, as written by every ``fieldscape make``
    OUT/videos/000000/depth/000000.png  16 bits: planar depth (z in camera axes) in MILLIMETRES, of the ray through the
                                        pixel's centre; 65535: sky (nothing nearer than 60 m); 0: missing, unknown
    .../instance/000000.png             8 bits (16 with over 255 things): number of the thing seen, 0: none
    .../part/000000.png                 8 bits: place of the part's name in ``parts`` of video.json;
                                        0: sky, 1: ground, 2: wall, from 3: parts of things, shared between shapes
    .../rgb/000000.png                  sRGB, if colour was asked for
    .../exact.npz                       ``depth`` float32 [f,h,w], metres, infinity: sky; before rounding,
                                        noise and gaps; if exact depth was asked for
    .../surfaces.npz                    ``points`` float32 [n,512,3]: on the whole outer surface of each thing at rest,
                                        evenly by area, in its own frame; ``parts`` uint8 [n,512]: the part of each
    .../video.json                      all else, below

Axes: the world's z points up and the ground is z = 0; metres, seconds, radians. Cameras are camera-to-world 4x4
matrices with OpenCV axes (x right, y down, z forward), pixel centres at +0.5. A thing's own frame has its origin in the
middle of its bounding box at rest, x ahead, y left, z up; its poses are thing to world, rigid. The point X in camera
axes that pixel (column u, row v) shows:

    X = depth * ((u + 0.5 - center_x) / focal_x, (v + 0.5 - center_y) / focal_y, 1)

video.json: ``format`` 1, ``index``, ``split``, ``camera`` {kind, width, height, focal [2], center [2], poses [f,4,4]},
``times`` [f], ``ground`` [a, b, c, d] with a x + b y + c z + d = 0, ``walls`` (boxes: center, size), ``parts`` (names),
``depth`` {unit, missing, sky}, ``captions`` (a list, see ``street.captions``; things by their numbers), and ``things``,
a list of

    number, shape, color, size [3], scale (root mean square distance of its surface from the mean point), radius (of an
    upright cylinder that holds it), motion {kind, and the numbers of its formula in ``street.motions``; a coupled thing
    has those of where it stands}, coupling (None, or {kind, carrier: a number, begin, end, offset, yaw, ...}),
    cycle (None, or {kind, frequency in Hz, phase: of its sine at time 0}),
    pieces: [{part, kind, ratio, rest: 4x4 from the frame of ``street.solids`` to the thing's, paint, joint: None or
        {drive, axis, pivot, ..., phases [f]}}]; a piece at frame k is pose_k @ joint(phase_k) @ rest, see
        ``street.posing``,
    poses [f,4,4], center [f,3], yaw [f], velocity [f,3], yaw_rate [f],
    visible [f]: pixels that show it, total [f]: pixels that would if nothing stood before it, box [f,4]: left, top,
    right, bottom around those (edges of pixels, zeros where there are none).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fieldscape.worlds.layouts.clip import Clip, Frame
from fieldscape.worlds.layouts.packed import sixteen_bits, write_png

PER_METRE = 1000
SKY = 65535
MISSING = 0


def write(folder: Path, clip: Clip, frames: Iterable[Frame]) -> None:
    """Writes one video into ``folder``, laid out as OUT is."""
    home = folder / "videos" / f"{clip.index:06d}"
    for name in ("depth", "instance", "part"):
        (home / name).mkdir(parents=True)
    visible, total, box, exact = [], [], [], []
    for k, frame in enumerate(frames):
        name = f"{k:06d}.png"
        write_png(home / "depth" / name, sixteen_bits(frame.depth, PER_METRE, SKY, MISSING))
        write_png(home / "instance" / name, frame.instance.astype(np.uint8 if len(clip.shapes) < 256 else np.uint16))
        write_png(home / "part" / name, frame.part.astype(np.uint8))
        if frame.color is not None:
            (home / "rgb").mkdir(exist_ok=True)
            write_png(home / "rgb" / name, frame.color)
        visible.append(frame.visible)
        total.append(frame.total)
        box.append(frame.box)
        if clip.exact:
            exact.append(frame.exact.astype(np.float32))
    if clip.exact:
        np.savez_compressed(home / "exact.npz", depth=np.stack(exact))
    np.savez(home / "surfaces.npz", points=clip.points.astype(np.float32), parts=clip.point_parts.astype(np.uint8))
    seen = {"visible": np.stack(visible), "total": np.stack(total), "box": np.stack(box)}
    (home / "video.json").write_text(json.dumps(_record(clip, seen)) + "\n")


def _record(clip: Clip, seen: dict[str, np.ndarray]) -> dict[str, object]:
    focal, center = [clip.focal] * 2, [clip.width / 2, clip.height / 2]
    camera = {
        "width": clip.width,
        "height": clip.height,
        "focal": focal,
        "center": center,
        "poses": clip.poses.tolist(),
    }
    things = []
    about = clip.record["things"]
    assert isinstance(about, list)
    for k, more in enumerate(about):
        pose = clip.thing_poses[:, k]
        thing = {
            "number": k + 1,
            "shape": clip.shapes[k],
            "color": clip.colors[k],
            "size": clip.sizes[k].tolist(),
            **more,
        }
        thing |= {"poses": pose.tolist(), "center": pose[:, :3, 3].tolist(), "velocity": clip.velocities[:, k].tolist()}
        things.append(thing | {name: values[:, k].tolist() for name, values in seen.items()})
    more_camera = clip.record["camera"]
    assert isinstance(more_camera, dict)
    return {
        "format": 1,
        "index": clip.index,
        **{name: value for name, value in clip.record.items() if name not in ("things", "camera")},
        "camera": {**more_camera, **camera},
        "times": clip.times.tolist(),
        "ground": [0.0, 0.0, 1.0, 0.0],
        "depth": {"unit": 1 / PER_METRE, "missing": MISSING, "sky": SKY},
        "things": things,
        "captions": [] if clip.describe is None else clip.describe(seen["visible"]),
    }
