"""One photo to a scene and a fly-through, without training: read, find or cut, write, film, and say how good it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.images import colorize_depth, contact_sheet, read_image, to_uint8, write_image
from fieldscape.metrics import psnr
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run, fresh_path
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo import box as boxes
from fieldscape.systems.gan.photo import layers as sheets
from fieldscape.systems.gan.photo import scene
from fieldscape.systems.gan.photo.box import Box
from fieldscape.systems.gan.photo.corners import SURE, Found, drawn_over, find_box
from fieldscape.systems.gan.photo.depths import depth_of
from fieldscape.systems.gan.photo.draw import Textured, draw
from fieldscape.types import Camera
from fieldscape.video import write_video

SMALLEST = 64
LONGEST_SHAPE = 3.0
"""A longer side to a shorter one beyond this is no picture through one plain lens."""
LONGEST = 1280
MOST_FRAMES = 20_000
LARGEST_SIDE = 4096
PIVOT = (1.0, 2.75)
"""The point that the fly-through turns about is as far ahead as the median of what is seen, within these metres."""


@dataclass(frozen=True)
class Made:
    """A scene just made. shown: the same triangles, their texture white where the photo shows what is there."""

    shape: Textured
    shown: Textured
    start: Camera
    notes: dict[str, float | str | bool]


def from_photo(options: InvertOptions) -> None:
    """Make the run folder of one photo. Raises BadInput for a photo, file or number that cannot be used."""
    begun = time.monotonic()
    _check(options)
    photo = read_photo(options.paths[-1])
    corners = None if options.corners is None else read_corners(options.corners, photo, options)
    depth, source = depth_of(photo, options) if options.engine == "depth" else (None, "")
    out = options.out or fresh_path(Path("runs") / f"{options.paths[-1].stem}-{options.engine}")
    size = {"width": photo.shape[1], "height": photo.shape[0]}
    run = Run.create(out, "gan", options, 0, {"path": str(options.paths[-1]), **size}, "cpu")
    found = find_box(photo, options.fov) if corners is None else corners
    if depth is None:
        made = _make_box(run, photo, found, options)
    else:
        made = _make_layers(run, photo, depth, found, options)
        made.notes["depth"] = source
    figures = _film(run, photo, made, options)
    run.report(engine=options.engine, **made.notes, **figures, seconds=round(time.monotonic() - begun, 1))
    _say(out, options, made, figures)


def _check(options: InvertOptions) -> None:
    if not 1 <= options.frames <= MOST_FRAMES:
        raise BadInput(f"--frames is {options.frames}: give 1 to {MOST_FRAMES}.")
    if not 0 < options.fps <= 240:
        raise BadInput(f"--fps is {options.fps:g}: give a number above 0, up to 240.")
    if options.fov is not None and not 10 <= options.fov <= 140:
        raise BadInput(f"--fov is {options.fov:g}: give the photo's horizontal field of view, 10 to 140 degrees.")
    if not 0.1 <= options.camera_height <= 20:
        raise BadInput(f"--camera-height is {options.camera_height:g}: give 0.1 to 20 metres.")
    if options.width is not None and not SMALLEST <= options.width <= LARGEST_SIDE:
        raise BadInput(f"--width is {options.width}: give {SMALLEST} to {LARGEST_SIDE} pixels.")
    if options.engine == "depth" and options.corners is not None:
        raise BadInput("--corners is for the engine box; leave it out, or choose --engine box.")
    if options.engine == "box" and options.depth is not None:
        raise BadInput("--depth is for the engine depth; add --engine depth, or leave it out.")


def read_photo(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The photo upright, in RGB, its long side at most ``LONGEST`` and both sides even.

    Raises BadInput: no such photo, a damaged one, or one too small to see a room in.
    """
    pixels = read_image(path, upright=True).numpy()
    if min(pixels.shape[:2]) < SMALLEST:
        tall, wide = pixels.shape[:2]
        raise BadInput(f"the photo {path} is {wide} x {tall} pixels: both sides must be at least {SMALLEST}")
    if max(pixels.shape[:2]) > LONGEST_SHAPE * min(pixels.shape[:2]):
        tall, wide = pixels.shape[:2]
        raise BadInput(
            f"the photo {path} is {wide} x {tall} pixels: a panorama or strip has no single perspective; crop it to at "
            f"most {LONGEST_SHAPE:g} to 1"
        )
    if pixels.shape[-1] == 4:  # what is transparent shows white paper
        share = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * share + 255 * (1 - share)).round().astype(np.uint8)
    pixels = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
    height, width = pixels.shape[:2]
    shrink = min(1.0, LONGEST / max(height, width))
    size = (max(2, 2 * round(width * shrink / 2)), max(2, 2 * round(height * shrink / 2)))
    if shrink < 1:
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(pixels[: height - height % 2, : width - width % 2])


