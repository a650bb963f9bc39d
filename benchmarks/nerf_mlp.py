"""Seconds per TinyNeRF training step: a plain float32 PyTorch loop against ours, in one process, turn by turn.

    python benchmarks/nerf_mlp.py [result.json] [--steps 7] [--threads 2]

Both do the same mathematics with the same configuration: 2,048 random rays, 64 stratified samples, 8 x 256, Adam. The
plain loop is what a page of PyTorch does: all samples through the network at once, in float32. Wall-clock and CPU
seconds are both reported; on a shared machine only the latter, and the ratios, mean much. Photos are those of
``$FIELDSCAPE_DATA/tiny_lego`` if that is set, else noise of the same size: the speed does not depend on them.
"""

from __future__ import annotations

import os

# As the command line does: threads that wait for one another sleep instead of spinning, which costs nothing on an idle
# machine and decides everything on a shared one. OpenMP reads it once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from fieldscape import devices
from fieldscape.cameras import look_at
from fieldscape.data import read
from fieldscape.data.options import ReadOptions
from fieldscape.systems.nerf.config import MLP_PRESETS
from fieldscape.systems.nerf.mlp import NerfMlp, Placement, initialize, rays_at_once, render_rays
from fieldscape.systems.nerf.pixels import Batch, draw
from fieldscape.types import Camera, Views

CONFIG = MLP_PRESETS["tiny"]
PLACEMENT = Placement((0.0, 0.0, 0.0), 1.2, 2.0, 6.0, False)


class PlainNeRF(nn.Module):
    """TinyNeRF as it is usually written."""

    def __init__(self) -> None:
        super().__init__()
        encoded = 3 * (2 * CONFIG.octaves + 1)
        sizes = [encoded] + [CONFIG.width] * (CONFIG.depth - 1)
        sizes[5] += encoded
        self.layers = nn.ModuleList(nn.Linear(size, CONFIG.width) for size in sizes)
        self.out = nn.Linear(CONFIG.width, 4)

    def forward(self, points: Tensor) -> Tensor:
        scaled = [points * 2.0**k for k in range(CONFIG.octaves)]
        encoded = torch.cat([points, *(wave(s) for s in scaled for wave in (torch.sin, torch.cos))], -1)
        hidden = encoded
        for i, layer in enumerate(self.layers):
            hidden = torch.relu(layer(torch.cat([hidden, encoded], -1) if i == 5 else hidden))
        return self.out(hidden)


def plain_step(batch: Batch, network: PlainNeRF, optimizer: torch.optim.Adam, generator: torch.Generator) -> float:
    rays, samples = batch.rays, CONFIG.n_samples
    inside = torch.rand(CONFIG.n_rand, samples, generator=generator)
    t = PLACEMENT.near + (PLACEMENT.far - PLACEMENT.near) * (torch.arange(samples) + inside) / samples
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    raw = network(points / PLACEMENT.radius)
    delta = torch.cat([t.diff(dim=-1), torch.full_like(t[:, :1], 1e10)], -1)
    alpha = 1 - torch.exp(-torch.relu(raw[..., 3]) * delta)
    passed = torch.cumprod(torch.cat([torch.ones_like(t[:, :1]), 1 - alpha + 1e-10], -1), -1)[:, :-1]
    color = ((alpha * passed)[..., None] * torch.sigmoid(raw[..., :3])).sum(1)
    loss = ((color - batch.color) ** 2).mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def our_step(
    batch: Batch, model: NerfMlp, optimizer: torch.optim.Adam, generator: torch.Generator, bf16: bool
) -> float:
    total, at_once = 0.0, rays_at_once(model, torch.device("cpu"))
    for start in range(0, CONFIG.n_rand, at_once):
        part = batch.part(start, start + at_once)
        picture = render_rays(model, part.rays, torch.zeros(3), bf16, generator)[-1]
        loss = ((picture.color - part.color) ** 2).sum() / batch.color.numel()
        loss.backward()
        total += loss.item()
    optimizer.step()
    optimizer.zero_grad()
    return total


def photos() -> Views:
    folder = os.environ.get("FIELDSCAPE_DATA")
    if folder:
        return read(Path(folder) / "tiny_lego", ReadOptions())
    angles = torch.arange(106) * 2 * math.pi / 106
    eyes = 4 * torch.stack([angles.cos(), angles.sin(), torch.full_like(angles, 0.5)], -1)
    poses = look_at(eyes, torch.zeros(106, 3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(poses, torch.full((106, 2), 138.9), torch.full((106, 2), 50.0), 100, 100)
    images = torch.rand(106, 100, 100, 3, generator=torch.Generator().manual_seed(0))
    return Views(camera, images, tuple(map(str, range(106))), (), "none", (0.0, 0.0, 0.0))


def measured(step: Callable[[], float]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", nargs="?", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--steps", type=int, default=7, help="steps of each kind; the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    views, generator = photos(), torch.Generator().manual_seed(0)
    learn_from = torch.tensor(views.train)
    plain, ours = PlainNeRF(), NerfMlp(CONFIG, PLACEMENT)
    initialize(ours, generator, 0.1)
    optimizers = [torch.optim.Adam(network.parameters(), lr=CONFIG.lr) for network in (plain, ours)]

    def batch() -> Batch:
        return draw(views, learn_from, CONFIG, 0, generator)

    kinds: dict[str, Callable[[], float]] = {
        "plain float32": lambda: plain_step(batch(), plain, optimizers[0], generator),
        "ours float32": lambda: our_step(batch(), ours, optimizers[1], generator, False),
        "ours bf16": lambda: our_step(batch(), ours, optimizers[1], generator, True),
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for turn in range(arguments.steps + 1):  # the first turn warms up
        for name, step in kinds.items():
            seconds = measured(step)
            if turn:
                figures[name].append(seconds)

    result: dict[str, object] = {
        "device": devices.describe(torch.device("cpu")), "torch": torch.__version__, "steps": arguments.steps,
        "bf16_pays": devices.bf16_pays(torch.device("cpu")),
    }  # fmt: skip
    for i, clock in enumerate(("wall", "cpu")):
        medians = {name: statistics.median(pair[i] for pair in pairs) for name, pairs in figures.items()}
        for name, median in medians.items():
            speedup = medians["plain float32"] / median
            result[f"{name}: {clock} seconds per step"] = round(median, 4)
            result[f"{name}: {clock} speed-up"] = round(speedup, 2)
            print(f"{name:14} {clock:4} {median:7.3f} s/step   {speedup:5.2f} x")
    if arguments.result:
        arguments.result.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
