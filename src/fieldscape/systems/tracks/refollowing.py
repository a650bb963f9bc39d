"""Points of the background followed once more, now that cameras and their places in space are known.

A tracker sees two frames and a patch; all frames together know better. Points that are one are made one; each gets the
place that all its sightings agree on (``steadying``); a sighting that jumps away from there, or that lies behind
others (``hiding``), is doubted. Then every point is looked for (``looking``) in each frame that its place falls into
and that does not see it. Where it is found it is seen. What was found so far apart in time tells the places better
still, and is where the next search begins.

Points on what moves stay as they were followed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from fieldscape.progress import Bar
from fieldscape.systems.tracks.hiding import behind
from fieldscape.systems.tracks.looking import backgrounds, found, on_background, patches_of, radius_of
from fieldscape.systems.tracks.nouns import Points, Tracked
from fieldscape.systems.tracks.refollow_settings import RefollowSettings
from fieldscape.systems.tracks.steadying import Looks, bent, looks, on_rays, settled, slow

USUAL = 4.0
"""A sighting further from its place than so many usual misses is doubted, and further than ``LEAST`` pixels."""

LEAST = 0.75

ROUNDS = 2
"""Times that points are looked for: what was found is where the next search begins."""

MARGIN = 0.5
"""Picture widths beyond the border for which a place is still told."""


@dataclass(frozen=True)
class Ground:
    """What is known of the background's points on the way. place: in space.  seen, measured [t, n]: sightings.
    sure: of them.  deep: whose distance was measured."""

    place: Float[np.ndarray, "n 3"]
    seen: Bool[np.ndarray, "t n"]
    measured: Float[np.ndarray, "t n 2"]
    sure: Float[np.ndarray, "t n"]
    deep: Bool[np.ndarray, "n"]

    def of(self, chosen: np.ndarray) -> Ground:
        return Ground(
            self.place[chosen], self.seen[:, chosen], self.measured[:, chosen], self.sure[:, chosen], self.deep[chosen]
        )


def refollowed(tracked: Tracked, settings: RefollowSettings, bar: Bar) -> Tracked:
    """The clip with the background's points found again wherever they are visible, at places all frames agree on.

    Points on movers, cameras and what kind of camera it was stay as they are.
    """
    still = (tracked.points.layer == 0).nonzero()[:, 0]
    if len(still) == 0:
        return tracked
    bar.say(f"following {len(still)} points once more")
    pictures = backgrounds(tracked.clip)
    ground = _ground(tracked, still)
    before = len(ground.place)
    kept = merged(tracked, ground, settings.same)
    ground = _joined(ground, kept)
    ground, steady, view = _settled(tracked, ground)
    doubted = _doubted(ground, steady, view, tracked, settings)
    ground = replace(ground, seen=ground.seen & ~doubted, sure=np.where(doubted, 0.0, ground.sure))
    alive = np.asarray(ground.seen.any(0))
    if not alive.any():
        return tracked
    ground, steady = ground.of(alive), steady[:, alive]
    view = Looks(view.pixel[:, alive], view.depth[:, alive], view.slope[:, alive])
    tried = np.full((2, *ground.seen.shape), -1)
    for turn in range(ROUNDS):
        ground = _found(tracked, pictures, ground, steady, view, tried, settings)
        ground, steady, view = _settled(tracked, ground)
        bar.update((turn + 1) * len(pictures) / ROUNDS, points=len(ground.place))
    number = still.numpy()[np.unique(kept)][alive]
    shares = ground.seen.sum() / max(int(tracked.points.seen[:, still].sum()), 1)
    note = (
        f"Followed once more, knowing the cameras: {before - len(number)} of {before} points of the background were"
        f" others again or nothing, the rest are seen {100 * shares:.0f} % as often."
    )
    return _put(tracked, ground, number, steady, view, note)


def _ground(tracked: Tracked, still: torch.Tensor) -> Ground:
    points = tracked.points.of(still)
    seen = points.seen.numpy().copy()
    world = np.where(seen[..., None], tracked.world[:, still].double().numpy(), np.nan)
    place = tracked.world[0, still].double().numpy().copy()
    some = seen.any(0)
    place[some] = np.nanmedian(world[:, some], axis=0)
    places, sure = points.places.double().numpy(), points.sure.double().numpy()
    return Ground(place, seen, places, sure, tracked.deep[still].numpy())


def merged(tracked: Tracked, ground: Ground, near: float) -> np.ndarray:
    """For each point the one it is the same as: the longest seen of those whose places fall together all along."""
    n = len(ground.place)
    view = looks(tracked.camera, ground.place)
    size = np.array(tracked.clip.size)
    inside = np.asarray((view.pixel > -0.2 * size).all(-1) & (view.pixel < 1.2 * size).all(-1))
    order = np.argsort(-ground.seen.sum(0), kind="stable")
    rank = np.empty(n, int)
    rank[order] = np.arange(n)
    pairs = [np.zeros((0, 2), int)]
    for t in range(0, len(inside), 4):
        there = inside[t].nonzero()[0]
        if len(there) > 1:
            pairs.append(there[cKDTree(view.pixel[t, there]).query_pairs(near, output_type="ndarray")])
    both = np.unique(np.concatenate(pairs), axis=0)
    result = np.arange(n)
    if not len(both):
        return result
    one, other = both.T
    count = inside[:, one] & inside[:, other]
    apart = np.where(count, np.linalg.norm(view.pixel[:, one] - view.pixel[:, other], axis=-1), 0.0)
    same = apart.max(0) < near
    for a, b in both[same]:
        better, worse = (a, b) if rank[a] < rank[b] else (b, a)
        if result[better] == better and result[worse] == worse:
            result[worse] = better
    return result


def _joined(ground: Ground, same: np.ndarray) -> Ground:
    """Points that are one, with the sightings of all."""
    t = len(ground.seen)
    kept, index = np.unique(same, return_inverse=True)
    row = np.arange(t)[:, None]
    score = np.zeros((t, len(kept)))
    weight = ground.sure * ground.seen
    np.maximum.at(score, (row, np.broadcast_to(index, (t, len(index)))), weight)
    result = ground.of(kept)
    measured, seen, sure = result.measured.copy(), result.seen.copy(), result.sure.copy()
    for extra in (same != np.arange(len(same))).nonzero()[0]:
        into = index[extra]
        better = ground.seen[:, extra] & ~seen[:, into]
        measured[better, into] = ground.measured[better, extra]
        seen[better, into] = True
        sure[better, into] = np.minimum(ground.sure[better, extra], 0.99)
    return replace(result, measured=measured, seen=seen, sure=sure)


def _settled(tracked: Tracked, ground: Ground) -> tuple[Ground, np.ndarray, Looks]:
    """Places in space anew, where they are then in each frame [t, n, 2], and how they look from there."""
    camera, size = tracked.camera, tracked.clip.size
    scale = max(0.5, 0.001 * size[0])
    weight = ground.seen * np.clip(ground.sure, 0.25, 1.0)
    point = settled(camera, ground.place, ground.measured, weight, ground.deep, scale)
    view = looks(camera, point)
    weight = np.where(np.isfinite(view.pixel[..., 0]), weight, 0.0)
    miss = np.where((weight > 0)[..., None], ground.measured - np.nan_to_num(view.pixel), 0.0)
    bend = bent(view.pixel, miss, weight, size, scale)
    rest = np.where((weight > 0)[..., None], miss - bend, 0.0)
    weight = weight / (1 + (rest**2).sum(-1) / scale**2)
    more = slow(rest, weight, tracked.clip.seconds.double().numpy())
    return replace(ground, place=point), view.pixel + bend + more, view


def _doubted(
    ground: Ground, steady: np.ndarray, view: Looks, tracked: Tracked, settings: RefollowSettings
) -> Bool[np.ndarray, "t n"]:
    """Sightings that jump, lie behind the camera, or behind what others span."""
    away = np.linalg.norm(ground.measured - steady, axis=-1)
    usual = float(np.nanmedian(away[ground.seen])) if ground.seen.any() else 0.0
    bad = ground.seen & ~(away < max(LEAST, USUAL * usual))
    if tracked.kind not in ("tripod", "rotation"):
        for t in range(len(bad)):
            now = (ground.seen[t] & ~bad[t]).nonzero()[0]
            near = now[ground.deep[now]]
            others = _neighbours_cover(steady[t, near], view.depth[t, near], settings.behind)
            bad[t, near[others]] = True
    return bad


def _neighbours_cover(pixel: np.ndarray, depth: np.ndarray, share: float) -> Bool[np.ndarray, "k"]:
    """Points behind nearly all of those next to them in the picture."""
    count = 7
    if len(pixel) <= count:
        return np.zeros(len(pixel), bool)
    _, near = cKDTree(pixel).query(pixel, count)
    around = np.sort(depth[near[:, 1:]], axis=1)
    return depth > (1 + 2 * share) * around[:, -1]


def _found(
    tracked: Tracked, pictures: list[np.ndarray], ground: Ground, steady: np.ndarray, view: Looks,
    tried: Int[np.ndarray, "2 t n"], settings: RefollowSettings,
) -> Ground:  # fmt: skip
    """The points with sightings where they were looked for and found.

    tried: with which frames' looks (the nearest before, and after) that was done already; changed in place.
    """
    t = len(pictures)
    seen, measured, sure = ground.seen.copy(), ground.measured.copy(), ground.sure.copy()
    radius = radius_of(tracked.clip.size[1])
    local = _local(tracked, ground.place, view)
    ways = _nearest(ground.seen)
    for i in range(t):
        lost = (~ground.seen[i] & on_background(pictures[i], steady[i])).nonzero()[0]
        if tracked.kind not in ("tripod", "rotation"):
            now = (ground.seen[i] & ground.deep).nonzero()[0]
            hidden = behind(steady[i, lost], view.depth[i, lost], steady[i, now], view.depth[i, now], settings.behind)
            lost = lost[~hidden]
        for way, done in zip(ways, tried, strict=True):
            mine = lost[(way[i, lost] >= 0) & (way[i, lost] != done[i, lost]) & ~seen[i, lost]]
            done[i, mine] = way[i, mine]
            source = way[i, mine]
            look = patches_of(pictures, steady, source, mine, radius)
            warp = local[i, mine] @ np.linalg.inv(local[source, mine])
            good, place, fit = found(pictures[i], look, steady[i, mine], warp, settings.near, settings.like)
            hit = mine[good]
            seen[i, hit], measured[i, hit] = True, place[good]
            sure[i, hit] = np.clip(fit[good], 0.01, 0.99)
    return replace(ground, seen=seen, measured=measured, sure=sure)


def _local(tracked: Tracked, point: np.ndarray, view: Looks) -> Float[np.ndarray, "t n 2 2"]:
    """How a small square that faces the cameras looks in each frame."""
    away = point - tracked.camera.position.double().mean(0).numpy()
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    aside = np.where(np.abs(away[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(away, aside)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    square = np.stack([first, np.cross(away, first)], -1)
    local = view.slope @ square
    size = np.abs(np.linalg.det(local))
    return np.where((size > 1e-12)[..., None, None], local, np.eye(2))


def _nearest(seen: Bool[np.ndarray, "t n"]) -> tuple[np.ndarray, np.ndarray]:
    """The nearest frame before and after each that saw the point; -1 for none."""
    t = len(seen)
    number = np.where(seen, np.arange(t)[:, None], -1)
    before = np.maximum.accumulate(number, 0)
    number = np.where(seen, np.arange(t)[:, None], t)
    after = np.minimum.accumulate(number[::-1], 0)[::-1]
    return before, np.where(after == t, -1, after)


def _put(tracked: Tracked, ground: Ground, number: np.ndarray, steady: np.ndarray, view: Looks, note: str) -> Tracked:
    """The clip with the background as it is now known, and the movers as they were."""
    size = np.array(tracked.clip.size)
    told = np.isfinite(steady).all(-1) & ((steady > -MARGIN * size) & (steady < (1 + MARGIN) * size)).all(-1)
    seen = ground.seen & told & ((steady >= 0) & (steady < size)).all(-1)
    exact = np.where(told[..., None], steady, 0.0).astype(np.float32).astype(np.float64)
    on_ray = on_rays(tracked.camera, exact, np.where(told, view.depth, 1.0))
    world = np.where(told[..., None], on_ray, ground.place)
    points = tracked.points
    places = points.places[:, number].double().numpy()
    places = np.where(told[..., None], exact, places)
    kept = torch.cat([torch.from_numpy(number), (points.layer > 0).nonzero()[:, 0]])
    m = len(number)
    now = points.of(kept)
    new_places, new_seen, new_sure = now.places.clone(), now.seen.clone(), now.sure.clone()
    new_world = tracked.world[:, kept].clone()
    new_places[:, :m] = torch.from_numpy(places).to(new_places)
    new_seen[:, :m] = torch.from_numpy(seen)
    new_sure[:, :m] = torch.from_numpy(np.where(seen, ground.sure, 0.0)).to(new_sure)
    new_world[:, :m] = torch.from_numpy(world).to(new_world)
    alive = new_seen.any(0)
    points = Points(new_places, new_seen, new_sure, now.layer).of(alive)
    return replace(
        tracked, points=points, world=new_world[:, alive], deep=tracked.deep[kept][alive], notes=(*tracked.notes, note)
    )
