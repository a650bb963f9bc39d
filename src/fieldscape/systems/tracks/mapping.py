"""Cameras of some frames by structure from motion, from our tracks and from features matched between frames far apart.

Tracks hold neighbouring frames together better than matched features do, features matched far apart keep the whole from
drifting; both go into one database of pycolmap, which works in a process of its own (``mapping_process``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float

from fieldscape.data.matching import agreeing, keypoints, nearest_descriptors
from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.survey import Sightings

COMMAND = [sys.executable, "-P", "-m", "fieldscape.systems.tracks.mapping_process"]
"""-P: a folder that happens to be called fieldscape must not be taken for the package."""

GAPS = (1, 2, 3, 5, 8, 12, 18, 27, 40)
"""Between the frames of a pair whose shared tracks are matches."""

FEWEST = 30
"""Matches of a pair that count."""

PATIENCE = 10.0
"""By the clock it may take so many times its processor time."""

WIDE_FRAMES = 12
"""Frames between which features are matched."""


@dataclass(frozen=True)
class Mapped:
    """Which of the chosen frames were placed, their rotations (camera to world) and places, the focal length in pixels,
    and sightings of features (not tracks) that the model rests on, with the points numbered from 0."""

    placed: Bool[np.ndarray, "k"]
    turn: Float[np.ndarray, "k 3 3"]
    place: Float[np.ndarray, "k 3"]
    focal: float
    features: Sightings


def mapped(
    clip: Clip, points: Points, chosen: np.ndarray, frames: list[int], focal: float, settings: SolveSettings, work: Path
) -> Mapped | None:
    """Structure from motion on ``frames``, from the points ``chosen`` and a focal length to start from, in pixels.

    None where it finds nothing, takes longer than it may, or fails. ``work``: an empty folder.
    """
    width, height = clip.size
    seen = points.seen[frames][:, chosen].numpy()
    places = points.places[frames][:, chosen].double().numpy()
    number = np.cumsum(seen, 1) - 1
    tracked = seen.sum(1)
    features, pairs = _wide(clip, frames) if settings.wide_pairs else ([np.zeros((0, 2))] * len(frames), {})
    for a in range(len(frames)):
        for gap in GAPS:
            b = a + gap
            if b < len(frames):
                both = seen[a] & seen[b]
                own = np.stack([number[a, both], number[b, both]], -1)
                pairs[a, b] = [own, *[part + np.array([tracked[a], tracked[b]]) for part in pairs.get((a, b), [])]]
    for a, b in list(pairs):
        if b - a not in GAPS:
            pairs[a, b] = [part + np.array([tracked[a], tracked[b]]) for part in pairs[a, b]]
    whole = {pair: np.concatenate(parts) for pair, parts in sorted(pairs.items())}
    whole = {pair: part for pair, part in whole.items() if len(part) >= FEWEST}
    if not whole:
        return None
    all_keypoints = [np.concatenate([places[i, seen[i]], features[i]]) for i in range(len(frames))]
    job, out = work / "job.npz", work / "model.npz"
    np.savez(
        job, size=np.array([width, height]), focal=focal, counts=np.array([len(each) for each in all_keypoints]),
        keypoints=np.concatenate(all_keypoints), pairs=np.array(list(whole)),
        matched=np.array([len(each) for each in whole.values()]), matches=np.concatenate(list(whole.values())),
    )  # fmt: skip
    if not _run(job, out, work, settings):
        return None
    with np.load(out, allow_pickle=False) as file:
        model = {name: file[name] for name in file.files}
    turn = model["pose"][:, :, :3].transpose(0, 2, 1)
    place = -np.einsum("kij,kj->ki", turn, model["pose"][:, :, 3])
    ours = model["keypoint"] >= tracked[model["frame"]]
    frame, keypoint = model["frame"][ours], model["keypoint"][ours]
    _, point = np.unique(model["point"][ours], return_inverse=True)
    order = np.lexsort((frame, point))
    pixel = np.array([all_keypoints[f][k] for f, k in zip(frame, keypoint)]).reshape(-1, 2)
    real = np.array(frames)[frame] if len(frame) else frame
    found = Sightings(real[order], point[order], pixel[order], np.ones(len(order)))
    return Mapped(model["placed"], turn, place, float(model["focal"]), found)


def _run(job: Path, out: Path, work: Path, settings: SolveSettings) -> bool:
    """Whether the process ended in time with a model; its log is ``mapping.log`` in ``work``."""
    task: dict[str, str | int | float] = {
        "job": str(job), "out": str(out), "work": str(work), "threads": settings.threads, "seed": settings.seed,
        "seconds": settings.seconds,
    }  # fmt: skip
    with (
        (work / "mapping.log").open("w", encoding="utf-8") as log,
        # In a session of its own, so that Ctrl-C reaches this process only, which then ends the other.
        subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, text=True
        ) as process,
    ):
        try:
            if process.stdin is None:
                raise RuntimeError("no pipe to the process")
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            process.wait(timeout=PATIENCE * settings.seconds)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            return False
        finally:
            process.kill()
    return out.is_file()


def _wide(clip: Clip, frames: list[int]) -> tuple[list[np.ndarray], dict[tuple[int, int], list[np.ndarray]]]:
    """Features of some of the frames, outside of what moves, and their matches between frames not next to each other.

    The features of each of ``frames`` [n, 2] (none for most), and for pairs (numbers within ``frames``) of them the
    numbers of the features that match.
    """
    some = sorted({round(i) for i in np.linspace(0, len(frames) - 1, min(WIDE_FRAMES, len(frames)))})
    at: dict[int, torch.Tensor] = {}
    descriptors: dict[int, torch.Tensor] = {}
    for i in some:
        found, described = keypoints(clip.color(frames[i]))
        if clip.layers is not None:
            mover = cv2.dilate((clip.layers[frames[i]].numpy() > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
            column = found[:, 0].long().clamp(0, clip.size[0] - 1)
            row = found[:, 1].long().clamp(0, clip.size[1] - 1)
            still = torch.from_numpy(mover)[row, column] == 0
            found, described = found[still], described[still]
        at[i], descriptors[i] = found, described
    pairs: dict[tuple[int, int], list[np.ndarray]] = {}
    cv2.setRNGSeed(0)
    for k, a in enumerate(some):
        for b in some[k + 2 :]:
            kept = nearest_descriptors(descriptors[a], descriptors[b])
            if len(kept) >= FEWEST:
                good = agreeing(at[a][kept[:, 0]], at[b][kept[:, 1]], 0.002 * max(clip.size))
                if len(good) >= max(FEWEST, 0.4 * len(kept)):
                    pairs[a, b] = [kept[good].numpy()]
    none = np.zeros((0, 2))
    return [at[i].double().numpy() if i in at else none for i in range(len(frames))], pairs
