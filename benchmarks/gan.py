"""Generators of rooms: how well they learn, how fast, and what one photo becomes.

    python benchmarks/gan.py [--rooms FOLDER] [--out FOLDER] [--seconds 600] [--only speed sines rooms ways]

rooms   Tri-planes at 16 pixels on synthetic rooms, for ``--seconds`` each: without poses, and with the poses given to
        the discriminator (three seeds). Distances to photos kept back are given beside those of other photos (the
        floor) and that of the untrained generator.
ways    The same without poses, with one counter-measure against flat or collapsed scenes left out at a time; and with
        the depth maps of the photos given to the discriminator.
speed   Steps of both players on an idle machine, at 16 and 32 pixels, batch 16.
sines   SIREN 8 x 256 for one picture of 64 x 64 pixels and 24 samples a ray, forward and backward, beside the plain
        formulation: one product, one scaling, one shift and one sine a layer, over all points at once, in float32.

``FOLDER`` is what ``fieldscape make rooms --photos 3000`` writes; without ``--rooms`` it is made first. ``gan.json``
gets the figures, the seeds and the machine; parts that are run later are added to what it holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fieldscape import devices
from fieldscape.data.photo_sets import PhotoSet, read_photo_set
from fieldscape.files import read_json, write_json
from fieldscape.progress import progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.gan import measure
from fieldscape.systems.gan.config import STAGES, GanConfig
from fieldscape.systems.gan.players import begin, prior_of
from fieldscape.systems.gan.siren import SirenGenerator
from fieldscape.systems.gan.train import train

PARTS = ("speed", "sines", "rooms", "ways")
WAYS = {
    "all counter-measures": [],
    "no empty room to start from": ["--shape", "haze"],
    "no guessing of poses": ["--pose-weight", "0"],
    "no smoothness of density": ["--smooth", "0"],
    "cameras that hardly move": ["--yaw", "3", "--pitch", "1", "--shift", "0.05"],
    "depth maps given to the discriminator": ["--depth-aware"],
}


def trained(rooms: Path, seconds: float, seed: int, flags: list[str]) -> dict[str, float]:
    """The report of a training in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "fieldscape", "gan", "train", str(rooms / "photos"), "--out", str(run)]
        command += ["--size", "16", "--seconds", str(seconds), "--seed", str(seed), "--quiet"]
        command += ["--depths", str(rooms / "truth" / "depth"), *flags]
        subprocess.run(command, check=True)
        return read_json(run / "report.json")


def untrained(rooms: Path) -> float:
    """The SWD of a generator that has learned nothing."""
    config = GanConfig(size=16)
    photos = torch.from_numpy(read_photo_set(rooms / "photos", 16).images)
    held = (photos[-300:].movedim(-1, 1) / 255).float()
    prior = prior_of(config, None)
    return measure.measured(begin(config, prior, 0).kept, prior, config, held, held, len(held))["swd"]


def rooms_part(rooms: Path, seconds: float) -> dict[str, object]:
    given = ["--prior", "given", "--poses", str(rooms / "truth" / "cameras.json")]
    start = untrained(rooms)
    unposed = trained(rooms, seconds, 0, [])
    say("without poses", unposed, start)
    posed = []
    for seed in range(3):
        posed.append(trained(rooms, seconds, seed, given))
        say(f"with poses, seed {seed}", posed[-1], start)
    return {"swd at the start": start, "without poses": unposed, "with poses": posed}


def ways_part(rooms: Path, seconds: float) -> dict[str, object]:
    start = untrained(rooms)
    reports = dict[str, object]()
    for name, flags in WAYS.items():
        report = reports[name] = trained(rooms, seconds, 0, flags)
        say(name, report, start)
    return reports


def say(name: str, report: dict[str, float], start: float) -> None:
    print(
        f"{name}: {report['images']} photos, SWD {report['swd']:.4f} = {report['swd'] / start:.3f} of the start "
        f"(floor {report['swd_floor']:.4f}), diversity {report['diversity']:.2f}, relief {report['relief']:.3f}, "
        f"reprojection {report['reprojection']:.2f}, depth correlation {report['depth_correlation']:.2f}",
        flush=True,
    )


