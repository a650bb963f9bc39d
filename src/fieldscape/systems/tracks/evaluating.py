"""``fieldscape eval`` of a clip: the frames that its tracks file keeps apart, drawn from where they were taken."""

from __future__ import annotations

from pathlib import Path

import torch

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.runs import Run
from fieldscape.scenes import read_scene
from fieldscape.systems.tracks.bundle import read_bundle
from fieldscape.systems.tracks.config import TracksConfig
from fieldscape.systems.tracks.fit import fingerprint
from fieldscape.systems.tracks.judged import judge
from fieldscape.systems.tracks.scene import rebuild
from fieldscape.systems.tracks.train import parted


def evaluate_clip(run: Run, data: Path, out: Path | None, quiet: bool) -> None:
    """Measure, print, and bring the run's report up to date. out: a folder for the pictures, if any.

    Raises BadInput where the run was made from another tracks file, whose places are not those of this one, or where
    no frame is kept apart.
    """
    if fingerprint(data) != run.record["data"].get("fingerprint"):
        raise BadInput(f"{run.path} was not made from {data}: give the tracks file that it was fitted to.")
    tracked, protocol = parted(read_bundle(data), run.config(TracksConfig).held_out)
    if tracked.held is None:
        raise BadInput(f"{data} keeps no frame apart, and neither did the fit: there is nothing to judge by.")
    scene = rebuild(read_scene(run.path), torch.device("cpu"))
    with progress(len(tracked.held), "measuring", quiet, unit="frame") as bar:
        judged = judge(tracked, lambda camera, when: scene.render(camera, time=when), bar.update)
    for number, (_, drawn, _) in zip(tracked.held.numbers, judged.rows, strict=True):
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_image(out / f"{number:06d}.png", drawn.clamp(0, 1))
    path, figures = run.path / "report.json", judged.figures
    write_json(path, {**(read_json(path) if path.exists() else {}), "protocol": protocol, **figures})
    print(f"PSNR {figures['psnr']:.2f} dB  on {len(tracked.held)} frames ({protocol})")
    print(
        f"mesh warp {figures['mesh_warp_psnr']:.2f} dB, homography {figures['homography_psnr']:.2f}, "
        f"nearest frame {figures['copy_psnr']:.2f}"
    )
    print(f"written to {path}")
