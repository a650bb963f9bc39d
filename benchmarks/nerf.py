"""How fast radiance fields are learned and drawn on this machine, and how far that is from what the machine allows.

    python benchmarks/nerf.py DATA [--seconds 10] [--mlp-seconds 60] [--seeds 0 1 2] [--out benchmark]

One scene, one split, one machine, one call: the voxel kernels, their torch twin, and TinyNeRF in float32 and bfloat16
each learn for a number of seconds, one after the other, each in a process of its own so that its peak of memory is its
own. The machine's ceilings are measured in between: random reads of cache lines, memory bandwidth, matrix products.
``DIR/nerf.json`` and ``DIR/nerf.png`` hold the figures. ``--only PART`` runs one part and prints its figures as JSON.

Looks at held-out views do not count in the time. Preparation (framing, carving) does; compiling kernels does not.
"""

from __future__ import annotations

import os

# As the command line does: threads that wait for one another sleep instead of spinning. OpenMP reads it when torch is
# loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import importlib.util
import json
import math
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
from PIL import Image, ImageDraw, ImageFont

from fieldscape import devices
from fieldscape.data import read
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.framing import silhouettes
from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.functions import exp2, log2
from fieldscape.kernels.grid import RAW, aligned
from fieldscape.kernels.learn import _draw
from fieldscape.kernels.march import (
    LOG2_E,
    MOST,
    SHIFT,
    VISIBLE,
    _blend,
    _find,
    _surround,
    basis,
    f32,
    make_samples,
    see,
)
from fieldscape.kernels.vectors import at, lane, load, put, splat, store
from fieldscape.progress import progress
from fieldscape.runs import Run, peak_memory_mb
from fieldscape.stopping import Stop
from fieldscape.systems.nerf import train_mlp, train_voxels
from fieldscape.systems.nerf.bricks import Bricks, Workers
from fieldscape.systems.nerf.config import MLP_PRESETS, MlpConfig, VoxelConfig
from fieldscape.systems.nerf.learn_bricks import BrickLearner
from fieldscape.systems.nerf.pool import useful_pixels
from fieldscape.systems.nerf.train_voxels import FittedVoxels
from fieldscape.types import Views

GOAL = 18.0
"""The held-out PSNR, in dB, that engines race to: the object is plainly there."""

ENGINES = {
    "kernels": "voxels, kernels",
    "twin": "voxels, torch",
    "tiny-float32": "TinyNeRF float32",
    "tiny-bf16": "TinyNeRF bf16",
}
LOOK_EVERY = {"kernels": 2, "twin": 5, "tiny-float32": 5, "tiny-bf16": 5}
"""Steps between looks at held-out views: enough of them early, where the curves are steep."""

PEERS = ("nerfstudio", "nerfacc", "pyngp")
SIDES = (100, 400, 800)
TABLES_MB = (1, 24, 256)
TRACED = 4096
"""Training rays whose lines are counted."""

FORMULA = (
    "floor seconds per ray = (distinct lines read + distinct lines moved) / lines per second. Lines read: the 8 around "
    "each sample that is followed until the light is gone. Lines moved: the 8 around each visible sample, written back "
    "once. A line met again by the same ray is in the nearest cache and costs nothing; a line written costs what one "
    "read costs. Lines per second: random reads by all threads in the table nearest in size to the bricks. Counted on "
    "training rays after the last step, in the cells that training visits."
)


# -- The machine's ceilings ------------------------------------------------------------------------------------------


@compiled
def sum_lines(table, rows, first, last, totals, worker):
    """Adds up the lines of ``table`` that ``rows[first:last]`` name: the reads wait for nothing but memory."""
    total = splat(f32(0))
    for i in range(first, last):
        total = total + load(table, at(rows, i))
    store(totals, worker, total)


