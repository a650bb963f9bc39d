"""From a clip and its tracks to cameras and points in space: what ``tracks extract`` does after following points.

In reading order: cameras (``finding``, or those given), the still world (``lifting``), what moves (``movers``), and
where depth maps are given, their depths instead.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.cameras import undistort
from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.systems.tracks import movers
from fieldscape.systems.tracks.depth_maps import depths_at, scale_to, with_depths
from fieldscape.systems.tracks.finding import Found, cameras
from fieldscape.systems.tracks.lifting import Still, filled, followed, on_rays, planar_depths, still_points
from fieldscape.systems.tracks.nouns import Clip, Kind, Points, Tracked
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.survey import Survey
from fieldscape.types import Camera

MOVER_DISTANCE = 0.95
"""Of the background's, where there is no depth: movers stand before it."""


def solve(
    clip: Clip,
    points: Points,
    settings: SolveSettings,
    given: Camera | None,
    depths: Float[Tensor, "t h w"] | None,
    work: Path,
    bar: Bar,
) -> Tracked:
    """Cameras and 3D points of a clip whose points were followed.

    given: cameras that came with the data; only points are found then.  depths: planar depth of each pixel (0 unknown),
    in the unit of ``given`` if there are both.  work: an empty folder for structure from motion.
    Points that fit the still world nowhere are dropped; where they do not fit it in a frame they are not seen there.

    Raises BadInput: no points, or cameras or depths that do not match the clip.
    """
    if len(points) == 0:
        raise BadInput(f"{clip.name}: no point could be followed. Give a sharper clip with more texture.")
    for name, value in (("cameras", given), ("depth maps", depths)):
        if value is not None and len(value) != len(clip):
            raise BadInput(f"{clip.name} has {len(clip)} frames but {len(value)} {name} were given. Give one a frame.")
    bar.say("finding the cameras")
    seconds = clip.seconds.double().numpy()
    if given is None:
        found = cameras(clip, points, settings, work)
        straight = points
    else:
        straight, survey = straightened(points, given)
        found = Found(survey, "given", ("The cameras were given.",))
    if depths is not None and given is None and found.kind in ("low", "full"):
        found = replace(found, survey=scale_to(found.survey, straight, depths, clip.size))
    bar.say(f"lifting {len(points)} points; {found.notes[0]}")
    still_ones = torch.nonzero(points.layer == 0)[:, 0]
    background = straight.of(still_ones)
    known = None if depths is None else depths_at(depths, points.places, clip.size)
    kind: Kind = found.kind
    still = still_points(background, found.survey, kind, clip.size[0])
    if known is not None and kind != "rotation":
        still = with_depths(still, background, found.survey, known[:, still_ones].numpy(), clip.size[0])
    places = straight.places.double().numpy()
    world = np.zeros((len(clip), len(points), 3))
    deep, seen = np.zeros(len(points), bool), points.seen.numpy().copy()
    index = still_ones.numpy()
    world[:, index] = followed(places[:, index], still.stays, still.point, found.survey, seconds)
    deep[index] = still.deep
    notes = list(found.notes)
    lost = seen[:, index] & ~still.stays
    seen[:, index] = still.stays
    for layer in sorted(set(points.layer.tolist()) - {0}):
        mine = np.nonzero((points.layer == layer).numpy())[0]
        own = None if known is None else known[:, mine].numpy()
        world[:, mine], measured, note = _mover(
            clip, places[:, mine], seen[:, mine], layer, still, found.survey, kind, own, seconds
        )
        deep[mine] = measured
        notes.append(note)
    kept = seen.any(0)
    if lost.any():
        notes.append(
            f"{int((~kept).sum())} points that do not belong to the still world were dropped, and"
            f" {100 * lost.sum() / max(int(background.seen.sum()), 1):.1f} % of its sightings put aside."
        )
    if not kept.any():
        raise BadInput(f"{clip.name}: no tracked point fits the cameras. Check the cameras, or let them be found.")
    camera = given if given is not None else _camera(found.survey, clip.size)
    left = replace(points, seen=torch.from_numpy(seen), sure=points.sure * torch.from_numpy(seen)).of(
        torch.from_numpy(kept)
    )
    return Tracked(
        clip,
        None,
        left,
        camera,
        kind,
        torch.from_numpy(world[:, kept]).float(),
        torch.from_numpy(deep[kept]),
        tuple(notes),
    )


def _camera(survey: Survey, size: tuple[int, int]) -> Camera:
    t = survey.frames
    pose = torch.eye(4).repeat(t, 1, 1)
    pose[:, :3, :3], pose[:, :3, 3] = torch.from_numpy(survey.turn).float(), torch.from_numpy(survey.place).float()
    middle = torch.from_numpy(survey.middle).float().expand(t, 2).clone()
    return Camera(pose, torch.full((t, 2), float(survey.focal)), middle, *size)