def read_corners(path: Path, photo: UInt8[np.ndarray, "h w 3"], options: InvertOptions) -> Found:
    """The box that a corners file states.

    Its corners are pixels of a photo of the stated ``size`` [width, height], by default of this one as it is worked on.
    Raises BadInput for a file that is no such, and for corners that cross, or lie far outside.
    """
    record = read_json(path, 2**20)
    example = '{"corners": [[x, y], ...]} from the top left on, clockwise'
    height, width = photo.shape[:2]
    try:
        values = np.array(record["corners"], float)
        size = np.array(record.get("size", [width, height]), float)
        vanishing = record.get("vanishing_point")
        point = None if vanishing is None else np.array(vanishing, float)
        fov = options.fov if options.fov is not None else float(record.get("fov", 60.0))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadInput(f"{path} states no corners of a back wall: it must read {example}") from error
    fits = values.shape == (4, 2) and size.shape == (2,) and (point is None or point.shape == (2,))
    if not fits or not np.isfinite(values).all() or not (size >= 1).all() or not 10 <= fov <= 140:
        raise BadInput(f"{path} states no four corners of a back wall: it must read {example}")
    if point is not None and not np.isfinite(point).all():
        raise BadInput(f"the vanishing point in {path} is not a place; mend it, or leave it out")
    ratio = np.array([width, height]) / size
    if abs(ratio[0] / ratio[1] - 1) > 0.02:
        raise BadInput(f"the corners in {path} are of a photo of another shape ({size[0]:g} x {size[1]:g} pixels)")
    values = values * ratio
    limit = np.array([width, height])
    if (values < -limit).any() or (values > 2 * limit).any():
        raise BadInput(f"a corner in {path} lies far outside of the photo, which is {width} x {height} pixels")
    following, last = np.roll(values, -1, 0) - values, np.roll(values, -2, 0) - np.roll(values, -1, 0)
    if (following[:, 0] * last[:, 1] - following[:, 1] * last[:, 0] <= 0).any():
        raise BadInput(f"the corners in {path} cross, or do not go round clockwise: it must read {example}")
    focal = cameras.focal_from_fov(fov, width)
    place = None if point is None else (float(point[0] * ratio[0]), float(point[1] * ratio[1]))
    return Found(boxes.from_corners(values, width, height, focal, place), 1.0, options.fov is not None)


def _make_box(run: Run, photo: np.ndarray, found: Found, options: InvertOptions) -> Made:
    box, eye = found.box, options.camera_height
    height, width = photo.shape[:2]
    write_image(run.path / "box.png", torch.from_numpy(drawn_over(photo, box)))
    write_json(run.path / "corners.json", corners_record(box, width, height))
    start = boxes.camera_of(box, width, height, scene.camera_pose(box.rotation, eye))
    textures = boxes.planes(photo, box, eye)
    place = scene.room_pose(eye)
    shape = boxes.as_mesh(textures, box, eye, place)
    known = {name: boxes.texture_of(photo, box, plane, eye)[1] for name, plane in boxes.sides(box, eye).items()}
    white = {name: _mask(mask) for name, mask in known.items()}
    shown = boxes.as_mesh(white, box, eye, place)
    scene.write_box(run.path, textures, box, eye, start, _around(shape, start))
    return Made(shape, shown, start, _notes(found, options, width))


