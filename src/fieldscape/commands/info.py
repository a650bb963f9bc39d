"""``fieldscape info``: what a run or a data set is, and whether its poses look right."""

from __future__ import annotations

from pathlib import Path

from fieldscape import data
from fieldscape.commands.options import InfoOptions
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.images import write_image
from fieldscape.runs import Run


def info(options: InfoOptions) -> None:
    """Print it. Raises BadInput for a path that is neither."""
    if not options.path.exists():
        raise BadInput(f"There is no folder or file {options.path}.")
    if (options.path / "run.json").exists():
        _run(Run.open(options.path))
    else:
        _data(options)


def _run(run: Run) -> None:
    record = run.record
    print(f"{run.path}: a run of {record['system']}, made {record.get('created', 'at an unknown time')}")
    print(f"data: {record['data'].get('path')} ({record['data'].get('views')} views; {record['data'].get('split')})")
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
    else:
        print(
            f"not finished: no report.json. To go on: fieldscape {record['system']} fit DATA --out {run.path} --resume"
        )
    there = (run.path / "scene.json").exists()
    print(f"scene: {'yes; fieldscape render ' + str(run.path) if there else 'none yet'}")


def _data(options: InfoOptions) -> None:
    from fieldscape.data.checks import check_poses
    from fieldscape.data.layout import draw_layout

    name = options.path.resolve().stem
    read = ReadOptions(options.background, options.downscale, cache=Path(f"{name}.sfm"))
    views = data.read(options.path, read)
    for line in data.describe(views):
        print(line)
    for finding in check_poses(views):
        mark = {"ok": "ok", "unknown": "unknown", "warning": "WARNING"}[finding.level]
        print(f"{mark:8}{finding.what}: {finding.evidence}" + (f" -> {finding.advice}" if finding.advice else ""))
    out = options.out or Path(f"{name}-cameras.png")
    write_image(out, draw_layout(views))
    print(f"cameras drawn in {out}")
