"""Drawing meshes and finding nearest points: ours against plain PyTorch, in one process, turn by turn.

    python benchmarks/raster.py [result.json] [--turns 7] [--threads 2]

* A sphere of 5,040 faces at 854 x 480 (both its sides are drawn): forward, and forward with backward. The plain way
  looks at all faces from all pixels, row by row; it is timed on a picture of 53 x 30, times 258.
* A mask with soft edges of the same sphere.
* 16 batches of 8 spheres (288 faces each), all in one picture of 64 x 48 a batch.
* Distances to nearest points, 4,096 to 4,096, forward with backward, against ``torch.cdist``; and the growth of the
  process's memory that one call brings, each way measured in a process of its own.
* 16 x 1,024 points against 8 groups of 482, the nearest of each group.

Wall-clock and CPU seconds are both reported; on a shared machine only the latter, and the ratios, mean much.
"""

from __future__ import annotations

import os

# Threads that wait for one another sleep instead of spinning. OpenMP reads it once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fieldscape import devices
from fieldscape.meshes import sphere
from fieldscape.nearest import nearest_distance, nearest_distance_in_groups, nearest_in_groups
from fieldscape.raster import Raster, coverage, interpolate, rasterize, rasterize_plain
from fieldscape.runs import peak_memory_mb
from fieldscape.types import Camera, Mesh

POINTS = 4096


def a_camera(width: int, height: int) -> Camera:
    focal = torch.full((2,), 0.8 * width)
    return Camera(torch.eye(4), focal, torch.tensor([width / 2, height / 2]), width, height)


def a_sphere(segments: int) -> Mesh:
    mesh = sphere(1.0, segments)
    return Mesh(mesh.vertices * torch.tensor([1.4, 0.8, 1.0]) + torch.tensor([0.0, 0.0, 3.2]), mesh.faces)


def with_gradient(seen: Raster, vertices: Tensor) -> None:
    torch.autograd.grad((seen.weights.sum(), seen.depth[seen.hit].sum()), vertices)


def clouds() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    points, targets = torch.randn(POINTS, 3, generator=g), torch.randn(POINTS, 3, generator=g)
    return points.requires_grad_(), targets.requires_grad_()


def our_distances(points: Tensor, targets: Tensor) -> None:
    torch.autograd.grad(nearest_distance(points, targets).sum(), (points, targets))


def plain_distances(points: Tensor, targets: Tensor) -> None:
    torch.autograd.grad(torch.cdist(points, targets).amin(-1).sum(), (points, targets))


def memory(name: str) -> float:
    """Megabytes by which the process's peak grows when distances are found, after small calls loaded all that is."""
    torch.set_num_threads(1)
    find = our_distances if name == "ours" else plain_distances
    points, targets = clouds()
    find(points[:64].detach().requires_grad_(), targets[:64].detach().requires_grad_())
    before = _peak()
    find(points, targets)
    return _peak() - before


def _peak() -> float:
    peak = peak_memory_mb()
    if peak is None:
        raise SystemExit("This system does not tell how much memory a process has had.")
    return peak


def measured(step: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def steps() -> dict[str, tuple[Callable[[], object], float]]:
    """What is timed, and by how much its time is multiplied."""
    ball, camera, small = a_sphere(72), a_camera(854, 480), a_camera(53, 30)
    free = ball.vertices.clone().requires_grad_()
    seen, colors = rasterize(ball.vertices, ball.faces, camera), torch.rand(len(ball.vertices), 3)
    print(f"{len(ball.faces)} faces on {float(seen.hit.float().mean()):.0%} of the picture")

    g = torch.Generator().manual_seed(0)
    slot = sphere(0.4, 18)
    places = torch.rand(16, 8, 1, 3, generator=g) * torch.tensor([4.0, 2.0, 3.0]) - torch.tensor([2.0, 1.0, -3.0])
    slots = (slot.vertices + places).reshape(16, -1, 3)
    all_faces = (slot.faces + len(slot.vertices) * torch.arange(8)[:, None, None]).reshape(-1, 3)
    low = a_camera(64, 48)

    points, targets = clouds()
    many, groups = torch.randn(16, 1024, 3, generator=g), torch.randn(16, 8, 482, 3, generator=g)
    free_many, free_groups = many.clone().requires_grad_(), groups.clone().requires_grad_()
    return {
        "raster, plain": (lambda: rasterize_plain(ball.vertices, ball.faces, small), 854 * 480 / (53 * 30)),
        "raster, ours": (lambda: rasterize(ball.vertices, ball.faces, camera), 1),
        "raster with gradient, ours": (lambda: with_gradient(rasterize(free, ball.faces, camera), free), 1),
        "interpolation of three channels": (lambda: interpolate(seen, ball.faces, colors), 1),
        "soft mask": (lambda: coverage(seen, ball.vertices, ball.faces, camera), 1),
        "16 pictures of 8 spheres, 64 x 48": (lambda: rasterize(slots, all_faces, low), 1),
        "distances, cdist": (lambda: plain_distances(points, targets), 1),
        "distances, ours": (lambda: our_distances(points, targets), 1),
        "nearest in 128 groups": (lambda: nearest_in_groups(many, groups), 1),
        "distances in 128 groups with gradient": (
            lambda: torch.autograd.grad(
                nearest_distance_in_groups(free_many, free_groups).sum(), (free_many, free_groups)
            ),
            1,
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", nargs="?", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--turns", type=int, default=7, help="turns of each; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    timed = steps()
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for turn in range(arguments.turns + 1):  # the first turn warms up
        for name, (step, factor) in timed.items():
            wall, cpu = measured(step)
            if turn:
                figures[name].append((factor * wall, factor * cpu))

    result: dict[str, object] = {"device": devices.describe(torch.device("cpu")), "torch": torch.__version__}
    medians = {name: [statistics.median(pair[i] for pair in pairs) for i in (0, 1)] for name, pairs in figures.items()}
    for name, (wall, cpu) in medians.items():
        result[f"{name}: wall and cpu milliseconds"] = [round(1e3 * wall, 3), round(1e3 * cpu, 3)]
        print(f"{name:40} wall {1e3 * wall:10.2f} ms   cpu {1e3 * cpu:10.2f} ms   {1 / wall:8.1f} a second")
    for kind, other in (("raster", "plain"), ("distances", "cdist")):
        ratios = [medians[f"{kind}, {other}"][i] / medians[f"{kind}, ours"][i] for i in (0, 1)]
        result[f"{kind}: times as fast, wall and cpu"] = [round(ratio, 1) for ratio in ratios]
        print(f"{kind}: {ratios[0]:.0f} times as fast as {other} by the wall, {ratios[1]:.0f} times by the processor")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        grown = {name: pool.apply(memory, (name,)) for name in ("ours", "cdist")}
    result["distances: megabytes more at the peak"] = {name: round(value, 1) for name, value in grown.items()}
    print(f"distances: {grown['ours']:.1f} MB more at the peak with ours, {grown['cdist']:.1f} MB with cdist")
    if arguments.result:
        arguments.result.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
