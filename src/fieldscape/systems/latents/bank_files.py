"""The files of a bank, and what they hold: opened, judged after whatever happened to them, never changed here.

bank.json             format, the fingerprint of the shared parts (bundle), the generation that counts
bank.copy.json        the same, should a bit of it flip
000001-000000.scenes  segments of a generation: records one after another (see ``bank_records``), only ever appended
000001.index          where each scene is (see ``bank_index``): a cache
lock                  held by the one process that writes
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.systems.latents.bank_index import Index, open_index
from fieldscape.systems.latents.bank_records import (
    DELETED,
    LOST,
    Damage,
    Head,
    Place,
    Torn,
    decode_body,
    decode_head,
    read_at,
    scan,
)

FORMAT = 1
NAMES = ("bank.json", "bank.copy.json")
LOCK = "lock"
_FILE = re.compile(r"(\d{6})(?:-(\d{6})\.scenes|\.index)")


@dataclass
class Contents:
    """What a generation holds: the index, what came after it, and what is wrong.

    recent: places of scenes later than the index, None where they were deleted.  lost: names that the index knows and
    whose bytes are gone.  cut: segments shorter than the index knows, and their size now.  torn: ends of segments that
    are the start of a record.  damage: bytes that are no record.
    """

    folder: Path
    bundle: str
    generation: int
    sizes: dict[int, int]
    index: Index | None = None
    recent: dict[str, Place | None] = field(default_factory=dict)
    count: int = 0
    lost: list[str] = field(default_factory=list)
    cut: dict[int, int] = field(default_factory=dict)
    torn: list[Torn] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    handles: dict[int, int] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """Where the sums of this generation's records start: another's are not taken for its own."""
        return zlib.crc32(f"fieldscape bank {self.generation}".encode())

    def find(self, name: str) -> Place | None:
        """Where a scene is, or None. Raises IndexDamaged."""
        if name in self.recent:
            return self.recent[name]
        return None if self.index is None else self.index.find(name)

    def apply(self, name: str, place: Place | None) -> None:
        """A scene was added, replaced, lost or (None) deleted. Raises IndexDamaged."""
        before = self.find(name)
        self.count += (place is not None and not place.lost) - (before is not None and not before.lost)
        self.recent.pop(name, None)  # so that the order of the names is that of their places
        self.recent[name] = place

    def names(self) -> list[str]:
        """All scenes in order of place, without asking where. Raises IndexDamaged."""
        old = [] if self.index is None else self.index.names()
        old = [name for name in old if name not in self.recent] if self.recent else old
        return old + [name for name, place in self.recent.items() if place is not None and not place.lost]

    def places(self) -> dict[str, Place]:
        """All scenes and lost ones by name, in order of place. Raises IndexDamaged."""
        old = [] if self.index is None else self.index.entries()
        places = {name: place for name, place in old if name not in self.recent}
        return places | {name: place for name, place in self.recent.items() if place is not None}

    def forget_index(self) -> None:
        """Ask every record instead of an index that turned out damaged."""
        fresh = load(self.folder, self.bundle, self.generation, use_index=False)
        fresh.close()
        self.index, self.recent, self.count = None, fresh.recent, fresh.count

    def handle(self, segment: int) -> int:
        """The open segment. Raises FileNotFoundError where a compaction has replaced it."""
        if segment not in self.handles:
            self.handles[segment] = os.open(
                segment_path(self.folder, self.generation, segment), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
            )
        return self.handles[segment]

    def records(self, segment: int, start: int = 0, bodies: bool = False) -> Iterator[Head | Damage | Torn]:
        """What a segment holds, from the byte ``start`` on."""
        return scan(self.handle(segment), segment, self.sizes[segment], start, self.seed, bodies)

    def scene(self, name: str, place: Place) -> tuple[Any, bytes] | None:
        """Note and payload of the scene at a place, or None where they are not what was written."""
        data = read_at(self.handle(place.segment), place.offset, place.length)
        head = decode_head(data, place.segment, place.offset, self.seed)
        return None if head is None or head.name != name else decode_body(head, data[head.start :])

    def close(self) -> None:
        """Let go of the files."""
        for handle in self.handles.values():
            os.close(handle)
        self.handles.clear()


def is_bank(folder: Path) -> bool:
    """Whether a bank is, or once was, in this folder."""
    return any((folder / name).is_file() for name in NAMES)


def read_bank(folder: Path) -> tuple[str, int]:
    """(bundle, generation) of the bank in a folder. Raises BadInput where there is none, or of another format."""
    if not is_bank(folder):
        raise BadInput(f"{folder} is not a bank of scenes: it has no bank.json.")
    records = list[dict[str, Any]]()
    for name in NAMES:
        with contextlib.suppress(BadInput):
            record = read_json(folder / name, 2**20)
            records += [record] if isinstance(record, dict) else []
    for record in records:
        bundle, generation = str(record.get("bundle")), record.get("generation")
        if isinstance(generation, int) and (FORMAT, _sum(bundle, generation)) == (
            record.get("format"),
            record.get("sum"),
        ):
            return bundle, generation
    forms = [record.get("format") for record in records]
    if forms and all(form == forms[0] != FORMAT for form in forms):
        raise BadInput(f"{folder} is a bank of format {forms[0]!r:.40}; this fieldscape reads format {FORMAT}.")
    raise BadInput(f"{folder / 'bank.json'} and its copy are damaged; restore one of them from a backup.")


def write_bank(folder: Path, bundle: str, generation: int) -> None:
    """Make ``generation`` the one that counts, in one step. Raises BadInput where that cannot be written."""
    record = {"format": FORMAT, "bundle": bundle, "generation": generation, "sum": _sum(bundle, generation)}
    for name in NAMES:
        write_json(folder / name, record)


def _sum(bundle: str, generation: int) -> int:
    return zlib.crc32(f"{bundle}\n{generation}".encode("utf-8", "replace"))


def segment_path(folder: Path, generation: int, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{generation:06d}-{number:06d}.scenes"


def index_path(folder: Path, generation: int) -> Path:
    """The file of the index."""
    return folder / f"{generation:06d}.index"


def files_of(folder: Path) -> dict[str, tuple[int, int | None]]:
    """The bank's files by name: (generation, number of the segment or None for an index)."""
    found = {name: _FILE.fullmatch(name) for name in os.listdir(folder)}
    return {name: (int(m[1]), None if m[2] is None else int(m[2])) for name, m in found.items() if m is not None}


