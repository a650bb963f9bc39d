"""The street: depth against closed forms and meshes, the rules of its splits, the same bytes from the same seed."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.cameras import image_rays, planar_depth
from fieldscape.errors import BadInput
from fieldscape.meshes import merge, transform
from fieldscape.types import Camera, Mesh
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.street import solids
from fieldscape.worlds.street.cameras import Viewpoint
from fieldscape.worlds.street.make import frames, make_street, settings_of
from fieldscape.worlds.street.motions import Rest, Turn
from fieldscape.worlds.street.objects import SHAPES, UNSEEN, build, extent, matrix
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.render import REACH, Solids, draw, noisy
from fieldscape.worlds.street.scenes import Actor, Scene, SceneSettings, covered, draw_scene

LEVEL = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
"""A level camera 1.5 m above the ground that looks along y."""


def asked(**changes) -> MakeStreetOptions:
    base = MakeStreetOptions(
        Path("unused"), videos=2, frames=3, width=64, height=48, color=False, workers=1, quiet=True
    )
    return replace(base, **changes)


def settings(**changes) -> SceneSettings:
    return settings_of(asked(**changes)).scenes


def one(kind: str, place: np.ndarray, ratio: float = 0.0, pose: np.ndarray = LEVEL, size=(81, 61)):
    what = Solids((kind,), (ratio,), (1,), (3,))
    return draw(what, place[None], pose, 60.0, *size, 1)


# ----------------------------------------------------------------------------------------------------------- depth


def test_the_ground_has_the_depth_of_a_plane_and_ends_at_the_reach():
    seen = draw(Solids((), (), (), ()), np.zeros((0, 4, 4)), LEVEL, 60.0, 80, 60, 0)
    row = np.arange(60) + 0.5
    with np.errstate(divide="ignore"):
        expected = 1.5 * 60.0 / (row - 30)
    expected = np.where((row > 30) & (expected < REACH), expected, np.inf)
    np.testing.assert_allclose(seen.depth, np.broadcast_to(expected[:, None], (60, 80)), rtol=1e-12)
    assert (seen.part == np.isfinite(seen.depth)).all()


def test_the_face_of_a_box_has_one_planar_depth():
    seen = one("box", matrix((0.5, 0.4, 0.3), (0.0, 5.0, 1.5)))
    assert seen.instance[30, 40] == 1
    front = seen.depth[seen.instance == 1]
    np.testing.assert_allclose(front, 4.6, rtol=1e-12)
    # 0.5 m to either side at 4.6 m: 6.52 pixels about the middle one.
    assert (seen.instance[30] == 1).sum() == 13
    assert (seen.instance[:, 40] == 1).sum() == 2 * math.floor(0.3 / 4.6 * 60) + 1


def test_a_ball_has_the_depth_of_a_ball():
    radius, away = 0.7, 4.0
    seen = one("ball", matrix((radius,) * 3, (0.0, away, 1.5)))
    u, v = (np.arange(81) + 0.5 - 40.5) / 60, (np.arange(61) + 0.5 - 30.5) / 60
    square = u[None] ** 2 + v[:, None] ** 2 + 1
    inside = away**2 - square * (away**2 - radius**2)
    expected = (away - np.sqrt(np.maximum(inside, 0))) / square
    assert ((inside > 0) == (seen.instance == 1)).all()
    np.testing.assert_allclose(seen.depth[seen.instance == 1], expected[inside > 0], rtol=1e-12)


@pytest.mark.parametrize("kind", solids.KINDS)
def test_rays_meet_a_solid_where_its_inside_begins(kind):
    """March along rays in small steps: the brute-force twin."""
    rng = np.random.default_rng(3)
    ratio = 0.7 if kind == "capsule" else 0.0
    origins = rng.normal(size=(3, 300))
    origins *= 4 / np.linalg.norm(origins, axis=0)
    rays = rng.uniform(-1.1, 1.1, (3, 300)) - origins
    rays /= np.linalg.norm(rays, axis=0)
    found = solids.first_hit(kind, ratio, origins, rays)
    steps = np.arange(1.0, 8.0, 0.004)
    points = (origins[..., None] + rays[..., None] * steps).reshape(3, -1).T
    within = solids.inside(kind, ratio, points).reshape(300, -1)
    some = within.any(1)
    first = steps[within.argmax(1)]
    # A ray that grazes an edge may slip between two steps; it meets the solid all the same.
    assert (np.isfinite(found[some])).all()
    assert (np.isfinite(found) & ~some).sum() < 12
    assert (first[some] - found[some] < 0.0041).all()
    assert (first[some] - found[some] > -1e-9).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_depth_and_instances_agree_with_embree_on_the_meshes(shape):
    thing = build(shape, "red", random.Random(f"mesh {shape}"))
    view = Viewpoint("still", (0.0, 0.0, 1.5), math.pi / 2, 0.2, (0.0,) * 3, 0.0, 70.0, 96, 72)
    times = np.zeros(1)
    scene = Scene(0, "iso", (Actor(thing, "static", Rest((0.2, 3.8, 0.0), 0.6)),), view, times, ())
    matrices, pose = scene.matrices(times, scene.travels())[0], view.poses(times)[0]
    seen = draw(scene.solids(), matrices, pose, 70.0, 96, 72, 1)
    meshes = [solids.mesh(p.kind, p.ratio)[0] for p in thing.pieces]
    placed = [transform(m, torch.tensor(a, dtype=torch.float32)) for m, a in zip(meshes, matrices)]
    whole = merge([Mesh(m.vertices, m.faces) for m in placed])
    camera = Camera(torch.tensor(pose, dtype=torch.float32), torch.full((2,), 70.0), torch.tensor([48.0, 36.0]), 96, 72)
    rays = image_rays(camera).reshape(-1)
    hits = caster(whole).first(rays.origins, rays.directions)
    mask = (hits.face >= 0).reshape(72, 96).numpy()
    depth = planar_depth(camera, hits.distance.reshape(72, 96)).numpy()
    both = mask & (seen.instance == 1)
    assert (mask != (seen.instance == 1)).sum() <= 0.02 * max(mask.sum(), 100)
    assert both.sum() > 40
    gap = np.abs(depth - seen.depth)[both]
    assert np.quantile(gap, 0.9) < 0.012
    assert seen.visible[0] == (seen.instance == 1).sum() == seen.total[0]


def test_what_is_hidden_is_counted_and_nearer_things_win():
    what = Solids(("box", "box"), (0.0, 0.0), (1, 2), (3, 3))
    near, far = matrix((0.5, 0.1, 0.5), (0.0, 3.0, 1.5)), matrix((0.5, 0.1, 0.5), (0.0, 6.0, 1.5))
    seen = draw(what, np.stack([near, far]), LEVEL, 60.0, 81, 61, 2)
    assert seen.visible[0] == seen.total[0] > 0
    assert seen.visible[1] == 0 < seen.total[1]
    left, top, right, bottom = seen.box[1]
    assert (right - left) * (bottom - top) == seen.total[1]
    alone = draw(what, np.stack([matrix((1, 1, 1), (50, -50, 0)), far]), LEVEL, 60.0, 81, 61, 2)
    assert alone.visible[1] == seen.total[1]
    assert seen.total[0] > 0
    assert (alone.box[0] == 0).all()


def test_a_solid_that_reaches_behind_the_camera_is_still_drawn():
    wall = matrix((0.1, 8.0, 2.0), (1.0, 0.0, 2.0))
    seen = one("box", wall)
    # The face at x = 0.9 fills the right of the picture: depth = 0.9 * focal / u.
    u = np.arange(81) + 0.5 - 40.5
    columns = u > 0.9 * 60 / 7.9
    np.testing.assert_allclose(seen.depth[20, columns], 0.9 * 60 / u[columns], rtol=1e-9)
    assert seen.instance[20, columns].all()


@pytest.mark.parametrize("camera", ["dolly", "turn"])
def test_what_stands_still_is_seen_in_the_same_place_from_two_frames(camera):
    scene = draw_scene(settings(motion="static", camera=camera, walls=True, width=96, height=72, frames=2), 1)
    first, second = list(frames(scene, settings_of(asked())))
    poses, view = scene.view.poses(scene.times), scene.view
    u, v = np.meshgrid(np.arange(96) + 0.5, np.arange(72) + 0.5)
    known = np.isfinite(first.depth)
    local = np.stack([(u - 48) / view.focal, (v - 36) / view.focal, np.ones_like(u)], -1) * first.depth[..., None]
    point = local[known] @ poses[0, :3, :3].T + poses[0, :3, 3]
    there = (point - poses[1, :3, 3]) @ poses[1, :3, :3]
    x, y = (there[:, :2] / there[:, 2:] * view.focal + [48, 36]).T
    shown = (there[:, 2] > 0.1) & (x > 1) & (x < 95) & (y > 1) & (y < 71)
    # Between pixel centres, 1 / depth of a plane is linear, so it is found exactly inside one face.
    c, r = np.floor(x[shown] - 0.5).astype(int), np.floor(y[shown] - 0.5).astype(int)
    a, b = x[shown] - 0.5 - c, y[shown] - 0.5 - r
    with np.errstate(divide="ignore"):
        near = 1 / second.depth
    blend = (near[r, c] * (1 - a) + near[r, c + 1] * a) * (1 - b) + (
        near[r + 1, c] * (1 - a) + near[r + 1, c + 1] * a
    ) * b
    error = np.abs(1 / np.maximum(blend, 1e-9) - there[shown, 2]) / there[shown, 2]
    assert shown.sum() > 1000
    assert np.median(error) < 1e-4
    assert not np.allclose(poses[0], poses[1])


# -------------------------------------------------------------------------------------------------------- things


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thing_fits_its_size_and_its_disc_and_its_points_lie_on_its_outside(shape):
    thing = build(shape, "blue", random.Random(4))
    points, parts = thing.surface(300)
    assert points.shape == (300, 3)
    assert set(parts.tolist()) <= set(range(3, 13))
    half = np.array(thing.size) / 2
    assert (np.abs(points) < half + 1e-9).all()
    low, high = extent(thing.pieces)
    np.testing.assert_allclose(low, -half, atol=1e-12)
    np.testing.assert_allclose(high, half, atol=1e-12)
    assert np.hypot(points[:, 0], points[:, 1]).max() < thing.radius * 1.01
    for piece in thing.pieces:
        back = np.linalg.inv(piece.rest)
        assert not solids.inside(piece.kind, piece.ratio, points @ back[:3, :3].T + back[:3, 3], 1e-6).any()
    distance = np.min([_to_surface(piece, points) for piece in thing.pieces], axis=0)
    assert distance.max() < 1e-6


def _to_surface(piece, points):
    """How far points are from being on a solid, in its own frame: by its inside at two slacks."""
    back = np.linalg.inv(piece.rest)
    local = points @ back[:3, :3].T + back[:3, 3]
    grown = 1 + 1e-6
    return np.where(
        solids.inside(piece.kind, piece.ratio, local / grown if piece.kind != "cone" else _shrunk(local)), 0, 1
    )


def _shrunk(local):
    middle = np.array([0, 0, -0.5])
    return middle + (local - middle) * (1 - 3e-6)


@pytest.mark.parametrize(
    ("kind", "ratio", "expected"),
    [
        ("box", 0.0, 8 * (0.5 * 0.4 + 0.5 * 0.3 + 0.4 * 0.3)),
        ("ball", 0.0, 4 * math.pi * 0.25),
        ("cylinder", 0.0, 2 * math.pi * 0.5 * (0.5 + 0.6)),
        ("cone", 0.0, math.pi * 0.5 * (0.5 + math.hypot(0.5, 0.6))),
        ("capsule", 1.7, 4 * math.pi * 0.25 * (1 + 1.7)),
    ],
)
def test_points_are_spread_evenly_over_the_area(kind, ratio, expected):
    scale = {"box": (0.5, 0.4, 0.3), "cylinder": (0.5, 0.5, 0.3), "cone": (0.5, 0.5, 0.3)}.get(kind, (0.5,) * 3)
    placed = matrix(scale, (1, 2, 3))
    assert solids.area(kind, ratio, placed) == pytest.approx(expected, rel=0.01)
    points = solids.spread(kind, ratio, placed, 4000) - [1, 2, 3]
    if kind == "box":
        assert (np.abs(points[:, 2]) > 0.2999).mean() == pytest.approx(8 * 0.5 * 0.4 / expected, abs=0.01)
    elif kind == "ball":
        assert np.histogram(points[:, 2], 10, (-0.5, 0.5))[0].std() < 20  # Archimedes: even in height
    elif kind == "cone":
        assert (points[:, 2] < -0.2999).mean() == pytest.approx(math.pi * 0.25 / expected, abs=0.01)
    elif kind == "capsule":
        assert (np.abs(points[:, 2]) < 0.85).mean() == pytest.approx(1.7 / 2.7, abs=0.01)
    else:
        assert (np.hypot(*points[:, :2].T) > 0.4999).mean() == pytest.approx(0.6 / 1.1, abs=0.02)


def test_parts_are_shared_between_shapes():
    parts = {shape: {piece.part for piece in build(shape, "red", random.Random(0)).pieces} for shape in SHAPES}
    assert all("wheel" in parts[shape] for shape in ("car", "bike", "cart"))
    assert "ball" in parts["lamp"] & parts["snowman"] & parts["person"] & parts["ball"]
    assert "box" in parts["car"] & parts["cart"] & parts["box"]


# -------------------------------------------------------------------------------------------------------- splits


def test_things_of_iso_stand_apart_and_keep_apart():
    for index in range(6):
        scene = draw_scene(settings(motion="mixed", objects_min=3), index)
        travels = scene.travels(np.linspace(0, 3, 13))
        for i in range(len(travels)):
            for j in range(i):
                if any(scene.actors[k].coupling for k in (i, j)):
                    continue
                apart = np.linalg.norm(travels[i].place[:, :2] - travels[j].place[:, :2], axis=1).min()
                assert apart >= scene.actors[i].thing.radius + scene.actors[j].thing.radius


def test_every_second_thing_of_contact_touches_its_neighbour():
    """4 cm nearer and they would meet, 4 cm further and they would not."""
    pairs = 0
    for index in range(6):
        scene = draw_scene(settings(split="contact", motion="constant", objects_min=2), index)
        matrices = scene.matrices(scene.times, scene.travels())
        owners = np.array(scene.solids().owners)
        for k in range(1, len(scene.actors), 2):
            for frame in (0, -1):
                one_placed, other_placed = (matrices[frame][owners == number] for number in (k, k + 1))
                one_points, other_points = (
                    _points(scene.actors[n].thing, matrices[frame][owners == n + 1]) for n in (k - 1, k)
                )
                line = scene.travels()[k].place[frame] - scene.travels()[k - 1].place[frame]
                line /= np.linalg.norm(line)
                for shift, expected in ((-0.04, True), (0.04, False)):
                    meets = _any_inside(scene.actors[k - 1].thing, one_placed, other_points + shift * line)
                    meets |= _any_inside(scene.actors[k].thing, other_placed, one_points - shift * line)
                    shapes = [scene.actors[n].thing.shape for n in (k - 1, k)]
                    assert meets == expected, (index, shapes, shift)
                pairs += 1
    assert pairs >= 12


def _points(thing, placed):
    """Points on a thing in the world, corners of boxes too."""
    pose = placed[0] @ np.linalg.inv(thing.pieces[0].rest)
    points = [thing.surface(3000)[0]]
    points += [solids.bounds(0) @ p.rest[:3, :3].T + p.rest[:3, 3] for p in thing.pieces if p.kind == "box"]
    return np.concatenate(points) @ pose[:3, :3].T + pose[:3, 3]


def _any_inside(thing, placed, points):
    for piece, there in zip(thing.pieces, placed):
        back = np.linalg.inv(there)
        if solids.inside(piece.kind, piece.ratio, points @ back[:3, :3].T + back[:3, 3]).any():
            return True
    return False


def test_two_boxes_touch_face_to_face():
    from fieldscape.worlds.street.placing import touching_distance

    one_box, other = (build("box", "red", random.Random(k)) for k in (1, 2))
    found = touching_distance(one_box, other, 0.0, 0.0)
    assert found == pytest.approx((one_box.size[0] + other.size[0]) / 2, abs=1e-9)


def test_nothing_stands_in_a_wall():
    for index in range(8):
        scene = draw_scene(settings(walls=True, objects_min=5), index)
        for actor, go in zip(scene.actors, scene.travels()):
            assert np.abs(go.place[:, 0]).max() + actor.thing.radius <= 7.5


def test_a_thing_of_clutter_is_hidden_by_half():
    for index in range(8):
        scene = draw_scene(settings(split="clutter", objects_min=2), index)
        shares = [covered(scene.actors, k, scene.times[:1], scene.view)[0] for k in range(len(scene.actors))]
        assert max(shares) >= 0.5


@pytest.mark.parametrize("shapes", ["all", "simple", "composite"])
def test_one_shape_shows_only_in_its_split(shapes):
    held = UNSEEN[shapes]
    for split in ("iso", "contact", "clutter", "noise", "mixed"):
        for index in range(5):
            scene = draw_scene(settings(split=split, shapes=shapes, motion="static"), index)
            assert held not in {actor.thing.shape for actor in scene.actors}
    for index in range(10):
        motion = ("static", "mixed")[index % 2]
        scene = draw_scene(settings(split="unseen-shape", shapes=shapes, motion=motion), index)
        assert held in {actor.thing.shape for actor in scene.actors}


def test_noise_has_its_size_its_steps_and_its_gaps():
    depth = np.full((200, 300), 8.0)
    depth[0] = np.inf
    found = noisy(depth, np.random.Generator(np.random.PCG64(1)))
    lost = np.isnan(found)
    assert lost.mean() == pytest.approx(0.05, abs=0.004)
    assert np.isinf(found[0][~lost[0]]).all()
    values = found[1:][~lost[1:]]
    np.testing.assert_allclose(values * 100, np.round(values * 100), atol=1e-9)
    assert (values - 8).std() == pytest.approx(0.08, rel=0.03)


# --------------------------------------------------------------------------------------------------------- files


def test_a_seed_gives_the_same_bytes_whatever_the_workers(tmp_path):
    for name, workers, seed in (("one", 1, 5), ("two", 2, 5), ("other", 1, 6)):
        make_street(asked(out=tmp_path / name, seed=seed, workers=workers, exact=True, split="noise"))
    contents = {name: _bytes(tmp_path / name) for name in ("one", "two", "other")}
    assert contents["one"] == contents["two"]
    assert contents["one"].keys() == contents["other"].keys()
    assert contents["one"]["videos/000000/depth/000000.png"] != contents["other"]["videos/000000/depth/000000.png"]
    assert contents["one"]["videos/000000/depth/000000.png"] != contents["one"]["videos/000001/depth/000000.png"]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_colour_pictures_show_the_things_in_their_colours_the_same_each_time():
    view = Viewpoint("still", (0.0, 0.0, 1.5), math.pi / 2, 0.2, (0.0,) * 3, 0.0, 40.0, 64, 48)
    thing = build("box", "red", random.Random(2))
    scene = Scene(0, "iso", (Actor(thing, "static", Rest((0.0, 3.5, 0.0), 0.0)),), view, np.zeros(1), ())
    chosen = settings_of(asked(color=True))
    first, second = (next(frames(scene, chosen)) for _ in range(2))
    assert (first.color == second.color).all()
    red, green, blue = first.color[first.instance == 1].astype(float).mean(0)
    assert red > 1.8 * max(green, blue)
    sky = first.color[np.isinf(first.depth)].astype(float).mean(0)
    assert sky[2] > sky[0] > 100


def test_depth_of_a_moving_thing_follows_it():
    thing = build("ball", "red", random.Random(2))
    view = Viewpoint("still", (0.0, 0.0, 1.5), math.pi / 2, 0.2, (0.0,) * 3, 0.0, 40.0, 64, 48)
    times = np.array([0.0, 0.7, 1.9])
    scene = Scene(0, "iso", (Actor(thing, "turning", Turn((-0.5, 4.5, 0.0), 0.0, 0.8, 0.5)),), view, times, ())
    for k, frame in enumerate(frames(scene, settings_of(asked()))):
        rows, columns = np.nonzero(frame.instance == 1)
        middle = np.linalg.inv(view.poses(times)[k]) @ [*(scene.travels()[0].place[k] + [0, 0, thing.size[2] / 2]), 1]
        assert columns.mean() + 0.5 == pytest.approx(32 + 40 * middle[0] / middle[2], abs=0.8)
        assert rows.mean() + 0.5 == pytest.approx(24 + 40 * middle[1] / middle[2], abs=0.8)


def test_gaps_and_sky_differ_in_our_layout(tmp_path):
    make_street(asked(out=tmp_path / "out", split="noise", videos=1))
    home = tmp_path / "out" / "videos" / "000000"
    depth = np.array(Image.open(home / "depth" / "000000.png"))
    part = np.array(Image.open(home / "part" / "000000.png"))
    about = json.loads((home / "video.json").read_text())["depth"]
    assert about == {"unit": 0.001, "missing": 0, "sky": 65535}
    assert (depth == 0).mean() == pytest.approx(0.05, abs=0.015)
    assert ((depth == 65535) == ((part == 0) & (depth != 0))).all()
    measured = depth[(depth > 0) & (depth < 65535)]
    assert (measured % 10 == 0).all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"videos": 0}, "--videos 0"),
        ({"frames": 10_001}, "--frames"),
        ({"width": 15}, "--width 15"),
        ({"height": 4097}, "--height"),
        ({"seconds": 0.0}, "--seconds"),
        ({"seconds": float("nan")}, "--seconds"),
        ({"objects_min": 3, "objects_max": 2}, "above"),
        ({"objects_min": 0}, "--objects-min 0"),
        ({"objects_max": 99}, "--objects-max"),
        ({"split": "contact", "objects_min": 1}, "2 things"),
        ({"split": "clutter", "motion": "coupled"}, "3 things"),
        ({"layout": "vkitti2", "seconds": 2.0}, "frame rate"),
        ({"layout": "synthia-sf", "times": "random"}, "frame rate"),
        ({"layout": "synthia-al", "exact": True}, "--exact"),
        ({"shapes": "simple", "motion": "cycles"}, "cycles"),
        ({"shapes": "composite", "motion": "ballistic"}, "thrown"),
        ({"workers": 0}, "--workers"),
        ({"exact": True, "frames": 10_000, "width": 1000, "height": 1000}, "memory"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(changes, says, tmp_path):
    with pytest.raises(BadInput, match=says):
        make_street(asked(out=tmp_path / "out", **changes))
    assert not list(tmp_path.iterdir())
