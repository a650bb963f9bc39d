"""Pictures that show what was found: the points of a clip with the way they came, and the triangles between them.

Lines are antialiased and drawn to a sixteenth of a pixel, on frames enlarged to at least ``LEAST`` pixels across.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.video import write_video

LEAST = 640
TAIL = 12
MOST_TAILS = 700
SHIFT = 4
"""OpenCV takes places in whole numbers of 1 / 2^SHIFT pixels."""
FARTHEST = 16_000.0
"""Pixels: OpenCV's whole numbers end at 2^31 sixteenths, and its drawing well before."""


def layer_color(layer: int) -> tuple[int, int, int]:
    """A colour for each layer: turquoise for what is still, others far apart in hue by the golden ratio.

    >>> layer_color(0), layer_color(1)
    ((38, 217, 217), (255, 102, 51))
    """
    if layer == 0:
        return 38, 217, 217
    hue = (0.0417 + (layer - 1) * 0.6180339887) % 1.0
    red, green, blue = (round(255 * value) for value in colorsys.hsv_to_rgb(hue, 0.8, 1.0))
    return red, green, blue


def track_overlay(clip: Clip, points: Points, frame: int, tail: int = TAIL) -> UInt8[Tensor, "h w 3"]:
    """The frame with every point seen in it, and the way it came over up to ``tail`` frames, fading backward.

    Of more than ``MOST_TAILS`` points every so manieth has its way drawn. Where a point was not seen, neither it nor
    the way to it and from it is drawn.
    """
    canvas, scale = _canvas(clip.frames[frame])
    first = max(0, frame - tail)
    places = _sixteenths(points.places[first : frame + 1], scale)
    seen = points.seen[first : frame + 1].numpy()
    layers, width = points.layer.numpy(), max(1, round(canvas.shape[1] / 900))
    # Where points are many they are drawn smaller, and only some with the way they came: else nothing is to be seen.
    count = max(1, int(seen[-1].sum()))
    apart = (canvas.shape[0] * canvas.shape[1] / count) ** 0.5
    radius = round(min(1.2 + canvas.shape[1] / 640, max(1.0, 0.12 * apart)) * 2**SHIFT)
    tailed = np.arange(len(layers)) % -(-count // MOST_TAILS) == 0
    for layer in np.unique(layers):
        color = layer_color(int(layer))
        for step in range(len(places) - 1):
            # The older, the darker: drawn first, so the newest is on top.
            fade = 0.25 + 0.75 * (step + 1) / (len(places) - 1)
            shown = tailed & (layers == layer) & seen[step] & seen[step + 1] & seen[-1]
            ways = list(places[step : step + 2, shown].swapaxes(0, 1))
            cv2.polylines(canvas, ways, False, [fade * value for value in color], width, cv2.LINE_AA, SHIFT)
        for i in np.flatnonzero(seen[-1] & (layers == layer)):
            cv2.circle(canvas, places[-1, i].tolist(), radius, color, cv2.FILLED, cv2.LINE_AA, SHIFT)
    return torch.from_numpy(canvas)


def track_frames(clip: Clip, points: Points, tail: int = TAIL) -> Iterator[UInt8[Tensor, "h w 3"]]:
    """``track_overlay`` of every frame, one at a time."""
    for frame in range(len(clip)):
        yield track_overlay(clip, points, frame, tail)


def write_track_film(path: Path, clip: Clip, points: Points, tail: int = TAIL) -> None:
    """A film of ``track_overlay`` at the clip's own speed. Raises BadInput if it cannot be written."""
    write_video(path, track_frames(clip, points, tail), frame_rate(clip))


def frame_rate(clip: Clip) -> float:
    """The clip's usual frames a second, within what a film can have.

    >>> frame_rate(Clip(torch.zeros(3, 2, 2, 3).byte(), torch.tensor([0.0, 0.1, 0.2]), None, (0, 1, 2), "clip"))
    10.0
    """
    gap = float(clip.seconds.double().diff().median()) if len(clip) > 1 else 1.0
    return round(min(240.0, max(1.0, 1 / gap)), 3)


def mesh_overlay(
    frame: UInt8[Tensor, "h w 3"],
    vertices: Sequence[Float[Tensor, "v 2"]],
    faces: Sequence[Int[Tensor, "f 3"]],
    layers: Sequence[int] | None = None,
) -> UInt8[Tensor, "h w 3"]:
    """The frame with the edges of the sheets' triangles; the later sheets over the earlier ones.

    vertices: of each sheet, projected, in pixels; faces with a vertex that is not finite are left out.  layers: of each
    sheet, for the colour; by default their order.
    """
    canvas, scale = _canvas(frame)
    for k, (places, triangles) in enumerate(zip(vertices, faces, strict=True)):
        usable = places.isfinite().all(-1)
        kept = triangles[usable[triangles].all(-1)].numpy()
        if not len(kept):
            continue
        edges = np.unique(np.sort(np.concatenate([kept[:, [0, 1]], kept[:, [1, 2]], kept[:, [2, 0]]]), 1), axis=0)
        ends = _sixteenths(places.nan_to_num(), scale)[edges]
        color = layer_color(k if layers is None else layers[k])
        cv2.polylines(canvas, list(ends), False, color, 1, cv2.LINE_AA, SHIFT)
    return torch.from_numpy(canvas)


def write_mesh_film(path: Path, pictures: Iterator[UInt8[Tensor, "h w 3"]], clip: Clip) -> None:
    """A film of pictures by ``mesh_overlay``, at the clip's own speed. Raises BadInput if it cannot be written."""
    write_video(path, pictures, frame_rate(clip))


def _canvas(frame: UInt8[Tensor, "h w 3"]) -> tuple[np.ndarray, int]:
    """The frame, darkened a little and enlarged by a whole factor, and that factor."""
    scale = max(1, -(-LEAST // frame.shape[1]))
    dim = (frame.numpy() * 0.75 + 24).astype(np.uint8)
    size = frame.shape[1] * scale, frame.shape[0] * scale
    return cv2.resize(dim, size, interpolation=cv2.INTER_CUBIC) if scale > 1 else np.ascontiguousarray(dim), scale


def _sixteenths(places: Float[Tensor, "*p 2"], scale: int) -> np.ndarray:
    """Places (the first pixel's centre at 0.5) in OpenCV's whole numbers (there at 0), on a canvas so much larger."""
    flat = (places.double() * scale - 0.5).clamp(-FARTHEST, FARTHEST) * 2**SHIFT
    return flat.round().numpy().astype(np.int32)
