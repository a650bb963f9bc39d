"""Rooms follow from their seed, differ, hold what living rooms hold, let light in, and leave place for cameras."""

import math
import random
from itertools import combinations

import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.meshes import face_normals, merge, volume
from fieldscape.types import Mesh
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.rooms import plans
from fieldscape.worlds.rooms.arrange import AIR, EYE, Footprint, Site, free_floor, overlap
from fieldscape.worlds.rooms.plans import STYLES, living_room
from fieldscape.worlds.rooms.walls import walls_of

SHEETS = {"floor", "ceiling", "walls", "reveal", "outside"}
SEEDS = range(20)


@pytest.fixture(scope="module")
def rooms():
    return [living_room(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def covered():
    return [plans.footprints(seed) for seed in SEEDS]


def welded(mesh):
    """Faces by places instead of vertices: those doubled at creases become one again."""
    rounded = (mesh.vertices.double() * 1e5).round()
    _, index = torch.unique(rounded, dim=0, return_inverse=True)
    return index[mesh.faces]


def closed(mesh):
    """Whether each edge is run through as often one way as the other."""
    faces = welded(mesh)
    start, end = faces.flatten(), faces.roll(-1, 1).flatten()
    many = int(faces.max()) + 1
    proper = start != end
    there, back = (start * many + end)[proper].sort()[0], (end * many + start)[proper].sort()[0]
    return bool((there == back).all())


# ------------------------------------------------------------------------------------------------ seeds and styles


def test_same_seed_same_parts_whatever_was_made_before(rooms):
    again = living_room(3)
    assert again.lights == rooms[3].lights
    assert again.size == rooms[3].size
    assert [p.name for p in again.parts] == [p.name for p in rooms[3].parts]
    for one, other in zip(again.parts, rooms[3].parts):
        assert torch.equal(one.mesh.vertices, other.mesh.vertices)
        assert torch.equal(one.mesh.faces, other.mesh.faces)
        assert torch.equal(one.mesh.colors, other.mesh.colors) if one.mesh.colors is not None else True


def test_number_of_threads_does_not_matter(rooms):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    again = living_room(5)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)
    assert all(torch.equal(a.mesh.vertices, b.mesh.vertices) for a, b in zip(again.parts, rooms[5].parts))


def test_each_seed_is_another_room(rooms):
    assert len({plan.size for plan in rooms}) == len(rooms)
    assert len({tuple(p.name for p in plan.parts) for plan in rooms}) > 16
    paints = {tuple(p.mesh.colors[0].tolist()) for plan in rooms for p in plan.parts if p.name == "sofa"}
    assert len(paints) > 12


def test_a_seed_may_be_text():
    assert living_room("7 1").size != living_room("7 2").size
    assert living_room("7 1").size == living_room("7 1").size
    assert living_room("4").size == living_room(4).size


@pytest.mark.parametrize("style", STYLES)
def test_each_style_can_be_asked_for_and_is_drawn(style, rooms):
    assert living_room(0, style).style == style
    assert style in {plan.style for plan in rooms}


def test_a_drawn_style_is_the_same_room_as_when_asked_for(rooms):
    again = living_room(2, rooms[2].style)
    assert again.size == rooms[2].size
    assert [p.name for p in again.parts] == [p.name for p in rooms[2].parts]


def test_an_unknown_style_is_refused_by_name():
    with pytest.raises(BadInput, match=r'"baroque".*modern, classic, rustic, nordic'):
        living_room(0, "baroque")


def test_day_and_evening_are_both_drawn(rooms):
    assert {plan.lighting for plan in rooms} == {"day", "lamps"}
    for plan in rooms:
        assert (max(plan.lights.sky) > 3) == (plan.lighting == "day")
        assert plan.lighting == "day" or plan.lights.lamps


# ------------------------------------------------------------------------------------------------ what there is


def test_rooms_are_living_rooms(rooms):
    for plan in rooms:
        names = {p.name for p in plan.parts}
        assert names >= {"floor", "ceiling", "walls", "reveal", "outside", "window", "skirting"}
    shares = {name: sum(any(p.name == name for p in plan.parts) for plan in rooms) / len(rooms) for name in ALL}
    assert shares["sofa"] > 0.95
    assert all(share > 0.35 for name, share in shares.items() if name != "sofa"), shares


ALL = (
    "sofa",
    "table",
    "canvas",
    "frame",
    "lamp shade",
    "rug",
    "leaves",
    "curtain",
    "armchair",
    "door",
    "vase",
    "shelf",
)


def test_sizes_are_those_of_rooms(rooms):
    for plan in rooms:
        x, y, z = plan.size
        assert 3.2 <= min(x, y) <= 6.6
        assert max(x, y) <= 8.1
        assert 2.35 <= z <= 3.1


def test_parts_and_faces_are_few(rooms):
    for plan in rooms:
        assert len(plan.parts) <= 50
        assert 2000 < sum(len(p.mesh.faces) for p in plan.parts) < 45_000


def test_all_is_inside_the_room(rooms):
    for plan in rooms:
        half = torch.tensor([plan.size[0] / 2, plan.size[1] / 2])
        for p in plan.parts:
            if p.name not in ("outside", "window", "reveal", "blind"):
                v = p.mesh.vertices
                assert bool((v[:, :2].abs() < half + 0.02).all()), p.name
                assert float(v[:, 2].min()) > -0.01, p.name
                assert float(v[:, 2].max()) < plan.size[2] + 0.02, p.name


def test_solids_are_closed_and_face_outward(rooms):
    for plan in rooms[:12]:
        for p in plan.parts:
            if p.name not in SHEETS:
                assert closed(p.mesh), p.name
                assert float(volume(Mesh(p.mesh.vertices - p.mesh.vertices.mean(0), p.mesh.faces))) > 0, p.name


def test_normals_are_unit_and_agree_with_the_faces(rooms):
    for plan in rooms[:12]:
        for p in plan.parts:
            assert p.normals is not None, p.name
            assert float((p.normals.norm(dim=-1) - 1).abs().max()) < 1e-3, p.name
            area = face_normals(p.mesh)
            facing = torch.nn.functional.normalize(area, dim=-1)
            cosine = (facing * p.normals[p.mesh.faces].mean(1)).sum(-1)
            assert float((cosine[area.norm(dim=-1) > 1e-8] < 0.1).float().mean()) < 0.005, p.name


def test_sheets_face_the_room(rooms):
    for plan in rooms:
        middle = torch.tensor([0.0, 0.0, plan.size[2] / 2])
        for p in plan.parts:
            if p.name in ("floor", "ceiling", "walls", "outside"):
                a, b, c = p.mesh.vertices[p.mesh.faces].unbind(1)
                toward = middle - (a + b + c) / 3
                assert bool(((face_normals(p.mesh) * toward).sum(-1) > 0).all()), p.name


def test_nobody_can_look_out_of_the_room_except_through_a_window(rooms):
    """From a place with air around it, each ray meets something, and what is outside only beyond a hole."""
    rays = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    for plan in rooms[:12]:
        # High up, where nothing stands; a lamp may hang here, but not hide all directions.
        eye = torch.tensor([0.0, 0.0, 1.9]).expand(len(rays), 3).contiguous()
        hits = caster(merge([p.mesh for p in plan.parts])).first(eye, rays)
        assert bool((hits.face >= 0).all())


# ------------------------------------------------------------------------------------------------ where things stand


def test_things_do_not_stand_in_each_other(covered):
    for seed, spots in enumerate(covered):
        assert len(spots) >= 3
        for one, other in combinations(spots, 2):
            # A chaise is a part of its sofa, and touches it.
            assert not overlap(one, other, -0.02), (seed, one, other)


def test_footprints_cover_what_stands_there(rooms, covered):
    """What is in the room between knee and chest is within some footprint, or flat on a wall."""
    for plan, spots in zip(rooms, covered):
        for p in plan.parts:
            if p.name in ("sofa", "armchair", "shelf", "bench", "dining table", "piano", "stove"):
                v = p.mesh.vertices
                v = v[(v[:, 2] > 0.3) & (v[:, 2] < 1.2)]
                away = torch.tensor([min(f.distance(x, y) for f in spots) for x, y, _ in v[::29].tolist()])
                assert float(away.max()) < 0.12, p.name


def test_a_third_of_the_floor_is_free_for_cameras(rooms, covered):
    for plan, spots in zip(rooms, covered):
        assert free_floor(plan.size, spots) > 1 / 3


def test_air_around_cameras_is_real(rooms, covered):
    """Where footprints promise air at eye height, no surface is within reach."""
    around = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    for seed in range(10):
        plan, spots = rooms[seed], [f for f in covered[seed] if f.solid and f.high > EYE - AIR]
        met = caster(merge([p.mesh for p in plan.parts]))
        rng, tried = random.Random(seed), 0
        while tried < 8:
            x, y = ((rng.random() - 0.5) * (side - 2 * AIR) for side in plan.size[:2])
            if all(f.distance(x, y) > AIR for f in spots):
                tried += 1
                hits = met.first(torch.tensor([x, y, EYE]).expand(300, 3).contiguous(), around)
                assert float(hits.distance.min()) > 0.4, (seed, x, y)


@pytest.mark.parametrize("seed", range(6))
def test_overlap_agrees_with_points_thrown_at_both(seed):
    rng = random.Random(seed)
    for _ in range(40):
        one, other = (
            Footprint(
                rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0, 6), rng.uniform(0.3, 2), rng.uniform(0.3, 2), 1.0
            )
            for _ in range(2)
        )
        c, s = math.cos(one.yaw), math.sin(one.yaw)
        inside = 0
        for i in range(15):
            for k in range(15):
                u, v = (i / 14 - 0.5) * one.width, (k / 14 - 0.5) * one.depth
                inside += other.distance(one.x + c * u - s * v, one.y + s * u + c * v) == 0
        if inside:
            assert overlap(one, other)
        elif not overlap(one, other, 0.15):
            assert inside == 0
    assert overlap(one, one)


