"""``fieldscape gan train`` and ``gan sample``: photos in, a run folder with a generator of scenes in it out."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fieldscape import devices
from fieldscape.data.photo_sets import PhotoSet, read_photo_set
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.runs import Run, fresh_path, peak_memory_mb
from fieldscape.scenes import read_scene
from fieldscape.stopping import graceful_stop
from fieldscape.systems.gan import measure, scene
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.options import SampleOptions, TrainOptions
from fieldscape.systems.gan.poses import GivenPoses
from fieldscape.systems.gan.train import pictures, prior_of, train

HELD = 512
"""At most so many photos, a tenth of all, are kept from training to compare with: the last by name."""


@dataclass(frozen=True)
class Plan:
    """What a run is made with."""

    gan: GanConfig
    most: int | None
    poses: Path | None


def fit(options: TrainOptions) -> None:
    """Train, write the scenes, measure them, and say what came out. Raises BadInput for unusable photos or options."""
    if options.resume:
        if options.out is None:
            raise BadInput("--resume goes on with the run in --out: name its folder.")
        run = Run.open(options.out)
        if run.record["system"] != "gan":
            raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of gan.")
        plan, seed = run.config(Plan), int(run.record["seed"])
        longer = {
            n: getattr(options, n) for n in ("seconds", "images") if getattr(options, n) != getattr(TrainOptions, n)
        }
        plan = dataclasses.replace(plan, gan=dataclasses.replace(plan.gan, **longer))
    else:
        names = {f.name for f in dataclasses.fields(GanConfig)} & {f.name for f in dataclasses.fields(TrainOptions)}
        config = GanConfig(**{name: getattr(options, name) for name in names})
        plan, seed = Plan(config, options.most, options.poses), options.seed
    require_sane(plan.gan)
    with progress(None, "reading photos", options.quiet, unit="photo") as bar:
        photos = read_photo_set(options.photos, plan.gan.size, plan.most, progress=lambda done, of: bar.update(done))
    given = None if plan.poses is None else read_poses(plan.poses, photos)
    print_hash = hashlib.sha256(photos.images.tobytes()).hexdigest()
    if options.resume:
        if print_hash != run.record["data"].get("fingerprint"):
            raise BadInput(f"{options.photos} is not what {run.path} was made from ({run.record['data'].get('path')}).")
        checkpoint = run.latest()
        if checkpoint is not None:
            run.truncate_log(checkpoint.step)
    else:
        out = options.out or fresh_path(Path("runs") / f"{options.photos.resolve().stem}-gan")
        source = {"path": str(options.photos), "fingerprint": print_hash, "photos": len(photos)}
        run = Run.create(out, "gan", plan, seed, source, devices.describe(torch.device("cpu")))
        checkpoint = None
    held = min(HELD, len(photos) // 10)
    images = torch.from_numpy(photos.images)
    learned = dataclasses.replace(photos, images=photos.images[: len(photos) - held])
    total = plan.gan.images or plan.gan.seconds
    with (
        graceful_stop(options.minutes) as stop,
        progress(total, "training", options.quiet, unit="photo" if plan.gan.images else "s") as bar,
    ):
        bar.say(f"{len(learned)} photos to learn from, {held} to compare with, {plan.gan.size} pixels a side")
        for note in photos.notes:
            bar.say(note)
        players, stopped, seconds = train(learned, images[-held:], plan.gan, given, run, stop, bar, seed, checkpoint)
    prior = prior_of(plan.gan, given)
    scene.write(run.path, players.kept, plan.gan, prior)
    if stopped is not None:
        print(f"Stopped after {players.seen} photos ({stopped}); saved in {run.path}. To go on:")
        print(f"  fieldscape gan train {options.photos} --out {run.path} --resume")
        return
    report(run, players.kept, plan.gan, given, images, held, players.seen, seconds, seed)


def report(
    run: Run, generator: measure.AnyGenerator, config: GanConfig, given: GivenPoses | None, images: Tensor, held: int,
    seen: int, seconds: float, seed: int,
) -> None:  # fmt: skip
    """Measure the scenes against the photos that were held back, write ``report.json`` and a sheet, and say it."""
    prior = prior_of(config, given)
    chance = torch.Generator().manual_seed(0)
    photos = pictures(images[-held:], config.size, False, chance) / 2 + 0.5
    others = pictures(images[:held], config.size, False, chance) / 2 + 0.5
    found = measure.measured(generator, prior, config, photos, others, held)
    write_image(run.path / "sheet.png", measure.sheet(generator, prior, config, config.size))
    run.report(**found, images=seen, train_seconds=round(seconds, 2), seed=seed, peak_memory_mb=peak_memory_mb())
    print(f"{seen} photos looked at in {seconds:.0f} s ({seen / max(seconds, 1e-9):.0f} a second)")
    print(f"SWD {found['swd']:.4f} against {held} photos held back (other photos: {found['swd_floor']:.4f})")
    print(f"diversity {found['diversity']:.2f}  relief {found['relief']:.3f}  reprojection {found['reprojection']:.2f}")
    for complaint in measure.complaints(found):
        print(f"  {complaint}")
    print(f"{run.path}: look at sheet.png, or: fieldscape render {run.path}")


def sample(options: SampleOptions) -> None:
    """Draw scenes of a run on one sheet. Raises BadInput for a run without a generator, or numbers out of range."""
    if not 1 <= options.count <= 64 or not 0 <= options.first <= scene.SCENES - options.count:
        raise BadInput(f"Give --count 1 to 64 and --first 0 to {scene.SCENES - 64}.")
    generator, config = scene.read_generator(read_scene(options.run))
    prior = prior_of(dataclasses.replace(config, prior="room") if config.prior == "given" else config, None)
    out = options.out or options.run / "samples.png"
    write_image(out, measure.sheet(generator, prior, config, config.size, options.count, options.first))
    print(f"{options.count} scenes in {out}")


def require_sane(config: GanConfig) -> None:
    """Raises BadInput where a number of the config makes no sense."""
    for name, low, high in (
        ("batch", 4, 1024), ("latent", 1, 4096), ("features", 1, 256), ("yaw", 0, 180), ("pitch", 0, 60),
        ("shift", 0, 10), ("near", 1e-3, 100), ("r1", 0, 1000), ("seconds", 0, 1e9), ("images", 0, 1e12),
        ("lr_generator", 0, 1), ("lr_discriminator", 0, 1), ("look_every", 1, 1e12),
    ):  # fmt: skip
        value = getattr(config, name)
        if not low <= value <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {value:g}; it goes from {low:g} to {high:g}.")
    if not config.near < config.far:
        raise BadInput(f"near is {config.near:g} and far {config.far:g}: rays need near < far.")
    if not 1 <= config.fov[0] <= config.fov[1] <= 150:
        raise BadInput(
            f"--fov is {config.fov[0]:g} to {config.fov[1]:g}; it goes from 1 to 150 degrees, the least first."
        )
    if config.prior == "room" and config.yaw == 0 and config.shift == 0:
        raise BadInput("Without --yaw and --shift all pictures are taken from one place: any depth would fit.")


def read_poses(path: Path, photos: PhotoSet) -> GivenPoses:
    """The cameras of the photos, as ``fieldscape make rooms --photos`` writes them.

    Raises BadInput: a photo's camera is missing or makes no sense.
    """
    record = read_json(path)
    known = record.get("photos") if isinstance(record, dict) else None
    if not isinstance(known, dict):
        raise BadInput(f'{path} holds no poses: an object "photos" of names, each with pose and focal, was expected.')
    poses, focals = [], []
    for name in photos.names:
        entry: Any = known.get(Path(name).name)
        try:
            pose, focal, center = (torch.tensor(entry[key], dtype=torch.float32) for key in ("pose", "focal", "center"))
            if pose.shape != (4, 4) or not bool(pose.isfinite().all()) or float(focal[0]) <= 0:
                raise ValueError("not a camera")
        except (TypeError, KeyError, ValueError) as error:
            raise BadInput(f"{path} does not tell the camera of {name}.") from error
        poses.append(pose)
        focals.append(float(focal[0]) / (2 * float(center[0])))
    return GivenPoses(torch.stack(poses), torch.tensor(focals))
