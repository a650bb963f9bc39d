"""Many things made one by one, in parallel, into one folder: all of it or nothing, and an interrupted work goes on.

The work is done in ``OUT.partial`` beside OUT, which takes the name OUT when everything is there. ``world.json`` in it
says what is being made; the file ``.done`` lists the items that are complete. Items do not depend on each other, nor on
how many workers there are, so what is made is the same however often it was interrupted.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

import fieldscape
from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason, write_json
from fieldscape.progress import progress
from fieldscape.stopping import graceful_stop
from fieldscape.worlds import raycast

FORMAT = 1
ABOUT = "world.json"
DONE = ".done"

MakeItem = Callable[[Path, int], None]
"""``make_item(folder, index)`` writes the files of one item into ``folder``, which is laid out as the whole is."""


@dataclass(frozen=True)
class Batch:
    """What is made: kind ("rooms"), how many items, their unit ("photo"), and the settings that decide what they are.

    Settings are JSON values; two batches with the same kind, count and settings hold the same bytes.
    """

    kind: str
    count: int
    unit: str
    settings: Mapping[str, object]

    def about(self) -> dict[str, object]:
        settings = json.loads(json.dumps({**self.settings}))
        return {"format": FORMAT, "kind": self.kind, "count": self.count, "settings": settings}


def require_free(out: Path | str) -> None:
    """Raises BadInput where ``out`` is there already and is not an empty folder."""
    out = Path(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise BadInput(f"{out} exists already and is not empty: give another --out, or remove it first.")


def write_batch(
    out: Path | str,
    batch: Batch,
    make_item: MakeItem,
    finish: Callable[[Path], None] | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> bool:
    """Makes what is still missing and gives the folder its name; False where it was asked to stop before that.

    ``make_item`` runs in ``workers`` processes (None: one a core), so it has to be picklable: a function of a module,
    or a ``functools.partial`` of one. ``finish(folder)`` then writes what needs all items.

    Raises:
        BadInput: OUT is not free or not writable, the disk is full, or OUT.partial was begun as something else.
    """
    out = Path(out)
    require_free(out)
    partial = out.with_name(out.name + ".partial")
    workers = workers or cores()
    try:
        left = _begin(out, partial, batch)
        made = batch.count - len(left)
        with graceful_stop() as stop, progress(batch.count, batch.kind, quiet, made, batch.unit) as bar:
            with (partial / DONE).open("a") as done:
                for index in _made(partial, make_item, left, min(workers, len(left)), lambda: stop.requested):
                    done.write(f"{index}\n")
                    done.flush()
                    made += 1
                    bar.update(made)
            if made < batch.count:
                again = "the same command goes on from there"
                bar.say(f"Stopped ({stop.requested}): {made} of {batch.count} are in {partial}; {again}.")
                return False
            if finish is not None:
                finish(partial)
        (partial / DONE).unlink()
        write_json(partial / ABOUT, {**batch.about(), "fieldscape": fieldscape.__version__})
        os.replace(partial, out)
    except OSError as error:
        raise BadInput(f"Cannot write {partial}: {reason(error)}.") from error
    except BrokenProcessPool as error:
        raise BadInput(
            f"A worker was ended from outside, perhaps for want of memory; what is made is in {partial}: "
            "give the same command again, with fewer --workers."
        ) from error
    return True


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(out: Path, partial: Path, batch: Batch) -> list[int]:
    """The items still to be made, after making sure that what is there already belongs to the same batch."""
    about = partial / ABOUT
    if not about.exists():
        if partial.exists() and any(partial.iterdir()):
            raise BadInput(f"{partial}, where the work would be done, is not empty: give another --out, or remove it.")
        partial.mkdir(parents=True, exist_ok=True)
        write_json(about, batch.about())
        return list(range(batch.count))
    before, now = read_json(about), batch.about()
    if not isinstance(before, dict) or before.get("format") != FORMAT:
        raise BadInput(f"{about} was not written by this version: remove {partial}, or give another --out.")
    if before != now:
        told = "; ".join(_differences(before, now))
        raise BadInput(f"{partial} was begun with other settings ({told}): give those, remove it, or another --out.")
    made = set()
    if (partial / DONE).exists():
        made = {int(line) for line in (partial / DONE).read_text().splitlines() if line.isdecimal()}
    for scratch in partial.glob(".item-*"):
        shutil.rmtree(scratch, ignore_errors=True)
    return [index for index in range(batch.count) if index not in made]


def _differences(before: Mapping, now: Mapping) -> Iterator[str]:
    for name in ("kind", "count"):
        if before.get(name) != now[name]:
            yield f"{name} {before.get(name)} then, {now[name]} now"
    old = before["settings"] if isinstance(before.get("settings"), dict) else {}
    for name in [*old, *(key for key in now["settings"] if key not in old)]:
        if old.get(name) != now["settings"].get(name):
            yield f"{name} {old.get(name)} then, {now['settings'].get(name)} now"


def _made(
    folder: Path, make_item: MakeItem, left: list[int], workers: int, asked_to_stop: Callable[[], object]
) -> Iterator[int]:
    """The indices of items as they are done; no new one is begun once ``asked_to_stop``."""
    if workers <= 1:
        for index in left:
            if asked_to_stop():
                return
            yield _make(folder, make_item, index)
        return
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([__name__])
    queue, running = iter(left), set[Future]()
    with ProcessPoolExecutor(workers, context, initializer=_prepare) as pool:
        while True:
            while len(running) < 3 * workers and not asked_to_stop():
                following = next(queue, None)
                if following is None:
                    break
                running.add(pool.submit(_make, folder, make_item, following))
            if not running:
                return
            finished, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


def _prepare() -> None:
    """A worker leaves Ctrl-C to its parent, and works on one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    raycast.use_threads(1)
    gc.set_threshold(100_000)  # an item is thousands of small tensors and few cycles: the usual looks take a tenth


def _make(folder: Path, make_item: MakeItem, index: int) -> int:
    """Makes item ``index`` aside, then moves its files into place."""
    scratch = folder / f".item-{index}"
    scratch.mkdir(exist_ok=True)
    make_item(scratch, index)
    for path in sorted(scratch.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    shutil.rmtree(scratch)
    return index
