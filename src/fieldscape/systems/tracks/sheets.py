"""The meshes of a clip's frames: for each layer that a frame shows, a sheet of triangles between its tracked points.

Only points seen in the frame are vertices. Triangles persist from frame to frame (``triangles``); around them lies a
ring at its neighbours' depth (``borders``), so that the background covers the whole picture and a mover's sheet all of
its mask; where surfaces disagree further vertices come between (``inserting``), and triangles that join what does not
belong together are cut open (``tearing``). Layers are meshed apart, so no triangle crosses a mask's border; the mask
itself cuts the picture out when colours are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial import cKDTree
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.progress import Bar
from fieldscape.systems.tracks.borders import Box, on_the_border, ring, slopes
from fieldscape.systems.tracks.inserting import inserted
from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.tearing import changes, jumps, torn
from fieldscape.systems.tracks.triangles import Triangulation, carried_on, pierced, triangulated
from fieldscape.types import Camera

MOVER_RING = 4
"""Vertices along each side of the ring around a mover."""
CLEAR = 5
"""No vertices are inserted within half of so many pixels of a mover."""


@dataclass(frozen=True)
class Sheet:
    """The mesh of one layer as one training frame shows it: v = k + m vertices, the first k of them tracked points.

    frame: index in ``tracked.clip``.  layer: 0 background, else the mover.  points: the tracked points.  added: world
    places, at its own frame, of the further vertices (border ring, inserted ones, those along cuts).  follows: the
    vertex (one of the k) whose movement between frames each added vertex shares, -1: none.  uv: place of each vertex in
    its own frame, pixels.  far: faces of the far layer, which shows where others part.
    """

    frame: int
    layer: int
    points: Int[Tensor, "k"]
    added: Float[Tensor, "m 3"]
    follows: Int[Tensor, "m"]
    uv: Float[Tensor, "v 2"]
    faces: Int[Tensor, "f 3"]
    far: Bool[Tensor, "f"]


def sheets_of(tracked: Tracked, settings: MeshSettings, bar: Bar | None = None) -> tuple[tuple[Sheet, ...], ...]:
    """For each frame its sheets, the background first. A mover has none where its mask is empty."""
    layers = [0, *sorted(set(tracked.points.layer.tolist()) - {0})]
    running: dict[int, Triangulation] = {}
    frames = []
    for frame in range(len(tracked.clip)):
        sheets = []
        for layer in layers:
            found = _vertices(tracked, frame, layer, running.get(layer), settings)
            if found is None:
                continue
            places, alive, box = found
            around = ring(box, settings.ring if layer == 0 else MOVER_RING)
            places = np.concatenate([places, around])
            alive = np.concatenate([alive, np.ones(len(around), bool)])
            if layer in running:
                carried_on(running[layer], places, alive, settings.slack)
            else:
                running[layer] = triangulated(places, alive, len(around))
            sheets.append(_sheet(tracked, frame, layer, running[layer], alive, settings))
        frames.append(tuple(sheets))
        if bar is not None:
            bar.update(frame + 1)
    return tuple(frames)


def _vertices(
    tracked: Tracked, frame: int, layer: int, before: Triangulation | None, settings: MeshSettings
) -> tuple[Float[ndarray, "n 2"], Bool[ndarray, "n"], Box] | None:
    """Places of all points in a frame, which of them are vertices of a layer's sheet, and the box that holds them."""
    width, height = tracked.clip.size
    margin = settings.margin * max(width, height)
    box: Box = (-margin, -margin, width + margin, height + margin)
    if layer:
        if tracked.clip.layers is None:
            return None
        rows, columns = (tracked.clip.layers[frame] == layer).numpy().nonzero()
        if len(rows) == 0:
            return None
        reach = settings.around
        box = (columns.min() - reach, rows.min() - reach, columns.max() + 1 + reach, rows.max() + 1 + reach)
    uv, z = project(_camera(tracked, frame), tracked.world[frame].double())
    places = uv.numpy()
    mine = ((tracked.points.layer == layer) & (z > 0)).numpy() & np.isfinite(places).all(1)
    low, high = np.array(box[:2]), np.array(box[2:])
    within = ((places > low + 1e-3) & (places < high - 1e-3)).all(1)
    if layer == 0:  # beyond the picture itself nothing is seen
        within &= ((places >= 0) & (places <= [width, height])).all(1)
    places = np.where(np.isfinite(places), places, 0.0)
    seen = mine & within & tracked.points.seen[frame].numpy()
    if not seen.any():  # better the points that are known to be near than none
        seen = mine & within
    if not seen.any() and not mine.any():
        return None
    sure = tracked.points.sure[frame].double().numpy()
    if before is not None:  # those that are vertices stay, so that triangles do
        sure = sure + (before.at[: len(sure)] >= 0)
    return places, _thinned(places, seen, sure, settings.closest), box


def _thinned(places: ndarray, chosen: ndarray, sure: ndarray, closest: float) -> Bool[ndarray, "n"]:
    """``chosen``, without those that lie nearer than ``closest`` to a surer one that stays."""
    names = np.flatnonzero(chosen)
    names = names[np.argsort(-sure[names], kind="stable")]
    kept = np.ones(len(names), bool)
    if len(names) > 1:
        pairs = cKDTree(places[names]).query_pairs(closest, output_type="ndarray")
        for one, other in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
            kept[other] &= not kept[one]
    result = np.zeros(len(places), bool)
    result[names[kept]] = True
    return result


