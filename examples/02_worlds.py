"""Synthetic worlds with exact truth, and a contact sheet of each kind: rooms, cars, a street, a clip.

python examples/02_worlds.py OUT [COUNT]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fieldscape.images import colorize_depth, contact_sheet, read_image, write_image
from fieldscape.worlds.cars.make import MakeCarsOptions, make_cars
from fieldscape.worlds.clips.make import make_clip
from fieldscape.worlds.clips.options import MakeClipOptions
from fieldscape.worlds.rooms.photos import PhotoSettings, write_photos
from fieldscape.worlds.street.make import MakeStreetOptions, make_street

if __name__ == "__main__":  # workers import this file
    out = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4

    write_photos(out / "rooms", 6 * count, PhotoSettings(size=128, seed=0))
    rooms = [read_image(path) for path in sorted((out / "rooms" / "photos").glob("*.png"))]
    write_image(out / "rooms.jpg", contact_sheet([rooms[i : i + 6] for i in range(0, len(rooms), 6)]))

    make_cars(MakeCarsOptions(out / "cars", objects=2 * count, views=6, size=128, quiet=True))
    cars = [sorted((car / "rgb").glob("*.png")) for car in sorted((out / "cars").glob("car-*"))]
    write_image(out / "cars.jpg", contact_sheet([[read_image(path) for path in row] for row in cars]))

    make_street(
        MakeStreetOptions(out / "street", videos=count, frames=6, width=192, height=144, walls=True, quiet=True)
    )
    rows = []
    for video in sorted((out / "street" / "videos").iterdir()):
        pictures = [read_image(video / "rgb" / f"{i:06d}.png") for i in (0, 5)]
        millimetres = np.array(Image.open(video / "depth" / "000005.png")).astype(np.float32)
        millimetres[millimetres == 65535] = 0  # the sky
        rows.append([*pictures, colorize_depth(torch.from_numpy(millimetres / 1000))])
    write_image(out / "street.jpg", contact_sheet(rows))

    frames = 3 * count
    make_clip(MakeClipOptions(out / "clip", frames=frames, quiet=True))
    chosen = [f"{i:05d}.png" for i in range(0, frames, count)]
    rows = [[read_image(out / "clip" / kind / name) for name in chosen] for kind in ("images", "masks")]
    write_image(out / "clip.jpg", contact_sheet(rows))
    print(f"{out}: look at rooms.jpg, cars.jpg, street.jpg, clip.jpg")