def best_seconds(work: Callable[[], object], least: float = 0.5) -> float:
    """The shortest time of ``work`` among the repeats that fit into ``least`` seconds, and three at least."""
    work()
    times, began = list[float](), time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < least:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def ceilings(workers: Workers) -> dict[str, Any]:
    """What the machine can do at best. Of repeats the fastest counts."""
    chance = np.random.default_rng(0)
    totals, lines = aligned(workers.count), dict[str, float]()
    for megabytes in TABLES_MB:
        count = megabytes * 10**6 // 64
        table, rows = aligned(count), chance.integers(0, count, 2**21, dtype=np.int32)
        table[:] = 1  # a page that was never written is one page of zeros for all

        def reading(worker: int, first: int, last: int, table: np.ndarray = table, rows: np.ndarray = rows) -> None:
            sum_lines(table, rows, first, last, totals, worker)

        lines[str(megabytes)] = len(rows) / best_seconds(lambda: workers.share(reading, 0, len(rows)))  # noqa: B023
        if not math.isclose(float(totals.sum()), 16 * len(rows), rel_tol=1e-3):
            raise RuntimeError("lines were lost")

    a, b, c = (torch.rand(2**24) for _ in range(3))
    triad = 3 * a.nbytes / best_seconds(lambda: torch.add(b, c, alpha=2.0, out=a))
    size, products = 1024, dict[str, float]()
    for name, kind in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        x, y = (torch.rand(size, size).to(kind) for _ in range(2))
        products[name] = 2 * size**3 / best_seconds(lambda: x @ y)  # noqa: B023
    return {
        "lines_per_second_by_table_mb": {name: round(rate) for name, rate in lines.items()},
        "triad_gb_per_second": round(triad / 1e9, 2),
        "triad_is": "a = b + 2 c of 67 MB each; three arrays counted, reading before writing not",
        "gemm_gflops": {name: round(rate / 1e9, 1) for name, rate in products.items()},
        "gemm_is": f"[{size}, {size}] x [{size}, {size}]",
    }


# -- What a ray touches ----------------------------------------------------------------------------------------------


@compiled
def trace(grid, place, photos, seed, number, samples, read_rows, moved_rows, counts):
    """Follows training ray ``number`` and notes the rows of the table that it reads and, where it moves them, writes.

    counts: samples followed, visible samples, and visible samples by the second count, which must agree. ``see`` tells
    what is visible, but not how many samples it followed: its walk is repeated here without colour.
    """
    query = _draw(grid, place, photos, seed, number)
    visible, _, _ = see(grid, place, query.ray, query.path, basis(query.ray), samples)
    for n in range(visible):
        s = at(samples.which, n)
        for m in range(8):
            put(moved_rows, 8 * n + m, at(samples.corner, (s >> 4) * 128 + (s & 15) + 16 * m))
    light = f32(1)
    found, done, first, again = 0, 0, 0, 0
    while light > VISIBLE and done < MOST - 48:
        while found - done < 16 and first < query.path.steps:
            found = _find(grid, place, query.ray, query.path, first, samples, found)
            first += 16
        if found == done:
            break
        _surround(grid, place, query.ray, samples, done >> 4)
        ready = min(found, done + 16)
        while done < ready and light > VISIBLE:
            for m in range(8):
                put(read_rows, 8 * done + m, at(samples.corner, (done >> 4) * 128 + (done & 15) + 16 * m))
            thick = at(samples.thick, done)
            grown = exp2((lane(_blend(grid, samples, done), RAW) - SHIFT) * LOG2_E)
            if thick < f32(0):
                left = light * exp2(thick * LOG2_E)
            else:
                left = light * exp2(-thick * log2(f32(1) + grown))
            if light - left > VISIBLE:
                again += 1
            light = left
            done += 1
    put(counts, 0, done)
    put(counts, 1, visible)
    put(counts, 2, again)


def touches(learner: BrickLearner) -> dict[str, Any]:
    """Means over ``TRACED`` training rays: samples, lines touched, and distinct lines among them."""
    samples, counts = make_samples(), np.zeros(3, np.int64)
    read_rows, moved_rows = (np.empty(8 * MOST, np.int32) for _ in range(2))
    sums = np.zeros(5)
    for number in range(TRACED):
        grid, place = learner.bricks.grid, learner.bricks.place
        trace(grid, place, learner.photos, learner.seed, number, samples, read_rows, moved_rows, counts)
        followed, visible, again = counts.tolist()
        distinct = len(np.unique(read_rows[: 8 * followed])), len(np.unique(moved_rows[: 8 * visible]))
        sums += (followed, visible, abs(visible - again), *distinct)
    followed, visible, apart, distinct_read, distinct_moved = (sums / TRACED).tolist()
    if apart > 0.01 * max(visible, 1):
        raise RuntimeError("the two counts of visible samples differ: the walk here is no longer that of march.see")
    return {
        "rays": TRACED,
        "samples_followed": round(followed, 2),
        "samples_visible": round(visible, 2),
        "visible_by_second_count_apart": round(apart, 5),
        "line_touches": round(8 * followed + 16 * visible, 1),
        "line_touches_are": "8 read a followed sample, 8 read and 8 written a visible one",
        "distinct_lines_read": round(distinct_read, 1),
        "distinct_lines_moved": round(distinct_moved, 1),
    }


