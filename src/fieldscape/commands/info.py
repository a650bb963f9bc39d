"""``fieldscape info``: what a run or a data set is, and whether its poses look right."""

from __future__ import annotations

from pathlib import Path

from fieldscape import data
from fieldscape.commands.options import InfoOptions
from fieldscape.data.findings import Finding
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.images import write_image
from fieldscape.runs import Run
from fieldscape.systems.opening import open_scene

TRAINED_BY = {"gan": "gan train", "slots": "slots train", "latents": "latents train"}
"""The commands that go on with a run, where they are not called fit."""


def info(options: InfoOptions) -> None:
    """Print it. Raises BadInput for a path that is neither."""
    if not options.path.exists():
        raise BadInput(f"There is no folder or file {options.path}.")
    if (options.path / "run.json").exists():
        _run(Run.open(options.path))
    elif _is_tracks(options.path):
        _tracks(options.path)
    elif _is_depth(options):
        _depth(options)
    elif (objects := _objects(options.path)) is not None:
        print(objects)
    else:
        _data(options)


def _run(run: Run) -> None:
    record = run.record
    print(f"{run.path}: a run of {record['system']}, made {record.get('created', 'at an unknown time')}")
    known = {name: value for name, value in record["data"].items() if name not in ("path", "fingerprint")}
    print(f"data: {record['data'].get('path')} ({'; '.join(f'{name} {value}' for name, value in known.items())})")
    print(f"device: {record['device']}  seed: {record['seed']}")
    for part, options in record["config"].items():
        if isinstance(options, dict):
            print(f"{part}: " + "  ".join(f"{name} {value}" for name, value in options.items()))
    lines = run.metrics()
    if lines:
        print(f"last measured: {lines[-1]}")
    checkpoint = run.latest()
    print(f"checkpoint: {'none' if checkpoint is None else f'step {checkpoint.step}'}")
    for note in checkpoint.notes if checkpoint else ():
        print(note)
    report = run.path / "report.json"
    if report.exists():
        print("report: " + "  ".join(f"{name} {value}" for name, value in read_json(report).items()))
    elif record["system"] == "gan" and "gan" not in record["config"]:
        print("not finished: no report.json. One photo's scene is not gone on with: run fieldscape gan invert again")
    else:
        again = TRAINED_BY.get(record["system"], f"{record['system']} fit")
        print(f"not finished: no report.json. To go on: fieldscape {again} DATA --out {run.path} --resume")
    there = (run.path / "scene.json").exists()
    print(f"scene: {'yes; fieldscape render ' + str(run.path) if there else 'none yet'}")
    for control in open_scene(run.path).controls if there else ():
        print(f"  --set {control.name}={control.default:g} ({control.low:g} to {control.high:g}): {control.meaning}")


def _is_tracks(path: Path) -> bool:
    if path.suffix != ".npz":
        return False
    from fieldscape.systems.tracks.bundle import is_bundle

    return is_bundle(path)


def _tracks(path: Path) -> None:
    from fieldscape.systems.tracks.bundle import read_bundle
    from fieldscape.systems.tracks.summary import described

    for line in described(read_bundle(path)):
        print(line)
    print(f"fit them: fieldscape tracks fit {path}")


def _is_depth(options: InfoOptions) -> bool:
    if options.layout != "auto" or options.intrinsics is not None or options.depth_scale is not None:
        return True
    from fieldscape.data.depth.opening import recognise

    return recognise(options.path) is not None


def _depth(options: InfoOptions) -> None:
    from fieldscape.data.depth.opening import open_depth
    from fieldscape.data.depth.summary import check, describe

    frames = open_depth(options.path, options.layout, options.intrinsics, options.depth_scale)
    for line in describe(frames):
        print(line)
    for finding in check(frames):
        print(said(finding))


def _objects(path: Path) -> str | None:
    """What a folder of objects in the SRN layout holds, or None where it is none; the first is read whole."""
    from fieldscape.systems.latents.object_settings import ObjectSettings
    from fieldscape.systems.latents.srn import find_objects, read_objects

    if not path.is_dir():
        return None
    try:
        names = list(find_objects(path))
    except BadInput:
        return None
    first = read_objects(path, ObjectSettings(size=None, held_out="none"), names=names[:1])
    width, height = first.size
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (
        f"{len(names)} objects in the SRN layout: {listed}\n"
        f"{names[0]}: {len(first.images)} views of {width} x {height}, focal length {first.focal[0, 0]:.1f} pixels\n"
        f"learn them: fieldscape latents train {path}"
    )


def said(finding: Finding) -> str:
    """A finding as a line, marked in its first column."""
    mark = {"ok": "ok", "unknown": "unknown", "warning": "WARNING"}[finding.level]
    return f"{mark:8}{finding.what}: {finding.evidence}" + (f" -> {finding.advice}" if finding.advice else "")


def _data(options: InfoOptions) -> None:
    from fieldscape.data.checks import check_poses
    from fieldscape.data.layout import draw_layout

    name = options.path.resolve().stem
    read = ReadOptions(options.background, options.downscale, cache=Path(f"{name}.sfm"))
    views = data.read(options.path, read)
    for line in data.describe(views):
        print(line)
    for finding in check_poses(views):
        print(said(finding))
    out = options.out or Path(f"{name}-cameras.png")
    write_image(out, draw_layout(views))
    print(f"cameras drawn in {out}")
