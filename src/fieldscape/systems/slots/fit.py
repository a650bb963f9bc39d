"""``fieldscape slots fit``: one depth map in, a run folder with its objects out, with or without a network."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape import cameras, devices
from fieldscape.data.depth.opening import open_depth
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.images import colorize_depth, contact_sheet, write_image
from fieldscape.progress import progress
from fieldscape.runs import Run, fresh_path
from fieldscape.scenes import read_scene
from fieldscape.systems.slots import direct, scene
from fieldscape.systems.slots.config import FitConfig
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.figures import free_space_violation, scene_to_mesh
from fieldscape.systems.slots.model import read_model
from fieldscape.systems.slots.objects import Objects, drawn, objects_of, without_slivers, write_objects
from fieldscape.systems.slots.options import SlotsFitOptions
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes, scattered
from fieldscape.systems.slots.reducing import enlarged, reduced, times_smaller
from fieldscape.systems.slots.targets import inverse

DRIVING = 20.0
"""A far cut over this is outdoors, where voxels are coarser."""
SURFACE = 2048
"""Points of each object's surface that figures are measured with."""
ROOM = 5.0
"""A far cut up to this is a room close by, where large planes are what things stand on and before."""
SURFACES = 8
"""Such planes that are put aside, unless the user says how many."""
ENOUGH = 20
"""Pixels that must show things for anything to be fitted."""
SHOWN = 320
"""Pixels across a picture of the objects, at least."""
GREY = 0.45
"""How bright what belongs to no object is in pictures of objects."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run is made with."""

    fit: FitConfig
    frame: int


def fit(options: SlotsFitOptions) -> None:
    """Fit, write the objects, and say what came out. Raises BadInput for data or options that cannot be used."""
    model = None if options.model is None else read_model(options.model)
    plan = Plan(planned(options), options.frame)
    if model is not None:
        plan = replace(plan, fit=replace(plan.fit, prototypes=len(model.prototypes), level=model.config.level))
    frames = open_depth(options.data, options.layout, options.intrinsics, options.depth_scale)
    if not 0 <= options.frame < len(frames):
        counted = f"0 to {len(frames) - 1}" if len(frames) > 1 else "0"
        raise BadInput(f"--frame is {options.frame}: {options.data} has the frames {counted}.")
    given = frames[options.frame]
    begun = time.monotonic()
    times = times_smaller(given)
    depth_map = reduced(given, times)
    try:
        observed, notes = seen(depth_map, plan.fit, options.seed)
    except BadInput as error:
        # What seems wrong with the data (millimetres read as metres, disparity) may well be why.
        raise BadInput(" ".join([str(error), *(f"Note: {note}" for note in frames.notes)])) from error
    out = options.out or fresh_path(Path("runs") / f"{options.data.resolve().stem}-{options.frame}-slots")
    source = {"path": str(options.data), "layout": frames.layout, "frame": options.frame, "name": depth_map.name}
    run = Run.create(out, "slots", plan, options.seed, source, devices.describe(torch.device("cpu")))
    with progress(None, "fitting", options.quiet) as bar:
        for note in (*frames.notes, *notes):
            bar.say(note)
        if model is not None:
            labels, prototypes = model.segment(depth_map, observed), model.prototypes
            fitted = model.find([observed], [labels], plan.fit.final_steps, plan.fit)
            if not bool(fitted.alive.any()):
                said = f"The encoder of {options.model} finds nothing in {depth_map.name}"
                raise BadInput(f"{said}: train it longer, or fit without --model.")
        else:
            labels, prototypes = (
                segment(depth_map, observed, ConvexitySettings()),
                prototypes_of(plan.fit, options.seed),
            )
            fitted = direct.fit([observed], [labels], prototypes, plan.fit)
        if fitted.crowded[0]:
            more = "1 segment" if fitted.crowded[0] == 1 else f"{fitted.crowded[0]} segments"
            bar.say(f"{more} found no slot, the smallest ones: give more than --slots {plan.fit.slots}.")
    objects = found(fitted, prototypes, observed, plan.fit)
    seconds = time.monotonic() - begun
    size = (given.camera.height, given.camera.width)
    objects = replace(objects, pixels=enlarged(objects.pixels, times, *size))
    write(run, objects, prototypes, observed, enlarged(labels, times, *size), plan, given)
    figures = measured(objects, observed, given)
    losses = {f"loss_{name}": round(float(cost[0]), 5) for name, cost in fitted.costs.items()}
    merged, left_out = fitted.merged[0], fitted.crowded[0]
    run.report(**figures, seconds=round(seconds, 2), merged=merged, segments_left_out=left_out, **losses)
    say(run.path, objects, figures, seconds)