def corners_record(box: Box, width: int, height: int) -> dict[str, object]:
    """What corners.json holds: to be adjusted by hand, and given back by --corners."""
    point = box.pixels(np.array([0.0, 0.0, 1.0]), width, height)
    return {
        "corners": box.corners(width, height).round(2).tolist(),
        "vanishing_point": point.round(2).tolist(),
        "size": [width, height],
        "fov": round(math.degrees(2 * math.atan(width / 2 / box.focal)), 3),
    }


def _make_layers(run: Run, photo: np.ndarray, depth: np.ndarray, found: Found, options: InvertOptions) -> Made:
    height, width = photo.shape[:2]
    # Only a room that is surely seen says how the camera is tilted; else it is taken to be level.
    rotation = found.box.rotation if found.confidence >= SURE else np.eye(3)
    pose = scene.camera_pose(rotation, options.camera_height)
    start = boxes.camera_of(found.box, width, height, pose)
    layers = sheets.layered(photo, depth, found.box.focal, scene.reach(PIVOT[1]))
    shape = sheets.as_mesh(layers, start)
    scene.write_layers(run.path, layers, start, _around(shape, start))
    return Made(
        shape, sheets.as_mesh(sheets.masked(layers, width, height), start), start, _notes(found, options, width)
    )


def _mask(known: Bool[np.ndarray, "h w"]) -> UInt8[Tensor, "h w 3"]:
    return torch.from_numpy(np.repeat(known[..., None] * np.uint8(255), 3, -1))


def _notes(found: Found, options: InvertOptions, width: int) -> dict[str, float | str | bool]:
    view = round(math.degrees(2 * math.atan(width / 2 / found.box.focal)), 1)
    source = "given" if options.fov is not None else "from the lines of the photo" if found.focal_told else "assumed"
    told = "given by hand" if options.corners is not None else "a guess" if found.confidence < SURE else "found"
    return {"confidence": round(found.confidence, 3), "room": told, "fov": view, "fov_is": source}


def _pivot(depth: Tensor) -> float:
    return float(depth.median().clamp(*PIVOT))


def _around(shape: Textured, start: Camera) -> scene.Around:
    seen = draw(shape, cameras.resize(start, *_small(start, 256)))
    depth = seen.depth[..., 0]
    pivot = _pivot(depth[depth > 0])
    near = float(depth[depth > 0].quantile(0.02))
    stops = scene.flight(start, pivot, near, 8)
    around = cameras.resize(start, depth.shape[1], depth.shape[0])
    return scene.Around(stops, scene.framing_of(around, pivot, depth))


def _small(camera: Camera, width: int) -> tuple[int, int]:
    wide = min(width, camera.width)
    return wide, max(1, round(camera.height * wide / camera.width))


