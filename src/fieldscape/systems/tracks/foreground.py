"""What moves in a clip, marked in every frame: found by its motion, or carried forward from a mask of the first frame.

Found: dense flow (DIS, Kroeger et al. 2016) to frames as far away as it can be trusted; the camera's part of it is a
homography or, where the scene has depth, an epipolar geometry, fitted robustly (MAGSAC, Barath et al. 2019). What
disagrees, and does not look right either when it is fetched as the camera's motion says, smoothed along the flow
through time, starts a segmentation by colour (GrabCut, Rother et al. 2004). On a tripod the picture without what moves
is known: the median of all frames, and what differs from it is marked too.

All is done at a small size and enlarged: borders are right to a pixel or two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.progress import Bar
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.nouns import Clip

SIDE = 320
"""Pixels of the longer side of the pictures that are segmented."""
CARRIED_SIDE = 432
GAPS = (1, 2, 4, 8)
TRUSTED = 0.8
"""Share of pixels whose flow must come back to its start for a gap to be used."""
UNLIKE = 8.0
"""Levels of colour by which a place may differ from what the background's motion brings there."""
SHIFTS = ((0.0, 0.0), (-0.7, 0.0), (0.7, 0.0), (0.0, -0.7), (0.0, 0.7))
"""Pixels by which that motion may err."""
FLAT = 0.65
"""Share of pixels that one homography must explain for all depth to be neglected."""
STILL = 0.3
"""Pixels that the typical point moves over a long gap on a tripod."""
LEAST = 0.002
"""Share of the picture below which something that moves is not worth a layer (or is noise)."""
MOST = 0.6
"""Share of the picture above which what "moves" is rather the background."""


@dataclass(frozen=True)
class Small:
    """Frames at the working size. colors: [t] uint8 [h, w, 3].  greys: [t] uint8 [h, w]."""

    colors: list[np.ndarray]
    greys: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.colors)

    def flow(self, i: int, j: int) -> np.ndarray:
        """Dense flow [h, w, 2] from frame i to frame j."""
        return dense_flow(self.greys[i], self.greys[j])


def dense_flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where each pixel of the grey picture ``one`` is in ``other``, relative to where it was [h, w, 2]."""
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(method.calc(one, other, np.zeros((*one.shape, 2), np.float32)))


def find_layers(clip: Clip, settings: FollowSettings, bar: Bar) -> Clip:
    """The clip with ``layers``: 1 where something moves against the background, 0 elsewhere; or, where nothing of any
    size does, without. What was done is said in its notes."""
    small = _small(clip, SIDE)
    gap = _gap(small)
    tripod = _stands_still(small)
    evidence = []
    for i in range(len(small)):
        evidence.append(_evidence(small, i, gap))
        bar.update(0.5 * (i + 1))
    evidence = _smoothed(small, evidence)
    if tripod:
        evidence = [np.maximum(e, d) for e, d in zip(evidence, _differences(small), strict=True)]
    masks = []
    for i in range(len(small)):
        masks.append(_segmented(small.colors[i], evidence[i]))
        bar.update(0.5 * (len(small) + i + 1))
    masks = _steady(small, masks)
    shares = np.array([mask.mean() for mask in masks])
    if (shares > LEAST).mean() < 1 / 3:
        return replace(clip, layers=None, notes=(*clip.notes, "nothing was found to move but the camera"))
    if np.median(shares) > MOST:
        note = "most of the picture moves otherwise than any camera explains: all of it is taken as background"
        return replace(clip, layers=None, notes=(*clip.notes, note))
    layers = torch.from_numpy(np.stack([_enlarged(mask, clip.size) for mask in masks]))
    how = "against a camera that stands still" if tripod else f"against the camera's motion over {gap} frames"
    doubt = "" if tripod else "what stands out of a flat ground may be among it, "
    note = (
        f"what moves was found by its motion {how}: {100 * shares.mean():.1f} % of the picture; {doubt}"
        "its borders are rough, and what stands still for a while is lost. Masks (--masks) do better"
    )
    return replace(clip, layers=layers, notes=(*clip.notes, note))


def carried(clip: Clip, mask: UInt8[Tensor, "h w"]) -> Clip:
    """The clip with ``layers``: ``mask`` of the first frame carried forward, along the flow, its borders found again by
    colour in every frame."""
    small = _small(clip, CARRIED_SIDE)
    size = small.greys[0].shape[::-1]
    first = mask.numpy()
    things = [int(k) for k in np.unique(first) if k]
    layers = [first]
    current = {k: cv2.resize((first == k).astype(np.float32), size, interpolation=cv2.INTER_AREA) for k in things}
    for i in range(1, len(small)):
        back = small.flow(i, i - 1)
        ahead = small.flow(i - 1, i)
        agree = _agreeing(back, ahead)
        out = np.zeros(clip.frames.shape[1:3], np.uint8)
        best = np.full(out.shape, 0.5, np.float32)
        for k in things:
            current[k] = _carry(small.colors[i], _warped(current[k], back), agree)
            large = cv2.resize(current[k], clip.size, interpolation=cv2.INTER_LINEAR)
            out[large > best] = k
            best = np.maximum(best, large)
        layers.append(out)
    note = "the first frame's mask was carried forward by motion and colour; look at the overlay before trusting it"
    return replace(clip, layers=torch.from_numpy(np.stack(layers)), notes=(*clip.notes, note))


def _small(clip: Clip, side: int) -> Small:
    factor = min(2.0, side / max(clip.size))  # the flow misses small things in small pictures
    size = round(clip.size[0] * factor), round(clip.size[1] * factor)
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    colors = [cv2.resize(frame, size, interpolation=kind) for frame in clip.frames.numpy()]
    return Small(colors, [cv2.cvtColor(color, cv2.COLOR_RGB2GRAY) for color in colors])


def _grid(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1).astype(np.float32)


def _warped(picture: np.ndarray, back: np.ndarray) -> np.ndarray:
    """``picture`` fetched along the flow ``back`` [h, w, 2]; 0 outside."""
    at = _grid(back.shape) + back
    return cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _agreeing(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Where the flow ``there`` is undone by the flow ``back``, within a pixel or a tenth of its length. Bool [h, w]."""
    undone = there + _warped(back, there)
    return np.linalg.norm(undone, axis=2) < 1 + 0.05 * np.linalg.norm(there, axis=2)