def straightened(points: Points, camera: Camera) -> tuple[Points, Survey]:
    """The points as one pinhole with the middle in the middle would have seen them, and the cameras as that pinhole."""
    t = len(camera)
    focal = float(camera.focal.double().mean())
    middle = torch.tensor([camera.width / 2, camera.height / 2], dtype=torch.float64)
    image = (points.places.double() - camera.center.double()[:, None]) / camera.focal.double()[:, None]
    if camera.lens != "pinhole":
        lens = camera.map(lambda value: value.double()[:, None].expand(t, len(points), *value.shape[1:]))
        ray = undistort(lens, image)
        image = ray[..., :2] / ray[..., 2:].clamp_min(1e-6)
    pose = camera.pose.double().numpy()
    survey = Survey(pose[:, :3, :3], pose[:, :3, 3], focal, middle.numpy(), np.zeros((0, 3)), np.zeros(0))
    return replace(points, places=(image * focal + middle).to(points.places.dtype)), survey


def _mover(
    clip: Clip, places: np.ndarray, seen: np.ndarray, layer: int, still: Still, survey: Survey, kind: Kind,
    known: Float[np.ndarray, "t n"] | None, seconds: np.ndarray,
) -> tuple[Float[np.ndarray, "t n 3"], Bool[np.ndarray, "n"], str]:  # fmt: skip
    """Where the points of a mover are, whose depth was measured, and how."""
    carried = movers.carried(places, seen)
    n = places.shape[1]
    if kind in ("tripod", "rotation") and known is None:
        ray = on_rays(carried, np.ones(carried.shape[:2]), survey)
        if kind == "rotation":
            away = ray - survey.place[:, None]
            ray = survey.place[:, None] + away / np.linalg.norm(away, axis=-1, keepdims=True)
        away = ray - survey.place[:, None]
        return (
            survey.place[:, None] + MOVER_DISTANCE**layer * away,
            np.zeros(n, bool),
            f"Layer {layer} stands before the rest; its distance is not known.",
        )
    contact, around = _ground_depths(clip, places, seen, layer, still, survey)
    if known is not None:
        given = np.where(seen & (known > 0), known, np.nan)
        has = given > 0  # not where it is NaN
        contact = np.array([np.median(row[ok]) if ok.any() else np.nan for row, ok in zip(given, has)])
    words = "the given depths" if known is not None else "where it touches the ground"
    if not np.isfinite(contact).any():
        contact, words = around, "what is around it, as it touches the ground nowhere in the picture"
    if not np.isfinite(contact).any():
        contact, words = np.array([1.0, *[np.nan] * (len(clip) - 1)]), "nothing: a guess"
    middle = movers.smoothed(contact, movers.sizes(places, seen))
    depth = np.repeat(middle[:, None], n, 1)
    measured: np.ndarray = np.zeros(n, bool)
    if known is not None:
        share = np.where(has, given / middle[:, None], 0.0)
        measured = np.asarray(has.any(0))
        inner = filled(share[..., None], has, seconds)[..., 0]
        depth = depth * np.where(measured, inner, 1.0)
    return on_rays(carried, depth, survey), measured, f"The distance of layer {layer} is told by {words}."


def _ground_depths(
    clip: Clip, places: np.ndarray, seen: np.ndarray, layer: int, still: Still, survey: Survey
) -> tuple[np.ndarray, np.ndarray]:
    """Of each frame the depth of the ground under a layer, and that of what is around it; NaN where unknown."""
    t = len(clip)
    contact, around = np.full(t, np.nan), np.full(t, np.nan)
    depth = planar_depths(still.point, survey)
    width, height = clip.size
    for i in range(t):
        mask = _mask(clip, i, layer, places[i, seen[i]])
        if mask is None:
            continue
        near = still.deep & (depth[i] > 1e-6)
        local = (still.point[near] - survey.place[i]) @ survey.turn[i]
        pixel = survey.focal * local[:, :2] / local[:, 2:] + survey.middle
        inside = ((pixel >= 0) & (pixel < [width, height])).all(1)
        now = still.stays[i][near] & inside
        for chosen in (now, inside):
            ground = movers.Ground(pixel[chosen], local[chosen, 2])
            found = movers.contact_depth(mask, ground)
            if found is not None:
                contact[i] = found
                break
        around[i] = movers.around_depth(mask, movers.Ground(pixel[inside], local[inside, 2])) or np.nan
    return contact, around


def _mask(clip: Clip, frame: int, layer: int, places: np.ndarray) -> np.ndarray | None:
    """The pixels of a layer, or where those are not known, those of its points."""
    if clip.layers is not None:
        mask = (clip.layers[frame] == layer).numpy()
        return mask if mask.any() else None
    if not len(places):
        return None
    mask = np.zeros((clip.size[1], clip.size[0]), bool)
    column, row = np.clip(places.astype(int), 0, np.array(clip.size) - 1).T
    mask[row, column] = True
    return mask
