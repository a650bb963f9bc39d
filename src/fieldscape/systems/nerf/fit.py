"""``fieldscape nerf fit``: photos in, a run folder with a scene in it out."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from fieldscape import data, devices
from fieldscape.checkpoints import Checkpoint
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.evaluation import evaluate
from fieldscape.images import colorize_depth, contact_sheet, write_image
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run, fresh_path
from fieldscape.scenes import with_mended_poses
from fieldscape.stopping import Stop, graceful_stop
from fieldscape.systems.nerf import scene, train_mlp, train_voxels
from fieldscape.systems.nerf.options import FitOptions, NerfConfig, resolve, resumed
from fieldscape.systems.opening import open_scene
from fieldscape.types import Rendered, Views

POOR_PSNR = 15.0
"""Below this on held-out views something is wrong with the data rather than with the fit."""


def fit(options: FitOptions) -> None:
    """Fit, write the scene, measure it, and say what came out. Raises BadInput for unusable data or options."""
    device = devices.pick(options.device)
    if options.resume:
        if options.out is None:
            raise BadInput("--resume goes on with the run in --out: name its folder.")
        run = Run.open(options.out)
        if run.record["system"] != "nerf":
            raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of nerf.")
        seed = int(run.record["seed"])
        config = resumed(options, run.config(NerfConfig), seed)
        views = read(options.data, run.path, config.read, options.quiet)
        if data.fingerprint(views) != run.record["data"].get("fingerprint"):
            raise BadInput(f"{options.data} is not what {run.path} was made from ({run.record['data'].get('path')}).")
        checkpoint = run.latest()
        for note in checkpoint.notes if checkpoint else ():
            print(f"fieldscape: {note}", file=sys.stderr)  # damage is told even to those who asked for quiet
    else:
        config, seed = resolve(options), options.seed
        # A folder called "images" or "." says little: its parent's name says more.
        name = options.data.resolve().stem if options.data.name != "images" else options.data.resolve().parent.name
        out = options.out or fresh_path(Path("runs") / f"{name}-{options.field}")
        views = read(options.data, out, config.read, options.quiet)
        source = {"path": str(options.data), "fingerprint": data.fingerprint(views)}
        counts = {"views": len(views), "held_out": len(views.held_out), "split": views.split}
        run = Run.create(out, "nerf", config, seed, source | counts, devices.describe(device))
        checkpoint = None

    shown = config.mlp or config.voxels
    if shown is None:
        raise ValueError("a config names one field")
    by_step = config.mlp is not None or shown.iters > 0
    total = shown.iters if by_step else shown.seconds
    start: float = 0
    if checkpoint is not None:
        start = checkpoint.step if by_step else float(checkpoint.state["seconds"])
    with (
        graceful_stop(options.minutes) as stop,
        progress(total, "training", options.quiet, start=start, unit="step" if by_step else "s") as bar,
    ):
        size = f"{views.camera.width} x {views.camera.height}"
        bar.say(f"{len(views.train)} views of {size} to learn from, {len(views.held_out)} held out")
        for note in views.notes:
            bar.say(note)
        if options.resume:
            step = 0 if checkpoint is None else checkpoint.step
            run.truncate_log(step)
            bar.say(f"resuming {run.path} at step {step}" + ("" if checkpoint else ": it holds no checkpoint yet"))
        fitted = train(views, config, run, stop, bar, device, seed, checkpoint)
    scene.write(run.path, fitted, shown, views)
    if fitted.stopped is not None:
        print(f"Stopped at step {fitted.step} ({fitted.stopped}); saved in {run.path}. To go on:")
        print(f"  fieldscape nerf fit {options.data} --out {run.path} --resume")
        return
    report(run, fitted.step, fitted.seconds, seed, views, device, options.quiet)


def train(
    views: Views,
    config: NerfConfig,
    run: Run,
    stop: Stop,
    bar: Bar,
    device: torch.device,
    seed: int,
    checkpoint: Checkpoint | None,
) -> train_mlp.FittedMlp | train_voxels.FittedVoxels:
    """The one of the two training pages that the config asks for."""
    if config.mlp is not None:
        return train_mlp.train(views, config.mlp, run, stop, bar, device, seed, checkpoint)
    if config.voxels is not None:
        return train_voxels.train(views, config.voxels, run, stop, bar, device, seed, checkpoint)
    raise ValueError("a config names one field")


def read(path: Path, run: Path, options: ReadOptions, quiet: bool) -> Views:
    """The views at ``path``; what takes long to prepare (poses of bare photos) is kept beside the run."""
    cache = run.parent / f"{path.resolve().stem}.sfm"
    return data.read(path, dataclasses.replace(options, cache=cache), quiet=quiet)


def report(run: Run, step: int, seconds: float, seed: int, views: Views, device: torch.device, quiet: bool) -> None:
    """Measure the scene as it stands on disk, write ``report.json`` and a contact sheet, and say what came out."""
    rebuilt = open_scene(run.path, device)
    views = with_mended_poses(views, rebuilt)
    rows: list[tuple[int, Rendered, float]] = []
    count = len(views.held_out or views.train)
    with progress(count, "measuring", quiet, unit="view") as bar:

        def each(i: int, seen: Rendered, psnr: float) -> None:
            bar.update(min(count, len(rows) + 1), psnr=psnr)
            rows.append((i, seen, psnr))

        quality = evaluate(rebuilt.render, views, each)
    chosen = rows[:: max(1, len(rows) // 4)][:4]
    sheet = [[views.color(i), seen.color.clamp(0, 1), colorize_depth(seen.depth)] for i, seen, _ in chosen]
    titles = [f"{Path(views.names[i]).stem}  {psnr:.1f} dB" for i, _, psnr in chosen]
    write_image(run.path / "sheet.png", contact_sheet(sheet, titles, ["photo", "rendered", "depth"]))
    figures = {k: v for k, v in dataclasses.asdict(quality).items() if v is not None}
    where = devices.describe(device)
    run.report(**figures, train_seconds=round(seconds, 2), steps=step, device=where, seed=seed)
    print(
        f"PSNR {quality.psnr:.2f} dB  SSIM {quality.ssim:.3f}  on {quality.views} views ({quality.split})  "
        f"after {step} steps in {seconds:.0f} s"
    )
    if quality.depth_error is not None:
        print(f"median relative error of depth {quality.depth_error:.1%}")
    if quality.psnr < POOR_PSNR:
        print(f"That is poor: the poses may be wrong. Look at: fieldscape info {run.record['data']['path']}")
    print(f"{run.path}: look at sheet.png, or: fieldscape render {run.path}")
