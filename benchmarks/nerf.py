"""The ways to learn a radiance field, on one scene, split and machine, in one run; and the machine's own limits.

    python benchmarks/nerf.py DATA [--out FOLDER] [--seconds 10] [--mlp-seconds 300]

Kernels, their torch twin, and TinyNeRF in bfloat16 and float32 each train in a process of their own. Written are
``nerf.json`` and ``nerf.png``: PSNR on held-out views against seconds of training; rays a second, in training and in
rendering; peak memory; how fast this machine reads scattered cache lines, streams memory and multiplies matrices; and
how far the kernels are from the time that their memory traffic alone would take.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch

from fieldscape import cameras
from fieldscape.data import read
from fieldscape.data.options import ReadOptions
from fieldscape.framing import frame, silhouettes
from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.grid import aligned
from fieldscape.kernels.learn import Photos, _draw
from fieldscape.kernels.lenses import LENS_NUMBERS, lens_table, pose_table
from fieldscape.kernels.march import VISIBLE, _find, basis, make_samples, see
from fieldscape.kernels.vectors import at, load, put, splat, sum_lanes
from fieldscape.progress import progress
from fieldscape.runs import Run, peak_memory_mb
from fieldscape.stopping import Stop
from fieldscape.systems.nerf import train_mlp, train_voxels
from fieldscape.systems.nerf.config import MLP_PRESETS, MlpConfig, VoxelConfig
from fieldscape.systems.nerf.learn_bricks import bytes_of
from fieldscape.systems.nerf.options import NerfConfig
from fieldscape.systems.nerf.pool import useful_pixels
from fieldscape.types import Views
from fieldscape.voxels.bricks import Bricks

ENGINES = ("kernels", "torch twin", "tinynerf bf16", "tinynerf float32")
COLORS = {
    "kernels": (40, 40, 200),
    "torch twin": (200, 120, 30),
    "tinynerf bf16": (60, 150, 60),
    "tinynerf float32": (140, 140, 140),
}
EASY = 18.0
"""PSNR that every engine reaches, at which their times are compared."""

COUNTED = 4000
"""Rays whose memory lines are counted."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmark"))
    parser.add_argument("--background", default="auto")
    parser.add_argument("--downscale", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=10.0, help="for the voxel engines")
    parser.add_argument("--mlp-seconds", type=float, default=300.0, help="for each TinyNeRF")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("machine", *ENGINES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(machine() if options.only == "machine" else measure(options)))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    record: dict = {"data": str(options.data), "seed": options.seed, "threads": torch.get_num_threads()}
    record["peers"] = [name for name in ("nerfstudio", "gsplat", "nerfacc") if find_spec(name)]
    for engine in ("machine", *ENGINES):
        command = [sys.executable, __file__, *sys.argv[1:], "--only", engine]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        record[engine] = json.loads(done.stdout.splitlines()[-1])
    kernels = record["kernels"]
    lines, rate = kernels["line_moves_a_ray"], record["machine"]["lines_a_second"][nearest_table(kernels["brick_mb"])]
    kernels["floor_us_a_ray"] = 1e6 * lines / rate
    kernels["times_the_floor"] = (1e6 / kernels["rays_a_second"]) / kernels["floor_us_a_ray"]
    (options.out / "nerf.json").write_text(json.dumps(record, indent=2))
    cv2.imwrite(str(options.out / "nerf.png"), plot({engine: record[engine]["curve"] for engine in ENGINES}))
    say(record)


