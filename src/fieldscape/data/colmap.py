"""Reader of COLMAP sparse models: poses, lenses and surface points that COLMAP found for a folder of photos.

Poses are world-to-camera in the files and are inverted here; axes and pixel centres are COLMAP's own, which are ours.
Points whose reprojection error is large are left out, and each view's bounds come from the points it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.data.assembly import assemble, every_nth, scaled_camera
from fieldscape.data.colmap_files import Intrinsics, Model, Photo, holds_model, read_model, read_photos
from fieldscape.data.frames import same_lens
from fieldscape.data.layers import load_maps
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress, common_size, load, reduced_size
from fieldscape.data.untrusted import inside
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Lens, Views

MAX_ERROR = 4.0
"""Pixels. COLMAP's own limit while it builds a model; points beyond it come from elsewhere and are not trusted."""

PERCENTILES = (0.5, 99.5)
"""Of the depths a view sees: a few wrong points must not set its bounds."""

FEWEST_FOR_BOUNDS = 10

PHOTO_FOLDERS = ("images", "images_2", "images_4", "images_8", "input", ".")


def detect(path: Path) -> list[Path]:
    """The folders with a model at ``path``: itself, or ``sparse`` or ``colmap/sparse`` in it and their subfolders."""
    found = []
    for start in (path, path / "sparse", path / "colmap", path / "colmap" / "sparse"):
        inner = sorted(start.iterdir()) if start.is_dir() and start.name == "sparse" else []
        found += [folder for folder in (start, *inner) if folder.is_dir() and holds_model(folder)]
    return found


def read(path: Path, options: ReadOptions, progress: Progress | None = None) -> Views:
    """The photos that the largest model at ``path`` placed and that exist, in order of name.

    Raises BadInput: no model, a damaged one, or no photos for it; a lens that is not supported; and see ``photostack``
    and ``assembly``.
    """
    folders = detect(path)
    if not folders:
        raise BadInput(f"{path} has no COLMAP model: looked for cameras and images (.bin or .txt), also in sparse/.")
    photos = {folder: read_photos(folder) for folder in folders}
    folder = max(folders, key=lambda candidate: len(photos[candidate]))  # the first of equals
    notes = []
    if len(folders) > 1:
        sizes = ", ".join(f"{_shown(each, path)}: {len(photos[each])}" for each in folders)
        notes.append(f"of {len(folders)} models the one with most photos is used, {_shown(folder, path)} ({sizes})")
    model = read_model(folder, photos[folder])
    return views_of(model, photo_folder(model, path), options, notes, progress)


def views_of(
    model: Model, folder: Path, options: ReadOptions, notes: Sequence[str] = (), progress: Progress | None = None
) -> Views:
    """The views of a model whose photos lie in ``folder``; photos that are not there are dropped with a count."""
    where = str(model.folder)
    said = list(notes)
    offset = far_offset(model)
    if offset is not None:
        model = moved(model, offset)
        said.append("the world's origin is moved to the mean camera: it was too far away for single precision")
    files = {number: inside(folder, photo.name, where) for number, photo in model.photos.items()}
    numbers = sorted((n for n, file in files.items() if file.is_file()), key=lambda n: model.photos[n].name)
    if not numbers:
        raise BadInput(f"{where}: none of the {len(files)} photos it lists exists in {folder}. Put them there.")
    if len(numbers) < len(files):
        lost = min(model.photos[n].name for n in set(files) - set(numbers))
        said.append(f"{len(files) - len(numbers)} of the {len(files)} listed photos do not exist and were left out "
                    f"(e.g. {lost})")  # fmt: skip
    used = [files[n] for n in numbers]
    names = tuple(model.photos[n].name for n in numbers)
    size = common_size(used)
    entries = [(model.photos[n], model.cameras[model.photos[n].camera]) for n in numbers]
    full = [scaled_camera(camera_of(photo, lens, where), *size, f"{where}, {photo.name}") for photo, lens in entries]
    small = reduced_size(*size, options.downscale)
    camera = cameras.resize(cameras.stack(same_lens(full)), *small)
    points, kept = sound_points(model)
    if not len(points):
        said.append("the model holds no surface points that can be used")
    held_out, split = every_nth(names, options)
    root, prefix = (folder.parent, f"{folder.name}/") if folder.name.startswith("images") else (folder, "")
    relative = [prefix + name for name in names]
    views = Views(
        camera,
        load(used, options.downscale, progress),
        names,
        held_out,
        split,
        maps=load_maps(root, relative, options.channels, size, options.downscale) if options.channels else None,
        bounds=depth_bounds(model, numbers, points, kept),
        points=points if len(points) else None,
        notes=tuple(said),
    )
    return assemble(views, options, where)


