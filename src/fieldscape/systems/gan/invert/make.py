"""``fieldscape gan invert``: one photo in, a run folder with a scene and a fly-through out, by one of three engines."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import devices
from fieldscape.data.photo_sets import square
from fieldscape.errors import BadInput
from fieldscape.images import read_image, write_image
from fieldscape.progress import progress
from fieldscape.runs import Run, fresh_path
from fieldscape.systems.gan.invert import film, scene
from fieldscape.systems.gan.invert.config import InvertConfig
from fieldscape.systems.gan.invert.fit import invert_photo
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo.make import from_photo
from fieldscape.systems.gan.scene import read_run
from fieldscape.video import write_video

WIDTH = 128
"""Of the pictures of a fly-through: a generator's rooms hold no more to see."""
WIDEST = 2048
MOST_FRAMES = 20_000
LONGEST = 3.0
"""Times as long as wide (or as wide as long), a photo's middle square no longer says what the photo shows."""

OF_PHOTOS = ("fov", "camera_height", "corners", "depth", "depth_kind", "depth_unit", "depth_model")
OF_GENERATORS = ("tune", "seed")


def invert(options: InvertOptions) -> None:
    """Make the run folder of one photo. Raises BadInput for a photo, run, file or number that cannot be used."""
    if not 1 <= len(options.paths) <= 2:
        raise BadInput(f"gan invert takes a photo, or a run and a photo, not {len(options.paths)} paths.")
    run = options.paths[0] if len(options.paths) == 2 else None
    engine = options.engine or ("box" if run is None else "generator")
    if engine == "generator":
        if run is None:
            raise BadInput("The engine generator needs a trained one: name its run folder before the photo.")
        _refuse(options, OF_PHOTOS, "the engines box and depth")
        through_generator(run, options.paths[1], options)
        return
    if run is not None:
        raise BadInput(f"The engine {engine} needs no run: name the photo only, not {run} too.")
    _refuse(options, OF_GENERATORS, "the engine generator")
    from_photo(dataclasses.replace(options, engine=engine))


def _refuse(options: InvertOptions, names: tuple[str, ...], owner: str) -> None:
    for name in names:
        if getattr(options, name) != getattr(InvertOptions, name):
            said = "--no-tune" if name == "tune" else f"--{name.replace('_', '-')}"
            raise BadInput(f"{said} is for {owner}; leave it out, or choose another --engine.")


def through_generator(folder: Path, path: Path, options: InvertOptions) -> None:
    """Find the photo in the generator of the run ``folder``, and film it. Raises BadInput as ``invert`` does."""
    begun = time.monotonic()
    width = WIDTH if options.width is None else options.width
    if not 1 <= options.frames <= MOST_FRAMES:
        raise BadInput(f"--frames is {options.frames}: give 1 to {MOST_FRAMES}.")
    if not 0 < options.fps <= 240:
        raise BadInput(f"--fps is {options.fps:g}: give a number above 0, up to 240.")
    if not 16 <= width <= WIDEST:
        raise BadInput(f"--width is {width}: give 16 to {WIDEST} pixels.")
    generator, config, prior = read_run(folder)
    photo, cut = read_photo(path, config.size)
    settings = InvertConfig(tune=options.tune)
    out = options.out or fresh_path(Path("runs") / f"{path.stem}-generator")
    data = {"path": str(path), "generator": str(folder), "size": config.size}
    run = Run.create(out, "gan", settings, options.seed, data, devices.describe(torch.device("cpu")))
    total = settings.coarse_steps + settings.steps + settings.last_steps + settings.tune_steps * settings.tune
    with progress(total, "inverting", options.quiet) as bar:
        for note in cut:
            bar.say(note)
        done = iter(range(1, total + 1))
        chance = torch.Generator().manual_seed(options.seed)
        inverted = invert_photo(
            generator, config, prior, photo, settings, chance, lambda loss: bar.update(next(done), loss=loss)
        )
    inverting = time.monotonic() - begun
    scene.write(run.path, inverted, film.flight(inverted, 8), width)
    with progress(options.frames, "rendering", options.quiet, unit="frame") as bar:
        pictures = film.pictures(inverted, options.frames, width, bar)
        write_video(run.path / "fly-through.mp4", pictures, options.fps)
    write_image(run.path / "sheet.png", film.sheet(inverted, photo, width))
    found = film.confidence(inverted)
    complaints = list(film.complaints(found))
    run.report(
        engine="generator",
        **found,
        warnings="; ".join(complaints),
        invert_seconds=round(inverting, 1),
        seconds=round(time.monotonic() - begun, 1),
        seed=options.seed,
    )
    tuned = f", {found['psnr_tuned']:.1f} dB tuned" if options.tune else ""
    print(f"the photo comes back at {found['psnr_code']:.1f} dB by code{tuned}, in {inverting:.0f} s")
    print(
        f"taken from yaw {found['yaw']:.0f}, pitch {found['pitch']:.0f} degrees; relief {found['relief']:.3f}; "
        f"tuning moved depth by {100 * found['depth_change']:.0f} %; "
        f"{100 * found['revealed']:.0f} % of the fly-through is not in the photo"
    )
    for complaint in complaints:
        print(f"  {complaint}")
    print(f"{run.path}: look at sheet.png and fly-through.mp4, or: fieldscape render {run.path}")


def read_photo(path: Path, size: int) -> tuple[Float[Tensor, "3 s s"], list[str]]:
    """The middle square of a photo, upright, 0..1 and ``size`` a side, and notes on what was cut off.

    Raises BadInput: no such photo, a damaged one, one smaller than ``size``, or a strip of which the middle is little.
    """
    pixels = read_image(path, upright=True)
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        raise BadInput(f"the photo {path} is {width} x {height} pixels: this generator needs at least {size} a side.")
    if max(height, width) > LONGEST * min(height, width):
        raise BadInput(f"the photo {path} is {width} x {height} pixels: cut out a part that is less of a strip.")
    notes = []
    if max(height, width) > 1.02 * min(height, width):
        lost = round(100 * (1 - min(height, width) / max(height, width)))
        sides = "the left and right" if width > height else "the top and bottom"
        notes.append(f"A generator makes squares: {lost} % of the photo, at {sides}, is cut off.")
    return square(pixels, size).movedim(-1, 0).float() / 255, notes
