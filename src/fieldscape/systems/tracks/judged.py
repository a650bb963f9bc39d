"""How good pictures of frames are that nothing learned from, beside plain baselines on the same frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from fieldscape.metrics import WINDOW, psnr, ssim
from fieldscape.systems.tracks.baselines import copy, homography, mesh_warp
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.timeline import camera_at
from fieldscape.types import Camera, Rendered

APART = "held-out frames were seen by nothing"
TRACKED = "the tracker saw the held-out frames, colours and meshes did not"


@dataclass(frozen=True)
class Judged:
    """figures: means over the held-out frames, by name.  rows: of each, pictures to look at: truth, ours, mesh warp."""

    figures: dict[str, float]
    rows: tuple[tuple[Tensor, ...], ...]


def judge(tracked: Tracked, look: Callable[[Camera, float], Rendered], each: Callable[[int], None]) -> Judged:
    """The held-out frames, drawn from where their cameras must have been at their times, against what they show.

    PSNR in dB and SSIM of whole frames; ``still`` and ``moving`` PSNR of the pixels of the background and of movers,
    where masks are known; ``unseen`` the share of pixels that no frame shows. ``each`` is told of each frame done.
    """
    held = tracked.held
    if held is None:
        return Judged({}, ())
    sums: dict[str, list[float]] = {}
    rows = []
    for i in range(len(held)):
        when, truth = float(held.seconds[i]), held.color(i)
        drawn = look(camera_at(tracked.camera, tracked.clip.seconds, when), when)
        warped = mesh_warp(tracked, when)
        pictures = {"": drawn.color, "copy_": copy(tracked, when), "homography_": homography(tracked, when)}
        for name, picture in {**pictures, "mesh_warp_": warped}.items():
            for key, value in _compared(picture, truth, None if held.layers is None else held.layers[i] > 0).items():
                sums.setdefault(name + key, []).append(value)
        sums.setdefault("unseen", []).append(float((drawn.alpha < 0.5).float().mean()))
        rows.append((truth, drawn.color, warped))
        each(i + 1)
    figures = {name: sum(values) / len(values) for name, values in sums.items()}
    return Judged({name: round(value, 4) for name, value in figures.items()}, tuple(rows))


def _compared(
    picture: Float[Tensor, "h w 3"], truth: Float[Tensor, "h w 3"], moving: Bool[Tensor, "h w"] | None
) -> dict[str, float]:
    """PSNR and SSIM, and the PSNR of parts where there are any."""
    picture = picture.clamp(0, 1)
    figures = {"psnr": _decibels(picture, truth)}
    if min(truth.shape[:2]) >= WINDOW:
        figures["ssim"] = float(ssim(picture, truth))
    if moving is not None:
        for name, part in (("psnr_still", ~moving), ("psnr_moving", moving)):
            if bool(part.any()):
                figures[name] = _decibels(picture[part][:, None], truth[part][:, None])
    return figures


def _decibels(picture: Tensor, truth: Tensor) -> float:
    """PSNR, at most 100 dB: equal pictures must not make a mean infinite."""
    return min(100.0, float(psnr(picture, truth)))


def sheet_rows(judged: Judged, most: int) -> list[list[Tensor]]:
    """Some of the held-out frames, spread over the clip, with the error of ours four times as strong."""
    count = len(judged.rows)
    chosen = sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(min(most, count))}) if count else []
    rows = []
    for i in chosen:
        truth, ours, warped = judged.rows[i]
        rows.append([truth, ours, (4 * (ours - truth).abs()).clamp(0, 1), warped])
    return rows