def planned(options: SlotsFitOptions) -> FitConfig:
    """The config that the options ask for. Raises BadInput where a number makes no sense."""
    for name, low, high in (
        ("far", 0.5, 1000), ("slots", 1, 64), ("prototypes", 1, 64), ("steps", 1, 10_000), ("merge_rounds", 0, 64),
        ("final_steps", 0, 10_000), ("surfaces", 0, 32),
    ):  # fmt: skip
        value = getattr(options, name)
        if value is not None and not low <= value <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {value:g}; it goes from {low:g} to {high:g}.")
    for item in dataclasses.fields(options.weights):
        value = getattr(options.weights, item.name)
        if not 0 <= value <= 1000:
            raise BadInput(f"--weights.{item.name} is {value:g}; it goes from 0 (off) to 1000.")
    for name in ("prototypes", "start", "learn_prototypes", "steps", "merge_rounds"):
        if options.model is not None and getattr(options, name) != getattr(SlotsFitOptions, name):
            raise BadInput(f"--{name.replace('_', '-')} is for a fit without a network: leave it out with --model.")
    names = {f.name for f in dataclasses.fields(FitConfig)} & {f.name for f in dataclasses.fields(SlotsFitOptions)}
    config = FitConfig(**{name: getattr(options, name) for name in names - {"surfaces", "trust"}})
    room = options.far <= ROOM
    return dataclasses.replace(
        config,
        surfaces=(SURFACES if room else 0) if options.surfaces is None else options.surfaces,
        trust=room if options.trust is None else options.trust,
    )


def seen(depth_map: DepthMap, config: FitConfig, seed: int) -> tuple[Observed, tuple[str, ...]]:
    """The depth map made ready, and what the user should know of it.

    Raises BadInput where it shows nothing that objects could be: only sky, or nothing above the ground.
    """
    if bool(depth_map.sky.any()) and not bool((depth_map.valid & ~depth_map.sky).any()):
        raise BadInput(f"{depth_map.name} shows only sky: there is nothing to find objects in. Choose another --frame.")
    if not bool(depth_map.valid.any()):
        raise BadInput(f"{depth_map.name}: no pixel has a known depth, so there is nothing to find objects in.")
    voxel, voxel_from = (0.15, 15.0) if config.far > DRIVING else (0.05, 5.0)
    settings = PointSettings(config.points, config.far, voxel, voxel_from, surfaces=config.surfaces, seed=seed)
    observed = prepare(depth_map, settings)
    if int(observed.things.sum()) < ENOUGH or not len(observed.points):
        raise BadInput(
            f"{depth_map.name}: nothing stands above the ground within {config.far:g} m. "
            "Choose another --frame, or look farther with --far."
        )
    return observed, observed.notes


def found(fitted: direct.Fitted, prototypes: Prototypes, observed: Observed, config: FitConfig) -> Objects:
    """The objects of a fitted depth map; where segments are trusted, those of slivers are left out."""
    objects = objects_of(fitted.vecta[0, fitted.alive[0]], prototypes, observed)
    return without_slivers(objects, observed) if config.trust and len(objects) else objects


def prototypes_of(config: FitConfig, seed: int) -> Prototypes:
    """The prototypes as they are at first."""
    return Prototypes(config.prototypes, config.level, torch.Generator().manual_seed(seed), config.start)


@torch.no_grad()
def measured(objects: Objects, observed: Observed, given: DepthMap | None = None) -> dict[str, float | int | None]:
    """How well the objects explain what is seen, in metres; and how much of their surface floats in the empty.

    given: the depth map that judges the latter, where it is larger than that of ``observed``.
    """
    given = given or observed.depth_map
    known = given.valid & ~given.sky & (given.depth < observed.far)
    share = float(observed.things.sum()) * (known.numel() / observed.things.numel()) / max(1, int(known.sum()))
    if not len(objects):
        return {"objects": 0, "things_share": round(share, 3), "scene_to_mesh": None, "free_space_violation": None}
    surface = scattered(objects.vertices, objects.faces, SURFACE, torch.Generator().manual_seed(0)).reshape(-1, 3)
    to_camera = inverse(observed.from_camera)
    local = surface @ to_camera[:3, :3].T + to_camera[:3, 3]
    misses = scene_to_mesh(observed.points, observed.weights, surface)
    return {
        "objects": len(objects),
        "things_share": round(share, 3),
        "scene_to_mesh": round(misses.median, 4),
        "scene_to_mesh_mean": round(misses.mean, 4),
        "free_space_violation": round(free_space_violation(local, given, observed.far), 4),
    }


