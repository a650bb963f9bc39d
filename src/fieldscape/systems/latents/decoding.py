"""Reading many objects from their files: several at a time, in order, few in memory, bad ones told apart."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.progress import progress
from fieldscape.systems.latents.layout import read_photos, sources
from fieldscape.systems.latents.objects import Objects, ObjectSettings, digest_of, held_out_views

IN_MEMORY = 2 * 2**30
"""Bytes of photos that are kept in memory where no cache is given."""
MOST_THREADS = 8
SHOWN = 3
"""Bad objects that a message names."""
ARRAYS = ("images", "poses", "focal", "center", "view_names")


@dataclass(frozen=True)
class Read:
    """One object in memory, as it goes into a pack."""

    name: str
    arrays: dict[str, np.ndarray]
    digest: str


def read_all(places: dict[str, Path], settings: ObjectSettings, quiet: bool) -> Objects:
    """The objects in memory. Raises BadInput: see ``read_good`` and ``judged``; more than ``IN_MEMORY`` of photos."""
    bad, read, total = list[tuple[str, str]](), list[Read](), 0
    for item in read_good(places, settings, quiet, bad):
        read.append(item)
        total += item.arrays["images"].nbytes
        if total > IN_MEMORY:
            raise BadInput(
                f"The photos of {len(places)} objects take more than {IN_MEMORY >> 30} GiB; give a folder with --cache "
                "where they can be packed, take fewer objects, or make them smaller."
            )
    notes = judged(bad, len(places), settings)
    arrays = {name: np.concatenate([item.arrays[name] for item in read]) for name in ARRAYS}
    counts = [len(item.arrays["poses"]) for item in read]
    return as_objects([item.name for item in read], [item.digest for item in read], counts, arrays, notes)


def read_good(
    places: dict[str, Path], settings: ObjectSettings, quiet: bool, bad: list[tuple[str, str]]
) -> Iterator[Read]:
    """The objects that can be used; the others go into ``bad``.

    Raises BadInput as soon as enough bad ones are known to name, unless they are skipped: hours of decoding must not
    come before the answer. Or where two objects differ in size.
    """
    first: Read | None = None
    for item in _all(places, settings, quiet):
        if isinstance(item, tuple):
            bad.append(item)
            if len(bad) > SHOWN and not settings.skip_bad:
                listed = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in bad[:SHOWN])
                raise BadInput(f"Objects cannot be used (--skip-bad leaves them out). {listed}; and more.")
            continue
        first = first or item
        (height, width), (h, w) = first.arrays["images"].shape[1:3], item.arrays["images"].shape[1:3]
        if (height, width) != (h, w):
            raise BadInput(
                f"Objects differ in size: {first.name} has photos of {width} x {height} pixels, {item.name} of "
                f"{w} x {h}; choose a --size for all."
            )
        yield item


def _all(places: dict[str, Path], settings: ObjectSettings, quiet: bool) -> Iterator[Read | tuple[str, str]]:
    """Every object in order, decoded by several threads, few at a time: memory holds a handful of objects."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    waiting = deque[Future[Read | tuple[str, str]]]()
    with ThreadPoolExecutor(threads, "decode") as pool, progress(len(places), "reading", quiet, unit="object") as bar:
        try:
            left = iter(places.items())
            for done in range(len(places)):
                while len(waiting) < 2 * threads and (item := next(left, None)) is not None:
                    waiting.append(pool.submit(_one, *item, settings))
                yield waiting.popleft().result()
                bar.update(done + 1)
        finally:
            for future in waiting:
                future.cancel()


def _one(name: str, folder: Path, settings: ObjectSettings) -> Read | tuple[str, str]:
    """One object, or its name and why it cannot be used."""
    try:
        given = sources(folder, settings.above)
        held_out_views(len(given.names), settings.held_out)  # only whether that leaves any to learn from
        images, focal, center = read_photos(given, settings.size)
    except BadInput as error:
        return name, str(error)
    labels = np.array([label.encode()[:64] for label in given.names], "S64")
    arrays = {"images": images, "poses": given.poses, "focal": focal, "center": center, "view_names": labels}
    return Read(name, arrays, digest_of(images, given.poses, focal, center))


def judged(bad: Sequence[tuple[str, str]], count: int, settings: ObjectSettings) -> tuple[str, ...]:
    """A note about bad objects. Raises BadInput where they are not to be skipped, or are all."""
    if not bad:
        return ()
    listed = "; ".join(f"{name}: {why.rstrip('.')}" for name, why in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    if len(bad) == count:
        raise BadInput(f"None of the {count} objects can be used. {listed}{more}.")
    if not settings.skip_bad:
        raise BadInput(f"{len(bad)} of {count} objects cannot be used (--skip-bad leaves them out). {listed}{more}.")
    return (f"{len(bad)} of {count} objects are left out: {listed}{more}",)


def as_objects(
    names: Sequence[str],
    digests: Sequence[str],
    counts: Sequence[int],
    arrays: dict[str, np.ndarray],
    notes: Sequence[str],
) -> Objects:
    """The noun from what was read, nothing held out yet."""
    return Objects(
        tuple(names),
        arrays["images"],
        arrays["poses"],
        arrays["focal"],
        arrays["center"],
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.zeros(len(arrays["poses"]), bool),
        view_names=np.char.decode(arrays["view_names"], "utf-8", "replace"),
        digests=tuple(digests),
        notes=tuple(notes),
    )
