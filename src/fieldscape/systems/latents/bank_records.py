"""How a scene lies in a file of the bank: a record with its own length and checksums, found again after damage.

    magic 4s | kind B | 0 B | name length H | note length I | payload length Q | place Q | body sum I | head sum I
    name (UTF-8) | note (JSON) | payload

The body sum (CRC-32) covers note and payload; the head sum covers the fields before it and the name, and starts from a
number that is the bank's own. So a record is known as one of this bank and of this place in it, whatever bytes a
payload holds, and when its body is damaged its name is still sure. A process that dies while it writes leaves the start
of a record at the end of a file: ``Torn``. Anything else that is not a record is ``Damage``, and reading goes on at the
next record behind it.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fieldscape.errors import BadInput
from fieldscape.files import jsonable

MAGIC = b"FSbk"
HEAD = struct.Struct("<4sBBHIQQI")
SUM = struct.Struct("<I")
START = HEAD.size + SUM.size
"""Bytes before the name."""

SCENE, DELETED, LOST = 1, 2, 3
"""Kinds of record: a scene; that the scene of this name was deleted; that it was found damaged beyond reading."""

MOST_NAME = 1024
"""Bytes of a name."""
MOST_NOTE = 64 * 1024
MOST_PAYLOAD = 256 * 2**20
CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is: the number of its segment, its first byte in it, and its length in bytes.

    lost: no scene is there, only the knowledge that there was one.
    """

    segment: int
    offset: int
    length: int
    lost: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Head:
    """What a record says of itself before its body. start: bytes before the body."""

    kind: int
    name: str
    place: Place
    start: int
    note_length: int
    body_sum: int


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no record, or a record whose body is not what was written: then its name is known."""

    place: Place
    name: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Torn:
    """The start of a record at the end of a segment."""

    place: Place
    name: str | None


def encode(kind: int, name: str, note: object, payload: bytes, segment: int, offset: int, seed: int) -> bytes:
    """The bytes of a record for this place. ``note``: JSON of at most 64 KiB. seed: the bank's own number.

    Raises BadInput: a name that is empty, too long or not text; a note or payload that is too large.
    """
    label, text = encode_name(name), json.dumps(jsonable(note), allow_nan=False, separators=(",", ":")).encode()
    if len(text) > MOST_NOTE:
        raise BadInput(
            f"The figures of scene {name!r} take {len(text):,} bytes of JSON; at most {MOST_NOTE:,} are kept."
        )
    if len(payload) > MOST_PAYLOAD:
        raise BadInput(f"Scene {name!r} has {len(payload):,} bytes; a bank holds scenes of up to {MOST_PAYLOAD:,}.")
    body_sum = zlib.crc32(payload, zlib.crc32(text))
    place = segment << 40 | offset
    head = HEAD.pack(MAGIC, kind, 0, len(label), len(text), len(payload), place, body_sum)
    return head + SUM.pack(zlib.crc32(label, zlib.crc32(head, seed))) + label + text + payload


def encode_name(name: str) -> bytes:
    """A name as bytes. Raises BadInput where it is empty, over 1,024 bytes, or holds half a character."""
    try:
        label = name.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{name[:80]!r} cannot be the name of a scene: it is not valid text.") from error
    if not 0 < len(label) <= MOST_NAME:
        raise BadInput(f"A scene's name has 1 to {MOST_NAME:,} bytes, not {len(label):,}: {name[:80]!r}.")
    return label


def decode_head(data: bytes, segment: int, offset: int, seed: int) -> Head | None:
    """The head of the record at this place from the bytes there, or None where they are no such head."""
    if len(data) < START:
        return None
    magic, kind, zero, name_length, note_length, payload_length, place, body_sum = HEAD.unpack_from(data)
    start = START + name_length
    if magic != MAGIC or place != segment << 40 | offset or zero or len(data) < start:
        return None
    if SUM.unpack_from(data, HEAD.size)[0] != zlib.crc32(data[START:start], zlib.crc32(data[: HEAD.size], seed)):
        return None
    sound = kind in (SCENE, DELETED, LOST) and note_length <= MOST_NOTE and payload_length <= MOST_PAYLOAD
    try:
        name = data[START:start].decode()
    except UnicodeDecodeError:
        return None
    length = start + note_length + payload_length
    return Head(kind, name, Place(segment, offset, length), start, note_length, body_sum) if sound and name else None


def decode_body(head: Head, body: bytes) -> tuple[Any, bytes] | None:
    """Note and payload of a record, or None where the body is not what was written."""
    if len(body) != head.place.length - head.start or zlib.crc32(body) != head.body_sum:
        return None
    try:
        return json.loads(body[: head.note_length]), body[head.note_length :]
    except ValueError:
        return None


def scan(handle: int, segment: int, size: int, start: int, seed: int, bodies: bool) -> Iterator[Head | Damage | Torn]:
    """What is in an open segment file of ``size`` bytes from ``start`` on. bodies: check them too, which reads all."""
    at = start
    while at < size:
        head = decode_head(read_at(handle, at, min(START + MOST_NAME, size - at)), segment, at, seed)
        if head is None:
            behind = _next_head(handle, segment, size, at + 1, seed)
            if behind is None and _is_torn(handle, at, size):
                yield Torn(Place(segment, at, size - at), None)
                return
            end = size if behind is None else behind
            yield Damage(Place(segment, at, end - at), None, "bytes are damaged")
            at = end
            continue
        if at + head.place.length > size:
            yield Torn(Place(segment, at, size - at), head.name)
            return
        if bodies and decode_body(head, read_at(handle, at + head.start, head.place.length - head.start)) is None:
            yield Damage(head.place, head.name, "its checksum does not match")
        else:
            yield head
        at += head.place.length


def _next_head(handle: int, segment: int, size: int, start: int, seed: int) -> int | None:
    """The next place from ``start`` on where a record of this bank begins."""
    at = start
    while at < size:
        window = read_at(handle, at, CHUNK + len(MAGIC) - 1)
        found = window.find(MAGIC)
        while found >= 0:
            here = at + found
            if decode_head(read_at(handle, here, min(START + MOST_NAME, size - here)), segment, here, seed):
                return here
            found = window.find(MAGIC, found + 1)
        at += CHUNK
    return None


def _is_torn(handle: int, at: int, size: int) -> bool:
    """Whether the bytes up to the end can be the start of a head, or were never written (a power cut leaves zeros)."""
    if size - at < START + MOST_NAME:
        return True
    return not any(any(read_at(handle, place, CHUNK)) for place in range(at, size, CHUNK))


def read_at(handle: int, offset: int, count: int) -> bytes:
    """Up to ``count`` bytes from ``offset`` of an open file; fewer only at its end."""
    return os.pread(handle, count, offset)


def write_all(handle: int, data: bytes) -> None:
    """Write all of ``data`` where the open file stands."""
    left = memoryview(data)
    while len(left):
        left = left[os.write(handle, left) :]