def write(
    run: Run,
    objects: Objects,
    prototypes: Prototypes,
    observed: Observed,
    labels: Int[Tensor, "h w"],
    plan: Plan,
    depth_map: DepthMap,
) -> None:
    """Everything but the report: objects.json, meshes, the scene, and pictures. Raises BadInput if it cannot.

    depth_map: as it was given; objects and labels have its pixels, whatever size it was fitted at.
    """
    camera = depth_map.camera
    write_objects(run.path, objects, prototypes, observed.from_camera, depth_map, plan.frame)
    scene.write(run.path, objects, camera, observed.from_camera, plan.fit.far)
    which, seen_objects = drawn(objects, camera, inverse(observed.from_camera))
    near, far = span(observed)
    rendered = colorize_depth(torch.where(seen_objects.hit, seen_objects.depth, 0.0), near, far)
    given = colorize_depth(torch.where(depth_map.valid, depth_map.depth, 0.0), near, far)
    instances = painted(which, objects)
    write_image(run.path / "depth.png", rendered)
    write_image(run.path / "instances.png", instances)
    built = scene.rebuild(read_scene(run.path), torch.device("cpu"))
    times = max(1, -(-SHOWN // camera.width))
    shaded = built.render(cameras.resize(built.start, camera.width * times, camera.height * times)).color
    color = depth_map.color
    row = [given, painted(labels, objects), overlaid(which, objects, given), rendered]
    titles = ["depth given", "segments", "objects on it", "depth of objects", "objects"]
    if color is not None:
        photo = color.float() / 255
        row.insert(0, photo)
        row[3] = overlaid(which, objects, photo)
        titles.insert(0, "colour")
    # The shaded picture is drawn larger; the others show their pixels.
    pictures = [*(each.repeat_interleave(times, 0).repeat_interleave(times, 1) for each in row), shaded]
    write_image(run.path / "sheet.png", two_rows(pictures, titles))


def two_rows(pictures: list[Tensor], titles: list[str]) -> Tensor:
    """Pictures under their titles, three to a row."""
    rows = [
        contact_sheet([pictures[i : i + 3]], column_titles=titles[i : i + 3], least=320)
        for i in range(0, len(pictures), 3)
    ]
    width = max(row.shape[1] for row in rows)
    return torch.cat([torch.nn.functional.pad(row, (0, 0, 0, width - row.shape[1]), value=255) for row in rows])


def span(observed: Observed) -> tuple[float, float]:
    """The depths that pictures show, the same for what was given and for what was found."""
    known = observed.depth_map.depth[observed.depth_map.valid & (observed.depth_map.depth < observed.far)]
    if not len(known):
        return 0.0, observed.far
    low, high = torch.quantile(known[:: 1 + len(known) // 1_000_000], known.new_tensor([0.02, 0.98])).tolist()
    return low, max(high, low + 0.1)


def painted(numbers: Int[Tensor, "h w"], objects: Objects) -> Float[Tensor, "h w 3"]:
    """A map of numbers in the colours of objects, 0 in dark grey."""
    count = int(numbers.max()) + 1
    colors = torch.tensor([(0.15, 0.15, 0.15), *(objects.color(k) for k in range(count))])
    return colors[numbers]


def overlaid(which: Int[Tensor, "h w"], objects: Objects, picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """Objects in their colours over a grey picture, their outlines full."""
    grey = (picture.mean(-1, keepdim=True) * (1 - GREY) + 0.1).expand_as(picture)
    padded = torch.nn.functional.pad(which[None, None].float(), (1, 1, 1, 1), mode="replicate")[0, 0]
    edge = torch.zeros_like(which, dtype=torch.bool)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        edge |= padded[row : row + which.shape[0], column : column + which.shape[1]] != which
    share = torch.where(which > 0, torch.where(edge, 1.0, 0.45), 0.0)[..., None]
    return share * painted(which, objects) + (1 - share) * grey


def say(folder: Path, objects: Objects, figures: dict[str, float | int | None], seconds: float) -> None:
    """What came out, in words."""
    if not len(objects):
        print(f"No objects found in {seconds:.1f} s; {folder}")
        return
    count = "1 object" if len(objects) == 1 else f"{len(objects)} objects"
    print(f"{count} in {seconds:.1f} s: half of what is seen lies within {figures['scene_to_mesh']} m of them,")
    print(f"  {100 * float(figures['free_space_violation'] or 0):.1f} % of their surface floats in the empty.")
    for k in range(len(objects)):
        x, _, z = objects.slots.position[k].tolist()
        own = (objects.vertices[k].amax(0) - objects.vertices[k].amin(0)).tolist()
        side = f"{abs(x):.2f} m to the {'left' if x > 0 else 'right'}"
        print(f"  {k + 1}: {z:.2f} m ahead, {side}; {own[1]:.2f} m tall; {int((objects.pixels == k + 1).sum())} pixels")
    print(f"{folder}: look at sheet.png; objects.json and meshes/ hold the objects; or: fieldscape render {folder}")
