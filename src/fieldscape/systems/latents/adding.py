"""Objects into a bank, one after the other: each is a job of its own, and what is done stays done.

An object is learned, stored, opened again from its bytes alone and measured on its held-out views; only then does the
bank hear of it. So the bank is the record of the work: who goes on passes over what is there.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.evaluation import evaluate
from fieldscape.images import contact_sheet
from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.latents import methods
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.methods import Shared
from fieldscape.systems.latents.objects import Objects
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.voxel.config import VoxelSettings

SHOWN = 8
"""Objects of a contact sheet."""


@dataclass(frozen=True)
class Work:
    """What adding takes: the shared parts, how objects are learned, and the seed that each begins with."""

    shared: Shared
    how: VoxelSettings | PlanesConfig
    seed: int


def add_all(objects: Objects, work: Work, bank: Bank, stop: Stop, bar: Bar, anew: bool = False) -> str | None:
    """Adds the objects that are not in the bank yet (``anew``: all); the reason where it was asked to stop, or None.

    Raises BadInput, naming the object, for photos that it cannot be learned from; what was added before stays.
    """
    for number in range(len(objects)):
        if stop.requested is not None:
            return stop.requested
        name = objects.names[number]
        if anew or name not in bank:
            add_one(objects, number, work, bank, anew)
        bar.update(number + 1, psnr=float(bank.read(name).record["psnr"]))
    return None


def add_one(objects: Objects, number: int, work: Work, bank: Bank, anew: bool) -> None:
    """Learns an object, and stores it with its figures. Raises BadInput, naming it, where it cannot be learned."""
    try:
        payload, figures = methods.add(work.shared, objects.views(number), work.how, work.seed)
    except BadInput as error:
        raise BadInput(f"{objects.names[number]}: {error}") from error
    store(objects, number, work.shared, payload, figures, bank, anew)


def store(
    objects: Objects, number: int, shared: Shared, payload: bytes, figures: dict[str, float], bank: Bank, anew: bool
) -> None:
    """Puts an object into the bank, with how good it is as stored."""
    name = objects.names[number]
    quality = evaluate(methods.opened(shared, payload, name), objects.views(number))
    record = {**figures, "bytes": len(payload), "psnr": quality.psnr, "ssim": quality.ssim, "views": quality.views}
    bank.append(name, payload, record, replace=anew)


def summary(bank: Bank, names: Sequence[str]) -> dict[str, Any]:
    """Means over objects of a bank: PSNR, SSIM, bytes, and seconds of the processor where they are known.

    cut: how many reach the end of the class's box, beyond which nothing is held.
    """
    records = [bank.read(name).record for name in names]
    told: dict[str, Any] = {"objects": len(records)}
    for key in ("psnr", "ssim", "bytes", "seconds"):
        values = [float(record[key]) for record in records if key in record]
        if values:
            told[key] = statistics.fmean(values)
    told["cut"] = sum(record.get("sticks_out", 0.0) > 0 for record in records)
    return told


def sheet(objects: Objects, shared: Shared, bank: Bank) -> UInt8[Tensor, "h w 3"]:
    """Photos that no object was learned from, and what is seen of the stored objects there."""
    numbers = [i * len(objects) // SHOWN for i in range(SHOWN)] if len(objects) > SHOWN else range(len(objects))
    photos, seen, titles = [], [], []
    for number in numbers:
        name, views = objects.names[number], objects.views(number)
        if name not in bank:
            continue
        shown = (list(views.held_out) or views.train)[0]
        entry = bank.read(name)
        photos.append(views.color(shown))
        seen.append(methods.opened(shared, entry.payload, name)(views.camera[shown]).color.clamp(0, 1))
        titles.append(f"{name[:14]}\n{entry.record['psnr']:.1f} dB, {len(entry.payload) / 1024:.1f} KiB")
    return contact_sheet([photos, seen], ["photo", "stored"], titles)