def measure(options: argparse.Namespace) -> dict:
    """Trains with one engine in this process."""
    read_options = ReadOptions(options.background, options.downscale)
    views = read(options.data, read_options, quiet=True)
    device, seed = torch.device("cpu"), options.seed
    mlp = options.only.startswith("tinynerf")
    config: MlpConfig | VoxelConfig
    if mlp:
        precision = "bf16" if options.only.endswith("bf16") else "float32"
        config = MlpConfig(
            **{**vars(MLP_PRESETS["tiny"]), "seconds": options.mlp_seconds, "iters": 10**6, "eval_every": 20,
               "preview_every": 0, "checkpoint_every": 10**6, "precision": precision}
        )  # fmt: skip
    else:
        engine = "torch" if options.only == "torch twin" else "auto"
        # The twin learns the kernels' grid: rays a second are compared on equal terms.
        framing = frame(views, None if views.background is None else silhouettes(views))
        size = train_voxels.auto_resolution(views, framing, 1e6 * options.seconds)
        config = VoxelConfig(
            seconds=options.seconds, resolution=size, engine=engine, eval_every=1, eval_views=8, checkpoint_every=10**6
        )
    with tempfile.TemporaryDirectory() as folder, progress(1, options.only, quiet=True) as bar:
        of = NerfConfig(read_options, config, None) if mlp else NerfConfig(read_options, None, config)
        run = Run.create(Path(folder) / "run", "nerf", of, seed, {"path": str(options.data)}, "cpu")
        if mlp:
            fitted = train_mlp.train(views, config, run, Stop(None), bar, device, seed)
            rays_a_step = config.n_rand
        else:
            fitted = train_voxels.train(views, config, run, Stop(None), bar, device, seed)
            kernels = isinstance(fitted.field, Bricks)
            rays_a_step = train_voxels.KERNEL_RAYS if kernels else train_voxels.TORCH_RAYS
        lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    curve = [(line["step"], line["seconds"], line["psnr"]) for line in lines if line.get("psnr") is not None]
    figures = {
        "curve": [(t, q) for _, t, q in curve],
        "seconds_to_18_dB": next((t for _, t, q in curve if q >= EASY), None),
        "rays_a_second": rays_a_step * fitted.step / fitted.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }
    if isinstance(config, VoxelConfig):
        # Looks empty the caches: the speed is that of a training that nobody looks at.
        alone = replace(config, eval_every=10**9)
        with tempfile.TemporaryDirectory() as folder, progress(1, options.only, quiet=True) as bar:
            of = NerfConfig(read_options, None, alone)
            run = Run.create(Path(folder) / "run", "nerf", of, seed, {"path": str(options.data)}, "cpu")
            fitted = train_voxels.train(views, alone, run, Stop(None), bar, device, seed)
        figures["rays_a_second"] = rays_a_step * fitted.step / fitted.seconds
    if not mlp and isinstance(fitted.field, Bricks):
        figures |= {"brick_mb": fitted.field.bytes / 1e6, "line_moves_a_ray": line_moves(fitted.field, views)}
        figures["rendered_rays_a_second"] = {size: rendering(fitted.field, views, size) for size in (100, 400, 800)}
    return figures


