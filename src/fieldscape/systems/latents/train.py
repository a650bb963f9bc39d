"""``fieldscape latents train``: what objects of a kind share is learned, and each of them goes into the run's bank.

Tri-planes can be learned by several processes (see ``ranks``): only the first writes the run, its scene and its bank.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from fieldscape import devices
from fieldscape.errors import BadInput
from fieldscape.images import read_image, write_image
from fieldscape.progress import progress
from fieldscape.ranks import Ranks, joined
from fieldscape.runs import Run, fresh_path
from fieldscape.stopping import Stop, graceful_stop
from fieldscape.systems.latents import methods, scene
from fieldscape.systems.latents.adding import Work, add_all, sheet, store, summary
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.config import SYSTEM, LatentsConfig
from fieldscape.systems.latents.layout import PHOTOS
from fieldscape.systems.latents.manifest import Manifest, read_range
from fieldscape.systems.latents.methods import Shared
from fieldscape.systems.latents.objects import Objects, ObjectSettings
from fieldscape.systems.latents.options import LatentsTrainOptions
from fieldscape.systems.latents.planes.config import PlanesConfig
from fieldscape.systems.latents.srn import find_objects, read_objects
from fieldscape.systems.latents.voxel.config import VoxelSettings

MANIFEST = "manifest.json"
LARGEST = 128
"""Pixels to which photos are reduced where no size is asked for."""


def train(options: LatentsTrainOptions) -> None:
    """Train, write the run, and say what came out. Raises BadInput for data or options that cannot be used."""
    config, seed, run = planned(options)
    with joined(methods.device_named(config.how, options.device)) as ranks:
        work(options, config, seed, run, ranks)


def work(options: LatentsTrainOptions, config: LatentsConfig, seed: int, run: Run | None, ranks: Ranks) -> None:
    """What one of the processes does."""
    methods.require_shared_work(config.how, ranks)
    if ranks.count > 1 and options.out is None:
        raise BadInput("Several processes must know where to write: name a folder with --out.")
    quiet = options.quiet or not ranks.first
    span = None if options.objects is None else read_range(options.objects)
    out = options.out or fresh_path(Path("runs") / f"{options.data.resolve().name}-latents")
    cache = options.cache or out.parent / f"{options.data.resolve().name}.objects"
    objects = ranks.in_turn(lambda: read_objects(options.data, config.read, cache, span=span, quiet=quiet))
    mark = objects.fingerprint
    if run is None:
        run = ranks.in_turn(lambda: begun(options.data, out, objects, config, seed, ranks))
    elif run.record["data"].get("fingerprint") != mark:
        raise BadInput(f"{run.path} was made of other objects than these: resume with the same data and --objects.")
    if ranks.first:
        run = run.mirrored(options.also)
        for note in objects.notes:
            print(f"fieldscape: {note}", file=sys.stderr)
    with graceful_stop(options.minutes) as stop:
        learned = ranks.any(ranks.first and (run.path / "scene.json").exists())
        if not learned:
            learn(objects, config, seed, run, stop, quiet, ranks)
        reason = ranks.asked(stop.requested)
        if not ranks.first:
            return
        if (run.path / "scene.json").exists():
            reason = fill(objects, config, seed, run, stop, quiet, ranks)
    if reason is not None:
        print(f"Stopped ({reason}); saved in {run.path}. To go on:")
        again = "" if options.objects is None else f" --objects {options.objects}"
        command = "fieldscape" if ranks.count == 1 else f"torchrun --nproc-per-node {ranks.count} -m fieldscape"
        print(f"  {command} latents train {options.data} --out {run.path}{again} --resume")
        return
    print(f"{run.path}: look at {scene.BANK}.png, or: fieldscape render {run.path} --set object=1")
    print(f"add objects: fieldscape latents exploit {run.path} DATA")


def begun(data: Path, out: Path, objects: Objects, config: LatentsConfig, seed: int, ranks: Ranks) -> Run:
    """The new run, which the first process makes and the others open."""
    if not ranks.first:
        return Run.open(out)
    mark = objects.fingerprint
    told = {"path": str(data), "fingerprint": mark, "objects": len(objects), "split": objects.split}
    run = Run.create(out, SYSTEM, config, seed, told, devices.describe(ranks.device))
    Manifest(objects.names, {"train": (0, len(objects))}, mark).write(run.path / MANIFEST)
    return run


def learn(objects: Objects, config: LatentsConfig, seed: int, run: Run, stop: Stop, quiet: bool, ranks: Ranks) -> None:
    """Learns what the objects share, and writes the scene and an empty bank, or a checkpoint where it is to stop."""
    resume = ranks.in_turn(run.latest)
    if resume is not None and ranks.first:
        for note in resume.notes:
            print(f"fieldscape: {note}", file=sys.stderr)
        run.truncate_log(resume.step)
    kept, began = dict[int, bytes](), time.process_time()
    with progress(methods.work(len(objects), config), "learning what is shared", quiet) as bar:

        def save(step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
            run.save(step, tensors, state)

        shared = methods.learn(objects, config, seed, stop, bar, save, resume, kept.__setitem__, ranks)
    if not ranks.first:
        return
    run.log(0, shared_seconds=time.process_time() - began)  # of this process; a run that was stopped has several
    if shared is None:
        return
    shutil.rmtree(run.path / scene.BANK, ignore_errors=True)  # begun by a process that was killed before the last line
    with Bank.create(run.path / scene.BANK, methods.fingerprint(shared)) as bank:
        for number, payload in kept.items():
            store(objects, number, shared, payload, {}, bank, False)
    # Last: where it is there, all of the above is.
    scene.write(run.path, shared, objects.cameras(objects.rows(0)))


def fill(
    objects: Objects, config: LatentsConfig, seed: int, run: Run, stop: Stop, quiet: bool, ranks: Ranks
) -> str | None:
    """Adds the objects that were learned from, and reports; the reason where it was asked to stop before the end."""
    shared = methods.placed(scene.read_shared(run.path)[0], ranks.device)
    with Bank.open(run.path / scene.BANK, methods.fingerprint(shared), write=True) as bank:
        with progress(len(objects), "adding objects", quiet, unit="object") as bar:
            reason = add_all(objects, Work(shared, config.how, seed), bank, stop, bar)
        if reason is None:
            report(run, run, objects, shared, bank)
    return reason


def report(run: Run, learned: Run, objects: Objects, shared: Shared, bank: Bank) -> None:
    """The means over all objects of the bank into ``report.json``, a picture of some of these into ``bank.png``.

    learned: the run that learned what is shared. What is said is of ``objects`` alone.
    """
    shared_figures = {
        "shared_bytes": methods.size(shared),
        "shared_seconds": sum(float(line.get("shared_seconds", 0.0)) for line in learned.metrics()),
    }
    run.report(**summary(bank, bank.names()), **shared_figures, split=objects.split)
    figures = summary(bank, [name for name in objects.names if name in bank]) | shared_figures
    write_image(run.path / f"{scene.BANK}.png", sheet(objects, shared, bank))
    said = (
        f"{figures['objects']} objects: PSNR {figures['psnr']:.2f} dB, SSIM {figures['ssim']:.3f} ({objects.split}), "
    )
    said += f"{figures['bytes'] / 1024:.1f} KiB each"
    said += f", {figures['seconds']:.2f} s of a processor each" if "seconds" in figures else ""
    print(f"{said}; {figures['shared_bytes'] / 2**20:.2f} MiB shared by all")
    if figures["cut"]:
        print(
            f"fieldscape: {figures['cut']} of them reach the end of the box that objects of this kind lie in, and may "
            "be cut off there: learn from more objects, or larger ones.",
            file=sys.stderr,
        )


def planned(options: LatentsTrainOptions) -> tuple[LatentsConfig, int, Run | None]:
    """The config, the seed, and the run to go on with. Raises BadInput where --resume has nothing to go on with."""
    if options.resume:
        if options.out is None:
            raise BadInput("--resume goes on with the run in --out: name its folder.")
        run = Run.open(options.out)
        if run.record["system"] != SYSTEM:
            raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of latents train.")
        return run.config(LatentsConfig), int(run.record["seed"]), run
    size = options.size if options.size is not None else usual_size(options.data)
    read = ObjectSettings(size, options.above, options.held_out, options.skip_bad)
    return LatentsConfig(options.method, read, asked(options)), options.seed, None


def asked(options: LatentsTrainOptions) -> VoxelSettings | PlanesConfig:
    """What the method is told. Raises BadInput for options of another method, and numbers that cannot be used."""
    how = methods.defaults(options.method)
    if isinstance(how, VoxelSettings):
        given = {"steps": options.steps, "added_steps": options.added_steps, "side": options.side}
        for name, value in {**given, "autoencoder": options.autoencoder}.items():
            if value is not None:
                raise BadInput(f"--{name.replace('_', '-')} is for tri-planes: give --method latent, or leave it out.")
        return how if options.rays is None else replace(how, rays=options.rays)
    if options.rays is not None:
        raise BadInput("--rays is for --method voxel: give --added-steps, or leave it out.")
    if options.steps is not None:
        how = replace(how, shared_steps=options.steps)
    if options.added_steps is not None:
        how = replace(how, added_steps=options.added_steps)
    if options.side is not None:
        how = replace(how, side=options.side)
    if options.autoencoder is not None:
        how = replace(how, autoencoder=replace(how.autoencoder, source=str(options.autoencoder)))
    return how


def usual_size(data: Path) -> int:
    """The side of the photos of the first object, or what they are reduced to. Raises BadInput where there is none."""
    folder = next(iter(find_objects(data).values())) / "rgb"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in PHOTOS:
            return min(LARGEST, *read_image(path).shape[:2])
    raise BadInput(f"{folder} holds no photo: PNG and JPEG are read.")
