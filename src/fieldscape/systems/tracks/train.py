"""Learning to draw a clip: meshes, then what the preset learns, in stages; then figures on held-out frames."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import torch

from fieldscape import devices
from fieldscape.errors import BadInput
from fieldscape.images import contact_sheet, write_image
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.tracks import scene
from fieldscape.systems.tracks.config import TracksConfig
from fieldscape.systems.tracks.footage import at_frames, footage_of
from fieldscape.systems.tracks.judged import APART, TRACKED, Judged, judge, sheet_rows
from fieldscape.systems.tracks.nouns import Tracked, apart
from fieldscape.systems.tracks.presets import parts_of, stages_of
from fieldscape.systems.tracks.sheets import sheets_of
from fieldscape.systems.tracks.shown import preview, write_extras
from fieldscape.systems.tracks.stages import learn

SHOWN = 4
"""Held-out frames in the picture of the result."""


def fit_tracked(
    tracked: Tracked, config: TracksConfig, seed: int, run: Run, stop: Stop, quiet: bool, device: torch.device
) -> str | None:
    """Learns, or goes on where the run's checkpoint is, and writes scene and report; the reason if asked to stop.

    Going on gives bit for bit what learning at once would have given. Raises BadInput for a clip of one frame.
    """
    tracked, protocol = parted(tracked, config.held_out)
    if len(tracked.clip) < 2:
        raise BadInput(f"{tracked.clip.name} has one frame to learn from: at least two are needed.")
    began = time.monotonic()
    checkpoint = run.latest()
    if checkpoint is not None:
        for note in checkpoint.notes:
            print(f"fieldscape: {note}", file=sys.stderr)
        run.truncate_log(checkpoint.step)
    with progress(len(tracked.clip), "making meshes", quiet, unit="frame") as bar:
        for note in (*tracked.clip.notes, *tracked.notes):
            bar.say(note)
        footage = footage_of(tracked, sheets_of(tracked, config.mesh, bar))
    parts = parts_of(footage, config, seed, device)
    ready = time.monotonic() - began
    with progress(None, "learning", quiet) as bar:
        stages = stages_of(parts, footage, config, seed, stop, bar)
        shows = {"blend", "neural", "original"}  # earlier stages change what pictures are made of
        seconds = learn(
            stages, seed, run, checkpoint, stop, bar,
            lambda stage: preview(run, parts.footage(), parts) if stage in shows else None,
        )  # fmt: skip
    if stop.requested is not None:
        return stop.requested
    footage = parts.footage()
    tracked = footage.tracked
    scene.write(run.path, footage, parts, config)
    preview(run, footage, parts)
    write_extras(run, footage)
    with progress(0 if tracked.held is None else len(tracked.held), "judging", quiet, unit="frame") as bar:
        judged = judge(tracked, parts.look, bar.update)
        report(run, tracked, config, seed, protocol, judged, seconds + ready, device, bar)
    return None


def parted(tracked: Tracked, every: int) -> tuple[Tracked, str]:
    """The tracks with some frames held out, and how that was done, in words.

    Frames that the file keeps apart are the ones. Else every ``every``-th one is taken away here, which the tracker has
    seen; at 0, or where that leaves nothing to judge by, none.
    """
    if tracked.held is not None:
        return tracked, APART
    kept, held = apart(tracked.clip, every)
    if held is None:
        return tracked, "no frame was held out"
    numbers = {number: i for i, number in enumerate(tracked.clip.numbers)}
    less = at_frames(tracked, [numbers[number] for number in kept.numbers])
    return replace(less, held=held), TRACKED


def report(
    run: Run,
    tracked: Tracked,
    config: TracksConfig,
    seed: int,
    protocol: str,
    judged: Judged,
    seconds: float,
    device: torch.device,
    bar: Bar,
) -> None:
    """The figures into ``report.json``, pictures of held-out frames into ``held-out.png``, and a line on the screen."""
    rows = sheet_rows(judged, SHOWN)
    if rows:
        titles = ("a frame held out", "as drawn", "the error, 4 x", "mesh warp")
        write_image(run.path / "held-out.png", contact_sheet(rows, (), titles))
    held = 0 if tracked.held is None else len(tracked.held)
    run.report(
        preset=config.preset,
        kind=tracked.kind,
        frames=len(tracked.clip),
        held_out=held,
        protocol=protocol,
        seconds=round(seconds, 2),
        device=devices.describe(device),
        seed=seed,
        **judged.figures,
    )
    figures = judged.figures
    if figures:
        said = f"{held} held-out frames ({protocol}): PSNR {figures['psnr']:.2f} dB, "
        said += f"mesh warp {figures['mesh_warp_psnr']:.2f}, homography {figures['homography_psnr']:.2f}, "
        bar.say(said + f"copy {figures['copy_psnr']:.2f}; {100 * figures['unseen']:.2f} % of pixels seen by no frame")