def _gap(small: Small) -> int:
    """The largest gap over which the flow of most pixels can be trusted."""
    best = 1
    for gap in GAPS[1:]:
        shares = []
        for i in np.linspace(0, len(small) - 1 - gap, 6).astype(int).tolist() if len(small) > 2 * gap else []:
            shares.append(_agreeing(small.flow(i, i + gap), small.flow(i + gap, i)).mean())
        if not shares or np.median(shares) < TRUSTED:
            break
        best = gap
    return best


def _stands_still(small: Small) -> bool:
    """Whether the typical pixel of the picture stays where it is all through the clip."""
    moved = []
    for i in np.linspace(0, len(small) - 1, 8).astype(int).tolist():
        for j in (0, len(small) - 1):
            if i != j:
                motion = np.linalg.norm(small.flow(i, j), axis=2)
                textured = np.abs(cv2.Laplacian(small.greys[i], cv2.CV_32F)) > 8
                moved.append(np.median(motion[textured]) if textured.any() else 0.0)
    return bool(np.median(moved) < STILL)


def _evidence(small: Small, i: int, gap: int) -> np.ndarray:
    """How far each pixel of a frame moves otherwise than the background: 0 not at all, 1 at the limit. [h, w]."""
    found = []
    for j in _others(i, gap, len(small)):
        there, back = small.flow(i, j), small.flow(j, i)
        agree = _agreeing(there, back)
        off, explained = misfit(there, agree)
        looks = unlike(small.colors[i], small.colors[j], explained)
        # Where flow is lost, looks alone must tell; elsewhere both must: flow errs where nothing is to be seen.
        found.append(np.where(agree, np.minimum(off, looks), looks))
    # What is hidden in another frame is strange there, but not in one on the other side in time.
    return np.nan_to_num(np.fmin(found[0], found[-1]), nan=0.0).astype(np.float32)