def rendering(bricks: Bricks, views: Views, size: int) -> float:
    """Rays a second of pictures of ``size`` pixels a side, from eight of the photos' cameras, each drawn twice."""
    chosen = cameras.resize(views.camera[:: max(1, len(views) // 8)], size, size)
    background = None if views.background is None else torch.tensor(views.background)
    for _ in range(2):
        start = time.perf_counter()
        for i in range(len(chosen)):
            bricks.picture(chosen[i], background)
        seconds = time.perf_counter() - start
    return len(chosen) * size * size / seconds


@compiled
def rows_of_ray(grid, place, photos, number, samples, rows):
    """The rows of the table that one training ray reads, into ``rows``; how many of them, and which are moved."""
    query = _draw(grid, place, photos, 1, number)
    found = 0
    for first in range(0, query.path.steps, 16):
        found = _find(grid, place, query.ray, query.path, first, samples, found)
    for n in range(8 * (found + 16)):
        put(samples.corner, n, -1)
    visible, _, _ = see(grid, place, query.ray, query.path, basis(query.ray), samples)
    walked = found
    if visible > 0 and at(samples.after, visible - 1) <= VISIBLE:
        walked = at(samples.which, visible - 1) + 1
    count = 0
    for s in range(walked):
        for m in range(8):
            rows[count] = at(samples.corner, (s >> 4) * 128 + (s & 15) + 16 * m)
            count += rows[count] >= 0  # not reached: the light ended before
    moved = count
    for n in range(visible):
        s = at(samples.which, n)
        for m in range(8):
            rows[moved] = at(samples.corner, (s >> 4) * 128 + (s & 15) + 16 * m)
            moved += 1
    return count, moved


def line_moves(bricks: Bricks, views: Views) -> float:
    """Cache lines that a training ray brings from memory or writes back, on average: each different one once.

    Counted on the finished grid, which visits fewer empty cells than training does: the floor is, if anything, low.
    """
    shapes = None if views.background is None else silhouettes(views)
    pool = useful_pixels(views, shapes)
    gains = np.ones((len(views), 4), np.float32)
    nothing = np.zeros((0, 0, 0), np.uint8)
    poses, lenses = pose_table(views.camera), lens_table(views.camera)
    photos = Photos(bytes_of(views), nothing, pool.pixels, poses, lenses, gains, LENS_NUMBERS[views.camera.lens])
    samples, rows, total = make_samples(), np.empty(2**17, np.int64), 0
    for number in range(COUNTED):
        count, moved = rows_of_ray(bricks.grid, bricks.place, photos, number, samples, rows)
        total += len(np.unique(rows[:count])) + len(np.unique(rows[count:moved]))
    return total / COUNTED


@compiled
def scattered(table, rows, first, last):
    total = splat(np.float32(0))
    for i in range(first, last):
        total = total + load(table, np.int64(rows[i]))
    return sum_lanes(total)


TABLES_MB = (1, 24, 256)


def nearest_table(megabytes: float) -> str:
    return str(min(TABLES_MB, key=lambda size: abs(math.log(size / max(megabytes, 0.1)))))


def machine() -> dict:
    """Limits of this machine, on all threads: scattered lines, streamed memory, matrix products."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    lines = {}
    for size in TABLES_MB:
        table = aligned(size * 2**14)
        table[:] = 1
        rows = np.random.default_rng(0).integers(0, len(table), 2_000_000).astype(np.int32)
        best = 0.0
        for _ in range(4):
            start = time.perf_counter()
            cuts = [len(rows) * i // threads for i in range(threads + 1)]
            for task in [pool.submit(scattered, table, rows, cuts[i], cuts[i + 1]) for i in range(threads)]:
                task.result()
            best = max(best, len(rows) / (time.perf_counter() - start))
        lines[str(size)] = best
    a, b, c = (torch.ones(2**26) for _ in range(3))
    stream = best_of(lambda: torch.add(a, b, alpha=2.0, out=c), 3 * 4 * 2**26)
    x, y = torch.randn(2048, 2048), torch.randn(2048, 2048)
    flops = 2 * 2048**3
    low = x.bfloat16(), y.bfloat16()
    return {
        "lines_a_second": lines,
        "triad_bytes_a_second": stream,
        "float32_flops": best_of(lambda: x @ y, flops),
        "bf16_flops": best_of(lambda: low[0] @ low[1], flops),
    }


def best_of(work, amount: float) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return amount / min(times)


def plot(curves: dict[str, list[tuple[float, float]]]) -> np.ndarray:
    """PSNR against the logarithm of seconds, one line an engine."""
    width, height, left, right, top, bottom = 1100, 660, 80, 30, 30, 60
    image = np.full((height, width, 3), 255, np.uint8)
    points = [point for curve in curves.values() for point in curve]
    low_t, high_t = math.floor(math.log10(min(t for t, _ in points))), math.ceil(math.log10(max(t for t, _ in points)))
    low_q, high_q = 5 * math.floor(min(q for _, q in points) / 5), 5 * math.ceil(max(q for _, q in points) / 5)

    def place(t: float, q: float) -> tuple[int, int]:
        x = left + (math.log10(t) - low_t) / (high_t - low_t) * (width - left - right)
        y = height - bottom - (q - low_q) / (high_q - low_q) * (height - top - bottom)
        return round(x), round(y)

    def write(text: str, x: int, y: int, color=(60, 60, 60)) -> None:
        cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, 1, cv2.LINE_AA)

    for power in range(low_t, high_t + 1):
        x, _ = place(10.0**power, low_q)
        cv2.line(image, (x, top), (x, height - bottom), (225, 225, 225))
        write(f"{10.0**power:g}", x - 14, height - bottom + 24)
    for q in range(low_q, high_q + 1, 5):
        _, y = place(10.0**low_t, q)
        cv2.line(image, (left, y), (width - right, y), (225, 225, 225))
        write(f"{q}", left - 34, y + 6)
    write("seconds of training", width // 2 - 80, height - 14)
    write("PSNR of held-out views, dB", left - 60, top - 10)
    for n, (engine, curve) in enumerate(curves.items()):
        line = np.array([place(t, q) for t, q in curve], np.int32)
        cv2.polylines(image, [line], False, COLORS[engine], 2, cv2.LINE_AA)
        write(engine, width - 210, height - bottom - 110 + 26 * n, COLORS[engine])
    return image


def say(record: dict) -> None:
    print(f"{record['data']}, seed {record['seed']}, {record['threads']} threads")
    for engine in ENGINES:
        figures = record[engine]
        t, q = figures["curve"][-1]
        easy = figures["seconds_to_18_dB"]
        reached = "not reached" if easy is None else f"{easy:8.3f} s"
        speed, memory = figures["rays_a_second"], figures["peak_memory_mb"]
        print(f"{engine:18} {q:6.2f} dB after {t:6.1f} s   18 dB: {reached}   {speed:12,.0f} rays/s   {memory:6.0f} MB")
    kernels = record["kernels"]
    easy = kernels["seconds_to_18_dB"]
    for engine in ENGINES[2:]:
        other = record[engine]["seconds_to_18_dB"]
        said = "more than " if other is None else ""
        ratio = (other or record[engine]["curve"][-1][0]) / easy
        print(f"time to 18 dB, {engine} : kernels   {said}{ratio:,.0f}")
    twin = kernels["rays_a_second"] / record["torch twin"]["rays_a_second"]
    print(f"rays a second, kernels : torch twin   {twin:.1f}")
    drawn = ", ".join(f"{size}^2: {rate / 1e6:.1f}" for size, rate in kernels["rendered_rays_a_second"].items())
    print(f"rendering, M rays/s   {drawn}")
    taken, floor = 1e6 / kernels["rays_a_second"], kernels["floor_us_a_ray"]
    lines = kernels["line_moves_a_ray"]
    print(f"{lines:.0f} lines a ray: floor {floor:.2f} us; a ray takes {taken:.2f} us, {taken / floor:.1f} times that")
    print(f"machine: {json.dumps(record['machine'])}")
    print(f"peers installed: {', '.join(record['peers']) or 'none, so none was measured'}")


if __name__ == "__main__":
    main()
