"""Many objects of a kind: what each costs and how good it is, for every way of holding them.

    python benchmarks/latents.py [--only table curves autoencoder planes steps] [--cars FOLDER] [--meshes FOLDER]
        [--added 48] [--slow 16] [--few 12] [--seeds 0 1 2] [--sheets FOLDER] [--out FILE.json]

The folders are what ``fieldscape make cars --views 30 --size 64`` writes, of its own cars and of ``--meshes``; without
any, 72 cars are made first. The first ``--added`` objects are added by what was learned of the others. A fifth of the
views of each is held out. Times are seconds of one processor; each row's are measured in the same process run.

table        all ways side by side: seconds, bytes, PSNR and SSIM on held-out views as stored, what storing lost,
             frames a second, and seconds and bytes if 16 or 48 objects bear all that is shared. Ways that take long
             (tri-planes) are shown the first ``--slow`` objects only.
curves       seconds and PSNR, not stored, for several lengths of fitting: voxels from nothing, from the hull and from
             the lift, and RGB tri-planes, of ``--few`` objects; then the seconds that each needs for equal PSNR.
autoencoder  how well unseen photos of new objects pass through it, and how long it learned.
planes       RGB tri-planes with all three planes against the published layout, at equal bytes; and the tight box with a
             quarter of the bytes against a box of -1 to 1.
steps        a step of stage 1 with 40, 200 and 1,000 scenes, with row-sparse and with dense Adam; and forward and
             backward through a picture of 128 x 128 colours against one of 16 x 16 latents.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fieldscape import metrics
from fieldscape.cameras import look_at
from fieldscape.evaluation import Quality, evaluate
from fieldscape.files import read_json, write_json
from fieldscape.images import contact_sheet, write_image
from fieldscape.progress import progress
from fieldscape.ranks import Ranks
from fieldscape.stopping import Stop
from fieldscape.systems.latents import methods
from fieldscape.systems.latents.config import LatentsConfig
from fieldscape.systems.latents.methods import Shared
from fieldscape.systems.latents.nouns import Draw
from fieldscape.systems.latents.object_settings import ObjectSettings
from fieldscape.systems.latents.objects import Objects
from fieldscape.systems.latents.planes import photos as seen_in
from fieldscape.systems.latents.planes.autoencoder import train_autoencoder
from fieldscape.systems.latents.planes.config import FUSED, PUBLISHED, RGB, AutoencoderConfig, PlanesConfig
from fieldscape.systems.latents.planes.learning import begin, new_shared
from fieldscape.systems.latents.planes.place import unit_place
from fieldscape.systems.latents.planes.render import Place
from fieldscape.systems.latents.planes.shared import all_cells, new_space
from fieldscape.systems.latents.srn import read_objects
from fieldscape.systems.latents.voxel.config import VoxelSettings, usual
from fieldscape.systems.latents.voxel.fitting import fit_object
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.types import Camera, Views
from fieldscape.voxels.bricks import Workers

PARTS = ("table", "curves", "autoencoder", "planes", "steps")
READ = ObjectSettings(size=None, held_out="fifth")
VOXEL = VoxelSettings()
WAYS: dict[str, tuple[str, VoxelSettings | PlanesConfig]] = {
    "voxels from nothing": ("voxel", usual("none")),
    "voxels from the hull": ("voxel", usual("hull")),
    "voxel (lift)": ("voxel", VOXEL),
    "RGB tri-planes": ("rgb", methods.defaults("rgb")),
    "RGB tri-planes, eight times as long": ("rgb", replace(RGB, added_steps=(1600, 0))),
    "RGB tri-planes, published layout": ("rgb-legacy", methods.defaults("rgb-legacy")),
    "latent, own planes only": ("micro", methods.defaults("micro")),
    "latent": ("latent", methods.defaults("latent")),
    "3Da-AE as published": ("3da-ae", methods.defaults("3da-ae")),
}
FRAMES = 200
RAYS = (20_000, 40_000, 60_000, 90_000, 120_000, 180_000, 250_000, 400_000)
PLANE_STEPS = (100, 200, 400, 800, 1600)
WHITE = torch.ones(3)


def learned(objects: Objects, way: str, seed: int) -> tuple[Shared, float]:
    """What a way shares, and the seconds that it took."""
    method, how = WAYS[way]
    config, began = LatentsConfig(method, READ, how), time.process_time()
    with progress(None, way, True) as bar:
        shared = methods.learn(objects, config, seed, Stop(None), bar, nothing, None, nothing, Ranks())
    if shared is None:
        raise RuntimeError("nobody asked it to stop")
    return shared, time.process_time() - began


def nothing(*_: object) -> None:
    """Neither checkpoints nor scenes are kept."""


def table_part(sets: dict[str, Objects], options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    for name, objects in sets.items():
        new, known = objects.select(range(options.added)), objects.select(range(options.added, len(objects)))
        for seed in options.seeds:
            for way in options.ways:
                row = measured(new, known, way, seed, options)
                told(f"table, {name}, seed {seed}, {way}", row)
                say(f"{name}, seed {seed}, {way}", row)


def measured(new: Objects, known: Objects, way: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """The row of a way: means over the objects that are added."""
    shared, spent = learned(known, way, seed)
    method, how = WAYS[way]
    count = len(new) if method == "voxel" else min(options.slow, len(new))
    stored, lost, pictures = [], [], []
    for number in range(count):
        views = new.views(number)
        payload, figures = methods.add(shared, views, how, seed)
        draw = methods.opened(shared, payload, new.names[number])
        quality = evaluate(draw, views)
        stored.append((figures["seconds"], len(payload), quality.psnr, quality.ssim))
        if isinstance(shared, VoxelShared) and isinstance(how, VoxelSettings):
            lost.append(fitted_quality(shared, views, how, seed)[1].psnr - quality.psnr)
        if number < 8:
            shown = views.held_out[0]
            pictures.append((views.color(shown), draw(views.camera[shown]).color.clamp(0, 1)))
    if options.sheets is not None and seed == options.seeds[0]:
        options.sheets.mkdir(parents=True, exist_ok=True)
        photos, seen = zip(*pictures, strict=True)
        name = "".join(c if c.isalnum() else "-" for c in f"{new.names[0]}-{way}")
        write_image(options.sheets / f"{name}.png", contact_sheet([list(photos), list(seen)], ["photo", way]))
    seconds, size, psnr, ssim = (statistics.fmean(values) for values in zip(*stored, strict=True))
    first, shared_bytes = statistics.fmean(values[2] for values in stored[:16]), methods.size(shared)
    return {
        "objects": count, "seconds": seconds, "shared seconds": spent, "bytes": size, "shared bytes": shared_bytes,
        "psnr": psnr, "psnr of 16": first, "ssim": ssim, "frames/s": frames(draw, new.cameras(new.rows(0))[0]),
        **({"lost": statistics.fmean(lost)} if lost else {}),
    }  # fmt: skip


def fitted_quality(shared: VoxelShared, views: Views, how: VoxelSettings, seed: int) -> tuple[float, Quality]:
    """Seconds and quality of a voxel fit that is not stored."""
    fitted = fit_object(shared, views, how, seed, Workers(1))
    return fitted.seconds, evaluate(lambda camera: fitted.bricks.picture(camera, WHITE), views)


def frames(draw: Draw, camera: Camera) -> float:
    """Pictures a second of the processor."""
    draw(camera)
    began = time.process_time()
    for _ in range(FRAMES):
        draw(camera)
    return FRAMES / (time.process_time() - began)


def curves_part(sets: dict[str, Objects], options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    for name, objects in sets.items():
        few = objects.select(range(options.few))
        known = objects.select(range(options.added, len(objects)))
        for seed in options.seeds:
            lines = {}
            voxels, _ = learned(known, "voxel (lift)", seed)
            colors, _ = learned(known, "RGB tri-planes", seed)
            for start in ("none", "hull", "lift"):
                lines[start] = [curve_point(few, voxels, replace(usual(start), rays=n), seed) for n in RAYS]
            lines["RGB tri-planes"] = [
                curve_point(few, colors, replace(RGB, added_steps=(n, 0)), seed) for n in PLANE_STEPS
            ]
            told(f"curves, {name}, seed {seed}", lines)
            for line, points in lines.items():
                print(
                    f"{name}, seed {seed}, {line}: " + ", ".join(f"{s:.2f} s {p:.2f} dB" for s, p in points), flush=True
                )
            for rival in ("none", "hull", "RGB tri-planes"):
                for psnr in np.arange(26.0, 34.0, 0.5):
                    mine, other = seconds_for(lines["lift"], psnr), seconds_for(lines[rival], psnr)
                    if mine is not None and other is not None:
                        print(f"  {psnr:.1f} dB: lift {mine:.2f} s, {rival} {other:.2f} s: {mine / other - 1:+.0%}")


def curve_point(objects: Objects, shared: Shared, how: VoxelSettings | PlanesConfig, seed: int) -> tuple[float, float]:
    """Mean seconds and PSNR of adding objects so."""
    found = []
    for number in range(len(objects)):
        views = objects.views(number)
        if isinstance(shared, VoxelShared) and isinstance(how, VoxelSettings):
            seconds, quality = fitted_quality(shared, views, how, seed)
        else:
            payload, figures = methods.add(shared, views, how, seed)
            seconds, quality = figures["seconds"], evaluate(methods.opened(shared, payload, ""), views)
        found.append((seconds, quality.psnr))
    seconds, psnr = (statistics.fmean(values) for values in zip(*found, strict=True))
    return seconds, psnr


def seconds_for(points: list[tuple[float, float]], psnr: float) -> float | None:
    """The seconds after which a curve first reaches ``psnr``, straight between its points; None where it does not."""
    for (before, low), (after, high) in itertools.pairwise(points):
        if low <= psnr <= high:
            return before + (after - before) * (psnr - low) / max(high - low, 1e-9)
    return None


def autoencoder_part(sets: dict[str, Objects], options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    for name, objects in sets.items():
        new, known = objects.select(range(options.added)), objects.select(range(options.added, len(objects)))
        learn_from, judge = pictures_of(known, False), pictures_of(new, True)
        for count in (0, AutoencoderConfig().steps):
            began = time.process_time()
            space = train_autoencoder(learn_from, AutoencoderConfig(steps=count), 0)
            spent = time.process_time() - began
            with torch.no_grad():
                seen = torch.cat([space.decode(space.encode(some)) for some in judge.split(64)]).clamp(0, 1)
            pairs = zip(seen.movedim(1, -1), judge.movedim(1, -1), strict=True)
            psnr = statistics.fmean(float(metrics.psnr(a, b)) for a, b in pairs)
            told(f"autoencoder, {name}, {count} steps", {"seconds": spent, "psnr": psnr})
            print(f"autoencoder, {name}, {count} steps: {spent:.1f} s, {psnr:.2f} dB on new objects", flush=True)


def pictures_of(objects: Objects, held_out: bool) -> torch.Tensor:
    return torch.from_numpy(objects.images[objects.held_out == held_out]).movedim(-1, 1).float() / 255


def planes_part(sets: dict[str, Objects], options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    for name, objects in sets.items():
        few, known = objects.select(range(4)), objects.select(range(options.added, len(objects)))
        shared, _ = learned(known, "RGB tri-planes", 0)
        tight = Place(shared.place.low, shared.place.high)
        big = replace(RGB, box="unit", skip=False, samples=(96, 0))
        small = replace(RGB, skip=False, side=RGB.side // 2)
        rows = {
            "all three planes": (RGB, shared.place),
            "published layout": (replace(RGB, planes="legacy"), shared.place),
            "tight box, a quarter of the bytes": (small, tight),
            "box of -1 to 1": (big, unit_place()),
        }
        for row, (config, place) in rows.items():
            found = []
            for seed in options.seeds:
                begun = new_shared(config, place, None, 1.0, torch.ones(3), seed)
                found.append(curve_point(few, begun, config, seed)[1])
            told(f"planes, {name}, {row}", found)
            print(f"{name}, {row}: {statistics.fmean(found):.2f} dB, seeds {[round(x, 2) for x in found]}", flush=True)


def steps_part(sets: dict[str, Objects], options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    place = Place(torch.tensor([-0.3, -0.55, -0.25]), torch.tensor([0.3, 0.55, 0.25]))
    photos = seen_in.of_objects(next(iter(sets.values())).select([0]), 4, place)
    for optimiser in ("row", "dense"):
        for count in (40, 200, 1000):
            config = replace(FUSED, optimiser=optimiser)
            shared = new_shared(config, place, new_space(config, 0), 1.0, torch.full((16,), 0.5), 0)
            learning, took = begin(config, shared, count, 0), []
            for _ in range(15 if optimiser == "row" else 6):
                began = time.process_time()
                scenes = torch.randperm(count, generator=learning.chance)[:8]
                parts = learning.taken(scenes)
                planes = learning.planes(parts)
                cells = photos.draw_cells(torch.zeros(8, dtype=torch.long), 128, learning.chance)
                shared.see(planes, photos.camera, cells, learning.chance).color.square().mean().backward()
                learning.adam.step()
                middle = time.process_time()
                learning.moved(scenes, parts, 1e-2)
                took.append((time.process_time() - began, time.process_time() - middle))
            whole, scenes_only = (1e3 * statistics.median(values) for values in zip(*took[3:], strict=True))
            told(f"steps, {optimiser}, {count} scenes", {"step, ms": whole, "of it scenes, ms": scenes_only})
            print(f"{optimiser} Adam, {count} scenes: {whole:.1f} ms, of it {scenes_only:.2f} for scenes", flush=True)
    ratio(told)


def ratio(told: Callable[[str, Any], None]) -> None:
    """Forward and backward through one picture of colours and one of latents, the same samples on a ray."""
    pose = look_at(torch.tensor([0.9, 0.7, 0.6]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))[None]
    took = {}
    for side, times in ((16, 12), (128, 3)):
        config = replace(
            PUBLISHED,
            sharing="micro",
            own=32,
            side=64,
            planes="fixed",
            space="rgb",
            shared_steps=(0, 0),
            added_steps=(1, 0),
        )
        shared = new_shared(config, unit_place(), None, 1.0, torch.ones(3), 0)
        camera = Camera(pose, torch.full((1, 2), side * 1.025), torch.full((1, 2), side / 2), side, side)
        planes, cells, each = shared.mean["micro"].clone().requires_grad_(), all_cells(camera), []
        for _ in range(times):
            began = time.process_time()
            shared.see(planes, camera, cells).color.square().mean().backward()
            each.append(time.process_time() - began)
        took[side] = statistics.median(each)
    told("ratio of 128 x 128 to 16 x 16", took[128] / took[16])
    print(f"128 x 128 colours {took[128]:.2f} s, 16 x 16 latents {took[16]:.3f} s: {took[128] / took[16]:.1f} times")


def say(what: str, row: dict[str, float]) -> None:
    lost = f", {row['lost']:.2f} lost by storing" if "lost" in row else ""
    print(
        f"{what}: {row['seconds']:.2f} s an object (shared {row['shared seconds']:.0f} s), "
        f"{row['bytes'] / 1024:.1f} KiB (shared {row['shared bytes'] / 1024:.0f} KiB), "
        f"{row['psnr']:.2f} dB{lost}, SSIM {row['ssim']:.3f}, "
        f"{row['frames/s']:.0f} frames/s, {row['objects']} objects; "
        + "; ".join(f"of {n}: {effective(row, '{}seconds', n):.2f} s, {effective(row, '{}bytes', n) / 1024:.1f} KiB"
                    for n in (16, 48))
        + " with all that is shared",
        flush=True,
    )  # fmt: skip


def effective(row: dict[str, float], what: str, count: int) -> float:
    """What each of ``count`` objects takes if they bear all that is shared."""
    return row[what.format("")] + row[what.format("shared ")] / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--cars", type=Path)
    parser.add_argument("--meshes", type=Path)
    parser.add_argument("--added", type=int, default=48)
    parser.add_argument("--slow", type=int, default=16)
    parser.add_argument("--few", type=int, default=12)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--out", type=Path, default=Path("latents.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    figures = read_json(options.out) if options.out.exists() else {}

    def told(name: str, value: Any) -> None:
        figures[name] = value
        write_json(options.out, figures)

    with tempfile.TemporaryDirectory() as made:
        folders = {name: getattr(options, name) for name in ("cars", "meshes") if getattr(options, name) is not None}
        if not folders:
            folders = {"cars": Path(made) / "cars"}
            flags = ["--objects", "72", "--views", "30", "--size", "64", "--quiet", "--out", str(folders["cars"])]
            subprocess.run([sys.executable, "-m", "fieldscape", "make", "cars", *flags], check=True)
        sets = {name: read_objects(folder, READ) for name, folder in folders.items()}
        parts = {
            "table": table_part, "curves": curves_part, "autoencoder": autoencoder_part, "planes": planes_part,
            "steps": steps_part,
        }  # fmt: skip
        for part in options.only:
            parts[part](sets, options, told)


if __name__ == "__main__":
    main()
