"""Generators of rooms: how well they learn, how fast, and what one photo becomes.

    python benchmarks/gan.py [--rooms FOLDER] [--out FOLDER] [--seconds 600] [--only speed sines rooms ways]
    python benchmarks/gan.py --run RUN [--photos 20] --only invert

rooms   Tri-planes at 16 pixels on synthetic rooms, for ``--seconds`` each: without poses, and with the poses given to
        the discriminator (three seeds). Distances to photos kept back are given beside those of other photos (the
        floor) and that of the untrained generator.
ways    Without poses, with one counter-measure against flat or collapsed scenes left out at a time, and with the depth
        maps of the photos given to the discriminator; each until as many photos were seen.
speed   Steps of both players on an idle machine, at 16 and 32 pixels, batch 16.
sines   SIREN 8 x 256 for one picture of 64 x 64 pixels and 24 samples a ray, forward and backward, beside the plain
        formulation: one product, one scaling, one shift and one sine a layer, over all points at once, in float32.

invert  With the generator of ``--run``, trained on synthetic rooms. Its own scenes are found again: how well, and how
        far from their poses. Photos of rooms that it never saw are found in it, and seen from 10 degrees aside to the
        left and right, about a point 2.75 m ahead; the world tells what is to be seen there. One photo does not tell
        how large a room is: the point is set by the median depth of what was found. Beside it stand the photo
        itself, not moved; shifted by what is best for all of them; shifted by what is best for each, which nobody can
        know; and the box engine, from the photo at 128 pixels.

``FOLDER`` is what ``fieldscape make rooms --photos 3000`` writes; without ``--rooms`` it is made first. ``gan.json``
gets the figures, the seeds and the machine; parts that are run later are added to what it holds.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fieldscape import devices
from fieldscape.data.photo_sets import PhotoSet, read_photo_set
from fieldscape.files import read_json, write_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.gan import measure
from fieldscape.systems.gan.config import STAGES, GanConfig
from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.invert.config import InvertConfig
from fieldscape.systems.gan.invert.fit import invert_photo, psnr, seen
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo.make import from_photo
from fieldscape.systems.gan.players import begin, prior_of
from fieldscape.systems.gan.poses import Prior, swung
from fieldscape.systems.gan.scene import read_run
from fieldscape.systems.gan.siren import SirenGenerator
from fieldscape.systems.gan.train import train
from fieldscape.systems.opening import open_scene
from fieldscape.types import Camera
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.rooms.photos import EXPOSURE, snapshot
from fieldscape.worlds.rooms.plans import living_room
from fieldscape.worlds.shading import World, render

PARTS = ("speed", "sines", "rooms", "ways", "invert")
ASIDE = 10.0
PIVOT = 2.75
IMAGES = 3_200
"""Photos seen by each of ``WAYS``."""
WAYS = {
    "all counter-measures": [],
    "no empty room to start from": ["--shape", "haze"],
    "no guessing of poses": ["--pose-weight", "0"],
    "no smoothness of density": ["--smooth", "0"],
    "cameras that hardly move": ["--yaw", "3", "--pitch", "1", "--shift", "0.05"],
    "depth maps given to the discriminator": ["--depth-aware"],
}


def trained(rooms: Path, length: list[str], seed: int, flags: list[str]) -> dict[str, float]:
    """The report of a training in a process of its own. length: how long it is, as flags."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "fieldscape", "gan", "train", str(rooms / "photos"), "--out", str(run)]
        command += ["--size", "16", *length, "--seed", str(seed), "--quiet"]
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
    length = ["--seconds", str(seconds)]
    unposed = trained(rooms, length, 0, [])
    say("without poses", unposed, start)
    posed = []
    for seed in range(3):
        posed.append(trained(rooms, length, seed, given))
        say(f"with poses, seed {seed}", posed[-1], start)
    return {"swd at the start": start, "without poses": unposed, "with poses": posed}


def ways_part(rooms: Path) -> dict[str, object]:
    start = untrained(rooms)
    reports = dict[str, object]()
    for name, flags in WAYS.items():
        report = reports[name] = trained(rooms, ["--images", str(IMAGES)], 0, flags)
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


def invert_part(folder: Path, count: int) -> dict[str, object]:
    generator, config, prior = read_run(folder)
    return {"own scenes": own_scenes(generator, config, prior), "photos": new_rooms(generator, config, prior, count)}


def own_scenes(generator: Generator, config: GanConfig, prior: Prior, count: int = 6) -> list[dict[str, float]]:
    """Scenes of the generator found again by their codes, from poses that are drawn."""
    chance, found = torch.Generator().manual_seed(99), []
    settings = InvertConfig(tune=False)
    for number in range(count):
        camera, label = prior.draw(1, config.size, chance)
        z = torch.randn(1, config.latent, generator=chance)
        photo = measure.seen(generator, z, camera, measure.sampling(config, config.size))[0][0]
        start = time.perf_counter()
        inverted = invert_photo(generator, config, prior, photo, settings, torch.Generator().manual_seed(number))
        took = time.perf_counter() - start
        astray = (torch.tensor(inverted.angles) - torch.rad2deg(label[0, :2])).abs().max()
        found.append({"psnr": inverted.psnr_code, "pose, degrees": float(astray), "seconds": took})
        print(f"own scene {number}: {inverted.psnr_code:.1f} dB, {float(astray):.1f} degrees, {took:.0f} s", flush=True)
    return found


