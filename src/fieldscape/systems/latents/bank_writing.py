"""Writing to a bank: appending records, mending what a stopped writer or a cut left behind, and compacting."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldscape.errors import BadInput
from fieldscape.files import sync_folder
from fieldscape.systems.latents.bank_files import (
    Contents,
    files_of,
    index_path,
    load,
    read_bank,
    segment_path,
    write_bank,
)
from fieldscape.systems.latents.bank_health import examine
from fieldscape.systems.latents.bank_index import IndexDamaged, open_index, write_index
from fieldscape.systems.latents.bank_records import (
    DELETED,
    LOST,
    SCENE,
    Place,
    Torn,
    encode,
    write_all,
)

SEGMENT_BYTES = 256 * 2**20
"""A segment that has reached this is followed by another."""
MOST_RECENT = 1000
"""Records after the index that a reader looks through when it opens a bank; beyond that and half of the scenes, the
index is written anew, so that its cost a scene stays the same however many there are."""


_sync = getattr(os, "fdatasync", os.fsync)
"""Wait for the bytes of an open file, and for its size; some systems can only wait for all that they know of it."""


class Writer:
    """The end of a bank's last segment, open for appending. each: wait for the disk after every record."""

    def __init__(self, contents: Contents, each: bool, segment_bytes: int) -> None:
        self.contents, self.each, self.segment_bytes = contents, each, segment_bytes
        self._handle, self._since = -1, 0
        self._open(max(contents.sizes, default=0))

    def add(self, name: str, payload: bytes, note: Mapping[str, Any]) -> None:
        """Append a scene. Raises BadInput where it is too large, OSError where it cannot be written."""
        self._append(SCENE, name, note, payload)

    def delete(self, name: str) -> None:
        """Append that a scene is gone. Raises OSError where that cannot be written."""
        self._append(DELETED, name, {}, b"")

    def add_lost(self, name: str) -> None:
        """Append that a scene cannot be read any more. Raises OSError where that cannot be written."""
        self._append(LOST, name, {}, b"")

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        os.fsync(self._handle)

    def write_index(self) -> None:
        """Bring the index up to date. Raises BadInput where it cannot be written."""
        self.sync()
        save_index(self.contents)
        self._since = 0

    def close(self, index: bool = True) -> None:
        """Let go of the segment; everything is on the disk then."""
        if self._handle < 0:
            return
        try:
            self.sync()
            if index and (self._since or self.contents.index is None):
                self.write_index()
        finally:
            os.close(self._handle)
            self._handle = -1

    def _open(self, number: int) -> None:
        path = segment_path(self.contents.folder, self.contents.generation, number)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._number = number
        self.contents.sizes.setdefault(number, 0)
        sync_folder(self.contents.folder)

    def _append(self, kind: int, name: str, note: Mapping[str, Any], payload: bytes) -> None:
        sizes = self.contents.sizes
        if sizes[self._number] >= self.segment_bytes:
            self.sync()
            os.close(self._handle)
            self._open(self._number + 1)
        offset = sizes[self._number]
        data = encode(kind, name, note, payload, self._number, offset, self.contents.seed)
        try:
            os.lseek(self._handle, offset, os.SEEK_SET)
            write_all(self._handle, data)
            if self.each:
                _sync(self._handle)
        except BaseException:  # a full disk, an interruption: nothing half written may stay
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, offset)
            raise
        sizes[self._number] = offset + len(data)
        lost = kind == LOST
        try:
            self.contents.apply(name, None if kind == DELETED else Place(self._number, offset, len(data), lost))
        except IndexDamaged:
            self.contents.forget_index()
        self._since += 1
        if self._since > max(MOST_RECENT, self.contents.count // 2):
            self.write_index()


def save_index(contents: Contents) -> None:
    """Writes the index of all there is, and goes on with it. Raises BadInput where that is not possible."""
    try:
        places = contents.places()
    except IndexDamaged:
        contents.forget_index()
        places = contents.places()
    path = index_path(contents.folder, contents.generation)
    sizes = [contents.sizes.get(number, 0) for number in range(max(contents.sizes, default=-1) + 1)]
    write_index(path, contents.generation, sizes, places)
    contents.index, contents.recent = open_index(path, contents.generation), {}
    if contents.index is None:  # written and not read back: go on without
        contents.recent = dict(places)


def mended(contents: Contents) -> Contents:
    """The contents, after what is half written at the end was cut off; only the holder of the lock may do this.

    Where the bank was cut short, the index learns of the lost scenes first: it must not claim bytes that are written
    anew.
    """
    if not contents.sizes:
        return contents
    last = max(contents.sizes)
    torn = contents.torn
    if last in contents.cut:
        torn = [item for item in contents.records(last) if isinstance(item, Torn)]
    if torn:
        contents.sizes[last] = torn[-1].place.offset
    if contents.cut:
        save_index(contents)
    if torn:
        os.truncate(segment_path(contents.folder, contents.generation, last), contents.sizes[last])
    return contents


def compacted(old: Contents, drop_damaged: bool, segment_bytes: int) -> Contents:
    """The scenes of ``old`` in a new generation, which is the one that counts from then on.

    Raises BadInput: something is damaged (unless that is to be dropped); OSError: no room. Then nothing has changed.
    """
    new = Contents(old.folder, old.bundle, old.generation + 1, {})
    places = old.places()
    # A lost scene stays known as lost; any other damage would be gone with its bytes.
    faults = [fault for fault in examine(old).faults if fault.name is None or not places[fault.name].lost]
    if faults and not drop_damaged:
        listed = ", ".join(repr(fault.name) if fault.name else fault.what for fault in faults[:5])
        more = ", ..." if len(faults) > 5 else ""
        raise BadInput(
            f"The bank {old.folder} is damaged ({listed}{more}): delete such scenes or add them again, or compact it "
            "without what is damaged."
        )
    bad = {fault.name for fault in faults}
    try:
        writer = Writer(new, False, segment_bytes)
        try:
            for name, place in places.items():
                if place.lost and not drop_damaged:
                    writer.add_lost(name)
                if place.lost or name in bad:
                    continue
                found = old.scene(name, place)
                if found is None:  # it was sound a moment ago
                    raise BadInput(f"Scene {name!r} of the bank {old.folder} can no longer be read; is the disk sound?")
                writer.add(name, found[1], found[0])
        finally:
            writer.close()
        write_bank(old.folder, old.bundle, new.generation)
    except BaseException:
        new.close()
        tidy(old.folder)
        raise
    new.close()
    return load(new.folder, new.bundle, new.generation)


def tidy(folder: Path) -> None:
    """Removes the files of other generations than the one that counts, and half-written ones; for the lock's holder."""
    _, generation = read_bank(folder)
    for name, (made, _) in files_of(folder).items():
        if made != generation:
            (folder / name).unlink(missing_ok=True)
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
