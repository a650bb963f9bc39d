"""Which objects are for what: names in order, and ranges of them for learning the shared parts and for adding scenes.

Objects that the shared parts were learned from say nothing about how well new ones are added, so ranges never overlap:
not in one manifest, and not, by name, between a run and the objects added to it later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json

FORMAT = 1
MOST_BYTES = 256 * 2**20
SHOWN = 3


@dataclass(frozen=True)
class Manifest:
    """Names of objects in order, and half-open ranges of them: ``{"train": (0, 500), "exploit": (500, 540)}``.

    fingerprint: of the objects' content, where it is known. Ranges are not empty and do not overlap.
    """

    names: tuple[str, ...]
    ranges: Mapping[str, tuple[int, int]]
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise BadInput("A manifest names an object twice; each object must have one name of its own.")
        taken = list[tuple[int, int, str]]()
        for part, (start, stop) in self.ranges.items():
            require_range(start, stop, len(self.names), f"the range {part!r}")
            for other_start, other_stop, other in taken:
                if start < other_stop and other_start < stop:
                    both = f"{max(start, other_start)} to {min(stop, other_stop) - 1}"
                    raise BadInput(
                        f"The ranges {other!r} ({other_start}:{other_stop}) and {part!r} ({start}:{stop}) share the "
                        f"objects {both}; choose ranges that do not overlap."
                    )
            taken.append((start, stop, part))

    def part(self, name: str) -> tuple[str, ...]:
        """The names of the objects of a range. Raises BadInput where there is no such range."""
        if name not in self.ranges:
            raise BadInput(f"There is no range {name!r} in the manifest; it has {', '.join(self.ranges) or 'none'}.")
        start, stop = self.ranges[name]
        return self.names[start:stop]

    def write(self, path: Path | str) -> None:
        """Writes the manifest as JSON, whole or not at all. Raises BadInput where that is not possible."""
        ranges = {part: list(span) for part, span in self.ranges.items()}
        write_json(path, {"format": FORMAT, "names": self.names, "ranges": ranges, "fingerprint": self.fingerprint})

    @staticmethod
    def read(path: Path | str) -> Manifest:
        """The manifest in a file. Raises BadInput: unreadable, not a manifest, or ranges that overlap."""
        record = read_json(path, MOST_BYTES)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise BadInput(f"{path} is not a manifest of objects in format {FORMAT}.")
        names, ranges, mark = record.get("names"), record.get("ranges"), record.get("fingerprint", "")
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names) and isinstance(mark, str)):
            raise BadInput(f"{path} is a damaged manifest: 'names' or 'fingerprint' is not text.")
        if not isinstance(ranges, dict) or not all(_is_range(span) for span in ranges.values()):
            raise BadInput(f"{path} is a damaged manifest: its ranges are not pairs of whole numbers.")
        return Manifest(tuple(names), {part: (span[0], span[1]) for part, span in ranges.items()}, mark)


def _is_range(span: object) -> bool:
    return isinstance(span, list) and [type(n) for n in span] == [int, int]


def read_range(text: str) -> tuple[int, int | None]:
    """A range as it is typed: "480:520", ":500" (from the first), "500:" (to the last), or "40" (the first 40).

    >>> read_range("480:520"), read_range(":500"), read_range("500:"), read_range("40")
    ((480, 520), (0, 500), (500, None), (0, 40))

    Raises BadInput where it is none of these.
    """
    start, colon, stop = text.strip().rpartition(":")
    if all(part == "" or (part.isascii() and part.isdigit() and len(part) < 12) for part in (start, stop)):
        if colon:
            return int(start or 0), int(stop) if stop else None
        if stop:
            return 0, int(stop)
    raise BadInput(f"{text[:40]!r} is not a range of objects; write 480:520, :500, 500: or 40 (the first 40).")


def require_range(start: int, stop: int, count: int, what: str) -> None:
    """Raises BadInput where a half-open range is empty or goes beyond ``count`` objects."""
    if start < 0 or start >= stop:
        raise BadInput(f"{what[:1].upper()}{what[1:]} ({start}:{stop}) is empty; its end must be beyond its start.")
    if stop > count:
        raise BadInput(f"{what[:1].upper()}{what[1:]} ({start}:{stop}) goes beyond the {count} objects there are.")


def require_disjoint(learned: Sequence[str], added: Sequence[str], where: str) -> None:
    """Raises BadInput where objects to be added are among those that the shared parts were learned from.

    where: the run that learned, for the message.
    """
    both = sorted(set(learned) & set(added))
    if both:
        listed = ", ".join(both[:SHOWN]) + (", ..." if len(both) > SHOWN else "")
        raise BadInput(
            f"{len(both)} of the {len(added)} objects to add were learned from in {where} ({listed}); choose others, "
            "or figures would say nothing about new objects."
        )


def chosen_names(
    known: Sequence[str], names: Sequence[str] | None, span: tuple[int, int | None] | None, where: str
) -> tuple[str, ...]:
    """The objects asked for, by name or by range, out of those ``known`` in order.

    Raises BadInput: a name that is not there, or asked for twice; an empty range, or one beyond the last object.
    """
    if names is not None and span is not None:
        raise ValueError("objects are chosen by name or by range, not by both")
    if span is not None:
        start, stop = span[0], len(known) if span[1] is None else span[1]
        if start >= len(known) and span[1] is None:
            raise BadInput(f"{where} holds {len(known)} objects, so the range {start}: is empty.")
        require_range(start, stop, len(known), f"the range of objects in {where}")
        return tuple(known[start:stop])
    if names is None:
        return tuple(known)
    there = set(known)
    missing = [name for name in names if name not in there]
    if missing:
        listed = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise BadInput(f"{where} does not hold {len(missing)} of the {len(names)} objects asked for: {listed}.")
    if not names:
        raise BadInput(f"No object in {where} was asked for; choose at least one.")
    if len(set(names)) != len(names):
        raise BadInput(f"An object in {where} was asked for twice.")
    return tuple(names)
