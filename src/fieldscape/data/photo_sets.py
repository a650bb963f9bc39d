"""Photos without poses, cut to small squares: what a generator learns from.

They come from a folder, a zip or tar archive, or an LMDB database as LSUN's are. Entries are read one by one and
decoded in memory; nothing is unpacked to disk, and no name in an archive is taken for a path.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.data.layers import read_depth
from fieldscape.data.photostack import Progress, area_mean
from fieldscape.data.untrusted import read_npy
from fieldscape.errors import BadInput
from fieldscape.files import reason
from fieldscape.images import decode_image, read_image, read_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".jp2")
LARGEST_ENTRY = 256 * 2**20
IN_MEMORY = 2 * 2**30
"""Bytes of pixels kept in memory; a larger set is kept in a file that is mapped into it."""
FEWEST = 16
MOST_ENTRIES = 20_000_000
SUBSET_SEED = 0
"""Of the permutation that subsets are taken from: the first 100 are among the first 1,000."""


@dataclass(frozen=True)
class PhotoSet:
    """Square photos: uint8 RGB, and planar depth in metres (0: unknown) where the user has it.

    skipped: entries that could not be used, and why.  notes: what the user should know.
    """

    images: UInt8[np.ndarray, "n s s 3"]
    depths: Float[np.ndarray, "n s s"] | None
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.images.shape[1]


def read_photo_set(
    path: Path | str,
    size: int = 64,
    most: int | None = None,
    depth: Path | None = None,
    depth_unit: float = 0.001,
    progress: Progress | None = None,
) -> PhotoSet:
    """The photos at ``path``, their middles cut out and made ``size`` pixels a side (area average).

    most: only so many, chosen by a fixed permutation of their names in order.  depth: a folder with a depth map
    NAME.png (16 bits, ``depth_unit`` metres a step) or NAME.npy (metres) for each photo, of the photo's size or shape.

    Raises BadInput: nothing there, fewer than 16 photos that can be used, all of one colour, or all the same.
    """
    path = Path(path)
    if most is not None and most < FEWEST:
        raise BadInput(f"--most is {most}: a generator needs at least {FEWEST} photos, and better 1,000.")
    with _source(path) as (names, load):
        chosen = _subset(names, most)
        if depth is not None:
            _require_names(chosen, path)
        if len(chosen) < FEWEST:
            raise BadInput(f"{path} holds {len(chosen)} photos; a generator needs at least {FEWEST}, and better 1,000.")
        store = _store(len(chosen), size, path)
        depths = np.zeros((len(chosen), size, size), np.float32) if depth is not None else None
        kept, skipped, done = list[str](), list[tuple[str, str]](), 0

        def one(name: str) -> tuple[str, Tensor | None, Tensor | None, str]:
            try:
                photo = load(name)
                picture = square(photo, size)
                measured = None if depth is None else _depth_of(depth, name, photo.shape[:2], size, depth_unit)
                return name, picture, measured, ""
            except BadInput as fault:
                return name, None, None, str(fault)

        with ThreadPoolExecutor(2) as pool:
            for name, picture, measured, why in pool.map(one, chosen):
                done += 1
                if picture is None:
                    skipped.append((name, why))
                else:
                    store[len(kept)] = picture.numpy()
                    if depths is not None and measured is not None:
                        depths[len(kept)] = measured.numpy()
                    kept.append(name)
                if progress is not None:
                    progress(done, len(chosen))
    images = store[: len(kept)]
    notes = _looked_over(images, path, skipped)
    return PhotoSet(images, None if depths is None else depths[: len(kept)], tuple(kept), tuple(skipped), notes)


def square(photo: UInt8[Tensor, "h w c"], size: int) -> UInt8[Tensor, "s s 3"]:
    """The middle square of a photo, reduced (or enlarged) to ``size`` a side; grey becomes RGB, alpha lies on white."""
    if min(photo.shape[:2]) < 8:
        raise BadInput(f"it is only {photo.shape[1]} x {photo.shape[0]} pixels")
    color = photo.float()
    if photo.shape[-1] == 4:
        share = color[..., 3:] / 255
        color = color[..., :3] * share + 255 * (1 - share)
    color = color[..., :3].expand(*photo.shape[:2], 3)
    return area_mean(_middle(color), size, size).round().clamp(0, 255).to(torch.uint8)


def _middle(picture: Tensor) -> Tensor:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side].contiguous()


def _require_names(names: Sequence[str], path: Path) -> None:
    """Raises BadInput where two photos would have the same depth map."""
    known = dict[str, str]()
    for name in names:
        other = known.setdefault(PurePosixPath(name).stem, name)
        if other != name:
            raise BadInput(
                f"{path} holds {other} and {name}, which would share a depth map: rename photos so that none has "
                "another's name."
            )


def _depth_of(folder: Path, name: str, shape: Sequence[int], size: int, unit: float) -> Tensor:
    """The depth map of a photo of ``shape`` (height, width), cut as the photo is; unknown pixels are 0, and an average
    with one of them is too."""
    stem = PurePosixPath(name).stem
    for suffix in (".png", ".npy"):
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            break
    else:
        raise BadInput(f"there is no depth map {folder / stem}.png or .npy")
    if suffix == ".npy":
        array = read_npy(path).squeeze()
        if array.ndim != 2:
            raise BadInput(f"{path} holds numbers {list(array.shape)}; [height, width] were expected")
        height, width = array.shape
    else:
        width, height = read_size(path)
    # A depth map may be smaller than its photo, but must show the same: a pixel more or less comes from rounding.
    if abs(width * shape[0] - height * shape[1]) > max(width, height, *shape):
        raise BadInput(
            f"it is {shape[1]} x {shape[0]}, but its depth map {width} x {height}: another part of the scene"
        )
    depth = _middle(read_depth(path, unit, width, height)[..., None])[..., 0]
    known = (depth > 0).float()
    sums = area_mean(torch.stack([depth, known], -1), size, size)
    return torch.where(sums[..., 1] > 0.999, sums[..., 0], 0.0)


# --- where photos are kept ---

Load = Callable[[str], UInt8[Tensor, "h w c"]]


@contextmanager
def _source(path: Path) -> Iterator[tuple[list[str], Load]]:
    """The names of what may be photos at ``path``, in order, and how to load one."""
    if path.is_dir() and (path / "data.mdb").is_file():
        with _lmdb(path) as found:
            yield found
    elif path.is_dir():
        files = {str(p.relative_to(path)): p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES}
        yield list(files), lambda name: read_image(files[name], upright=True)
    elif not path.is_file():
        raise BadInput(f"There is no folder, archive or LSUN database {path}.")
    elif zipfile.is_zipfile(path):
        with _readable(path), zipfile.ZipFile(path) as archive:
            sizes = {i.filename: i.file_size for i in archive.infolist() if _is_photo(i.filename)}
            yield sorted(sizes), lambda name: _decoded(name, sizes[name], lambda: archive.read(name))
    elif tarfile.is_tarfile(path):
        with _readable(path), tarfile.open(path) as tape:
            members = {m.name: m for m in tape.getmembers() if m.isfile() and _is_photo(m.name)}
            turn = threading.Lock()  # it is one file, read from one place at a time

            def read(name: str) -> bytes:
                with turn:
                    entry = tape.extractfile(members[name])
                    return b"" if entry is None else entry.read()

            yield sorted(members), lambda name: _decoded(name, members[name].size, lambda: read(name))
    elif path.name == "data.mdb":
        with _lmdb(path.parent) as found:
            yield found
    else:
        raise BadInput(f"{path} is no folder, zip or tar archive of photos, and no LSUN database (a folder *_lmdb).")


@contextmanager
def _lmdb(path: Path) -> Iterator[tuple[list[str], Load]]:
    """An LMDB database whose values are image files, as LSUN's are."""
    import lmdb

    with _readable(path), lmdb.open(str(path), readonly=True, lock=False, max_readers=8) as environment:
        # A database cut short would end the process when its missing pages are touched: ask before.
        pages, page = environment.info()["last_pgno"] + 1, environment.stat()["psize"]
        if (path / "data.mdb").stat().st_size < pages * page:
            raise BadInput(f"{path / 'data.mdb'} is cut short: {pages * page:,} bytes were expected. Copy it again.")
        with environment.begin(buffers=True) as reading:
            if reading.stat()["entries"] > MOST_ENTRIES:
                raise BadInput(f"{path} holds over {MOST_ENTRIES:,} photos; split it.")
            keys = [bytes(key).decode("ascii", "replace") for key in reading.cursor().iternext(values=False)]

        def load(name: str) -> UInt8[Tensor, "h w c"]:
            with environment.begin() as once:
                value = once.get(name.encode())
            if value is None:
                raise BadInput(f"{name} cannot be found again")
            return _decoded(name, len(value), lambda: value)

        yield keys, load


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong in an archive as a whole, in one sentence."""
    import lmdb

    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, lmdb.Error, OSError, EOFError, zlib.error) as fault:
        raise BadInput(
            f"{path} cannot be read ({reason(fault)}): it is damaged, or cut short. Copy it again."
        ) from fault


def _decoded(name: str, size: int, read: Callable[[], bytes]) -> UInt8[Tensor, "h w c"]:
    if size > LARGEST_ENTRY:
        raise BadInput(f"it has {size:,} bytes, more than a photo has")
    try:
        data = read()
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, RuntimeError) as fault:
        raise BadInput(f"it cannot be unpacked ({reason(fault)})") from fault
    return decode_image(data, name, upright=True)


def _is_photo(name: str) -> bool:
    place = PurePosixPath(name)
    return place.suffix.lower() in SUFFIXES and not place.name.startswith("._")


def _subset(names: Sequence[str], most: int | None) -> list[str]:
    """``most`` of the names, or all, in their own order."""
    if most is None or most >= len(names):
        return list(names)
    picked = np.random.default_rng(SUBSET_SEED).permutation(len(names))[:most]
    return [names[i] for i in sorted(picked)]


def _store(count: int, size: int, path: Path) -> UInt8[np.ndarray, "n s s 3"]:
    """Room for so many photos: in memory, or in a temporary file without a name that is mapped into it."""
    shape = (count, size, size, 3)
    if count * size * size * 3 <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    try:
        with tempfile.TemporaryFile() as file:
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as fault:
        raise BadInput(
            f"There is no room for {count:,} photos of {path} in {tempfile.gettempdir()} ({reason(fault)}): "
            "take fewer, make them smaller, or set TMPDIR."
        ) from fault


def _looked_over(
    images: UInt8[np.ndarray, "n s s 3"], path: Path, skipped: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """What to know about the photos. Raises BadInput where nothing can be learned from them."""
    notes = []
    if skipped:
        name, why = skipped[0]
        notes.append(f"{len(skipped)} of {len(skipped) + len(images)} photos cannot be used: {name} ({why}), ...")
    if len(images) < FEWEST:
        told = f" {notes[0]}" if notes else ""
        raise BadInput(f"{path} holds {len(images)} photos that can be used; at least {FEWEST} are needed.{told}")
    if all(np.ptp(image, (0, 1)).max() <= 2 for image in images[:: max(1, len(images) // 64)]):
        raise BadInput(f"The photos in {path} are of one colour each; there is nothing to learn from.")
    different = len({hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images})
    if different < FEWEST:
        raise BadInput(f"The {len(images)} photos in {path} show only {different} different pictures, repeated.")
    if different < 0.9 * len(images):
        notes.append(f"{len(images) - different} of {len(images)} photos are copies of others")
    return tuple(notes)
