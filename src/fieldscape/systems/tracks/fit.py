"""``fieldscape tracks fit``: a tracks file in, a run folder with a scene and its figures out."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from fieldscape import devices
from fieldscape.errors import BadInput
from fieldscape.runs import Run, fresh_path
from fieldscape.stopping import graceful_stop
from fieldscape.systems.tracks.bundle import read_bundle
from fieldscape.systems.tracks.config import SYSTEM, TracksConfig
from fieldscape.systems.tracks.options_fit import TracksFitOptions
from fieldscape.systems.tracks.train import fit_tracked


def fit(options: TracksFitOptions) -> None:
    """Learn, write the run, and say what came out. Raises BadInput for data or options that cannot be used."""
    device = devices.pick(options.device)
    config, seed, run, path = planned(options)
    tracked = read_bundle(path)
    mark = fingerprint(path)
    if run is None:
        out = options.out or fresh_path(Path("runs") / f"{path.resolve().stem}-tracks")
        data = {"path": str(path.resolve()), "fingerprint": mark, "frames": len(tracked.clip), "kind": tracked.kind}
        run = Run.create(out, SYSTEM, config, seed, data, devices.describe(device))
    elif run.record["data"].get("fingerprint") != mark:
        raise BadInput(f"{run.path} was made of another tracks file than {path}: resume with the same one.")
    with graceful_stop(options.minutes) as stop:
        reason = fit_tracked(tracked, config, seed, run, stop, options.quiet, device)
    if reason is not None:
        print(f"Stopped ({reason}); saved in {run.path}. To go on:")
        print(f"  fieldscape tracks fit {path} --out {run.path} --resume")
        return
    print(f"{run.path}: look at held-out.png, or: fieldscape render {run.path} --set time=0")


def planned(options: TracksFitOptions) -> tuple[TracksConfig, int, Run | None, Path]:
    """The config, the seed, the run to go on with, and the tracks file. Raises BadInput for what cannot be used."""
    if options.resume:
        if options.out is None:
            raise BadInput("--resume goes on with the run in --out: name its folder.")
        run = Run.open(options.out)
        if run.record["system"] != SYSTEM:
            raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of tracks fit.")
        made = run.record["data"].get("path")
        path = options.tracks or (Path(made) if isinstance(made, str) else None)
        if path is None:
            raise BadInput(f"{options.out} does not say what it was made of: name the tracks file.")
        return run.config(TracksConfig), int(run.record["seed"]), run, path
    if options.tracks is None:
        raise BadInput("Name a tracks file: fieldscape tracks extract CLIP --out tracks.npz makes one.")
    return asked(options), options.seed, None, options.tracks


def asked(options: TracksFitOptions) -> TracksConfig:
    """The config that the options ask for. Raises BadInput where a number makes no sense."""
    source = options.source
    for name, value, low, high in (
        ("steps", options.steps, 0, 1_000_000), ("held-out", options.held_out, 0, 100_000),
        ("source.around", source.around, 1, 8), ("source.turned", source.turned, 1, 16),
        ("source.spare", source.spare, 0, 16), ("source.hole", source.hole, 0, 1),
        ("refine.steps", options.refine.steps, 0, 1_000_000), ("refine.side", options.refine.side, 32, 4096),
        ("refine.rate", options.refine.rate, 1e-6, 10), ("refine.tracks", options.refine.tracks, 0, 1e6),
        ("refine.rigid", options.refine.rigid, 0, 1e6), ("refine.smooth", options.refine.smooth, 0, 1e6),
    ):  # fmt: skip
        if value is not None and not low <= value <= high:
            raise BadInput(f"--{name} is {value:g}; it goes from {low:g} to {high:g}.")
    if options.held_out == 1:
        raise BadInput("--held-out is 1, which would hold out all frames: give 2 or more, or 0 for none.")
    config = TracksConfig(options.preset, options.held_out, mesh=options.mesh, source=source, refine=options.refine)
    if options.steps is None:
        return config
    if options.preset == "blend":
        return replace(config, blend=replace(config.blend, steps=options.steps))
    if options.preset == "neural":
        return replace(config, field=replace(config.field, steps=options.steps))
    return replace(config, field=replace(config.field, original_steps=options.steps))


def fingerprint(path: Path) -> str:
    """Tells one tracks file from another: the SHA-256 of its bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror or error}.") from error