# -- The engines -----------------------------------------------------------------------------------------------------


def run_engine(name: str, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Trains one engine in this process and tells how it went."""
    torch.set_num_threads(options.threads or torch.get_num_threads())
    device = torch.device("cpu")
    views = read(options.data, ReadOptions())
    before = peak_memory_mb()
    every = {"eval_every": LOOK_EVERY[name], "eval_views": options.views, "checkpoint_every": 10**9, "preview_every": 0}
    fitted: FittedVoxels | train_mlp.FittedMlp
    with tempfile.TemporaryDirectory() as folder, progress(None, name, quiet=True) as bar:
        if name in ("kernels", "twin"):
            voxels = VoxelConfig(seconds=options.seconds, engine="auto" if name == "kernels" else "torch", **every)
            run = Run.create(Path(folder) / "run", "nerf", voxels, seed, {}, "cpu")
            fitted = train_voxels.train(views, voxels, run, Stop(None), bar, device, seed)
        else:
            precision: Any = name.removeprefix("tiny-")
            tiny = replace(MLP_PRESETS["tiny"], seconds=options.mlp_seconds, iters=10**6, precision=precision, **every)
            run = Run.create(Path(folder) / "run", "nerf", tiny, seed, {}, "cpu")
            fitted = train_mlp.train(views, tiny, run, Stop(None), bar, device, seed)
        lines = [line for line in run.metrics() if "loss" in line]
    peak = peak_memory_mb()

    curve = [(line["step"], line["seconds"], line["psnr"]) for line in lines if line["psnr"] is not None]
    rays = lines[-1]["rays"] // lines[-1]["step"] if "rays" in lines[-1] else MLP_PRESETS["tiny"].n_rand
    result: dict[str, Any] = {
        "engine": name, "seed": seed, "steps": fitted.step, "seconds": round(fitted.seconds, 3), "rays_a_step": rays,
        "rays_per_second": round(between_looks(curve, rays)), "psnr": round(curve[-1][2], 3) if curve else None,
        "seconds_to_goal": next((seconds for _, seconds, psnr in curve if psnr >= GOAL), None),
        "peak_memory_mb": peak, "memory_with_photos_loaded_mb": before, "curve": curve,
    }  # fmt: skip
    if isinstance(fitted, FittedVoxels):
        result["grid"] = list(fitted.field.shape)
    else:
        result["restarts"], result["gflop_per_ray"] = fitted.restarts, gflop_per_ray(fitted, tiny)
    if isinstance(fitted, FittedVoxels) and isinstance(fitted.field, Bricks):
        result["bricks_mb"] = round(fitted.field.bytes / 1e6, 2)
        result["rendering_rays_per_second"] = rendering(fitted.field, views)
        result["last_stage"] = last_stage(fitted, views, voxels, seed)
    return result


def between_looks(curve: list[tuple[int, float, float]], rays: int) -> float:
    """Rays learned from per second between the first and the last look, so without preparation."""
    (first, began, _), (last, ended, _) = curve[0], curve[-1]
    if last == first:
        return rays * last / ended
    return rays * (last - first) / (ended - began)


def gflop_per_ray(fitted: train_mlp.FittedMlp, config: MlpConfig) -> float:
    """Operations of a ray's matrix products: two a weight and sample, once forwards and twice backwards."""
    weights = sum(p.numel() for p in fitted.model.parameters() if p.ndim == 2)
    return 6 * weights * config.n_samples / 1e9


def rendering(field: Bricks, views: Views) -> dict[str, int]:
    """Rays per second of whole pictures of the first held-out view, by their side in pixels."""
    background = None if views.background is None else torch.tensor(views.background)
    camera, rates = views.camera[(views.held_out or tuple(views.train))[0]], dict[str, int]()
    for side in SIDES:
        scale = torch.tensor([side / camera.width, side / camera.height])
        square = replace(
            camera, focal=camera.focal * scale, center=camera.center * scale, width=side, height=side
        )  # fmt: skip
        rates[str(side)] = round(side**2 / best_seconds(lambda: field.picture(square, background)))  # noqa: B023
    return rates


def last_stage(fitted: FittedVoxels, views: Views, config: VoxelConfig, seed: int) -> dict[str, Any]:
    """What rays touch on the finest grid and how fast they are learned from there: the same field, the same rays."""
    shapes = None if views.background is None else silhouettes(views)
    background = None if views.background is None else torch.tensor(views.background)
    pool = useful_pixels(views, shapes)
    with progress(None, "last stage", quiet=True) as bar:
        learner = BrickLearner(views, fitted.framing, pool, None, background, config, seed, bar)
    assert isinstance(fitted.field, Bricks)
    learner.bricks = fitted.field
    learner.settle()  # training visits the neighbours of what is seen too, pictures do not
    told = touches(learner)
    learner.drawn = 0
    learner.learn(1.0)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < 1:
        learner.learn(1.0)
        steps += 1
    seconds = time.perf_counter() - began
    return {
        **told,
        "bricks_mb": round(fitted.field.bytes / 1e6, 2),
        "rays_per_second": round(steps * learner.rays_a_step / seconds),
    }


# -- All of it together ----------------------------------------------------------------------------------------------


def in_own_process(part: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one part, from a fresh process."""
    print(f"{ENGINES.get(part, part)}, seed {seed} ..." if part in ENGINES else f"{part} ...", file=sys.stderr)
    command = [sys.executable, __file__, str(options.data), "--only", part, "--seeds", str(seed)]
    for name in ("seconds", "mlp_seconds", "threads", "views"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"The part {part} failed: {' '.join(command)}")
    return json.loads(done.stdout)


def installed_peers() -> str:
    """Which other implementations there are beside this one. None is run: say so rather than guess at its speed."""
    found = [name for name in PEERS if importlib.util.find_spec(name) is not None]
    return f"installed and not measured: {', '.join(found)}" if found else "no peer is installed"


def summary(runs: list[dict[str, Any]], machine: dict[str, Any]) -> dict[str, Any]:
    """Medians over the seeds, the ratios between engines, and the distance to the floor."""
    told = dict[str, Any]()
    for name in ENGINES:
        mine = [run for run in runs if run["engine"] == name]
        reached = [run["seconds_to_goal"] for run in mine]
        told[name] = {
            "seconds_to_goal": None if None in reached else statistics.median(reached),
            "seconds": statistics.median(run["seconds"] for run in mine),
            "psnr": statistics.median(run["psnr"] for run in mine),
            "rays_per_second": statistics.median(run["rays_per_second"] for run in mine),
            "peak_memory_mb": max(run["peak_memory_mb"] or 0 for run in mine) or None,
        }
        if name.startswith("tiny"):
            rate = machine["gemm_gflops"][name.removeprefix("tiny-")]
            share = told[name]["rays_per_second"] * mine[0]["gflop_per_ray"] / rate
            told[name]["share_of_matrix_products"] = round(share, 3)
    kernels = [run for run in runs if run["engine"] == "kernels"]
    fast = told["kernels"]
    fast["rendering_rays_per_second"] = {
        str(side): statistics.median(run["rendering_rays_per_second"][str(side)] for run in kernels) for side in SIDES
    }
    ratios = {"rays_per_second_kernels_to_twin": round(fast["rays_per_second"] / told["twin"]["rays_per_second"], 2)}
    for name in ("twin", "tiny-float32", "tiny-bf16"):
        # An engine that did not get there took longer than it was given: the ratio is then a lower bound.
        mine = told[name]["seconds_to_goal"] or told[name]["seconds"]
        bound = "" if told[name]["seconds_to_goal"] else "_at_least"
        if fast["seconds_to_goal"]:
            ratios[f"seconds_to_goal_{name}_to_kernels{bound}"] = round(mine / fast["seconds_to_goal"], 1)
    return {"engines": told, "ratios": ratios, "floor": [floor_of(run, machine) for run in kernels]}


def floor_of(run: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    """The least time a ray can take at the measured rate of lines, and how far the kernels are from it."""
    stage, rates = run["last_stage"], machine["lines_per_second_by_table_mb"]
    table = min(TABLES_MB, key=lambda megabytes: abs(math.log(megabytes / max(stage["bricks_mb"], 1e-3))))
    lines = stage["distinct_lines_read"] + stage["distinct_lines_moved"]
    least, all_touches = lines / rates[str(table)], stage["line_touches"] / rates[str(table)]
    return {
        "seed": run["seed"],
        "formula": FORMULA,
        "table_mb": table,
        "lines_per_second": rates[str(table)],
        "lines_per_ray": round(lines, 1),
        "floor_ns_per_ray": round(least * 1e9, 1),
        "ns_per_ray": round(1e9 / stage["rays_per_second"], 1),
        "times_the_floor": round(1 / (stage["rays_per_second"] * least), 2),
        "times_the_floor_if_every_touch_missed": round(1 / (stage["rays_per_second"] * all_touches), 2),
    }


def table_of(result: dict[str, Any]) -> str:
    """The figures to read."""
    machine, told = result["machine"], result["summary"]
    rows = [f"{'':18} {f'{GOAL:g} dB after':>12} {'PSNR':>8} {'in':>8} {'rays/s':>12} {'peak memory':>12}"]
    for name, title in ENGINES.items():
        mine = told["engines"][name]
        goal = "not reached" if mine["seconds_to_goal"] is None else f"{mine['seconds_to_goal']:.2f} s"
        memory = "unknown" if mine["peak_memory_mb"] is None else f"{mine['peak_memory_mb']:.0f} MB"
        psnr, seconds = f"{mine['psnr']:.2f} dB", f"{mine['seconds']:.1f} s"
        rows.append(f"{title:18} {goal:>12} {psnr:>8} {seconds:>8} {mine['rays_per_second']:>12,.0f} {memory:>12}")
    rows.append("")
    rows += [f"{name.replace('_', ' '):52} {ratio:8.1f} x" for name, ratio in told["ratios"].items()]
    for side, rate in told["engines"]["kernels"]["rendering_rays_per_second"].items():
        rows.append(f"{f'rendering {side} x {side}':52} {rate / 1e6:8.2f} million rays/s")
    for table, rate in machine["lines_per_second_by_table_mb"].items():
        rows.append(f"{f'random lines of 64 bytes from {table} MB':52} {rate / 1e6:8.1f} million/s")
    rows.append(f"{'triad':52} {machine['triad_gb_per_second']:8.2f} GB/s")
    for name, rate in machine["gemm_gflops"].items():
        used = told["engines"][f"tiny-{name}"]["share_of_matrix_products"]
        rows.append(f"{f'matrix product {name}':52} {rate:8.1f} GFLOP/s, of which TinyNeRF uses {used:.0%}")
    for floor in told["floor"]:
        label = f"kernels, seed {floor['seed']}: a ray of {floor['lines_per_ray']:.0f} lines"
        against = f"{floor['times_the_floor']:.2f} x the floor of {floor['floor_ns_per_ray']:.0f} ns"
        rows.append(f"{label:52} {floor['ns_per_ray']:8.0f} ns, {against} ({floor['table_mb']} MB table)")
    return "\n".join([*rows, "", f"peers: {result['peers']}"])


# -- The plot --------------------------------------------------------------------------------------------------------

COLORS = {"kernels": "#c0392b", "twin": "#2468b0", "tiny-float32": "#6b7b8c", "tiny-bf16": "#2e9e6b"}
INK, FAINT = "#333333", "#e2e2e2"


def plot(runs: list[dict[str, Any]], title: str, path: Path) -> None:
    """Held-out PSNR against seconds, the latter on a logarithmic axis, a curve a run. Drawn large, then halved."""
    points = {i: [(s, p) for _, s, p in run["curve"]] for i, run in enumerate(runs)}
    seconds, levels = (np.array([point[axis] for curve in points.values() for point in curve]) for axis in (0, 1))
    early, late = math.log10(seconds.min()) - 0.05, math.log10(seconds.max()) + 0.05
    low, high = math.floor(min(levels.min(), GOAL) / 2) * 2, math.ceil((max(levels.max(), GOAL) + 0.5) / 2) * 2
    width, height, left, right, top, bottom = 1600, 1040, 120, 40, 90, 120
    image = Image.new("RGB", (width, height), "white")
    pen, font, small = ImageDraw.Draw(image), ImageFont.load_default(30), ImageFont.load_default(26)

    def across(value: float) -> float:
        return left + (math.log10(value) - early) / (late - early) * (width - left - right)

    def up(level: float) -> float:
        return height - bottom - (level - low) / (high - low) * (height - top - bottom)

    for power in range(math.floor(early), math.ceil(late)):
        for digit in range(1, 10):
            value = digit * 10.0**power
            if not early <= math.log10(value) <= late:
                continue
            pen.line([(across(value), top), (across(value), height - bottom)], FAINT, 2 if digit == 1 else 1)
            if digit in (1, 2, 5):
                pen.text((across(value), height - bottom + 12), f"{value:g}", INK, small, "ma")
    for level in range(low, high + 1, 2 if high - low <= 20 else 5):
        pen.line([(left, up(level)), (width - right, up(level))], FAINT, 2)
        pen.text((left - 14, up(level)), str(level), INK, small, "rm")
    for start in range(left, width - right, 24):  # the goal, dashed
        pen.line([(start, up(GOAL)), (min(start + 12, width - right), up(GOAL))], INK, 2)
    pen.rectangle([left, top, width - right, height - bottom], None, INK, 2)
    for i, run in enumerate(runs):
        places, color = [(across(s), up(p)) for s, p in points[i]], COLORS[run["engine"]]
        pen.line(places, color, 5, "curve")
        for x, y in places if len(places) < 100 else places[-1:]:
            pen.ellipse([x - 6, y - 6, x + 6, y + 6], color)
    names = [name for name in ENGINES if any(run["engine"] == name for run in runs)]
    pen.rectangle([width - right - 380, height - bottom - 50 * len(names) - 40, width - right - 20,
                   height - bottom - 20], "white", FAINT, 2)  # fmt: skip
    for i, name in enumerate(names):
        x, y = width - right - 360, height - bottom - 50 * (len(names) - i) - 5
        pen.line([(x, y), (x + 60, y)], COLORS[name], 6)
        pen.text((x + 78, y), ENGINES[name], INK, small, "lm")
    pen.text((left, 45), title, INK, font, "lm")
    pen.text(((left + width - right) / 2, height - 40), "seconds of training", INK, font, "mm")
    pen.text((left + 12, top + 10), "held-out PSNR, dB", INK, font, "la")
    image.resize((width // 2, height // 2), Image.Resampling.LANCZOS).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of posed photos, or a TinyNeRF .npz")
    parser.add_argument("--seconds", type=float, default=10.0, help="for the kernels and their twin")
    parser.add_argument("--mlp-seconds", type=float, default=60.0, help="for TinyNeRF, in float32 and again in bf16")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("benchmark"), help="the folder for nerf.json and nerf.png")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--views", type=int, default=2, help="held-out views that are looked at on the way")
    parser.add_argument("--only", choices=[*ENGINES, "ceilings"], help="one part, its figures as JSON")
    options = parser.parse_args()
    if options.only == "ceilings":
        torch.set_num_threads(options.threads or torch.get_num_threads())
        print(json.dumps(ceilings(Workers(torch.get_num_threads()))))
        return
    try:
        if options.only:
            print(json.dumps(run_engine(options.only, options, options.seeds[0])))
            return
        views = read(options.data, ReadOptions())
    except BadInput as fault:
        sys.exit(f"{options.data}: {fault}")
    if not views.held_out:
        sys.exit(f"{options.data}: no view is held out, so nothing can be compared.")

    torch.set_num_threads(options.threads or torch.get_num_threads())
    options.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "data": options.data.name,
        "views": {"count": len(views), "held_out": len(views.held_out), "split": views.split,
                  "width": views.camera.width, "height": views.camera.height, "looked_at": options.views},
        "device": devices.describe(torch.device("cpu")), "torch": torch.__version__, "seeds": options.seeds,
        "goal_db": GOAL, "peers": installed_peers(),
    }  # fmt: skip
    result["machine"] = in_own_process("ceilings", 0, options)
    # Seed by seed, so that a machine that slows down does so for all engines.
    runs = [in_own_process(name, seed, options) for seed in options.seeds for name in ENGINES]
    result["summary"], result["runs"] = summary(runs, result["machine"]), runs
    (options.out / "nerf.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(runs, f"{options.data.stem}, {views.camera.width} x {views.camera.height}, {result['device']}",
         options.out / "nerf.png")  # fmt: skip
    print(table_of(result))


if __name__ == "__main__":
    main()