def photo_folder(model: Model, path: Path) -> Path:
    """Where the photos of ``model`` lie: the folder at ``path``, or around the model, that has most of them.

    Raises BadInput where no folder has any of them.
    """
    around = [path, model.folder.parent, model.folder.parent.parent]
    folders = list(dict.fromkeys(start / name for start in around for name in PHOTO_FOLDERS))
    wanted = [photo.name for photo in model.photos.values()]
    counts = [sum(inside(folder, name, str(model.folder)).is_file() for name in wanted) for folder in folders]
    if not any(counts):
        example = f", e.g. {wanted[0]!r}" if wanted else ""
        raise BadInput(
            f"{model.folder} places {len(wanted)} photos{example}, but none of them is in {path}, {path / 'images'} or"
            " beside the model. Put the photos into images/."
        )
    return folders[counts.index(max(counts))]


def camera_of(photo: Photo, intrinsics: Intrinsics, where: str) -> Camera:
    """One placed photo as a camera: the pose inverted to camera-to-world, the lens in our order of coefficients.

    >>> turned = Photo("a.jpg", 1, (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 2.0))
    >>> camera_of(turned, Intrinsics("SIMPLE_RADIAL", 8, 6, (9.0, 4.0, 3.0, 0.1)), "").position
    tensor([0., 0., 2.])
    """
    rotation = rotation_matrix(photo.rotation).T
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = rotation
    pose[:3, 3] = -rotation @ torch.tensor(photo.translation, dtype=torch.float64)
    focal, center, lens, coefficients = lens_of(intrinsics, where)
    return Camera(
        pose.float(),
        torch.tensor(focal, dtype=torch.float32),
        torch.tensor(center, dtype=torch.float32),
        intrinsics.width,
        intrinsics.height,
        lens,
        torch.tensor(coefficients, dtype=torch.float32) if coefficients else None,
    )


def lens_of(intrinsics: Intrinsics, where: str) -> tuple[tuple[float, float], tuple[float, float], Lens, list[float]]:
    """(fx, fy), (cx, cy), our lens model and its coefficients.

    >>> lens_of(Intrinsics("OPENCV", 8, 6, (9.0, 8.0, 4.0, 3.0, 0.1, 0.2, 0.3, 0.4)), "cameras.txt")
    ((9.0, 8.0), (4.0, 3.0), 'brown', [0.1, 0.2, 0.3, 0.4, 0.0])

    Raises BadInput: a focal length that is not above zero, or a FULL_OPENCV lens with coefficients k4 to k6.
    """
    model, given = intrinsics.model, intrinsics.params
    two_focals = model in ("PINHOLE", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FISHEYE")
    fx, fy, cx, cy, *rest = given if two_focals else (given[0], *given)
    if not (fx > 0 and fy > 0):
        raise BadInput(f"{where}: a camera has the focal length {fx:g}, {fy:g}; it must be above zero.")
    if model.endswith("FISHEYE"):
        return (fx, fy), (cx, cy), "fisheye", [*rest, 0.0, 0.0, 0.0, 0.0][:4]
    if model == "FULL_OPENCV" and any(rest[5:]):
        raise BadInput(
            f"{where}: a FULL_OPENCV camera has k4 to k6, which are not supported. Undistort the photos with COLMAP's"
            " image_undistorter, or let COLMAP use the model OPENCV."
        )
    k1, k2, p1, p2, k3 = [*rest, 0.0, 0.0, 0.0, 0.0, 0.0][:5]
    brown = [k1, k2, p1, p2, k3]
    return (fx, fy), (cx, cy), "brown" if any(brown) else "pinhole", brown if any(brown) else []


def rotation_matrix(quaternion: tuple[float, float, float, float]) -> Float[Tensor, "3 3"]:
    """The rotation of a unit quaternion (w, x, y, z), float64.

    >>> rotation_matrix((0.5 ** 0.5, 0.0, 0.0, 0.5 ** 0.5)).round().abs()  # a quarter turn about z
    tensor([[0., 1., 0.],
            [1., 0., 0.],
            [0., 0., 1.]], dtype=torch.float64)
    """
    w, x, y, z = quaternion
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )


def sound_points(model: Model) -> tuple[Float[Tensor, "p 3"], np.ndarray]:
    """The points seen at least twice with an error of at most ``MAX_ERROR``, and which rows of the model's they are."""
    seen = np.bincount(model.points.sighted, minlength=len(model.points.positions))
    large = np.abs(model.points.positions).max(-1, initial=0.0) > 1e9
    kept = np.flatnonzero((seen >= 2) & (model.points.errors <= MAX_ERROR) & ~large)
    return torch.from_numpy(model.points.positions[kept].astype(np.float32)), kept


def far_offset(model: Model) -> np.ndarray | None:
    """The mean camera position [3] where it is so far from the origin (map coordinates) that float32 loses detail."""
    centers = np.array([_center(photo) for photo in model.photos.values()]).reshape(-1, 3)
    if not len(centers):
        return None
    mean = centers.mean(0)
    extent = np.abs(centers - mean).max()
    return mean if np.abs(mean).max() > 1000 * max(float(extent), 1e-3) else None


def moved(model: Model, offset: np.ndarray) -> Model:
    """The model with its world's origin at ``offset``: x_cam = R (x - offset) + (t + R offset)."""
    photos = {}
    for number, photo in model.photos.items():
        turned = rotation_matrix(photo.rotation) @ torch.from_numpy(offset)
        x, y, z = (a + b for a, b in zip(photo.translation, turned.tolist()))
        photos[number] = replace(photo, translation=(x, y, z))
    return replace(model, photos=photos, points=replace(model.points, positions=model.points.positions - offset))


def _center(photo: Photo) -> np.ndarray:
    return -(rotation_matrix(photo.rotation).T @ torch.tensor(photo.translation, dtype=torch.float64)).numpy()


def depth_bounds(
    model: Model, numbers: Sequence[int], points: Float[Tensor, "p 3"], kept: np.ndarray
) -> Float[Tensor, "v 2"] | None:
    """Near and far z-depth of each view from the points it sees; a view that sees few gets the widest of the others.

    None where no view sees enough points.
    """
    row = np.full(len(model.points.positions), -1)
    row[kept] = np.arange(len(kept))
    order = np.argsort(model.points.photo, kind="stable")
    photo, sighted = model.points.photo[order], row[model.points.sighted[order]]
    bounds = torch.full((len(numbers), 2), torch.nan)
    for view, number in enumerate(numbers):
        first, last = np.searchsorted(photo, [number, number + 1])
        seen = np.unique(sighted[first:last])
        toward = rotation_matrix(model.photos[number].rotation)[2].float()
        z = points[torch.from_numpy(seen[seen >= 0])] @ toward + model.photos[number].translation[2]
        z = z[z > 0]
        if len(z) >= FEWEST_FOR_BOUNDS:
            bounds[view] = torch.quantile(z, torch.tensor(PERCENTILES) / 100)
    known = bounds[~bounds[:, 0].isnan()]
    if not len(known):
        return None
    bounds[bounds[:, 0].isnan()] = torch.stack([known[:, 0].min(), known[:, 1].max()])
    return bounds


def _shown(folder: Path, path: Path) -> str:
    return folder.relative_to(path).as_posix()