def speed_part(rooms: Path, steps: int = 60) -> dict[str, float]:
    """Photos a second of whole steps of ``train``; beginning, ending and the first steps are not counted."""
    figures = {}
    for size in (16, 32):
        STAGES[size] = ((0.0, size),)  # no coarser pictures first
        photos = read_photo_set(rooms / "photos", size, 500)

        def learn(count: int, photos: PhotoSet = photos, size: int = size) -> None:
            config = GanConfig(size=size, images=16 * count, look_every=10**9)
            with tempfile.TemporaryDirectory() as folder, progress(None, "", True) as bar:
                run = Run.create(Path(folder) / "run", "gan", config, 0, {}, "cpu")
                train(photos, photos, config, None, run, Stop(None), bar, 0)

        few, many = (min(stopwatch(partial(learn, count)) for _ in range(2)) for count in (8, 8 + steps))
        figures[f"{size} px, photos/s"] = 16 * steps / (many - few)
        print(f"{size} px: {figures[f'{size} px, photos/s']:.1f} photos/s", flush=True)
    return figures


def sines_part(times: int = 5) -> dict[str, float]:
    """Seconds of one picture, forward and backward, the least of several in turns."""
    torch.manual_seed(0)
    generator = SirenGenerator(-torch.ones(3), torch.ones(3), None, 64, "8x256")
    code = generator.mapping(torch.randn(1, 64)).detach()
    points = torch.rand(1, 4096, 24, 3) * 2 - 1

    def ours() -> tuple[Tensor, Tensor]:
        return generator.field(code)(points, torch.zeros_like(points))

    def plain() -> tuple[Tensor, Tensor]:
        frequency, phase = code.unflatten(1, (2, 9, 256)).unbind(1)
        frequency, h = 15 * frequency + 30, points.reshape(1, -1, 3)
        for i, layer in enumerate((generator.first, *generator.sines())):
            h = torch.sin(frequency[:, i, None] * layer(h) + phase[:, i, None])
        density = torch.nn.functional.softplus(generator.density(h)[..., 0] - 1)
        shade = torch.sin(frequency[:, -1, None] * generator.shade(h) + phase[:, -1, None])
        return torch.sigmoid(generator.color(shade)), density

    torch.testing.assert_close(ours()[1].flatten(), plain()[1].flatten(), atol=1e-3, rtol=1e-3)
    best = {"ours": float("inf"), "plain": float("inf")}
    for _ in range(times):
        for name, ask in (("ours", ours), ("plain", plain)):
            best[name] = min(best[name], stopwatch(partial(both_ways, ask)))
    ratio = best["plain"] / best["ours"]
    print(f"SIREN 8 x 256, 64 px: {best['ours']:.2f} s, plain {best['plain']:.2f} s: {ratio:.2f} times", flush=True)
    return {"ours, s": best["ours"], "plain, s": best["plain"], "ratio": ratio}


def both_ways(ask: Callable[[], tuple[Tensor, Tensor]]) -> None:
    color, density = ask()
    (color.sum() + density.sum()).backward()


def stopwatch(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rooms", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "gan.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        rooms = given.rooms or Path(folder) / "rooms"
        if given.rooms is None:
            make = [sys.executable, "-m", "fieldscape", "make", "rooms", "--photos", "3000", "--out", str(rooms)]
            subprocess.run(make, check=True)
        for part in given.only:
            if part == "speed":
                record[part] = speed_part(rooms)
            elif part == "sines":
                record[part] = sines_part()
            else:
                record[part] = (rooms_part if part == "rooms" else ways_part)(rooms, given.seconds)
            record["machine"] = {"processor": devices.describe(torch.device("cpu")), "torch": torch.__version__}
            write_json(path, record)


if __name__ == "__main__":
    main()