def load(folder: Path, bundle: str, generation: int, use_index: bool = True) -> Contents:
    """What the files of a generation hold. use_index: trust the index where it is sound, else ask every record.

    Raises FileNotFoundError where a compaction has replaced the files meanwhile, IndexDamaged where the index is not
    what was written.
    """
    numbers = sorted(n for made, n in files_of(folder).values() if made == generation and n is not None)
    sizes = {n: segment_path(folder, generation, n).stat().st_size for n in numbers}
    known = Contents(folder, bundle, generation, sizes)
    known.index = open_index(index_path(folder, generation), generation) if use_index else None
    covered = () if known.index is None else known.index.sizes
    if known.index is not None:
        known.count = known.index.count - known.index.lost
        known.cut = {n: sizes.get(n, 0) for n, size in enumerate(covered) if sizes.get(n, 0) < size}
        if known.cut:
            for name, place in known.index.entries():
                if not place.lost and place.end > known.cut.get(place.segment, place.end):
                    known.lost.append(name)
                    known.apply(name, Place(place.segment, place.offset, 0, lost=True))
    for number in numbers:
        _load_segment(known, number, covered[number] if number < len(covered) else 0)
    return known


def _load_segment(known: Contents, number: int, start: int) -> None:
    for item in known.records(number, min(start, known.sizes[number])):
        if isinstance(item, Torn) and number == max(known.sizes):
            known.torn.append(item)
        elif isinstance(item, Torn):
            known.damage.append(Damage(item.place, item.name, "its segment is cut short"))
            if item.name is not None:
                known.apply(item.name, Place(item.place.segment, item.place.offset, 0, lost=True))
        elif isinstance(item, Damage):
            known.damage.append(item)
        elif item.kind == DELETED:
            known.apply(item.name, None)
        else:
            lost = item.kind == LOST
            known.apply(item.name, Place(number, item.place.offset, item.place.length, lost))
