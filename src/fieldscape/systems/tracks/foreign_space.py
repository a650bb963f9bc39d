"""From places in the picture and measured places in space to tracks: what all formats of others have in common.

A point that does not move has one place in space, the median of what was measured. At each frame where it was seen it
is put on the ray through the place where it was seen, as far away as that median is, so the picture is met exactly.
A point on a mover is where it was measured, put on the ray likewise. Where a point was not seen, what happened between
the frames around is filled in by straight lines, and holds before the first and after the last.

Legend: t frames, n points. Calculated in double precision.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fieldscape.cameras import project
from fieldscape.errors import BadInput
from fieldscape.systems.tracks.nouns import Clip, Points, Tracked
from fieldscape.types import Camera

NEAREST = 1e-9
"""Distances below this are none."""


def filled(values: Float[Tensor, "t n c"], known: Bool[Tensor, "t n"], times: Float[Tensor, "t"]) -> Tensor:
    """``values`` where ``known``, straight lines between, held before and after; 0 for points never known.

    >>> values = torch.tensor([9.0, 1.0, 9.0, 3.0]).reshape(4, 1, 1)
    >>> known = torch.tensor([False, True, False, True])[:, None]
    >>> filled(values, known, torch.arange(4.0)).flatten().tolist()
    [1.0, 1.0, 2.0, 3.0]
    """
    result, when = np.zeros(values.shape), times.double().numpy()
    given, there = values.double().numpy(), known.numpy()
    for i in range(values.shape[1]):
        mine = there[:, i]
        if mine.any():
            for c in range(values.shape[2]):
                result[:, i, c] = np.interp(when, when[mine], given[mine, i, c])
    return torch.from_numpy(result)


def layer_of(
    places: Float[Tensor, "t n 2"], seen: Bool[Tensor, "t n"], layers: UInt8[Tensor, "t h w"] | None
) -> Int[Tensor, "n"]:
    """The layer that each point lies on in most frames where it is seen; 0 without masks."""
    t, n = seen.shape
    if layers is None:
        return torch.zeros(n, dtype=torch.long)
    height, width = layers.shape[1:]
    x, y = places[..., 0].long().clamp(0, width - 1), places[..., 1].long().clamp(0, height - 1)
    there = layers[torch.arange(t)[:, None], y, x].long()
    votes = torch.zeros(n, 256).scatter_add_(1, there.T.contiguous(), seen.T.float().contiguous())
    return votes.argmax(1)


def on_ray(camera: Camera, places: Float[Tensor, "t n 2"], depth: Float[Tensor, "t n"]) -> Float[Tensor, "t n 3"]:
    """The points seen at ``places`` at planar ``depth``, in the world. ``camera``: a pinhole of each frame."""
    local = torch.cat(
        [(places - camera.center[:, None]) / camera.focal[:, None], torch.ones_like(depth)[..., None]], -1
    )
    return (local * depth[..., None]) @ camera.pose[:, :3, :3].mT + camera.position[:, None]


def seen_from(camera: Camera, world: Float[Tensor, "t n 3"]) -> tuple[Float[Tensor, "t n 2"], Float[Tensor, "t n"]]:
    """Where each frame's camera sees its points, in pixels, and their planar depths."""
    return project(camera.map(lambda tensor: tensor[:, None]), world)


def tracked_from(
    clip: Clip,
    camera: Camera,
    places: Float[Tensor, "t n 2"],
    sure: Float[Tensor, "t n"],
    measured: Float[Tensor, "t n 3"],
    least_sure: float,
    notes: tuple[str, ...],
    where: str,
) -> Tracked:
    """The tracks of a clip whose cameras are known and whose points were measured in space.

    sure: 0..1; a point is seen where that is above ``least_sure`` and its place lies in the picture.
    measured: world places; NaN, or behind the camera, where there is none. Points never both seen and measured are left
    out. Raises BadInput if none is left.
    """
    camera = camera.map(lambda tensor: tensor.double())
    size = torch.tensor(clip.size, dtype=torch.float64)
    inside = places.isfinite().all(-1) & (places >= 0).all(-1) & (places <= size).all(-1)
    seen = inside & (sure.nan_to_num(0.0) > least_sure)
    _, depth = seen_from(camera, measured.nan_to_num(0.0, 0.0, 0.0))
    there = measured.isfinite().all(-1) & (depth > NEAREST)
    chosen = (seen & there).any(0)
    if not chosen.any():
        raise BadInput(f"{where}: no point is both seen, in the picture, and before the camera in any frame.")
    if not chosen.all():
        lost = f"{int((~chosen).sum())} of {len(chosen)} points were never seen at a measured place and were left out"
        notes = (*notes, lost)
    places, seen, sure, measured, there = (x[:, chosen] for x in (places, seen, sure, measured, there))
    layer = layer_of(places.nan_to_num(), seen, clip.layers)
    known = seen & there
    still = torch.where(known[..., None], measured, torch.nan).nanmedian(0).values.expand_as(measured)
    guess = torch.where((layer == 0)[None, :, None], still, filled(measured.nan_to_num(), known, clip.seconds))
    _, distance = seen_from(camera, guess)
    # What is guessed behind a camera cannot be on the ray through its place: there the point was not seen.
    seen = seen & (distance > NEAREST)
    step = on_ray(camera, places.nan_to_num(), distance) - guess
    world = guess + filled(step, seen, clip.seconds)
    shown, depth = seen_from(camera, world)
    shown = torch.where((depth > NEAREST)[..., None], shown, filled(places.nan_to_num(), seen, clip.seconds))
    far = 4 * size  # a guess need not be exact where nothing is seen, but it must be a number of sense
    places = torch.where(seen[..., None], places, torch.minimum(torch.maximum(shown, -far), 2 * far))
    points = Points(places.float(), seen, (sure.clamp(0, 1) * seen).nan_to_num(0.0).float(), layer)
    kept = seen.any(0)
    return Tracked(
        clip, None, points.of(kept), camera.map(lambda x: x.float()), "given", world[:, kept].float(),
        torch.ones(int(kept.sum()), dtype=torch.bool), notes,
    )  # fmt: skip
