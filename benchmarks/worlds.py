"""How fast the synthetic worlds are made, and how different the rooms are from each other.

    python benchmarks/worlds.py [--out FOLDER] [--workers 2] [--photos FOLDER] [--rooms 2000] [--only rooms ...]

Each kind is made twice: the smaller number of things is taken from the larger one, with their times, so that what comes
once (starting the workers, building what is kept) is not counted. ``worlds.json`` gets the figures and the machine.

With ``--photos``, a folder of real photos, the rooms are compared with as many of them: the root mean square distance
of two pictures, and of a picture to the nearest other one of its own kind. Near-copies would have small nearest
distances.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fieldscape.images import read_image
from fieldscape.worlds.cars.make import MakeCarsOptions, make_cars
from fieldscape.worlds.clips.make import make_clip
from fieldscape.worlds.clips.options import MakeClipOptions
from fieldscape.worlds.rooms.photos import PhotoSettings, write_photos
from fieldscape.worlds.street.make import MakeStreetOptions, make_street

KINDS = ("rooms", "cars", "street", "clip")


def seconds(make: Callable[[], object]) -> float:
    start = time.perf_counter()
    make()
    return time.perf_counter() - start


def rate(make: Callable[[Path, int], object], few: int, many: int, times: int = 1) -> float:
    """Things a second, each thing being ``times`` of what is counted, from the time that ``many - few`` more take."""
    with tempfile.TemporaryDirectory() as folder:
        short = seconds(lambda: make(Path(folder) / "few", few))
        long = seconds(lambda: make(Path(folder) / "many", many))
    return times * (many - few) / max(long - short, 1e-9)


def rates(workers: int, only: list[str]) -> dict[str, float]:
    figures = {}
    if "rooms" in only:
        settings = PhotoSettings(64, 0)
        figures["rooms at 64 px, photos/s"] = rate(lambda out, n: write_photos(out, n, settings, workers), 40, 400)
    if "cars" in only:

        def cars(out: Path, count: int) -> None:
            make_cars(MakeCarsOptions(out, objects=count, views=50, size=128, workers=workers, quiet=True))

        figures["cars at 128 px, views/s"] = rate(cars, 2, 10, 50)
    if "street" in only:

        def street(out: Path, count: int) -> None:
            make_street(MakeStreetOptions(out, videos=count, frames=24, color=False, workers=workers, quiet=True))

        figures["street at 128 x 96, depth alone, frames/s"] = rate(street, 4, 64, 24)
    if "clip" in only:
        with tempfile.TemporaryDirectory() as folder:
            options = MakeClipOptions(Path(folder) / "clip", frames=24, width=320, height=180, tracks=1000)
            figures["clip of 24 frames, 320 x 180, 1,000 tracks, seconds"] = seconds(lambda: make_clip(options))
    return figures


def spread(pictures: Tensor) -> dict[str, float]:
    """Root mean square distances, in 0..1 a channel, of ``pictures`` [n, 3, s, s]: of all pairs, and to the nearest."""
    flat = pictures.flatten(1)
    apart = torch.cdist(flat, flat) / flat.shape[1] ** 0.5
    n = len(flat)
    pairs = float(apart.sum() / (n * (n - 1)))
    nearest = apart.fill_diagonal_(torch.inf).min(1).values
    return {
        "mean of pairs": round(pairs, 4),
        "nearest, mean": round(float(nearest.mean()), 4),
        "nearest, least": round(float(nearest.min()), 4),
    }


def pictures(folder: Path, count: int, size: int) -> Tensor:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))[:count]
    loaded = []
    for path in paths:
        image = read_image(path)[..., :3].float().div(255).permute(2, 0, 1)
        side = min(image.shape[1:])
        top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
        square = image[:, top : top + side, left : left + side]
        loaded.append(interpolate(square[None], (size, size), mode="area")[0])
    return torch.stack(loaded)


def tones(images: Tensor) -> dict[str, float]:
    """Mean brightness, contrast within a picture, spread of brightness among pictures, and saturation."""
    gray = images.mean(1)
    return {
        "mean": round(float(gray.mean()), 3),
        "contrast": round(float(gray.flatten(1).std(1).mean()), 3),
        "spread of means": round(float(gray.flatten(1).mean(1).std()), 3),
        "saturation": round(float((images.amax(1) - images.amin(1)).mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--rooms", type=int, default=2000)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    record: dict[str, object] = {"machine": platform.processor() or platform.machine(), "workers": options.workers}
    record["rates"] = rates(options.workers, options.only)
    for name, figure in record["rates"].items():  # type: ignore[attr-defined]
        print(f"{name:52} {figure:8.1f}")
    if options.photos is not None:
        with tempfile.TemporaryDirectory() as folder:
            rooms = Path(folder) / "rooms"
            write_photos(rooms, options.rooms, PhotoSettings(64, 0), options.workers)
            made = pictures(rooms / "photos", options.rooms, 64)
        real = pictures(options.photos, options.rooms, 64)
        for size in (64, 16):
            for name, images in (("rooms", made), ("photos", real)):
                small = interpolate(images, (size, size), mode="area")
                record[f"{name} at {size} px"] = spread(small)
                print(f"{len(images)} {name} at {size} px: {record[f'{name} at {size} px']}")
        for name, images in (("rooms", made), ("photos", real)):
            record[f"{name}, tones"] = tones(images)
            print(f"{name}: {record[f'{name}, tones']}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "worlds.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
