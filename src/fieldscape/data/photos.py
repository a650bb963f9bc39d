"""Reader of bare photos, or of a video: the cameras are found by structure from motion.

pycolmap (the extra ``sfm``) does it in a process of its own, see ``sfm_process``. What it finds is kept in a cache, so
the same photos are done once. The world that comes out has no unit and no direction of its own; it is given some:

* up, as most photos have it (EXIF orientation included), becomes +z;
* the median of the surface points becomes the origin, and the cameras' mean distance from it 1.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fieldscape.data import colmap, sfm_process
from fieldscape.data.clip_frames import extract_frames
from fieldscape.data.colmap_files import read_model
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress, common_size, photo_files
from fieldscape.data.sfm_caller import run
from fieldscape.data.upright import exif, settled, turned_upright
from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason, write_json
from fieldscape.images import read_image, write_image
from fieldscape.types import Views

FORMAT = 1
"""Of the cache. A change of the method that gives other cameras counts it up."""

OLDEST_PYCOLMAP = 4

FEWEST_PHOTOS = 3

LITTLE_PARALLAX = 3.0
"""Degrees. Below it depth is known only roughly, which is worth a word."""


def read(path: Path, options: ReadOptions, progress: Progress | None = None, quiet: bool = False) -> Views:
    """The photos in ``path`` (or ``path/images``), or frames of the video ``path``, that could be placed.

    The cameras are kept in ``options.cache``; without it they are found anew each time. How far the search is, is shown
    on standard error unless ``quiet``.

    Raises BadInput: pycolmap is missing, too few photos, photos of several sizes, or the cameras cannot be found (the
    message says why and what to do).
    """
    _require_pycolmap()
    with _folder(options.cache) as cache:
        video = path.is_file()
        folder = extract_frames(path, cache / "frames", quiet) if video else path
        files = photo_files(folder) or photo_files(folder / "images")
        _require_photos(files, path)
        said = find_cameras(files, cache, quiet)
        model = read_model(cache / "model")
        views = colmap.views_of(model, files[0].parent, options, said, progress)
        orientations = [exif(files[0].parent / name)[0] for name in views.names]
    views, orientations = turned_upright(views, orientations)
    return settled(views, orientations)


def find_cameras(files: Sequence[Path], cache: Path, quiet: bool) -> list[str]:
    """Makes ``cache/model`` hold a COLMAP model of the photos, and returns what there is to say about it."""
    key = _key(files)
    found, said = _cached(cache, key)
    if found is None:
        found = _search(files, cache, key, quiet)
    return [*report(found, len(files)), *said]


def report(found: dict[str, Any], count: int) -> list[str]:
    """What came out, in plain words; ``found`` is what ``sfm_process`` sent."""
    placed = found["placed"]
    said = [
        f"placed {len(placed)} of {count} photos; mean reprojection error {found['error']:.2f} px;"
        f" {found['points']:,} points; {found['agreed']:.1%} of all matches agree; found in {found['seconds']:.0f} s"
    ]
    if found["left_out"]:
        more = len(found["left_out"]) - 5
        said.append(f"left out: {', '.join(found['left_out'][:5])}" + (f" and {more} more" if more > 0 else ""))
    if found["effort"] != sfm_process.USUAL.words:
        said.append(f"the usual settings did not do, so tried again: {found['effort']}")
    if found["repairs"]:
        said.append("a repeated pattern had joined parts of the scene at a wrong place; that was found and mended")
    if found["groups"] > 1:
        said.append(
            f"the photos fall into {found['groups']} groups whose places contradict each other: part of the cameras are"
            " probably wrong (repeated patterns, or things that moved between photos)"
        )
    if found["flat"]:
        said.append(
            "most pairs of photos look like a flat scene, or like a camera that only turned: unless the scene is flat,"
            " the cameras are wrong; step aside between photos"
        )
    if found["parallax"] < LITTLE_PARALLAX:
        said.append(
            f"the camera hardly moved sideways (median parallax {found['parallax']:.1f} degrees), so depth is uncertain"
        )
    return said


def _require_pycolmap() -> None:
    # Found, not imported: its libraries must not meet Pillow's, see sfm_process.
    if importlib.util.find_spec("pycolmap") is None:
        raise BadInput(
            "Photos without poses need structure from motion: install with pip install 'fieldscape[sfm]', or give"
            " poses (transforms.json or a COLMAP model)."
        )
    version = importlib.metadata.version("pycolmap")
    if int(version.partition(".")[0]) < OLDEST_PYCOLMAP:
        raise BadInput(f"pycolmap {version} is too old: update with pip install -U 'fieldscape[sfm]'.")


def _require_photos(files: Sequence[Path], path: Path) -> None:
    if len(files) < FEWEST_PHOTOS:
        raise BadInput(
            f"{path} has {len(files)} photo{'s' * (len(files) != 1)} without poses; finding poses needs at least"
            f" {FEWEST_PHOTOS}, better 20 or more, taken from different places and overlapping by two thirds."
        )
    common_size(files)
    if len({hashlib.sha256(file.read_bytes()).digest() for file in files}) < FEWEST_PHOTOS:
        raise BadInput(
            f"The {len(files)} photos in {path} are copies of one picture; photos from different places are needed."
        )


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="fieldscape-sfm-") as temporary:
            yield Path(temporary)
        return
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"Cannot keep the cameras in {cache}: {reason(error)}.") from error
    yield cache


def _key(files: Sequence[Path]) -> str:
    """Changes whenever a photo or the method does."""
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    method = [FORMAT, importlib.metadata.version("pycolmap")]
    return hashlib.sha256(json.dumps([str(files[0].parent.resolve()), stats, method]).encode()).hexdigest()


def _cached(cache: Path, key: str) -> tuple[dict[str, Any] | None, list[str]]:
    """What an earlier search found, if it was for the same photos and is whole; and what to say about it."""
    if not (cache / "sfm.json").is_file():
        return None, []
    try:
        kept = read_json(cache / "sfm.json")
        if kept["key"] != key:
            return None, []
        model = read_model(cache / "model")
        found = kept["found"]
        report(found, 0)
        if sorted(photo.name for photo in model.photos.values()) != found["placed"]:
            raise BadInput("other photos")
    except (BadInput, LookupError, TypeError, ValueError):
        return None, [f"the cameras kept in {cache} were damaged and have been found anew"]
    return found, ["the cameras were found in an earlier run"]


def _search(files: Sequence[Path], cache: Path, key: str, quiet: bool) -> dict[str, Any]:
    """Runs structure from motion and puts its model and report into the cache, the report last."""
    began = time.monotonic()
    (cache / "sfm.json").unlink(missing_ok=True)
    for left_behind in cache.glob("work-*"):  # by a run that was killed
        shutil.rmtree(left_behind, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=cache))
    try:
        (work / "model").mkdir()
        makes = {exif(file)[1] for file in files}
        job = {
            "folder": str(_readable(files, work).resolve()),
            "names": [file.name for file in files],
            # Photos of one size and one lens setting share one camera, which makes it far better known.
            "shared": len(makes) == 1,
            "all_pairs": sfm_process.ALL_PAIRS,
            "work": str(work.resolve()),
            "out": str((work / "model").resolve()),
            "threads": torch.get_num_threads(),
        }
        found = run(job, cache / "sfm.log", quiet)
        found["left_out"] = sorted({file.name for file in files} - set(found["placed"]))
        found["seconds"] = round(time.monotonic() - began, 1)
        if found["agreed"] < sfm_process.HOPELESS:
            raise BadInput(
                f"The cameras of the {len(files)} photos cannot be found: what matches between them is contradictory"
                f" (only {found['agreed']:.0%} agrees with the best guess). Things that move, mirrors or repeated"
                " patterns do that. Take photos of a scene that stands still, with the background in focus."
            )
        shutil.rmtree(cache / "model", ignore_errors=True)
        (work / "model").replace(cache / "model")
        write_json(cache / "sfm.json", {"key": key, "found": found})
    except OSError as error:
        raise BadInput(f"Structure from motion cannot work in {cache}: {reason(error)}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return found


def _readable(files: Sequence[Path], work: Path) -> Path:
    """The folder of the photos; where pycolmap does not know their format, a copy with WebP decoded.

    The copies keep their names, as the model knows photos by name; pycolmap looks at the content.
    """
    if not any(file.suffix.lower() == ".webp" for file in files):
        return files[0].parent
    copies = work / "photos"
    copies.mkdir()
    for file in files:
        if file.suffix.lower() == ".webp":
            write_image(copies / "decoded.png", read_image(file))
            (copies / "decoded.png").replace(copies / file.name)
        else:
            shutil.copyfile(file, copies / file.name)
    return copies
