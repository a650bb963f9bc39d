"""The files of a COLMAP sparse model, text and binary, as plain numbers.

The layout is that of https://colmap.github.io/format.html: cameras (intrinsics), images (poses, world-to-camera) and
points3D (surface points with the images that see them). Newer versions add rigs and frames; images still hold every
pose, so those are not needed. Counts in binary files are judged against the bytes that are left before memory is taken.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.files import read_bytes

MAX_BYTES = 4 * 2**30

MAX_SIDE = 2**20
"""Pixels along a side; a camera that claims more is damaged."""

MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    14: ("SIMPLE_FISHEYE", 3),
    15: ("FISHEYE", 4),
}
"""Number in binary files: name in text files, count of parameters."""

COUNTS = dict(MODELS.values())

OTHER_MODELS = {
    7: "FOV",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
    16: "EUCM",
    17: "EQUIRECTANGULAR",
}


@dataclass(frozen=True)
class Intrinsics:
    """One entry of cameras: COLMAP's model name, image size, and the model's parameters in its order."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True)
class Photo:
    """One entry of images: world-to-camera unit quaternion (w, x, y, z) and translation."""

    name: str
    camera: int
    rotation: tuple[float, float, float, float]
    translation: tuple[float, float, float]


@dataclass(frozen=True)
class Points:
    """points3D: positions [p, 3], mean reprojection errors in pixels [p] (negative: unknown), and who sees them.

    The i-th sighting is of point ``sighted[i]`` (a row of ``positions``) in the photo with number ``photo[i]``.
    """

    positions: np.ndarray
    errors: np.ndarray
    sighted: np.ndarray
    photo: np.ndarray


@dataclass(frozen=True)
class Model:
    """A sparse model. Cameras and photos are keyed by their numbers in the files."""

    folder: Path
    cameras: dict[int, Intrinsics]
    photos: dict[int, Photo]
    points: Points


def holds_model(folder: Path) -> bool:
    """Whether ``folder`` has the two files without which there are no poses."""
    return any(all((folder / f"{part}{end}").is_file() for part in ("cameras", "images")) for end in (".bin", ".txt"))


