"""``fieldscape eval``: a scene against photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fieldscape import data, devices
from fieldscape.commands.options import EvalOptions
from fieldscape.configs import load_config
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.evaluation import evaluate
from fieldscape.files import read_json, write_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.runs import Run, peak_memory_mb
from fieldscape.scenes import with_mended_poses
from fieldscape.systems.opening import open_scene
from fieldscape.types import Rendered


def evaluate_run(options: EvalOptions) -> None:
    """Measure, print and add to ``report.json``. Raises BadInput for a run or data that cannot be used."""
    run = Run.open(options.run)
    if run.record["system"] == "latents":
        from fieldscape.systems.latents.evaluating import evaluate_objects

        evaluate_objects(run, options.data, options.out, options.quiet)
        return
    if run.record["system"] == "tracks":
        from fieldscape.systems.tracks.evaluating import evaluate_clip

        evaluate_clip(run, options.data, options.out, options.quiet)
        return
    device = devices.pick(options.device)
    scene = open_scene(options.run, device)
    how = run.record["config"].get("read")
    read = ReadOptions() if how is None else load_config(ReadOptions, how, f"{run.path / 'run.json'}: read")
    cache = run.path.parent / f"{options.data.resolve().stem}.sfm"
    views = data.read(options.data, dataclasses.replace(read, cache=cache), quiet=options.quiet)
    own = data.fingerprint(views) == run.record["data"].get("fingerprint")
    if own:
        views = with_mended_poses(views, scene)
    if options.out is not None:
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"Cannot make the folder {options.out}: {error.strerror}.") from error
    with progress(len(views.held_out or views.train), "measuring", options.quiet, unit="view") as bar:
        done = 0

        def each(i: int, seen: Rendered, psnr: float) -> None:
            nonlocal done
            done += 1
            if options.out is not None:
                write_image(options.out / f"{Path(views.names[i]).stem}.png", seen.color.clamp(0, 1))
            bar.update(done, psnr=psnr)

        quality = evaluate(scene.render, views, each)
    figures = {k: v for k, v in dataclasses.asdict(quality).items() if v is not None}
    path = run.path / "report.json"
    if own:
        # The same data as the run's own: its report is brought up to date, and what training wrote there stays.
        before = read_json(path) if path.exists() else {}
        write_json(path, {"seed": run.record["seed"], "peak_memory_mb": peak_memory_mb(), **before, **figures})
    else:
        path = run.path / f"eval-{options.data.resolve().stem}.json"
        write_json(path, {**figures, "data": str(options.data), "device": devices.describe(device)})
    print(f"PSNR {quality.psnr:.2f} dB  SSIM {quality.ssim:.3f}  on {quality.views} views ({quality.split})")
    if quality.depth_error is not None:
        print(f"median relative error of depth {quality.depth_error:.1%}")
    print(f"written to {path}")
