"""Objects read once from their many small files and packed into a few large ones that are mapped into memory.

A pack is a folder in the cache: ``images.npy``, ``poses.npy``, ... and ``pack.json``, which says what it was made from
(size and time of change of every file) and what it holds. It is written under a temporary name and renamed when it is
whole, so an interrupted packing leaves nothing that would be taken for one. Processes that want the same pack wait for
each other by a lock that the system gives back when its holder dies; a pack in use may be replaced, since a mapped file
lives on without its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason, sync_folder, write_json
from fieldscape.systems.latents.decoding import ARRAYS, as_objects, judged, read_good
from fieldscape.systems.latents.locking import locked
from fieldscape.systems.latents.objects import Objects, ObjectSettings

FORMAT = 1
MOST_BYTES = 512 * 2**20
"""Of pack.json: 60 bytes or so an object."""
HEADER = 128
"""Bytes before the numbers of an .npy file of ours."""


def packed_objects(places: dict[str, Path], settings: ObjectSettings, cache: Path, quiet: bool) -> Objects:
    """The objects from their pack, made first where there is none, or an old one, or a damaged one."""
    # A pack serves every split, unless objects too small for one are left out.
    split = settings.held_out if settings.skip_bad else ""
    folders = [str(place.resolve()) for place in places.values()]
    text = json.dumps([FORMAT, settings.size, settings.above, split, folders])
    key = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache / f"{key}.lock"):
            stamp = _stamp(places)
            pack = cache / key
            known = _opened(pack, stamp)
            if known is None:
                for leftover in cache.glob(f"{key}.*.tmp"):  # of a packing that was killed; nobody else holds the lock
                    shutil.rmtree(leftover, ignore_errors=True)
                _make(pack, places, settings, stamp, quiet)
                known = _opened(pack, stamp)
                if known is None:
                    raise BadInput(
                        f"The pack {pack} cannot be read back; is the disk sound, and nothing else writing there?"
                    )
            return known
    except OSError as error:
        raise BadInput(f"Cannot pack objects into {cache}: {reason(error)}. Choose another --cache.") from error


def _stamp(places: dict[str, Path]) -> str:
    """32 hexadecimal digits of the names, sizes and times of change of all files that a pack is made from."""
    whole = hashlib.blake2b(digest_size=16)
    for name, folder in places.items():
        whole.update(f"object {len(name)}:{name}\n".encode())
        for part in ("rgb", "pose"):
            if (folder / part).is_dir():
                with os.scandir(folder / part) as items:
                    for item in sorted(items, key=lambda item: item.name):
                        whole.update(os.fsencode(item.name) + _about(item))
        whole.update(_about(folder / "intrinsics.txt"))
    return whole.hexdigest()


def _about(file: os.DirEntry[str] | Path) -> bytes:
    try:
        about = file.stat()
    except OSError:  # not there, or a link to nothing: whoever reads it will say so
        return b" none\n"
    return f" {about.st_size} {about.st_mtime_ns}\n".encode()


def _make(pack: Path, places: dict[str, Path], settings: ObjectSettings, stamp: str, quiet: bool) -> None:
    """Writes a pack, whole or not at all. Written, not mapped: a full disk is an error then, not a crash."""
    temporary = pack.with_name(f"{pack.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    bad, names, digests, counts = list[tuple[str, str]](), list[str](), list[str](), list[int]()
    files = {name: (temporary / f"{name}.npy").open("wb") for name in ARRAYS}
    like = dict[str, np.ndarray]()
    try:
        for item in read_good(places, settings, quiet, bad):
            for name, file in files.items():
                if name not in like:
                    file.write(_header(item.arrays[name], 0))
                    like[name] = item.arrays[name][:1]
                file.write(np.ascontiguousarray(item.arrays[name]).data)
            names.append(item.name)
            digests.append(item.digest)
            counts.append(len(item.arrays["poses"]))
        notes = judged(bad, len(places), settings)
        for name, file in files.items():
            file.seek(0)
            file.write(_header(like[name], sum(counts)))
            file.flush()
            os.fsync(file.fileno())
            file.close()
        write_json(
            temporary / "pack.json",
            {"format": FORMAT, "stamp": stamp, "names": names, "digests": digests, "counts": counts, "notes": notes},
        )
        if pack.exists():  # it is stale; should we be stopped here, the next process packs again
            old = pack.with_name(f"{pack.name}.{secrets.token_hex(4)}.tmp")
            pack.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        temporary.rename(pack)
        sync_folder(pack.parent)
    finally:
        for file in files.values():
            file.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _header(array: np.ndarray, count: int) -> bytes:
    """The start of an .npy file with ``count`` rows like those of ``array``, always of the same length."""
    text = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': ({count}, "
    text += ", ".join(str(n) for n in array.shape[1:]) + "), }"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + text.ljust(HEADER - 11).encode() + b"\n"


def _opened(pack: Path, stamp: str) -> Objects | None:
    """The objects of a pack that is whole and made from these sources, else None."""
    if not pack.is_dir():
        return None
    try:
        about = read_json(pack / "pack.json", MOST_BYTES)
        if about["format"] != FORMAT or about["stamp"] != stamp:
            return None
        arrays = {name: np.load(pack / f"{name}.npy", "r", allow_pickle=False) for name in ARRAYS}
        views = sum(about["counts"])
        if any(len(array) != views for array in arrays.values()):
            return None
        small = {name: np.array(array) for name, array in arrays.items() if name != "images"}
        return as_objects(
            about["names"], about["digests"], about["counts"], {**small, "images": arrays["images"]}, about["notes"]
        )
    except (BadInput, OSError, ValueError, KeyError, TypeError, EOFError):  # damaged: it is only a cache, made again
        return None