def new_rooms(generator: Generator, config: GanConfig, prior: Prior, count: int) -> dict[str, float]:
    """Means over rooms that are in no training set: PSNR of the photo, and of the views aside, by each way."""
    shifts = range(-config.size // 4, config.size // 4 + 1)
    rows, moved = list[dict[str, float]](), list[list[float]]()
    for number in range(count):
        views = {yaw: pictured(number, yaw) for yaw in (0.0, -ASIDE, ASIDE)}
        truth = {yaw: shrunk(view, config.size) for yaw, view in views.items()}
        photo = truth[0.0]
        inverted = invert_photo(generator, config, prior, photo, InvertConfig(), torch.Generator().manual_seed(number))
        box, size = box_of(views[0.0]), PIVOT / true_depth(number)
        pivot = size * float(inverted.view(inverted.camera)[1].median())
        row = {"photo, by code": inverted.psnr_code, "photo, tuned": inverted.psnr_tuned}
        for yaw in (-ASIDE, ASIDE):
            # Looking left from the right shows what is far shifted one way, from the left the other.
            mirrored = [psnr(shifted(photo, round(d * yaw / ASIDE)), truth[yaw]) for d in shifts]
            moved.append(mirrored)
            aside = inverted.turned(yaw, pivot=pivot)
            here = {
                "tuned": inverted.view(aside)[0],
                "by code": seen(inverted.plain, inverted.code, aside, measure.sampling(config, config.size))[0],
                "box": shrunk(box(yaw, size), config.size),
            }
            for name, view in here.items():
                row[f"aside, {name}"] = row.get(f"aside, {name}", 0.0) + psnr(view, truth[yaw]) / 2
            row["aside, best shift of each"] = row.get("aside, best shift of each", 0.0) + max(mirrored) / 2
        rows.append(row)
        print(f"room {number}: " + ", ".join(f"{name} {value:.1f}" for name, value in row.items()), flush=True)
    means = {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}
    over_all = torch.tensor(moved).mean(0)
    means["aside, not moved"] = float(over_all[len(shifts) // 2])
    means["aside, best shift of all"] = float(over_all.max())
    print("means: " + ", ".join(f"{name} {value:.2f}" for name, value in means.items()), flush=True)
    return means


@lru_cache(maxsize=1)
def room_of(number: int) -> tuple[World, Camera]:
    """A room of a seed that no training uses, and the camera of its photo, 128 pixels a side."""
    plan = living_room(f"held out {number}", "mixed")
    world, chance = lit(plan.parts, plan.lights), random.Random(f"held out {number}")
    world = replace(world, exposure=world.exposure * EXPOSURE)
    return world, snapshot(plan, world, 128, chance)


def pictured(number: int, yaw: float) -> Tensor:
    """A room from its camera swung by ``yaw`` degrees about the point ``PIVOT`` metres ahead: [128, 128, 3]."""
    world, camera = room_of(number)
    return render(world, swung(camera, camera.pose[:3, 1], PIVOT, yaw)).color.clamp(0, 1)


def true_depth(number: int) -> float:
    """The median distance of what the photo of a room shows."""
    world, camera = room_of(number)
    return float(render(world, camera).depth.median())


def box_of(photo: Tensor) -> Callable[[float, float], Tensor]:
    """What the box engine makes of a photo [s, s, 3]: by the yaw, about a point so many median depths ahead."""
    with tempfile.TemporaryDirectory() as folder:
        write_image(Path(folder) / "photo.png", photo)
        options = InvertOptions((Path(folder) / "photo.png",), "box", out=Path(folder) / "box", frames=1, quiet=True)
        with contextlib.redirect_stdout(io.StringIO()):
            from_photo(options)
        scene = open_scene(Path(folder) / "box")
    depth = float(scene.render(scene.start).depth.median())

    def view(yaw: float, size: float) -> Tensor:
        return scene.render(swung(scene.start, scene.start.pose[:3, 1], size * depth, yaw)).color

    return view


def shrunk(picture: Tensor, side: int) -> Tensor:
    """[s, s, 3] to [3, side, side] by area."""
    return avg_pool2d(picture.movedim(-1, 0), picture.shape[0] // side)


def shifted(photo: Tensor, by: int) -> Tensor:
    """A photo [3, s, s] moved to the left by so many pixels; its edge is repeated."""
    size = photo.shape[-1]
    return photo[:, :, (torch.arange(size) + by).clamp(0, size - 1)]


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
    parser.add_argument("--run", type=Path)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    given = parser.parse_args()
    if "invert" in given.only and given.run is None:
        parser.error("--only invert needs --run")
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "gan.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        rooms = given.rooms or Path(folder) / "rooms"
        if given.rooms is None and set(given.only) & {"speed", "rooms", "ways"}:
            make = [sys.executable, "-m", "fieldscape", "make", "rooms", "--photos", "3000", "--out", str(rooms)]
            subprocess.run(make, check=True)
        for part in given.only:
            if part == "speed":
                record[part] = speed_part(rooms)
            elif part == "sines":
                record[part] = sines_part()
            elif part == "invert":
                record[part] = invert_part(given.run, given.photos)
            elif part == "ways":
                record[part] = ways_part(rooms)
            else:
                record[part] = rooms_part(rooms, given.seconds)
            record["machine"] = {"processor": devices.describe(torch.device("cpu")), "torch": torch.__version__}
            write_json(path, record)


if __name__ == "__main__":
    main()