def _film(run: Run, photo: np.ndarray, made: Made, options: InvertOptions) -> dict[str, float]:
    """The fly-through, a sheet of pictures, and the figures."""
    drawn = scene.drawing(made.shape, made.start)
    own = drawn(made.start, {})
    depth = own.depth[..., 0]
    known = depth[own.alpha[..., 0] > 0.5]
    pivot, near = _pivot(known), float(known[:: 1 + known.numel() // 100_000].quantile(0.02))
    start = made.start
    if options.width is not None:
        tall = 2 * max(1, round(start.height * options.width / start.width / 2))
        start = cameras.resize(start, options.width + options.width % 2, tall)
    way = scene.flight(start, pivot, near, options.frames)
    span = _span(drawn, way)
    with progress(options.frames, "rendering", options.quiet, unit="frame") as bar:
        write_video(run.path / "fly-through.mp4", _pictures(drawn, way, span, bar), options.fps)
    quarter = [scene.flight(made.start, pivot, near, 8)[k] for k in (2, 4, 6)]
    sheet_size = _small(made.start, 480)
    views = [drawn(cameras.resize(camera, *sheet_size), {}) for camera in quarter]
    small = torch.from_numpy(cv2.resize(photo, sheet_size, interpolation=cv2.INTER_AREA))
    flat = drawn(cameras.resize(made.start, *sheet_size), {}).depth
    rows = [
        [small, views[0].color.clamp(0, 1), views[1].color.clamp(0, 1), views[2].color.clamp(0, 1)],
        [colorize_depth(map_, *span) for map_ in (flat, *(view.depth for view in views))],
    ]
    titles = ["photo", f"{scene.YAW:g} degrees to one side", "ahead", "to the other"]
    write_image(run.path / "sheet.png", contact_sheet(rows, ["", "depth"], titles))
    middle = tuple(slice(round(0.05 * n), n - round(0.05 * n)) for n in photo.shape[:2])
    truth = torch.from_numpy(photo).float() / 255
    spread = known.double()
    return {
        "reconstruction_psnr": round(min(99.0, float(psnr(own.color[middle], truth[middle]))), 2),
        "relief": round(float(spread.std() / (spread.max() - spread.min()).clamp(min=1e-9)), 4),
        "revealed": round(_revealed(made, way), 4),
    }


def _span(drawn: scene.Draw, way: Camera) -> tuple[float, float]:
    """Near and far of what the flight sees, for the colours of depth."""
    depths = []
    for k in range(0, len(way), max(1, len(way) // 5)):
        seen = drawn(cameras.resize(way[k], *_small(way, 96)), {})
        depths.append(seen.depth[seen.alpha > 0.5])
    near, far = torch.cat(depths).quantile(torch.tensor([0.01, 0.97])).tolist()
    return near, max(far, 1.01 * near)


def _pictures(drawn: scene.Draw, way: Camera, span: tuple[float, float], bar: Bar) -> Iterator[Tensor]:
    near, far = span
    colors = to_uint8(colorize_depth(torch.linspace(near, far, 256)[None], near, far))[0]
    for k in range(len(way)):
        seen = drawn(way[k], {})
        level = ((seen.depth[..., 0] - near) * (255 / (far - near))).clamp(0, 255).to(torch.long)
        beside = torch.where(seen.alpha > 0.5, colors[level], torch.tensor(51, dtype=torch.uint8))
        yield torch.cat([to_uint8(seen.color), beside], 1)
        bar.update(k + 1)


def _revealed(made: Made, way: Camera) -> float:
    """The share of pixels along the way that show what the photo does not."""
    steps = range(0, len(way), max(1, len(way) // 12))
    small = _small(way, 160)
    shares = [float(1 - draw(made.shown, cameras.resize(way[k], *small), 2).color.mean()) for k in steps]
    return sum(shares) / len(shares)


def _say(out: Path, options: InvertOptions, made: Made, figures: dict[str, float]) -> None:
    notes = made.notes
    room = f"the room is {notes['room']} (confidence {notes['confidence']:.2f})"
    if options.engine == "box" and notes["room"] == "a guess":
        room += f": look at {out / 'box.png'}, adjust {out / 'corners.json'} and give it by --corners"
    elif options.engine == "depth":
        room = f"depth {notes['depth']}"
    print(f"{room}; field of view {notes['fov']:g} degrees, {notes['fov_is']}")
    print(
        f"{out / 'fly-through.mp4'}: {options.frames} frames; {100 * figures['revealed']:.0f} % of what they show is "
        f"filled in; the photo itself comes back at {figures['reconstruction_psnr']:.1f} dB"
    )
