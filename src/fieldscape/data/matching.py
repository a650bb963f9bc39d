"""Points seen in several photos, found from the pixels alone.

Nothing here looks at where the cameras are said to be, except to guess which photos are worth comparing: the matches
are evidence *about* the poses, so they must not depend on them.

SIFT keypoints (Lowe, "Distinctive image features from scale-invariant keypoints", 2004) with RootSIFT descriptors
(Arandjelovic and Zisserman, "Three things everyone should know", 2012); a match must be mutual, pass Lowe's ratio test,
and agree with a fundamental matrix fitted to the pair (which needs no intrinsics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.types import Views

WORKING_SIZE = 640
"""Photos are compared at this size (longer side): larger ones are shrunk to it, small ones enlarged up to fourfold."""

FEATURES = 700
"""Keypoints kept of a photo, the strongest first."""

RATIO = 0.8
"""Lowe's ratio: a match must be this much nearer than the second nearest."""

MOST = 60
"""Matches kept of a pair: more add time, not evidence."""

FEWEST = 16
"""A pair with fewer agreeing matches is left out: a fundamental matrix (7 numbers) fits a handful of points by luck."""


@dataclass(frozen=True)
class Matches:
    """Points seen in two views each.

    first, second: indices of the two views.  first_pixels, second_pixels: where it is seen, in the views' own pixels.
    pair: which of the ``pairs`` it belongs to.  compared: number of photos looked at.
    """

    first: Int[Tensor, "m"]
    second: Int[Tensor, "m"]
    first_pixels: Float[Tensor, "m 2"]
    second_pixels: Float[Tensor, "m 2"]
    pair: Int[Tensor, "m"]
    pairs: tuple[tuple[int, int], ...]
    compared: int

    def __len__(self) -> int:
        return self.first.shape[0]


def match_views(views: Views, most_views: int = 40, most_pairs: int = 60) -> Matches:
    """Matches between the photos of ``views`` that have the most to tell about the cameras.

    All pairs among ``most_views`` chosen photos are compared; the ``most_pairs`` with many matches that moved far are
    kept. The same photos always give the same matches.
    """
    chosen = choose_views(views, most_views)
    found = [_usable_keypoints(views, i) for i in chosen]
    size = max(views.images.shape[1:3])
    candidates: list[tuple[float, int, int, Tensor, Tensor]] = []
    for a in range(len(chosen)):
        for b in range(a + 1, len(chosen)):
            kept = nearest_descriptors(found[a][1], found[b][1])
            if kept.shape[0] >= FEWEST:
                at_a, at_b = found[a][0][kept[:, 0]], found[b][0][kept[:, 1]]
                moved = float((at_a - at_b).norm(dim=-1).median()) / size
                worth = min(kept.shape[0], 150) * min(moved, 0.05)
                candidates.append((worth, chosen[a], chosen[b], at_a, at_b))
    # More than asked are tried, as some fail the fit; the most telling go first.
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1], candidate[2]))
    pairs: list[tuple[int, int]] = []
    parts: list[tuple[Tensor, Tensor]] = []
    for _, a, b, at_a, at_b in candidates[: 3 * most_pairs]:
        agree = agreeing(at_a, at_b, 0.002 * size)
        # A wrong pair (another side of a symmetric object) keeps a few matches of many by chance.
        if len(pairs) < most_pairs and agree.shape[0] >= max(FEWEST, 0.4 * at_a.shape[0]):
            pairs.append((a, b))
            agree = agree[:: math.ceil(agree.shape[0] / MOST)]
            parts.append((at_a[agree], at_b[agree]))
    counts = torch.tensor([len(part[0]) for part in parts], dtype=torch.long)
    ends = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).repeat_interleave(counts, 0)
    return Matches(
        ends[:, 0],
        ends[:, 1],
        torch.cat([part[0] for part in parts] or [torch.zeros(0, 2)]),
        torch.cat([part[1] for part in parts] or [torch.zeros(0, 2)]),
        torch.arange(len(pairs)).repeat_interleave(counts),
        tuple(pairs),
        len(chosen),
    )