def read_model(folder: Path, photos: dict[int, Photo] | None = None) -> Model:
    """The model in ``folder``: the binary files if complete, else the text files. ``photos``, if already read.

    Raises BadInput: a file is missing, truncated or damaged, a value is impossible, or a lens is not supported.
    """
    ending = _ending(folder)
    cameras_file, points_file = folder / f"cameras{ending}", folder / f"points3D{ending}"
    cameras = _binary_cameras(cameras_file) if ending == ".bin" else _text_cameras(cameras_file)
    photos = read_photos(folder) if photos is None else photos
    for photo in photos.values():
        if photo.camera not in cameras:
            raise BadInput(f"{folder}: {photo.name!r} has camera {photo.camera}, which {cameras_file.name} lacks.")
    if not points_file.is_file():
        points = Points(np.zeros((0, 3)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
    else:
        points = _binary_points(points_file) if ending == ".bin" else _text_points(points_file)
    return Model(folder, cameras, photos, points)


def read_photos(folder: Path) -> dict[int, Photo]:
    """The placed photos of the model in ``folder`` by number. Raises BadInput: see ``read_model``."""
    ending = _ending(folder)
    file = folder / f"images{ending}"
    entries = _binary_photos(file) if ending == ".bin" else _text_photos(file)
    photos: dict[int, Photo] = {}
    names = set()
    for number, photo in entries:
        if number in photos or photo.name in names:
            raise BadInput(f"{file}: the photo {photo.name!r} (number {number}) is listed twice.")
        photos[number] = photo
        names.add(photo.name)
    return photos


def _ending(folder: Path) -> str:
    return ".bin" if (folder / "cameras.bin").is_file() and (folder / "images.bin").is_file() else ".txt"


def _intrinsics(model: str, width: int, height: int, params: tuple[float, ...], where: str) -> Intrinsics:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise BadInput(f"{where} is for images of {width} x {height} pixels, which cannot be.")
    if len(params) != COUNTS[model]:
        raise BadInput(f"{where}: {model} has {COUNTS[model]} parameters, not {len(params)}.")
    if not all(abs(value) < 1e9 for value in params):  # also NaN
        raise BadInput(f"{where} has a parameter that is not a usable number.")
    return Intrinsics(model, width, height, params)


def _unsupported(model: str, where: str) -> BadInput:
    known = ", ".join(COUNTS)
    return BadInput(
        f"{where} has the camera model {model}, which is not supported; these are: {known}. Undistort the photos with"
        " COLMAP's image_undistorter, which writes PINHOLE cameras."
    )


def _photo(name: str, camera: int, pose: tuple[float, ...], where: str) -> Photo:
    length = math.sqrt(sum(value * value for value in pose[:4]))
    if not (1e-6 < length < 1e6 and all(abs(value) < 1e12 for value in pose)):
        raise BadInput(f"{where}: the pose of {name[:80]!r} holds no rotation and position; remove that photo.")
    w, x, y, z = (value / length for value in pose[:4])
    return Photo(name, camera, (w, x, y, z), (pose[4], pose[5], pose[6]))


def _points(
    positions: list[tuple[float, float, float]], errors: list[float], tracks: list[np.ndarray], where: str
) -> Points:
    xyz, error = np.array(positions, np.float64).reshape(-1, 3), np.array(errors, np.float64)
    if not (np.isfinite(xyz).all() and np.isfinite(error).all()):
        raise BadInput(f"{where} holds points whose position or error is not a finite number.")
    lengths = [len(track) for track in tracks]
    photo = np.concatenate([np.zeros(0, np.int64), *tracks]).astype(np.int64)
    return Points(xyz, error, np.repeat(np.arange(len(xyz)), lengths), photo)


class _Bytes:
    """A position in the content of a binary file. Reading beyond its end is BadInput."""

    def __init__(self, file: Path) -> None:
        self.data = read_bytes(file, MAX_BYTES)
        self.file, self.at = file, 0

    def take(self, layout: str) -> tuple[float | int, ...]:
        self._require(struct.calcsize(layout))
        values = struct.unpack_from(layout, self.data, self.at)
        self.at += struct.calcsize(layout)
        return values

    def count(self, what: str, least_bytes: int) -> int:
        """A number of entries, each of which takes at least so many bytes of what is left."""
        (number,) = self.take("<Q")
        if number * least_bytes > len(self.data) - self.at:
            raise BadInput(f"{self.file} announces {number:,} {what}, more than it holds; it is damaged or truncated.")
        return int(number)

    def name(self) -> str:
        """Text up to a zero byte."""
        end = self.data.find(b"\0", self.at, self.at + 4096)
        if end < 0:
            raise BadInput(f"{self.file}: the name of a photo does not end; the file is damaged or truncated.")
        text, self.at = self.data[self.at : end], end + 1
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"{self.file}: the name {text[:40]!r} of a photo is not text.") from error

    def skip(self, size: int) -> None:
        self._require(size)
        self.at += size

    def first_of_pairs(self, count: int) -> np.ndarray:
        """Of ``count`` pairs of 32-bit numbers the first ones."""
        self._require(8 * count)
        pairs = np.frombuffer(self.data, "<u4", 2 * count, self.at)
        self.at += 8 * count
        return pairs[::2]

    def end(self) -> None:
        if self.at != len(self.data):
            raise BadInput(f"{self.file} goes on for {len(self.data) - self.at} bytes after its end; it is damaged.")

    def _require(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise BadInput(f"{self.file} ends in the middle of an entry; it is truncated. Copy it again.")


def _binary_cameras(file: Path) -> dict[int, Intrinsics]:
    content = _Bytes(file)
    cameras = {}
    for _ in range(content.count("cameras", 24)):
        number, model, width, height = (int(value) for value in content.take("<IiQQ"))
        where = f"{file}, camera {number}"
        if model not in MODELS:
            raise _unsupported(OTHER_MODELS.get(model, f"number {model}"), where)
        name, count = MODELS[model]
        cameras[number] = _intrinsics(name, width, height, content.take(f"<{count}d"), where)
    content.end()
    return cameras


def _binary_photos(file: Path) -> Iterator[tuple[int, Photo]]:
    content = _Bytes(file)
    for _ in range(content.count("photos", 73)):
        number, *pose, camera = content.take("<I7dI")
        name = content.name()
        content.skip(24 * content.count("points of a photo", 24))
        yield int(number), _photo(name, int(camera), tuple(pose), str(file))
    content.end()


def _binary_points(file: Path) -> Points:
    content = _Bytes(file)
    positions, errors, tracks = [], [], []
    for _ in range(content.count("points", 51)):
        _, x, y, z, _, _, _, error = content.take("<Q3d3Bd")
        positions.append((x, y, z))
        errors.append(error)
        tracks.append(content.first_of_pairs(content.count("sightings of a point", 8)))
    content.end()
    return _points(positions, errors, tracks, str(file))


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines; comments are left out, empty lines are not."""
    try:
        text = read_bytes(file, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not a text file (byte {error.start} is not UTF-8).") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.lstrip().startswith("#"):
            yield number, line.strip()


def _text_cameras(file: Path) -> dict[int, Intrinsics]:
    cameras = {}
    for line, text in _lines(file):
        if not text:
            continue
        where, words = f"{file}, line {line}", text.split()
        if len(words) > 1 and words[1] not in COUNTS:
            raise _unsupported(words[1][:40], where)
        try:
            number, width, height = int(words[0]), int(words[2]), int(words[3])
            params = tuple(float(word) for word in words[4:])
        except (ValueError, IndexError) as error:
            raise BadInput(f"{where} is not a camera (number, model, width, height, parameters).") from error
        cameras[number] = _intrinsics(words[1], width, height, params, where)
    return cameras


def _text_photos(file: Path) -> Iterator[tuple[int, Photo]]:
    lines = _lines(file)
    for line, text in lines:
        if not text:
            continue
        where, words = f"{file}, line {line}", text.split(maxsplit=9)
        try:
            number, camera, name = int(words[0]), int(words[8]), words[9]
            pose = tuple(float(word) for word in words[1:8])
        except (ValueError, IndexError) as error:
            raise BadInput(f"{where} is not a photo (number, quaternion, translation, camera, name).") from error
        next(lines, None)  # its points in pixels: points3D says the same from the other side
        yield number, _photo(name, camera, pose, where)


def _text_points(file: Path) -> Points:
    positions, errors, tracks = [], [], []
    for line, text in _lines(file):
        if not text:
            continue
        words = text.split()
        try:
            positions.append((float(words[1]), float(words[2]), float(words[3])))
            errors.append(float(words[7]))
            tracks.append(np.array([int(word) for word in words[8::2]], np.int64))
        except (ValueError, IndexError, OverflowError) as error:
            raise BadInput(f"{file}, line {line} is not a point (number, x y z, r g b, error, sightings).") from error
    return _points(positions, errors, tracks, str(file))
