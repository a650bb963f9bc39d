"""A bank of scenes on disk: thousands of small payloads by name, safe against whatever ends the process that writes.

Records are only ever appended, each with its length and checksums (``bank_records``), so ``kill -9`` costs at most the
scene in hand: the next writer cuts off what was half written. With ``sync="each"``, the default, ``append`` returns
when the scene is on the disk, and a power cut costs no more than that either; with ``sync="close"`` the system writes
when it likes, which is several times faster and still safe against the death of the process. One process writes at a
time, any number read meanwhile. Deleting appends a record that says so; ``compact`` writes what is left anew and
switches to it in one step. A ``Bank`` belongs to one thread; it needs a POSIX system.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from fieldscape.errors import BadInput
from fieldscape.files import reason
from fieldscape.systems.latents.bank_files import LOCK, Contents, is_bank, load, read_bank, write_bank
from fieldscape.systems.latents.bank_health import Health, examine
from fieldscape.systems.latents.bank_index import IndexDamaged
from fieldscape.systems.latents.bank_records import Place, encode_name
from fieldscape.systems.latents.bank_writing import SEGMENT_BYTES, Writer, compacted, mended, tidy
from fieldscape.systems.latents.locking import locked, take

Sync = Literal["each", "close"]
Answer = TypeVar("Answer")
_BUSY = "Another process is writing to the bank {}; wait until it ends."
RETRIES = 5
"""Of a reader that meets a bank while it is being compacted."""


@dataclass(frozen=True)
class Entry:
    """One scene: its payload, and the JSON that was stored with it."""

    name: str
    payload: bytes
    record: Any


class Bank:
    """A bank of scenes; made by ``Bank.create`` or ``Bank.open``. notes: what was found when it was opened."""

    def __init__(self, folder: Path, contents: Contents, lock: int | None, writer: Writer | None) -> None:
        self.folder, self.notes = folder, _notes(contents)
        self._contents, self._lock, self._writer = contents, lock, writer

    @staticmethod
    def create(folder: Path | str, bundle: str, sync: Sync = "each", segment_bytes: int = SEGMENT_BYTES) -> Bank:
        """A new, empty bank in a folder that is empty or not there, open for writing. See ``Bank.at``.

        Raises BadInput: the folder holds things, or cannot be made.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"The folder {folder} is not empty; a new bank needs one that is.")
        return Bank.at(folder, bundle, sync, segment_bytes)

    @staticmethod
    def at(folder: Path | str, bundle: str, sync: Sync = "each", segment_bytes: int = SEGMENT_BYTES) -> Bank:
        """The bank in a folder, open for writing; a new one where there is none.

        bundle: the fingerprint of the shared parts without which the payloads mean nothing.

        Raises BadInput: the folder holds other things, cannot be made, or see ``Bank.open``.
        """
        folder = Path(folder)
        if not is_bank(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                # A process that died while it made the bank leaves these.
                others = [path for path in folder.iterdir() if path.name != LOCK and path.suffix != ".tmp"]
            except (OSError, ValueError) as error:
                raise BadInput(f"Cannot make the folder {folder}: {reason(error)}.") from error
            with locked(folder / LOCK, _BUSY.format(folder)):
                if others and not is_bank(folder):
                    raise BadInput(f"The folder {folder} holds other things, and no bank; choose another.")
                if not is_bank(folder):
                    write_bank(folder, bundle, 1)
        return Bank.open(folder, bundle, True, sync, segment_bytes)

    @staticmethod
    def open(
        folder: Path | str,
        bundle: str | None = None,
        write: bool = False,
        sync: Sync = "each",
        segment_bytes: int = SEGMENT_BYTES,
    ) -> Bank:
        """The bank in a folder, to read, or also to write. bundle: refuse it if it was made for another one.

        Raises BadInput: no bank there, another format or bundle, or another process is writing (with ``write``).
        """
        folder = Path(folder)
        made_for, _ = read_bank(folder)
        if bundle is not None and made_for != bundle:
            raise BadInput(
                f"The bank {folder} was made for other shared parts (bundle {made_for[:12]}, not {bundle[:12]}): open "
                "it with the run that it was made with."
            )
        if not write:
            return Bank(folder, _loaded(folder), None, None)
        lock = take(folder / LOCK, _BUSY.format(folder))
        try:
            tidy(folder)
            contents = mended(_loaded(folder))
            writer = Writer(contents, sync == "each", segment_bytes)
            bank = Bank(folder, contents, lock, writer)
            for name in contents.lost:
                writer.add_lost(name)
            return bank
        except OSError as error:
            os.close(lock)
            raise BadInput(f"Cannot write to the bank {folder}: {reason(error)}.") from error
        except BaseException:
            os.close(lock)
            raise

    def __enter__(self) -> Bank:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the index, let go of the files and of the lock. Nothing is lost without it but the index."""
        try:
            if self._writer is not None:
                self._writer.close()
        finally:
            self._contents.close()
            self._writer = None
            if self._lock is not None:
                os.close(self._lock)
            self._lock = None

    @property
    def bundle(self) -> str:
        """The fingerprint of the shared parts that the scenes need."""
        return self._contents.bundle

    @property
    def stored_bytes(self) -> int:
        """Bytes of all segments on disk, what was deleted or replaced included."""
        return sum(self._contents.sizes.values())

    def __len__(self) -> int:
        """The number of scenes, damaged ones included and lost ones not."""
        return self._contents.count

    def __contains__(self, name: str) -> bool:
        """Whether a scene is there (and, where it is known to be lost, that it is not)."""
        place = self._find(name)
        return place is not None and not place.lost

    def names(self) -> list[str]:
        """The scenes in the order in which they were added; a replaced one counts as added then."""
        return self._asked(Contents.names)

    def lost(self) -> list[str]:
        """Scenes that were there and whose bytes are gone; add them again."""
        return [name for name, place in self._asked(Contents.places).items() if place.lost]

    def read(self, name: str) -> Entry:
        """One scene; only its bytes are read. Raises BadInput: not there, lost, or damaged."""
        return self._asked(lambda known: self._read(known, name))

    def __iter__(self) -> Iterator[Entry]:
        """All scenes in order. Raises BadInput at one that is damaged."""
        for name in self.names():
            yield self.read(name)

    def append(self, name: str, payload: bytes, record: Mapping[str, Any] | None = None, replace: bool = False) -> None:
        """Add a scene. record: its figures, up to 64 KiB of JSON. replace: in place of the one of this name.

        Raises BadInput: the name is taken or is not one, too many bytes, or they cannot be written; then nothing
        has changed.
        """
        writer = self._writing()
        encode_name(name)
        if not replace and name in self:
            raise BadInput(f"The bank {self.folder} already holds a scene {name!r}; delete or replace it.")
        self._changing(lambda: writer.add(name, payload, record or {}))

    def delete(self, name: str) -> None:
        """Forget a scene; ``compact`` gives its room back. Raises BadInput: not there, or it cannot be written."""
        writer = self._writing()
        if self._find(name) is None:
            raise BadInput(f"The bank {self.folder} holds no scene {name!r} to delete.")
        self._changing(lambda: writer.delete(name))

    def sync(self) -> None:
        """Wait until all scenes are on the disk. Raises BadInput where they cannot get there."""
        self._changing(self._writing().sync)

    def verify(self) -> Health:
        """Read everything and name what is damaged; nothing is changed."""
        self.refresh()
        return self._asked(examine)

    def compact(self, drop_damaged: bool = False) -> int:
        """Write the scenes anew without what was deleted or replaced; returns the bytes gained.

        Everything is read twice, once to judge it. Readers go on; a crash leaves the bank as it was. drop_damaged:
        forget scenes that cannot be read.

        Raises BadInput: something is damaged (it is named), or there is no room; then nothing has changed.
        """
        writer = self._writing()
        before = self.stored_bytes
        self._changing(writer.sync)
        contents = self._asked(lambda known: compacted(known, drop_damaged, writer.segment_bytes))
        writer.close(index=False)
        self._contents.close()
        self._contents = contents
        self._writer = Writer(contents, writer.each, writer.segment_bytes)
        tidy(self.folder)
        return before - self.stored_bytes

    def refresh(self) -> None:
        """See what another process has written since this bank was opened; nothing to do for the one that writes."""
        if self._writer is None:
            self._contents.close()
            self._contents = _loaded(self.folder)

    def _read(self, known: Contents, name: str) -> Entry:
        place = known.find(name)
        if place is None:
            raise BadInput(f"The bank {self.folder} holds no scene {name!r}; it holds {known.count:,} others.")
        if place.lost:
            raise BadInput(f"Scene {name!r} of the bank {self.folder} is lost, cut off or damaged; add it again.")
        found = known.scene(name, place)
        if found is None:
            raise BadInput(f"Scene {name!r} of the bank {self.folder} is damaged: delete it and add it again.")
        return Entry(name, found[1], found[0])

    def _find(self, name: str) -> Place | None:
        return self._asked(lambda known: known.find(name))

    def _asked(self, question: Callable[[Contents], Answer]) -> Answer:
        """The answer of the contents; where the index turns out damaged, the segments are asked instead."""
        for _ in range(RETRIES):
            try:
                return question(self._contents)
            except IndexDamaged:
                self._contents.forget_index()
            except FileNotFoundError:  # compacted meanwhile
                self.refresh()
            except OSError as error:
                raise BadInput(f"Cannot read the bank {self.folder}: {reason(error)}.") from error
        raise BadInput(f"The files of the bank {self.folder} are missing; copy it again.")

    def _writing(self) -> Writer:
        if self._writer is None:
            raise ValueError("this bank is open for reading only, or closed")
        return self._writer

    def _changing(self, change: Callable[[], object]) -> None:
        try:
            change()
        except OSError as error:
            raise BadInput(f"Cannot write to the bank {self.folder}: {reason(error)}.") from error


def _loaded(folder: Path, use_index: bool = True) -> Contents:
    """Raises BadInput where the files keep vanishing or cannot be read."""
    for _ in range(RETRIES):
        try:
            return load(folder, *read_bank(folder), use_index)
        except FileNotFoundError:  # compacted meanwhile
            continue
        except IndexDamaged:
            use_index = False
        except OSError as error:
            raise BadInput(f"Cannot read the bank {folder}: {reason(error)}.") from error
    raise BadInput(f"The files of the bank {folder} are missing; copy it again.")


def _notes(contents: Contents) -> tuple[str, ...]:
    """What to know about a bank that was just opened."""
    notes = []
    if contents.lost:
        listed = ", ".join(map(repr, contents.lost[:5])) + (", ..." if len(contents.lost) > 5 else "")
        notes.append(f"the bank is cut short: {len(contents.lost)} scenes are lost ({listed}); add them again")
    for torn in contents.torn:
        what = "a scene" if torn.name is None else f"scene {torn.name!r}"
        notes.append(f"{what} was not written to its end, or is just being written, and is not there")
    for damage in contents.damage:
        where = f"{damage.place.length:,} bytes of segment {damage.place.segment} from {damage.place.offset:,} on"
        notes.append(f"{where} are damaged" if damage.name is None else f"scene {damage.name!r} is damaged")
    return tuple(notes)
