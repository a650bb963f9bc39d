"""Clips to tracks, cameras, pictures: measured on made-up worlds, where all is known, and on real clips.

    python benchmarks/tracks.py [--only tracks cameras heldout novel speed clips] [--work FOLDER] [--out FILE.json]
        [--sizes 160 320] [--scenes garden tabletop] [--moves arc dolly handheld] [--seeds 0 1]
        [--presets blend neural original] [--data FOLDER] [--clips davis/car-shadow clips/cat.mp4 ...]

* ``tracks``: error of the places (median, ninth tenth, pixels), ghosts (said to be seen, and hidden in truth), share of
  the points visible over all frames that are followed to the end, frames followed a second of processor time.
* ``cameras``: path error in percent of its extent, rotation in degrees, focal length and depth in percent, from all
  frames; what kind of motion was found; seconds.
* ``heldout``: every eighth frame, seen by nothing, drawn from the others: PSNR of each preset and, in the same reports,
  of the nearest frame's copy, a homography, and the mesh warp between the two neighbours; with what was found
  (``found``) and with true tracks and cameras (``true``).
* ``novel``: views from 10 degrees to either side of the middle frame, on pixels that do not move and that some frame
  shows: each preset, a copy of the nearest frame, and a homography of it, likewise found and true.
* ``speed``: frames drawn a second at 480 x 270, seconds of learning, largest memory.
* ``clips``: real clips under ``--data``: extract and fit as the commands do, one preset after the other.

Worlds are made once, in ``--work``. What is done is written to ``--out`` as it comes.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from fieldscape import cameras, devices, paths
from fieldscape.cameras import project, similarity
from fieldscape.metrics import psnr
from fieldscape.progress import progress
from fieldscape.systems.opening import open_scene
from fieldscape.systems.tracks.bundle import read_bundle, write_bundle
from fieldscape.systems.tracks.clip_settings import ClipSettings
from fieldscape.systems.tracks.clips import read_clip
from fieldscape.systems.tracks.extract import extract, peak_megabytes
from fieldscape.systems.tracks.fit import fit
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.following import follow
from fieldscape.systems.tracks.foreign_given import read_depths
from fieldscape.systems.tracks.judging import births, track_errors
from fieldscape.systems.tracks.judging_cameras import camera_errors, depth_error
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.options import TracksExtractOptions
from fieldscape.systems.tracks.options_fit import TracksFitOptions
from fieldscape.systems.tracks.reach import center_of_interest
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.solving import solve
from fieldscape.systems.tracks.truth import tracked_of_world, true_view, world_settings
from fieldscape.types import Camera
from fieldscape.worlds.clips.clip import clip_of
from fieldscape.worlds.clips.make import make_clip
from fieldscape.worlds.clips.options import MakeClipOptions
from fieldscape.worlds.clips.queries import Queries
from fieldscape.worlds.clips.tracks import follow as follow_truly

EVERY = 8
ASIDE = 10.0
"""Degrees of a new view about what the clip looks at."""
SEEN_WITHIN = 0.01
"""Relative difference of depth below which a place seen in a new view is the place that a frame shows there."""
CLIPS = (
    "davis/car-shadow", "davis/bmx-trees", "clips/cat.mp4", "clips/teddy.mp4", "clips/camel.mp4", "clips/apple.mp4",
)  # fmt: skip
FIGURES = ("psnr", "ssim", "copy_psnr", "homography_psnr", "mesh_warp_psnr")
Keep = Callable[[dict[str, Any]], None]


def worlds(arguments: argparse.Namespace) -> list[Path]:
    """The folders of all worlds asked for, made where they are not there yet."""
    made = []
    for width in arguments.sizes:
        for scene in arguments.scenes:
            for move in arguments.moves:
                for seed in arguments.seeds:
                    folder = arguments.work / f"{scene}-{move}-{width}-{seed}"
                    if not (folder / "truth.json").is_file():
                        high = width * 9 // 16
                        make_clip(
                            MakeClipOptions(
                                folder,
                                width=width,
                                height=high,
                                camera=move,
                                scene=scene,
                                seed=seed,
                                workers=1,
                                quiet=True,
                            )
                        )
                    made.append(folder)
    return made


def table(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Prints figures by row and column."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    wide = max([len(name) for name in rows] + [len(title)])
    print(f"\n{title:<{wide}}  " + "  ".join(f"{column:>12}" for column in columns))
    for name, row in rows.items():
        shown = [row.get(column, "") for column in columns]
        cells = [f"{value:12.3f}" if isinstance(value, float) else f"{value!s:>12}" for value in shown]
        print(f"{name:<{wide}}  " + "  ".join(cells), flush=True)


# ---------------------------------------------------------------------------------------------------- on made-up worlds


def tracks(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """Errors of the places of points."""
    rows: dict[str, Any] = {}
    for folder in worlds(arguments):
        clip = read_clip(folder, ClipSettings(), True)
        began = time.process_time()
        with progress(None, "following", True) as bar:
            points = follow(clip, FollowSettings(), bar)
        used = time.process_time() - began
        frame, pixel = births(points)
        truth = follow_truly(clip_of(world_settings(folder)), Queries(frame, pixel.double()))
        errors = asdict(track_errors(points, truth.pixels, truth.visible, frame))
        rows[folder.name] = {"points": len(points), **errors, "frames_a_second": len(clip) / used}
        keep(rows)
    table("tracks", rows)
    return rows


def solved(folder: Path) -> Tracked:
    """All frames of a world with the cameras that are found for them."""
    clip = read_clip(folder, ClipSettings(), True)
    with tempfile.TemporaryDirectory() as work, progress(None, "", True) as bar:
        points = follow(clip, FollowSettings(), bar)
        return solve(clip, points, SolveSettings(), None, None, Path(work), bar)


def found_cameras(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """Errors of cameras and depth."""
    rows: dict[str, Any] = {}
    for folder in worlds(arguments):
        began = time.monotonic()
        tracked = solved(folder)
        seconds = time.monotonic() - began
        errors = camera_errors(tracked.camera, tracked_of_world(folder, 0).camera)
        row: dict[str, Any] = {"kind": tracked.kind, **asdict(errors)}
        if math.isfinite(errors.scale) and tracked.deep.any():
            own, best = depth_error(tracked, read_depths(folder / "depth", tracked.clip), errors.scale)
            row |= {"depth": own, "depth_best": best}
        rows[folder.name] = {**row, "seconds": seconds}
        keep(rows)
    table("cameras", rows)
    return rows


def bundles(folder: Path, arguments: argparse.Namespace) -> dict[str, Path]:
    """The tracks file of a world as found, and the true one; every eighth frame apart in both."""
    made = {name: arguments.work / f"{folder.name}-{name}.npz" for name in ("found", "true")}
    if not made["found"].is_file():
        extract(TracksExtractOptions(folder, made["found"], hold_out=EVERY, overlay=False, quiet=True))
    if not made["true"].is_file():
        write_bundle(made["true"], tracked_of_world(folder, EVERY))
    return made


def run_of(bundle: Path, preset: str, arguments: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """The run of a preset on a tracks file, learned if it is not there yet, and its report."""
    out = arguments.work / f"{bundle.stem}-{preset}"
    if not (out / "report.json").is_file():
        _fit(bundle, out, preset, arguments.seeds[0])
    return out, json.loads((out / "report.json").read_text())


def heldout(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """PSNR of frames that nothing has seen."""
    rows: dict[str, Any] = {}
    for folder in worlds(arguments):
        for name, bundle in bundles(folder, arguments).items():
            for preset in arguments.presets:
                _, said = run_of(bundle, preset, arguments)
                rows[f"{folder.name} {name} {preset}"] = figures_of(said)
                keep(rows)
    table("heldout", rows)
    return rows


def figures_of(said: dict[str, Any]) -> dict[str, Any]:
    """What matters of a report: all its figures in decibels, and a few more."""
    return {k: v for k, v in said.items() if k in FIGURES or k.endswith(("psnr", "unseen", "seconds", "second"))}


def aside(folder: Path) -> tuple[int, Tensor, list[Camera]]:
    """The middle training frame of a world, what it looks at, and true cameras turned about that to both sides."""
    truth = tracked_of_world(folder, EVERY)
    frame, center = len(truth.clip) // 2, center_of_interest(truth).double()
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)  # of these worlds
    camera = truth.camera[frame].map(lambda x: x.double())
    return frame, center, [paths.orbit(camera, center, up, 2, degrees)[1] for degrees in (-ASIDE, ASIDE)]


def seen_by_frames(folder: Path, truth: Tracked, view: Camera, depth: Tensor) -> Tensor:
    """Where a new view shows what some training frame shows too, by the true depths. Bool [h, w]."""
    depths = read_depths(folder / "depth", truth.clip)
    rays = cameras.image_rays(view)
    along = depth.double() / (rays.directions * view.forward).sum(-1)
    places = rays.origins + along[..., None] * rays.directions
    seen = torch.zeros(depth.shape, dtype=torch.bool)
    size = torch.tensor(truth.clip.size)
    for t in range(len(truth.clip)):
        pixels, z = project(truth.camera[t].map(lambda x: x.double()), places)
        inside = (z > 0) & (pixels >= 0).all(-1) & (pixels < size).all(-1)
        x, y = (pixels.floor().long().clamp(min=0).minimum(size - 1)).unbind(-1)
        seen |= inside & ((depths[t, y, x] / z - 1).abs() < SEEN_WITHIN)
    return seen & (depth > 0)


def matched(view: Camera, tracked: Tracked, truth: Tracked) -> Camera:
    """A camera of the true world, in the world that was found: by the similarity between the two paths of cameras."""
    scale, turn, shift = similarity(truth.camera.position.double(), tracked.camera.position.double())
    pose = view.pose.clone()
    pose[:3, :3], pose[:3, 3] = turn @ view.pose[:3, :3], scale * turn @ view.pose[:3, 3] + shift
    ratio = float(tracked.camera.focal.double().mean() / truth.camera.focal.double().mean())
    return replace(view, pose=pose, focal=view.focal * ratio).map(lambda x: x.float())


def flattened(tracked: Tracked, frame: int, view: Camera) -> Tensor:
    """The frame as the homography shows it that most of its still points agree on. [h, w, 3]"""
    chosen = tracked.points.seen[frame] & (tracked.points.layer == 0)
    pixels, z = project(view, tracked.world[frame, chosen].float())
    source = tracked.points.places[frame, chosen][z > 0]
    matrix, _ = cv2.findHomography(source.numpy() - 0.5, pixels[z > 0].numpy() - 0.5, cv2.USAC_MAGSAC, 3.0)
    if matrix is None:
        return tracked.clip.color(frame)
    border = cv2.BORDER_REPLICATE
    shown = cv2.warpPerspective(tracked.clip.frames[frame].numpy(), matrix, tracked.clip.size, borderMode=border)
    return torch.from_numpy(shown).float() / 255


def novel(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """PSNR of new views on still pixels that frames show, the mean over both sides."""
    rows: dict[str, Any] = {}
    for folder in worlds(arguments):
        truth = tracked_of_world(folder, EVERY)
        frame, _, views = aside(folder)
        when, number = float(truth.clip.seconds[frame]), truth.clip.numbers[frame]
        looked = [true_view(folder, view, number) for view in views]
        shares = [still & seen_by_frames(folder, truth, v, depth) for v, (_, depth, still) in zip(views, looked)]
        for name, bundle in bundles(folder, arguments).items():
            tracked = read_bundle(bundle)
            same = views if name == "true" else [matched(view, tracked, truth) for view in views]
            same = [view.map(lambda x: x.float()) for view in same]
            row: dict[str, Any] = {"share": float(torch.stack(shares).float().mean())}

            def judged(pictures: list[Tensor]) -> float:
                found = [psnr(p[m], color[m]) for p, (color, _, _), m in zip(pictures, looked, shares)]  # noqa: B023
                return float(np.mean([float(value) for value in found]))

            row["copy"] = judged([tracked.clip.color(frame)] * 2)
            row["homography"] = judged([flattened(tracked, frame, view) for view in same])
            for preset in arguments.presets:
                out, _ = run_of(bundle, preset, arguments)
                scene = open_scene(out, torch.device("cpu"))
                row[preset] = judged([scene.render(view, time=when).color for view in same])
            rows[f"{folder.name} {name}"] = row
            keep(rows)
    table("novel", rows)
    return rows


def speed(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """How fast scenes are drawn, and how long they took to learn."""
    rows: dict[str, Any] = {}
    for folder in worlds(arguments):
        for preset in arguments.presets:
            out, said = run_of(bundles(folder, arguments)["found"], preset, arguments)
            rows[f"{folder.name} {preset}"] = {"learning_seconds": float(said["seconds"]), **drawing(out)}
            keep(rows)
    table("speed", rows)
    return rows


def drawing(out: Path, count: int = 8) -> dict[str, Any]:
    """Frames of 480 pixels across drawn in a second of processor time, from the clip's own way."""
    scene = open_scene(out, torch.device("cpu"))
    last = next(control.high for control in scene.controls if control.name == "time")
    high = round(480 * scene.start.height / scene.start.width)
    scene.render(cameras.resize(scene.start, 480, high))  # compiles
    began = time.process_time()
    for i in range(count):
        own = scene.cameras[i * (len(scene.cameras) - 1) // count]
        scene.render(cameras.resize(own, 480, high), time=last * (i + 0.5) / count)
    used = time.process_time() - began
    return {"drawn_a_second": count / used, "megabytes": peak_megabytes()}


# ----------------------------------------------------------------------------------------------------------- real clips


def clips(arguments: argparse.Namespace, keep: Keep) -> dict[str, Any]:
    """Real clips end to end, each in a process of its own, whose memory is measured."""
    if arguments.data is None:
        raise SystemExit("clips: say where they are with --data FOLDER")
    rows: dict[str, Any] = {}
    for name in arguments.clips:
        if not (arguments.data / name).exists():
            print(f"{name} is not in {arguments.data}: left out")
            continue
        safe = name.replace("/", "-").removesuffix(".mp4")
        bundle = arguments.work / f"{safe}.npz"
        if not bundle.is_file():
            alone(_extract, arguments.data / name, bundle)
        said = json.loads(bundle.with_suffix(".json").read_text())
        for preset in arguments.presets:
            out = arguments.work / f"{safe}-{preset}"
            if not (out / "report.json").is_file():
                alone(_fit, bundle, out, preset, arguments.seeds[0])
            report = json.loads((out / "report.json").read_text())
            rows[f"{safe} {preset}"] = {
                "kind": said["camera"], "points": said["points_a_frame"],
                "tracked_fps": said["followed_frames_per_second"],
                "extract_seconds": float(sum(said["seconds"].values())), "megabytes": said["peak_megabytes"],
                **figures_of(report), "drawn_a_second": drawing(out)["drawn_a_second"],
            }  # fmt: skip
            keep(rows)
    table("clips", rows)
    return rows


def alone(work: Callable[..., None], *given: Any) -> None:
    """Does ``work`` in a fresh process, and ends where it fails."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=given)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} of {given[0]} failed")


def _extract(clip: Path, out: Path) -> None:
    torch.set_num_threads(1)
    extract(TracksExtractOptions(clip, out, hold_out=EVERY, quiet=True))


def _fit(bundle: Path, out: Path, preset: Any, seed: int) -> None:
    """A run begun, or gone on with where it was stopped. Ends the program where it is stopped again."""
    torch.set_num_threads(1)
    fit(TracksFitOptions(bundle, out, preset, seed=seed, resume=(out / "run.json").is_file(), quiet=True))
    if not (out / "report.json").is_file():
        raise SystemExit(f"stopped; the same command goes on with {out}")


PARTS: dict[str, Callable[[argparse.Namespace, Keep], dict[str, Any]]] = {
    "tracks": tracks, "cameras": found_cameras, "heldout": heldout, "novel": novel, "speed": speed, "clips": clips,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=["tracks", "cameras", "heldout", "novel", "speed"])
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--work", type=Path, help="where worlds, tracks and runs are kept; default: a temporary folder")
    parser.add_argument("--sizes", nargs="+", type=int, default=[160, 320])
    parser.add_argument("--scenes", nargs="+", default=["garden", "tabletop"])
    parser.add_argument("--moves", nargs="+", default=["arc"], help="arc, dolly, handheld, pan, still")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--presets", nargs="+", default=["blend", "neural", "original"])
    parser.add_argument("--data", type=Path, help="a folder of real clips")
    parser.add_argument("--clips", nargs="+", default=list(CLIPS), help="of --data")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    result: dict[str, Any] = {"machine": devices.describe(torch.device("cpu")), "torch": torch.__version__}

    def keeper(name: str) -> Keep:
        def keep(part: dict[str, Any]) -> None:
            result[name] = part
            if arguments.out:
                arguments.out.write_text(json.dumps(finite(result), indent=1) + "\n")

        return keep

    with tempfile.TemporaryDirectory() as scratch:
        arguments.work = arguments.work or Path(scratch)
        arguments.work.mkdir(parents=True, exist_ok=True)
        for name in arguments.only:
            keeper(name)(PARTS[name](arguments, keeper(name)))


def finite(value: Any) -> Any:
    """The same with nothing in place of what is not a number, which JSON does not have."""
    if isinstance(value, dict):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