def _sheet(
    tracked: Tracked, frame: int, layer: int, base: Triangulation, alive: ndarray, settings: MeshSettings
) -> Sheet:
    """The sheet on a triangulation of the ``alive`` points and the ring."""
    camera = _camera(tracked, frame)
    count = len(tracked.points)
    points = np.flatnonzero((base.at[:count] >= 0) & alive[:count])
    ringed = np.arange(count, len(base.places))
    if len(points):
        z = project(camera, tracked.world[frame, torch.from_numpy(points)].double())[1].numpy()
        slope = slopes(base.places[points], 1 / z)
        beyond, follows = on_the_border(base.places[ringed], base.places[points], 1 / z, slope)
    else:  # nothing of the layer is near: it stands where its points are on the whole
        points, z = _nearest_of_layer(tracked, frame, layer, base.places[ringed].mean(0))
        slope = np.zeros((1, 2))
        beyond, follows = np.full(len(ringed), 1 / z[0]), np.zeros(len(ringed), np.int64)
    own = (
        base.places[points]
        if base.at[points[0]] >= 0
        else project(camera, tracked.world[frame, torch.from_numpy(points)].double())[0].numpy()
    )
    places, inverse = np.concatenate([own, base.places[ringed]]), np.concatenate([1 / z, beyond])
    owner = np.concatenate([np.arange(len(points)), follows])
    number = np.full(len(base.places), -1)
    number[points], number[ringed] = np.arange(len(points)), len(points) + np.arange(len(ringed))
    faces = number[base.triangles]
    if layer == 0:
        more, depths, whose = inserted(
            tracked, frame, points, places, inverse, slope, _open(tracked, frame), settings
        )  # fmt: skip
        if len(more):
            faces = pierced(faces, places, more)
            places, inverse = np.concatenate([places, more]), np.concatenate([inverse, depths])
            owner = np.concatenate([owner, whose])
    ends = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
    cut = jumps(places, inverse, slope[owner], ends, settings.jump)
    cut |= _changing(tracked, frame, points, inverse, ends, settings)
    parts = torn(places, inverse, faces, cut.reshape(-1, 3))
    places, inverse = np.concatenate([places, parts.places]), np.concatenate([inverse, parts.inverse])
    owner = np.concatenate([owner, owner[parts.owner]])
    k = len(points)
    added = lifted(camera, torch.from_numpy(places[k:]), torch.from_numpy(1 / inverse[k:]))
    return Sheet(
        frame, layer, torch.from_numpy(points), added.to(tracked.world), torch.from_numpy(owner[k:]),
        torch.from_numpy(places).float(), torch.from_numpy(parts.faces), torch.from_numpy(parts.far),
    )  # fmt: skip


def _nearest_of_layer(tracked: Tracked, frame: int, layer: int, place: ndarray) -> tuple[ndarray, ndarray]:
    """The point of a layer, ahead of the camera, that is nearest to a place, and its depth."""
    uv, z = project(_camera(tracked, frame), tracked.world[frame].double())
    away = (uv - torch.from_numpy(place)).norm(dim=-1)
    chosen = torch.where((tracked.points.layer == layer) & (z > 0), away, torch.inf).argmin()
    return np.array([int(chosen)]), z[chosen][None].numpy()


def _changing(
    tracked: Tracked, frame: int, points: ndarray, inverse: ndarray, ends: ndarray, settings: MeshSettings
) -> Bool[ndarray, "e"]:
    """Edges between tracked points whose length in space changes around a frame."""
    frames = slice(max(frame - settings.window, 0), frame + settings.window + 1)
    names = torch.from_numpy(points)
    world, seen = tracked.world[frames, names].numpy(), tracked.points.seen[frames, names].numpy()
    cut, both = np.zeros(len(ends), bool), (ends < len(points)).all(1)
    pixel = 1 / (inverse[ends[both]].mean(1) * float(tracked.camera.focal[frame].mean()))
    cut[both] = changes(world, seen, ends[both], settings.change, settings.jitter * pixel)
    return cut


def _open(tracked: Tracked, frame: int) -> Bool[ndarray, "h w"]:
    """Pixels of a frame that show the background, and nothing that moves near them."""
    width, height = tracked.clip.size
    if tracked.clip.layers is None:
        return np.ones((height, width), bool)
    moving = (tracked.clip.layers[frame] != 0).numpy().astype(np.uint8)
    return cv2.dilate(moving, np.ones((CLEAR, CLEAR), np.uint8)) == 0


def lifted(camera: Camera, uv: Float[Tensor, "m 2"], z: Float[Tensor, "m"]) -> Float[Tensor, "m 3"]:
    """World places of pixels of a pinhole at planar depths."""
    flat = (uv - camera.center) / camera.focal
    local = torch.cat([flat, torch.ones_like(flat[:, :1])], 1) * z[:, None]
    return local @ camera.pose[:3, :3].T + camera.position


def _camera(tracked: Tracked, frame: int) -> Camera:
    return tracked.camera[frame].map(lambda tensor: tensor.double())
