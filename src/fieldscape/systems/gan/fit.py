"""``fieldscape gan train`` and ``gan sample``: photos in, a run folder with a generator of scenes in it out."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fieldscape import devices
from fieldscape.checkpoints import Checkpoint
from fieldscape.data.photo_sets import PhotoSet, read_photo_set
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.images import write_image
from fieldscape.progress import progress
from fieldscape.ranks import Ranks, joined
from fieldscape.runs import Run, fresh_path, peak_memory_mb
from fieldscape.stopping import graceful_stop
from fieldscape.systems.gan import measure, scene
from fieldscape.systems.gan.config import CAMERAS, RATES, GanConfig, require_sane
from fieldscape.systems.gan.depths import about_unit
from fieldscape.systems.gan.discriminator import GROUP
from fieldscape.systems.gan.features import Network, read_features
from fieldscape.systems.gan.generators import Generator
from fieldscape.systems.gan.limits import within_limits
from fieldscape.systems.gan.options import SampleOptions, TrainOptions
from fieldscape.systems.gan.players import begin, prior_of
from fieldscape.systems.gan.poses import GivenPoses
from fieldscape.systems.gan.train import train

HELD = 512
"""At most so many photos, a tenth of all, are kept from training to compare with: the last by name."""


@dataclass(frozen=True)
class Plan:
    """What a run is made with."""

    gan: GanConfig
    most: int | None
    poses: Path | None
    depths: Path | None = None
    depth_unit: float = 0.001
    held: int | None = None


def held_back(asked: int | None, photos: int) -> int:
    """How many photos are kept from training. Raises BadInput if too few would be left on either side."""
    if asked is None:
        return min(HELD, max(2, photos // 10))
    if not 2 <= asked <= photos // 2:
        raise BadInput(f"--held is {asked}: give 2 to {photos // 2}, half of the photos.")
    return asked


def fit(options: TrainOptions) -> None:
    """Train, write the scenes, measure them, and say what came out. Raises BadInput for unusable photos or options."""
    with joined(options.device) as ranks:
        work(options, ranks)


def work(options: TrainOptions, ranks: Ranks) -> None:
    """What one of the processes does."""
    plan, seed, run = planned(options)
    config = plan.gan
    require_sane(config)
    require_shares(config, ranks)
    if ranks.count > 1 and options.out is None:
        raise BadInput("Several processes must know where to write: name a folder with --out.")
    network = None if options.features is None or not ranks.first else read_features(options.features, ranks.device)
    quiet = options.quiet or not ranks.first
    with progress(None, "reading photos", quiet, unit="photo") as bar:
        photos = read_photo_set(
            options.photos, config.size, plan.most, plan.depths, plan.depth_unit, lambda done, of: bar.update(done)
        )
    given = None if plan.poses is None else read_poses(plan.poses, photos)
    run, checkpoint = opened(options, plan, seed, run, photos, ranks)
    held = held_back(plan.held, len(photos))
    learned, compared = part(photos, 0, len(photos) - held), part(photos, len(photos) - held, len(photos))
    total = config.images or config.seconds
    with (
        graceful_stop(options.minutes) as stop,
        progress(total, "training", quiet, unit="photo" if config.images else "s") as bar,
    ):
        shared = f", {ranks.count} processes" if ranks.count > 1 else ""
        bar.say(f"{len(learned)} photos to learn from, {held} to compare with, {config.size} pixels a side{shared}")
        about = None if photos.depths is None else about_unit(torch.from_numpy(photos.depths), config.near, config.far)
        for note in (*photos.notes, *([] if about is None else [about])):
            bar.say(note)
        with within_limits(config, ranks.device, run.path):
            players, stopped, seconds = train(learned, compared, config, given, run, stop, bar, seed, checkpoint, ranks)
    if not ranks.first:
        return
    scene.write(run.path, players.kept, config, prior_of(config, given))
    if stopped is not None:
        print(f"Stopped after {players.seen} photos ({stopped}); saved in {run.path}. To go on:")
        end = "".join(f" --{name} {value:.12g}" for name, value in longer(options).items()) if options.resume else ""
        print(f"  fieldscape gan train {options.photos} --out {run.path} --resume{end}")
        return
    with within_limits(config, ranks.device, run.path):
        report(run, players.kept, config, given, learned, compared, network, players.seen, seconds, seed)


def planned(options: TrainOptions) -> tuple[Plan, int, Run | None]:
    """What to do, the seed, and the run to go on with. Raises BadInput where --resume has nothing to go on with."""
    if not options.resume:
        names = {f.name for f in dataclasses.fields(GanConfig)} & {f.name for f in dataclasses.fields(TrainOptions)}
        require_used(options)
        # --features names a network to measure with; the config's are the channels of a plane.
        named = {name: getattr(options, name) for name in names - {"features"}}
        kind = options.preset if options.generator == "siren" else options.generator
        usual = {**CAMERAS[options.prior], "lr_generator": RATES[kind]}
        named |= {name: value for name, value in usual.items() if named[name] is None}
        named["patch"] = options.patch if options.patch is not None else 32 if options.size == 128 else 0
        if options.depth_aware and options.depths is None:
            raise BadInput("--depth-aware needs the depth maps of the photos: give --depths.")
        gan = GanConfig(**named)
        plan = Plan(gan, options.most, options.poses, options.depths, options.depth_unit, options.held)
        return plan, options.seed, None
    if options.out is None:
        raise BadInput("--resume goes on with the run in --out: name its folder.")
    run = Run.open(options.out)
    if run.record["system"] != "gan":
        raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of gan.")
    plan, seed = run.config(Plan), int(run.record["seed"])
    require_same(options, plan, seed)
    return dataclasses.replace(plan, gan=dataclasses.replace(plan.gan, **longer(options))), seed, run


def longer(options: TrainOptions) -> dict[str, Any]:
    """The new end of a training, where one was given."""
    return {n: getattr(options, n) for n in ("seconds", "images") if getattr(options, n) != getattr(TrainOptions, n)}


def opened(
    options: TrainOptions, plan: Plan, seed: int, run: Run | None, photos: PhotoSet, ranks: Ranks
) -> tuple[Run, Checkpoint | None]:
    """The run to write into, and where to go on from; the first of several processes makes it, the others wait.

    Raises BadInput: the folder is in use, or the photos are not those that the run was made from.
    """
    # Not ``tobytes``: photos that do not fit into memory lie in a file, and a copy of them would fit no better.
    digest = hashlib.sha256(photos.images.reshape(-1).data)
    if photos.depths is not None:
        digest.update(photos.depths.reshape(-1).view(np.uint8).data)
    if run is not None:
        if digest.hexdigest() != run.record["data"].get("fingerprint"):
            raise BadInput(f"{options.photos} is not what {run.path} was made from ({run.record['data'].get('path')}).")
        checkpoint = run.latest()
        if checkpoint is not None and ranks.first:
            for note in checkpoint.notes:
                print(f"fieldscape: {note}", file=sys.stderr)  # damage is told even to those who asked for quiet
            run.truncate_log(checkpoint.step)
        return run, checkpoint
    out = options.out or fresh_path(Path("runs") / f"{options.photos.resolve().stem}-gan")
    source = {"path": str(options.photos), "fingerprint": digest.hexdigest(), "photos": len(photos)}
    fault = None
    if ranks.first:
        try:
            Run.create(out, "gan", plan, seed, source, devices.describe(ranks.device))
        except BadInput as error:
            fault = error
    if ranks.any(fault is not None):
        raise fault or BadInput("The first process could not begin; it says why.")
    return Run.open(out), None


def part(photos: PhotoSet, start: int, end: int) -> PhotoSet:
    """Some of the photos."""
    depths = None if photos.depths is None else photos.depths[start:end]
    return dataclasses.replace(photos, images=photos.images[start:end], depths=depths, names=photos.names[start:end])


def report(
    run: Run, generator: Generator, config: GanConfig, given: GivenPoses | None, learned: PhotoSet,
    held: PhotoSet, network: Network | None, seen: int, seconds: float, seed: int,
) -> None:  # fmt: skip
    """Measure the scenes against the photos that were held back, write ``report.json`` and a sheet, and say it."""
    prior, count = prior_of(config, given), len(held)
    photos, others = (measure.first(some, config.size, count) for some in (held, learned))
    known = measure.true_depths(held, config.size, count)
    found = measure.measured(generator, prior, config, photos, others, count, known)
    untrained = begin(config, prior, seed).kept
    found["swd_start"] = measure.measured(untrained, prior, config, photos, others, count)["swd"]
    if network is not None:
        found |= measure.through_features(network, generator, prior, config, learned)
    write_image(run.path / "sheet.png", measure.sheet(generator, prior, config, config.size))
    run.report(**found, images=seen, train_seconds=round(seconds, 2), seed=seed, peak_memory_mb=peak_memory_mb())
    print(f"{seen} photos looked at in {seconds:.0f} s ({seen / max(seconds, 1e-9):.0f} a second)")
    beside = f"untrained: {found['swd_start']:.4f}, other photos: {found['swd_floor']:.4f}"
    print(f"SWD {found['swd']:.4f} against {count} photos held back ({beside})")
    print(f"diversity {found['diversity']:.2f}  relief {found['relief']:.3f}  reprojection {found['reprojection']:.2f}")
    if "depth_correlation" in found:
        print(f"depth correlation {found['depth_correlation']:.2f} (mean of scenes with the mean of the depth maps)")
    if "fid" in found:
        print(f"FID {found['fid']:.2f}  KID {found['kid']:.5f}  on {found['feature_images']} scenes and as many photos")
    for complaint in measure.complaints(found):
        print(f"  {complaint}")
    print(f"{run.path}: look at sheet.png, or: fieldscape render {run.path}")


def sample(options: SampleOptions) -> None:
    """Draw scenes of a run on one sheet. Raises BadInput for a run without a generator, or numbers out of range."""
    if not 1 <= options.count <= 64 or not 0 <= options.first <= scene.SCENES - options.count:
        raise BadInput(f"Give --count 1 to 64, and --first 0 to {scene.SCENES} less --count.")
    generator, config, prior = scene.read_run(options.run)
    out = options.out or options.run / "samples.png"
    write_image(out, measure.sheet(generator, prior, config, config.size, options.count, options.first))
    print(f"{options.count} scenes in {out}")


def require_used(options: TrainOptions) -> None:
    """Raises BadInput where an option was given that another one makes meaningless."""
    given = options.prior == "given"
    for meaningless, said in (
        (options.poses is not None and not given, "--poses are used with --prior given: add it, or leave --poses out."),
        (options.fov is not None and given, "--fov is what the poses tell with --prior given: leave it out."),
        (
            bool(options.shift) and options.prior == "object",
            "--shift is not for --prior object, which looks at a middle: leave it out.",
        ),
        (
            options.preset != TrainOptions.preset and options.generator != "siren",
            "--preset is of --generator siren: add it, or leave --preset out.",
        ),
    ):
        if meaningless:
            raise BadInput(said)


def require_same(options: TrainOptions, plan: Plan, seed: int) -> None:
    """Raises BadInput where a run that goes on is asked for something else than it was made with."""
    made: dict[str, Any] = {**dataclasses.asdict(plan.gan), **dataclasses.asdict(plan), "seed": seed}
    for name in made.keys() & {field.name for field in dataclasses.fields(TrainOptions)} - {
        "features",
        "seconds",
        "images",
    }:
        asked, had = getattr(options, name), made[name]
        if asked == getattr(TrainOptions, name) or asked == had:
            continue
        if isinstance(asked, Path) and isinstance(had, Path) and asked.resolve() == had.resolve():
            continue
        raise BadInput(
            f"The run was made with --{name.replace('_', '-')} {had}, not {asked}: only --seconds and --images can "
            "change when resuming."
        )


def require_shares(config: GanConfig, ranks: Ranks) -> None:
    """Raises BadInput where a batch cannot be shared among the processes."""
    if config.batch % (ranks.count * GROUP):
        raise BadInput(
            f"--batch {config.batch} does not divide into groups of {GROUP}, for {ranks.count} processes: "
            f"give a multiple of {ranks.count * GROUP}."
        )


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
