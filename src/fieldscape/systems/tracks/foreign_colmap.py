"""Tracks from a COLMAP sparse model: what it observed in each photo, as points followed through a clip.

``data.colmap_files`` reads cameras, poses and points; where in the photo each point was observed is read here, from
images (.bin or .txt), with the points' own numbers. The layout is that of https://colmap.github.io/format.html.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import torch

from fieldscape import cameras
from fieldscape.data.assembly import scaled_camera
from fieldscape.data.colmap import camera_of, detect, far_offset, moved
from fieldscape.data.colmap_files import Model, Photo, read_model, read_photos
from fieldscape.data.frames import same_lens
from fieldscape.errors import BadInput
from fieldscape.files import read_bytes
from fieldscape.systems.tracks.foreign_lens import straight_places, straightened
from fieldscape.systems.tracks.foreign_space import tracked_from
from fieldscape.systems.tracks.nouns import Clip, Tracked
from fieldscape.types import Camera

MAX_BYTES = 4 * 2**30
FEWEST_SIGHTS = 2


def largest_model(path: Path) -> Model:
    """The model at ``path`` that placed most photos, with its origin where single precision serves.

    Raises BadInput: none, or a damaged one.
    """
    folders = detect(path)
    if not folders:
        raise BadInput(f"{path} holds no COLMAP model (cameras and images, .bin or .txt, also in sparse/).")
    photos = {folder: read_photos(folder) for folder in folders}
    folder = max(folders, key=lambda candidate: len(photos[candidate]))
    model = read_model(folder, photos[folder])
    offset = far_offset(model)
    return model if offset is None else moved(model, offset)


def placed_frames(model: Model, clip: Clip) -> tuple[list[int], list[int]]:
    """Which frames of ``clip`` the model placed, and their photos' numbers in it, in order of time.

    As many photos as frames are taken in order of their names; else the last number in each name tells its frame,
    counted from 0 or from 1, whichever is possible. Raises BadInput where none is, or both are.
    """
    numbers = sorted(model.photos, key=lambda number: _sort_key(model.photos[number]))
    if len(numbers) == len(clip):
        return list(range(len(clip))), numbers
    named = {number: _sort_key(model.photos[number])[0] for number in numbers}
    known = {number: i for i, number in enumerate(clip.numbers)}
    fitting = [first for first in (0, 1) if all(name - first in known for name in named.values())]
    if len(fitting) != 1 or len(set(named.values())) != len(named) or len(named) < 2:
        unclear = "fit frames counted from 0 and from 1" if len(fitting) == 2 else "do not tell which are which"
        raise BadInput(
            f"{model.folder} places {len(numbers)} photos and the clip has {len(clip)} frames, and the photos' names "
            f"{unclear}. Give a clip of just the frames that the model placed."
        )
    chosen = sorted((known[name - fitting[0]], number) for number, name in named.items())
    return [frame for frame, _ in chosen], [number for _, number in chosen]


def model_camera(model: Model, photos: list[int], size: tuple[int, int]) -> Camera:
    """The cameras of the photos with these numbers, for frames of ``size``."""
    where = str(model.folder)
    placed = [(model.photos[number], model.photos[number].camera) for number in photos]
    single = [scaled_camera(camera_of(p, model.cameras[c], where), *size, f"{where}, {p.name}") for p, c in placed]
    return cameras.stack(same_lens(single))


def read_model_tracks(path: Path, clip: Clip) -> Tracked:
    """The points that the model at ``path`` observed at least twice in the frames of ``clip``.

    Frames that the model did not place are left out, which the notes say. Raises BadInput: see ``read_model``.
    """
    model = largest_model(path)
    where = str(model.folder)
    frames, photos = placed_frames(model, clip)
    notes: tuple[str, ...] = ("observations of a COLMAP model",)
    if len(frames) < len(clip):
        notes = (
            *notes,
            f"{len(clip) - len(frames)} of {len(clip)} frames have no place in the model; they were left out",
        )
    clip = clip.at(frames)
    bent = model_camera(model, photos, clip.size)
    rows = {number: row for row, number in enumerate(point_numbers(model.folder))}
    if len(rows) != len(model.points.positions):
        raise BadInput(f"{where}: a point of points3D is listed twice; the model is damaged.")
    observed = observations(model.folder)
    t, n = len(clip), len(rows)
    places, seen = torch.full((t, n, 2), torch.nan, dtype=torch.float64), torch.zeros(t, n, dtype=torch.float64)
    for i, number in enumerate(photos):
        pixels, points = observed[number]
        mine = np.array([rows.get(point, -1) for point in points.tolist()], dtype=np.int64)
        there = mine >= 0
        stated = model.cameras[model.photos[number].camera]
        scale = np.array([clip.size[0] / stated.width, clip.size[1] / stated.height])
        found = torch.from_numpy(pixels[there] * scale)
        places[i, mine[there]] = straight_places(bent[i].map(lambda x: x.double()), found)
        seen[i, mine[there]] = 1.0
    clip, camera = straightened(clip, bent)
    used = (seen.sum(0) >= FEWEST_SIGHTS).numpy() & np.isfinite(model.points.positions).all(1)
    if not used.any():
        raise BadInput(f"{where}: no point is observed in two frames of the clip; build the model of these frames.")
    # Where the error of a point is known, points that fit badly count less: a pixel of error halves them.
    errors = np.clip(model.points.errors[used], 0, None)
    sure = seen[:, torch.from_numpy(used)] / (1 + torch.from_numpy(errors))
    world = torch.from_numpy(model.points.positions[used]).expand(t, -1, 3)
    return tracked_from(clip, camera, places[:, torch.from_numpy(used)], sure, world, 0.0, notes, where)


def _sort_key(photo: Photo) -> tuple[int, str]:
    found = re.findall(r"\d{1,15}", photo.name.rsplit("/", 1)[-1])
    return (int(found[-1]) if found else -1), photo.name


def observations(folder: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By the number of each photo, its observed pixels [k, 2] and the numbers of the points they are of (-1: none)."""
    if (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file():
        return _binary_observations(folder / "images.bin")
    return _text_observations(folder / "images.txt")


def point_numbers(folder: Path) -> list[int]:
    """The points' own numbers, in the order of their file."""
    if (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file():
        return _binary_point_numbers(folder / "points3D.bin")
    return _text_point_numbers(folder / "points3D.txt")


def _binary_observations(file: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    data, found = read_bytes(file, MAX_BYTES), {}
    try:
        (count,), at = struct.unpack_from("<Q", data, 0), 8
        for _ in range(count):
            (number,) = struct.unpack_from("<I", data, at)
            at = data.index(b"\0", at + 64) + 1
            (size,) = struct.unpack_from("<Q", data, at)
            rows = np.frombuffer(data, np.dtype([("xy", "<f8", 2), ("point", "<i8")]), size, at + 8)
            found[number] = rows["xy"].copy(), rows["point"].copy()
            at += 8 + 24 * size
    except (struct.error, ValueError, OverflowError) as error:
        raise BadInput(f"{file} is damaged or cut short.") from error
    return found


def _binary_point_numbers(file: Path) -> list[int]:
    data, numbers = read_bytes(file, MAX_BYTES), []
    try:
        (count,), at = struct.unpack_from("<Q", data, 0), 8
        for _ in range(count):
            number, length = struct.unpack_from("<Q35xQ", data, at)
            numbers.append(number)
            at += 51 + 8 * length
    except struct.error as error:
        raise BadInput(f"{file} is damaged or cut short.") from error
    return numbers


def _lines(file: Path) -> list[str]:
    try:
        text = read_bytes(file, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not a text file.") from error
    return [line.strip() for line in text.split("\n") if not line.lstrip().startswith("#")]


def _text_observations(file: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    found, lines = {}, iter(_lines(file))
    for line in lines:
        if line:
            try:
                words = np.array(next(lines, "").split(), dtype=np.float64).reshape(-1, 3)
                found[int(line.split(maxsplit=1)[0])] = words[:, :2], words[:, 2].astype(np.int64)
            except (ValueError, IndexError) as error:
                raise BadInput(f"{file}: the points of a photo are not x, y, number each; it is damaged.") from error
    return found


def _text_point_numbers(file: Path) -> list[int]:
    try:
        return [int(line.split(maxsplit=1)[0]) for line in _lines(file) if line]
    except ValueError as error:
        raise BadInput(f"{file}: a point does not begin with its number; it is damaged.") from error
