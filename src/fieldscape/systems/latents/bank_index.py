"""Where each scene of a bank is, in a file that is mapped: one name is found by touching a few kilobytes of it.

    head | sizes of the segments covered | first key of each block | sum of each block || entries || names

Entries (40 bytes: a 128-bit hash of the name, and the place) are in order of the hash, in blocks of 64 with a checksum
each; so finding one checks the head (20 kB at 100,000 scenes) and one block. The names follow in order of place, to be
listed without touching the scenes. The index is a cache: whatever is wrong with it, the segments tell all of it again.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldscape.files import write_atomic
from fieldscape.systems.latents.bank_records import Place

MAGIC = b"FSix\x01\x00\x00\x00"
HEAD = struct.Struct("<8sQQQQQQI")
"""magic, generation, entries, how many of them are lost, blocks, segments, bytes of names, their sum; then the sum of
head and tables."""
SUM = struct.Struct("<I")
BLOCK = 64
ENTRY = np.dtype(
    [("high", "<u8"), ("low", "<u8"), ("segment", "<u4"), ("lost", "<u4"), ("offset", "<u8"), ("length", "<u8")]
)


class IndexDamaged(Exception):
    """The index is not what was written; the segments must be asked."""


def key_of(name: bytes) -> tuple[int, int]:
    """The 128-bit hash of a name, as two halves."""
    high, low = struct.unpack("<QQ", hashlib.blake2b(name, digest_size=16).digest())
    return high, low


@dataclass(frozen=True)
class Index:
    """An index file, mapped. count: its entries; lost: those that are known to be lost. sizes: bytes of each segment
    that it covers."""

    count: int
    lost: int
    sizes: tuple[int, ...]
    content: mmap.mmap
    fences: np.ndarray
    sums: np.ndarray
    entries_at: int
    names_sum: int

    def find(self, name: str) -> Place | None:
        """Where the scene of this name is, or None. Raises IndexDamaged."""
        high, low = key_of(name.encode())
        first = max(int(np.searchsorted(self.fences, np.uint64(high), "left")) - 1, 0)
        last = int(np.searchsorted(self.fences, np.uint64(high), "right"))
        for block in range(first, last):
            entries = self._block(block)
            for hit in np.nonzero((entries["high"] == high) & (entries["low"] == low))[0]:
                return _place(entries[hit])
        return None

    def entries(self) -> list[tuple[str, Place]]:
        """All entries, in order of place. Reads the whole index. Raises IndexDamaged."""
        blocks = [self._block(block) for block in range(len(self.sums))]
        entries = np.concatenate(blocks) if blocks else np.empty(0, ENTRY)
        entries = entries[_in_order(entries)]
        return list(zip(self.names(lost=True), map(_place, entries.tolist()), strict=True))

    def names(self, lost: bool = False) -> list[str]:
        """All names, in order of place; then, if asked for, those of lost scenes. Raises IndexDamaged."""
        data = self.content[self.entries_at + self.count * ENTRY.itemsize :]
        if zlib.crc32(data) != self.names_sum:
            raise IndexDamaged
        lengths = np.frombuffer(data, "<u2", self.count)
        ends = 2 * self.count + np.cumsum(lengths, dtype=np.int64)
        count = self.count if lost else self.count - self.lost
        pairs = zip(ends[:count].tolist(), lengths[:count].tolist(), strict=True)
        return [data[end - length : end].decode() for end, length in pairs]

    def _block(self, block: int) -> np.ndarray:
        start = self.entries_at + block * BLOCK * ENTRY.itemsize
        data = self.content[start : min(start + BLOCK * ENTRY.itemsize, self.entries_at + self.count * ENTRY.itemsize)]
        if zlib.crc32(data) != self.sums[block]:
            raise IndexDamaged
        return np.frombuffer(data, ENTRY)


def write_index(path: Path, generation: int, sizes: Sequence[int], places: Mapping[str, Place]) -> None:
    """Writes the index of these scenes, whole or not at all. Raises BadInput where that is not possible."""
    labels = [name.encode() for name in places]
    pairs = zip(labels, places.values(), strict=True)
    entries = np.array([(*key_of(label), p.segment, p.lost, p.offset, p.length) for label, p in pairs], ENTRY)
    labels = [labels[i] for i in _in_order(entries)]
    entries = entries[np.lexsort((entries["low"], entries["high"]))]
    starts = range(0, len(entries), BLOCK)
    sums = np.array([zlib.crc32(entries[i : i + BLOCK].tobytes()) for i in starts], "<u4")
    names = np.array([len(label) for label in labels], "<u2").tobytes() + b"".join(labels)
    tables = np.array(sizes, "<u8").tobytes() + entries["high"][::BLOCK].tobytes() + sums.tobytes()
    lost = sum(place.lost for place in places.values())
    head = HEAD.pack(MAGIC, generation, len(entries), lost, len(sums), len(sizes), len(names), zlib.crc32(names))
    parts: Iterable[bytes] = (head, SUM.pack(zlib.crc32(tables, zlib.crc32(head))), tables, entries.tobytes(), names)
    write_atomic(path, lambda file: file.writelines(parts))


def open_index(path: Path, generation: int) -> Index | None:
    """The index in a file, or None where there is none, or it is damaged or another generation's."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    start = HEAD.size + SUM.size
    if len(content) < start:
        return None
    magic, made_for, count, lost, blocks, segments, names, names_sum = HEAD.unpack_from(content)
    if magic != MAGIC or made_for != generation or blocks != -(-count // BLOCK):
        return None
    tables = 8 * segments + 12 * blocks
    if len(content) != start + tables + count * ENTRY.itemsize + names:
        return None
    table = content[start : start + tables]
    if SUM.unpack_from(content, HEAD.size)[0] != zlib.crc32(table, zlib.crc32(content[: HEAD.size])):
        return None
    sizes = np.frombuffer(table, "<u8", segments)
    fences = np.frombuffer(table, "<u8", blocks, 8 * segments)
    sums = np.frombuffer(table, "<u4", blocks, 8 * (segments + blocks))
    return Index(count, lost, tuple(sizes.tolist()), content, fences, sums, start + tables, names_sum)


def _in_order(entries: np.ndarray) -> np.ndarray:
    """Scenes before lost ones, then by place; the hash decides between lost ones that had the same."""
    return np.lexsort(tuple(entries[key] for key in ("low", "high", "offset", "segment", "lost")))


def _place(entry: np.void | tuple[int, ...]) -> Place:
    return Place(int(entry[2]), int(entry[4]), int(entry[5]), bool(entry[3]))
