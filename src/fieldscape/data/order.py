"""Do the poses fit other photos than the ones they are given for?

For a pair of photos with clear matches, every pair of the poses is tried. When poses are merely listed in another order
than the photos, some pair fits almost exactly, and a photo that takes part in several pairs is given the same pose by
each of them. Wrong poses fit here and there by luck, but then the pairs contradict each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.data.epipolar import normalised, sampson_distance, triangulated
from fieldscape.data.matching import Matches
from fieldscape.types import Camera

MOST_POSES = 200
"""More poses than this are thinned: the trials grow with their square."""


@dataclass(frozen=True)
class Reordering:
    """Photos that several pairs of photos assign a pose to (``asked``), those to which they agree to give the pose of
    another photo (``moved``), and one example: (photo, the photo whose pose fits it)."""

    asked: int
    moved: int
    example: tuple[int, int]


def find_reordering(camera: Camera, matches: Matches, most_pairs: int = 40, most_points: int = 12) -> Reordering:
    """Asks up to ``most_pairs`` pairs of photos which two of all poses suit them, by ``most_points`` matches each."""
    candidates = torch.linspace(0, len(camera) - 1, min(len(camera), MOST_POSES)).long()
    first, second, rotation, step = _relative_poses(camera[candidates])
    votes: defaultdict[int, list[int]] = defaultdict(list)
    if len(first):
        for pair in range(min(len(matches.pairs), most_pairs)):
            mine = torch.nonzero(matches.pair == pair)[:, 0]
            mine = mine[torch.linspace(0, len(mine) - 1, min(len(mine), most_points)).long()]
            best = _best_fit(camera, matches, mine, rotation, step)
            if best is not None:
                votes[matches.pairs[pair][0]].append(int(candidates[first[best]]))
                votes[matches.pairs[pair][1]].append(int(candidates[second[best]]))
    asked, moved, example = 0, 0, (0, 0)
    for photo, given in votes.items():
        pose, times = Counter(given).most_common(1)[0]
        asked += len(given) > 1
        if times > 1 and pose != photo:
            moved += 1
            example = (photo, pose) if moved == 1 else example
    return Reordering(asked, moved, example)


def _relative_poses(
    camera: Camera,
) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"], Float[Tensor, "k 3 3"], Float[Tensor, "k 3"]]:
    """The rotation and step between all ordered pairs of cameras that do not look too far apart to share matches."""
    turn, place = camera.pose[:, :3, :3].double(), camera.position.double()
    rotation = torch.einsum("aji,bjk->abik", turn, turn)
    step = torch.einsum("aji,abj->abi", turn, place[None] - place[:, None])
    angle = ((rotation.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    first, second = torch.nonzero((angle < 1.0) & (step.norm(dim=-1) > 0), as_tuple=True)
    return first, second, rotation[first, second], step[first, second]


def _best_fit(
    camera: Camera,
    matches: Matches,
    mine: Int[Tensor, "n"],
    rotation: Float[Tensor, "k 3 3"],
    step: Float[Tensor, "k 3"],
) -> int | None:
    """Which of the k relative poses suits the matches ``mine`` of one pair best, if well."""
    x1, _ = normalised(camera[matches.first[mine]], matches.first_pixels[mine])
    x2, _ = normalised(camera[matches.second[mine]], matches.second_pixels[mine])
    count, size = len(mine), max(camera.width, camera.height)
    focal1 = camera.focal[matches.first[mine]].double()
    focal2 = camera.focal[matches.second[mine]].double()
    errors = sampson_distance(x1, x2, rotation[:, None], step[:, None], focal1, focal2)
    # Three quarters of the points must agree: a median leaves too much to luck among thousands of trials.
    errors = errors.nan_to_num(nan=torch.inf).quantile(0.75, dim=1)
    best = int(errors.argmin())
    z1, z2, _ = triangulated(x1, x2, rotation[best].expand(count, 3, 3), step[best].expand(count, 3))
    in_front = float(((z1 > 0) & (z2 > 0)).double().mean())
    return best if float(errors[best]) < 0.005 * size and in_front > 0.7 else None