def choose_views(views: Views, most: int) -> list[int]:
    """Indices of at most ``most`` photos: some spread over the sequence, each with probable neighbours.

    Three guesses at neighbours, as any of them may be wrong: the next in order, similar small pictures, and a small
    relative rotation. The last survives the usual mistakes: flipping the camera axes, or inverting all poses, changes
    no angle between two cameras.
    """
    count = len(views)
    if count <= most:
        return list(range(count))
    seeds = torch.linspace(0, count - 1, max(1, most // 5)).long()
    rotations = views.camera.pose[:, :3, :3]
    trace = torch.einsum("sij,vij->sv", rotations[seeds], rotations)
    angles = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())
    small = torch.stack([_thumbnail(views.color(i)) for i in range(count)])
    likeness = small[seeds] @ small.T
    chosen: dict[int, None] = dict.fromkeys(seeds.tolist())
    step = max(1, count // 60)
    for row, seed in enumerate(seeds.tolist()):
        # Two angles: close enough to match, far enough to tell the hypotheses apart.
        turned = [int((angles[row] - wanted).abs().argmin()) for wanted in (6.0, 15.0)]
        alike = [i for i in likeness[row].argsort(descending=True).tolist() if abs(i - seed) > step][:1]
        for neighbour in [min(seed + step, count - 1), *turned, *alike]:
            chosen[neighbour] = None
    return sorted(list(chosen)[:most])


def _thumbnail(image: Float[Tensor, "h w 3"]) -> Float[Tensor, "n"]:
    """A 16x16 grey picture with zero mean and unit length, so that a product of two is their correlation."""
    small = cv2.resize(image.mean(-1).numpy(), (16, 16), interpolation=cv2.INTER_AREA)
    flat = torch.from_numpy(small).flatten()
    flat = flat - flat.mean()
    return flat / flat.norm().clamp_min(1e-6)


def _usable_keypoints(views: Views, index: int) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 128"]]:
    """The keypoints of a photo that lie on something: not on transparent or masked pixels."""
    at, descriptors = keypoints(views.color(index))
    usable = torch.ones(views.images.shape[1:3], dtype=torch.bool)
    if views.valid is not None:
        usable = usable & views.valid[index]
    if views.images.shape[-1] == 4:
        usable = usable & (views.images[index, ..., 3] > 0)
    column = at[:, 0].long().clamp(0, usable.shape[1] - 1)
    row = at[:, 1].long().clamp(0, usable.shape[0] - 1)
    return at[usable[row, column]], descriptors[usable[row, column]]


def keypoints(image: Float[Tensor, "h w 3"]) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n 128"]]:
    """SIFT keypoints of an RGB image in 0..1: pixels (the centre of the first is (0.5, 0.5)) and unit descriptors."""
    height, width = image.shape[:2]
    scale = min(WORKING_SIZE / max(height, width), 4.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.cvtColor((image.clamp(0, 1) * 255).byte().cpu().numpy(), cv2.COLOR_RGB2GRAY)
    if size != (width, height):
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    # A third of OpenCV's default contrast: indoor walls and small renders have little. Without the precise upscale
    # every keypoint is a quarter of a pixel to the lower right of its place.
    sift = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=0.013, enable_precise_upscale=True)
    points, descriptors = sift.detectAndCompute(grey, None)
    if not points:
        return torch.zeros(0, 2), torch.zeros(0, 128)
    at = (torch.tensor([point.pt for point in points]) + 0.5) * torch.tensor([width / size[0], height / size[1]])
    root = torch.from_numpy(descriptors)
    root = (root / root.sum(-1, keepdim=True).clamp_min(1e-6)).sqrt()
    return at, root / root.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def nearest_descriptors(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Int[Tensor, "k 2"]:
    """Index pairs (in first, in second) of unit descriptors that are each other's nearest and pass the ratio test."""
    if first.shape[0] < 2 or second.shape[0] < 2:
        return torch.zeros(0, 2, dtype=torch.long)
    likeness = first @ second.T
    best, where = likeness.max(1)
    back = likeness.argmax(0)
    row = torch.arange(first.shape[0])
    mutual = back[where] == row
    likeness[row, where] = -1
    runner_up = likeness.max(1).values
    # |a - b|^2 = 2 - 2 a.b for unit vectors.
    clear = (1 - best).clamp_min(0) < RATIO**2 * (1 - runner_up)
    kept = torch.nonzero(mutual & clear)[:, 0]
    return torch.stack([kept, where[kept]], -1)


def agreeing(first: Float[Tensor, "n 2"], second: Float[Tensor, "n 2"], tolerance: float) -> Int[Tensor, "k"]:
    """The matches that agree with one fundamental matrix to within ``tolerance`` pixels, by RANSAC."""
    _, mask = cv2.findFundamentalMat(
        first.double().numpy(), second.double().numpy(), cv2.FM_RANSAC, max(tolerance, 0.1), 0.999, 2000
    )
    if mask is None:
        return torch.zeros(0, dtype=torch.long)
    return torch.nonzero(torch.from_numpy(mask.astype("uint8"))[:, 0])[:, 0]
