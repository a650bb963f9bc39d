"""A clip read for following: upright frames of one shot and one size, with times, and masks where they are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from fieldscape.errors import BadInput
from fieldscape.progress import progress
from fieldscape.systems.tracks.clip_settings import ClipSettings
from fieldscape.systems.tracks.foreground import carried
from fieldscape.systems.tracks.masks import layers_of, mask_files, read_values, reduced, require_background
from fieldscape.systems.tracks.nouns import Clip
from fieldscape.systems.tracks.shots import blurred, cuts
from fieldscape.systems.tracks.sources import Series, read, series_of

SMALLEST = 32
"""Pixels of the shorter side: in less there is nothing to follow."""
MOST_BYTES = 3 * 2**30


def read_clip(path: Path, settings: ClipSettings, quiet: bool) -> Clip:
    """The clip at ``path``: a video, a folder of frames, or a folder with ``images`` and ``masks``.

    Raises BadInput: nothing there, damaged, one frame only, frames or masks that do not fit together, a cut within the
    frames read, or masks that leave no background.
    """
    _check(settings)
    series = series_of(path, settings.fps)
    chosen = choose(series, settings)
    frames: list[np.ndarray] = []
    numbers, original = [], (0, 0)
    with progress(len(chosen), "reading", quiet, unit="frame") as bar:
        for frame in read(series, chosen):
            original = frame.pixels.shape[1], frame.pixels.shape[0]
            frames.append(_reduced(frame.pixels.numpy(), settings, len(chosen), path))
            numbers.append(frame.number)
            bar.update(len(frames))
    if len(frames) < 2:
        raise BadInput(f"{path} holds one frame only; a clip needs at least two that differ.")
    stamps = torch.tensor([series.stamps[i] for i in numbers], dtype=torch.float64)
    pixels = torch.from_numpy(np.stack(frames))
    name = path.stem if path.is_file() else path.resolve().name
    clip = Clip(pixels, (stamps - stamps[0]).float(), None, tuple(numbers), name, series.notes)
    _require_one_shot(clip, path, float(stamps[0]))
    clip = replace(clip, notes=clip.notes + _said(clip, series, original))
    return _with_masks(clip, series, settings, original, quiet)


def choose(series: Series, settings: ClipSettings) -> list[int]:
    """Numbers of the frames to read.

    >>> choose(Series(Path("a"), tuple(range(10)), None), ClipSettings(start=2, most=4))
    [2, 4, 6, 8]
    """
    start = -1.0 if settings.start is None else settings.start
    end = float("inf") if settings.end is None else settings.end
    within = [i for i, stamp in enumerate(series.stamps) if start - 1e-6 <= stamp <= end + 1e-6]
    if len(within) < 2:
        length = series.stamps[-1]
        if len(series) < 2:
            raise BadInput(f"{series.path} holds one frame only; a clip needs at least two that differ.")
        raise BadInput(
            f"{series.path} has {len(within)} frames between the --start and --end; it lasts {length:.2f} seconds."
        )
    step = settings.step or -(-len(within) // settings.most)
    return within[::step][: settings.most]


def _check(settings: ClipSettings) -> None:
    if settings.size < 2 * SMALLEST or settings.most < 2 or (settings.step is not None and settings.step < 1):
        raise BadInput(f"--size must be at least {2 * SMALLEST}, --most at least 2 and --step at least 1.")
    if settings.fps is not None and not 0 < settings.fps <= 10_000:
        raise BadInput(f"--fps {settings.fps:g} is no rate; give frames a second.")


def _reduced(pixels: np.ndarray, settings: ClipSettings, count: int, path: Path) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = min(1.0, settings.size / max(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if min(size) < SMALLEST:
        raise BadInput(f"{path}: frames of {width} x {height} are too small to follow points in ({SMALLEST} at least).")
    if 3 * size[0] * size[1] * count > MOST_BYTES:
        raise BadInput(f"{path}: {count} frames of {size[0]} x {size[1]} take over 3 GiB; lower --size or --most.")
    return pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _require_one_shot(clip: Clip, path: Path, start: float) -> None:
    found = cuts(clip.frames)
    if found:
        times = [start + float(clip.seconds[i]) for i in found]
        shown = ", ".join(f"{time:.2f}" for time in times[:6]) + (" ..." if len(times) > 6 else "")
        bounds = [start, *times, start + float(clip.seconds[-1])]
        longest = max(range(len(bounds) - 1), key=lambda i: bounds[i + 1] - bounds[i])
        first, last = bounds[longest], bounds[longest + 1]
        last = last if longest + 2 == len(bounds) else start + float(clip.seconds[found[longest] - 1])
        raise BadInput(
            f"{path} is not one shot: there is a cut at {shown} seconds. Choose one, e.g. the longest, by "
            f"--start {first:.2f} --end {last:.2f}."
        )


def _said(clip: Clip, series: Series, original: tuple[int, int]) -> tuple[str, ...]:
    notes = []
    if clip.size != original:
        notes.append(
            f"frames were reduced from {original[0]} x {original[1]} to {clip.size[0]} x {clip.size[1]} (--size)"
        )
    between = clip.numbers[1] - clip.numbers[0]
    if between > 1:
        notes.append(f"one frame in {between} of {len(series)} was read (--step, --most)")
    dim = blurred(clip.frames)
    if dim:
        listed = ", ".join(str(clip.numbers[i]) for i in dim[:8]) + (" ..." if len(dim) > 8 else "")
        notes.append(f"{len(dim)} of {len(clip)} frames are blurred more than their neighbours: {listed}")
    return tuple(notes)


def _with_masks(clip: Clip, series: Series, settings: ClipSettings, original: tuple[int, int], quiet: bool) -> Clip:
    source = settings.masks
    if source is None and series.path.is_dir() and (series.path / "masks").is_dir():
        source = series.path / "masks"
    if source is None:
        return clip
    if not source.exists():
        raise BadInput(f"There are no masks at {source}; check the name.")
    if source.is_file():
        mask = layers_of([read_values(source, original)])[0]
        clip = carried(clip, torch.from_numpy(reduced(mask, clip.size)))
    else:
        files = mask_files(series, source)
        masks = layers_of([read_values(files[i], original) for i in clip.numbers])
        clip = replace(clip, layers=torch.from_numpy(np.stack([reduced(mask, clip.size) for mask in masks])))
    assert clip.layers is not None
    require_background(clip.layers, f"the masks at {source}")
    if not bool(clip.layers.any()):
        clip = replace(clip, notes=(*clip.notes, f"the masks at {source} mark nothing as moving"))
    return clip