def _others(i: int, gap: int, count: int) -> list[int]:
    """The frames that frame i is compared with: on both sides, or two of the same side at the ends of the clip.

    >>> _others(5, 2, 10), _others(1, 2, 10), _others(9, 4, 10), _others(0, 1, 2)
    ([3, 7], [3, 5], [5, 1], [1])
    """
    sides = [j for j in (i - gap, i + gap) if 0 <= j < count]
    if len(sides) == 1:
        way = sides[0] - i
        sides += [j for j in (i + 2 * way, i + way // 2) if 0 <= j < count and j not in (i, sides[0])][:1]
    return sides


def unlike(one: np.ndarray, other: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """How badly the frame ``other`` fetched along the background's ``flow`` looks like ``one``, in units of the limit;
    NaN outside the picture. A little shift costs nothing: the best of the pixels around counts."""
    at = (_grid(flow.shape) + flow).astype(np.float32)
    near = np.full(flow.shape[:2], np.inf, np.float32)
    for x, y in SHIFTS:
        fetched = cv2.remap(other, at[..., 0] + x, at[..., 1] + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        off = cv2.absdiff(one, fetched).max(2).astype(np.float32)
        near = np.minimum(near, cv2.GaussianBlur(off, (0, 0), 1.5))
    size = np.array(flow.shape[1::-1]) - 1
    inside = ((at >= 0) & (at <= size)).all(2)
    usual = float(np.median(near[inside])) if inside.any() else 0.0
    return np.where(inside, near / max(UNLIKE, 4 * usual), np.nan)


def misfit(flow: np.ndarray, trusted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How badly the flow [h, w, 2] fits the best single homography or epipolar geometry, in units of the limit [h, w];
    and the flow that would fit, which is NaN where no flow is trusted and the geometry alone does not tell it."""
    height, width = trusted.shape
    step = max(2, round((height * width / 3000) ** 0.5))
    chosen = np.zeros_like(trusted)
    chosen[step // 2 :: step, step // 2 :: step] = True
    chosen &= trusted
    at = _grid(flow.shape)
    start, end = at[chosen].astype(np.float64), (at + flow)[chosen].astype(np.float64)
    if len(start) < 50:
        return np.zeros(trusted.shape, np.float32), np.full_like(flow, np.nan)
    cv2.setRNGSeed(0)
    plane, on_plane = cv2.findHomography(start, end, cv2.RANSAC, 1.0, maxIters=2000, confidence=0.999)
    cv2.setRNGSeed(0)
    epipolar, on_lines = cv2.findFundamentalMat(start, end, cv2.USAC_MAGSAC, 0.5, 0.999, 2000)
    start, end = at.reshape(-1, 2).astype(np.float64), (at + flow).reshape(-1, 2).astype(np.float64)
    # What moves along the epipolar lines is hidden from them, so the plainer model is taken wherever it explains most.
    flat = on_plane is not None and (
        on_lines is None or on_plane.sum() > min(FLAT * len(on_plane), 0.9 * on_lines.sum())
    )
    if flat or epipolar is None:
        if plane is None:
            return np.zeros(trusted.shape, np.float32), np.full_like(flow, np.nan)
        mapped = cv2.perspectiveTransform(start[None], plane)[0]
        off = np.linalg.norm(mapped - end, axis=1)
    else:
        off = np.sqrt(sampson(epipolar[:3], start, end))
        lines = np.concatenate([start, np.ones((len(start), 1))], 1) @ epipolar[:3].T
        away = ((end * lines[:, :2]).sum(1) + lines[:, 2]) / np.maximum((lines[:, :2] ** 2).sum(1), 1e-12)
        mapped = np.where(trusted.reshape(-1, 1), end - away[:, None] * lines[:, :2], np.nan)
    off = off.reshape(trusted.shape)
    usual = float(np.median(off[trusted])) if trusted.any() else 0.0
    explained = (mapped - start).reshape(flow.shape).astype(np.float32)
    return (off / max(1.0, 5 * usual)).astype(np.float32), explained


def sampson(epipolar: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sampson's squared distance [n] of pairs from an epipolar geometry (Hartley and Zisserman, equation 11.9)."""
    one = np.concatenate([start, np.ones((len(start), 1))], 1)
    other = np.concatenate([end, np.ones((len(end), 1))], 1)
    lines, back = one @ epipolar.T, other @ epipolar
    top = (other * lines).sum(1) ** 2
    return top / np.maximum(lines[:, 0] ** 2 + lines[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2, 1e-12)


def _smoothed(small: Small, evidence: list[np.ndarray]) -> list[np.ndarray]:
    """The median of each frame's evidence and that of its neighbours, fetched along the flow."""
    smooth = []
    for i, own in enumerate(evidence):
        three = [own]
        for j in (i - 1, i + 1):
            if 0 <= j < len(evidence):
                three.append(_warped(evidence[j], small.flow(i, j)))
        smooth.append(cv2.GaussianBlur(np.median(three, axis=0).astype(np.float32), (0, 0), 1.5))
    return smooth


def _differences(small: Small) -> list[np.ndarray]:
    """Difference of each frame from the median of all, in units of the limit."""
    every = max(1, len(small) // 60)
    usual = np.median(np.stack(small.colors[::every]), axis=0).astype(np.float32)
    off = [np.abs(cv2.GaussianBlur(c.astype(np.float32) - usual, (0, 0), 1.0)).max(2) for c in small.colors]
    limit = max(12.0, 6 * float(np.median(np.stack(off[::every]))))
    return [one / limit for one in off]


def _segmented(color: np.ndarray, evidence: np.ndarray) -> np.ndarray:
    """The mask (0, 1) of what the evidence shows, its borders by colour."""
    core = cv2.morphologyEx((evidence > 1).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    core = _large(core, LEAST)
    if not core.any():
        return core
    reach = max(5, round(0.03 * max(core.shape)))
    near = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    labels = np.full(core.shape, cv2.GC_BGD, np.uint8)
    labels[(near > 0)] = cv2.GC_PR_BGD
    labels[core > 0] = cv2.GC_PR_FGD
    labels[cv2.erode(core, np.ones((5, 5), np.uint8)) > 0] = cv2.GC_FGD
    return _large(_cut(color, labels, core), LEAST)


def _cut(color: np.ndarray, labels: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """GrabCut; ``otherwise``, its gaps closed, where colours do not tell the two sides apart."""
    some = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if some.sum() < 12 or (~some).sum() < 12:
        return otherwise
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cut = cv2.grabCut(color, labels, (0, 0, 1, 1), *models, 2, cv2.GC_INIT_WITH_MASK)
    labels = np.asarray(cut[0])
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    if (mask & otherwise).sum() > 0.6 * otherwise.sum():
        return mask
    return cv2.morphologyEx(otherwise, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))


def _large(mask: np.ndarray, least: float) -> np.ndarray:
    """Only the connected parts that are half this share of the picture, and not tiny beside the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    limit = max(0.5 * least * mask.size, 0.1 * areas.max(initial=0))
    keep = [k for k in range(1, count) if areas[k - 1] >= limit]
    return np.isin(labels, keep).astype(np.uint8)


def _steady(small: Small, masks: list[np.ndarray]) -> list[np.ndarray]:
    """The majority of each mask and its neighbours', carried along the flow."""
    steady = []
    for i, own in enumerate(masks):
        total, count = own.astype(np.float32), 1
        for j in (i - 2, i - 1, i + 1, i + 2):
            if 0 <= j < len(masks):
                total = total + _warped(masks[j].astype(np.float32), small.flow(i, j))
                count += 1
        steady.append((total > 0.5 * count).astype(np.uint8))
    return steady


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) > 0.5).astype(np.uint8)


def _carry(color: np.ndarray, guess: np.ndarray, agree: np.ndarray) -> np.ndarray:
    """One thing's mask (0..1) in a frame, from that of the frame before brought here by the flow."""
    core = (guess > 0.5).astype(np.uint8)
    if core.sum() < 20:
        return guess
    reach = max(2, round(0.008 * max(core.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    sure, perhaps = cv2.erode(core, disc), cv2.dilate(core, disc)
    labels = np.full(core.shape, cv2.GC_BGD, np.uint8)
    labels[perhaps > 0] = cv2.GC_PR_BGD
    labels[core > 0] = cv2.GC_PR_FGD
    labels[(sure > 0) & agree] = cv2.GC_FGD
    # The colours of what is close tell more than those of all the picture.
    x, y, w, h = cv2.boundingRect(perhaps)
    pad = 4 * reach
    rows, columns = slice(max(0, y - pad), y + h + pad), slice(max(0, x - pad), x + w + pad)
    mask = core.copy()
    mask[rows, columns] = _cut(color[rows, columns].copy(), labels[rows, columns].copy(), core[rows, columns])
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