def test_things_at_other_heights_do_not_meet():
    table, lamp = Footprint(0, 0, 0, 1, 1, 0.75), Footprint(0, 0, 0, 0.5, 0.5, 2.4, 1.6)
    assert not overlap(table, lamp)


def test_free_floor_closed_form():
    assert free_floor((4.0, 5.0, 2.5), (), 0.05) == pytest.approx(3.0 * 4.0 / 20.0, abs=0.03)
    low = Footprint(0, 0, 0, 4, 5, 0.8)
    assert free_floor((4.0, 5.0, 2.5), (low,), 0.05) == free_floor((4.0, 5.0, 2.5), (), 0.05)
    pillar = Footprint(0, 0, 0.3, 0.01, 0.01, 2.5)
    lost = free_floor((4.0, 5.0, 2.5), (), 0.05) - free_floor((4.0, 5.0, 2.5), (pillar,), 0.05)
    assert lost == pytest.approx(math.pi * AIR**2 / 20.0, rel=0.1)


def test_walls_turn_the_room_once_around():
    site = Site((4.0, 6.0, 2.5), random.Random(0))
    for wall in site.walls:
        x, y = wall.at(0.0, wall.distance)
        assert (x, y) == pytest.approx((0.0, 0.0))
        assert max(abs(v) / side for v, side in zip(wall.at(0.0, 0.0), site.size)) == pytest.approx(0.5)
        moving = torch.tensor([0.7, 0.4, 0.0, 1.0])
        assert (wall.matrix(0.0) @ moving)[:2].tolist() == pytest.approx(wall.at(0.7, 0.4), abs=1e-6)
    ends = [wall.at(wall.length / 2, 0.0) for wall in walls_of((4.0, 6.0, 2.5))]
    starts = [wall.at(-wall.length / 2, 0.0) for wall in walls_of((4.0, 6.0, 2.5))]
    assert [pytest.approx(p) for p in ends] == starts[1:] + starts[:1]


