"""Whether all of a bank can be read: every byte is, and what is damaged is named where its name can still be known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fieldscape.systems.latents.bank_files import Contents
from fieldscape.systems.latents.bank_records import Damage, Head, Place


@dataclass(frozen=True)
class Fault:
    """Something damaged. name: the scene, None where it cannot be known or no scene is concerned."""

    name: str | None
    what: str


@dataclass(frozen=True)
class Health:
    """scenes: those that are sound.  live_bytes: what they take of ``stored_bytes``; the rest is dead."""

    scenes: int
    faults: tuple[Fault, ...]
    live_bytes: int
    stored_bytes: int

    @property
    def sound(self) -> bool:
        return not self.faults

    def damaged(self) -> list[str]:
        """The names of the scenes that are damaged or lost."""
        return [fault.name for fault in self.faults if fault.name is not None]


def examine(known: Contents) -> Health:
    """Reads all records of a bank. Raises IndexDamaged, OSError."""
    places = known.places()
    faults = [Fault(name, "is lost: its bytes are gone") for name, place in places.items() if place.lost]
    waiting = {name: place for name, place in places.items() if not place.lost}
    scenes, live = 0, 0
    for segment in sorted(known.sizes):
        for item in known.records(segment, bodies=True):
            if isinstance(item, Head):
                if waiting.get(item.name) == item.place:
                    del waiting[item.name]
                    scenes, live = scenes + 1, live + item.place.length
            elif isinstance(item, Damage):
                faults += _faults(item, waiting)
    faults += [Fault(name, "is lost: no record is where it was") for name in waiting]
    return Health(scenes, tuple(faults), live, sum(known.sizes.values()))


def _faults(damage: Damage, waiting: dict[str, Place]) -> Iterator[Fault]:
    """What a damaged stretch means; the scenes in it are taken out of ``waiting``."""
    if damage.name is not None:
        # A damaged record of a scene that was deleted or written again since does no harm.
        if waiting.get(damage.name) == damage.place:
            del waiting[damage.name]
            yield Fault(damage.name, f"is damaged: {damage.why}")
        return
    start, end = damage.place.offset, damage.place.end
    inside = [name for name, at in waiting.items() if at.segment == damage.place.segment and start <= at.offset < end]
    for name in inside:
        del waiting[name]
        yield Fault(name, f"is damaged: bytes {start:,} to {end:,} of segment {damage.place.segment}")
    if not inside:
        yield Fault(None, f"bytes {start:,} to {end:,} of segment {damage.place.segment} are damaged")