# ------------------------------------------------------------------------------------------------ light


def test_openings_are_in_the_walls_and_point_inward(rooms):
    for plan in rooms:
        assert 1 <= len(plan.lights.openings) <= 6
        for opening in plan.lights.openings:
            corner, u, v = (torch.tensor(t) for t in (opening.corner, opening.u, opening.v))
            inward = torch.linalg.cross(u, v)
            middle = corner + (u + v) / 2
            assert float(inward @ (torch.tensor([0.0, 0.0, float(middle[2])]) - middle)) > 0
            side = int(inward.abs().argmax())
            assert 0.05 < abs(float(middle[side])) - plan.size[side] / 2 < 0.25
            # There is a hole in that wall.
            holes = torch.cat([p.mesh.vertices for p in plan.parts if p.name == "reveal"])
            assert float(holes[:, side].abs().max()) > plan.size[side] / 2


def test_light_comes_in_by_day_and_from_lamps(rooms):
    day = [plan for plan in rooms if plan.lighting == "day"][:3]
    evening = [plan for plan in rooms if plan.lighting == "lamps"][:3]
    for plan in (*day, *evening):
        red, green, blue = lit(plan.parts, plan.lights, probes=150).ambient
        assert min(red, green, blue) > 0.03
        assert 0.4 < red / green < 2.5
        assert 0.2 < blue / green < 2.5


def test_the_sun_shines_through_a_window(rooms):
    sunny = [plan for plan in rooms if any(plan.lights.sun)]
    assert len(sunny) >= 4
    for plan in sunny:
        sun = torch.tensor(plan.lights.sun_direction)
        inward = [torch.linalg.cross(torch.tensor(o.u), torch.tensor(o.v)) for o in plan.lights.openings]
        assert min(float(n @ sun) for n in inward) < 0
