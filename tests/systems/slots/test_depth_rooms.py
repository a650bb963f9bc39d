"""Depth maps of rooms: cameras that look down, tables and walls put aside, large maps, objects found in two frames."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldscape.cli import run
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.systems.slots import fit
from fieldscape.systems.slots.codec import Slots, encode
from fieldscape.systems.slots.ground import find_ground
from fieldscape.systems.slots.neighbours import Seen, found_again
from fieldscape.systems.slots.objects import objects_of, seen_points, without_slivers
from fieldscape.systems.slots.points import PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.reducing import enlarged, reduced, times_smaller
from fieldscape.systems.slots.scenes import draw_example
from fieldscape.types import Camera

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
FLOOR: Box = ((-9, -9, -1), (9, 9, 0))
WALL: Box = ((-9, 3.4, 0), (9, 4, 3))
TABLE: Box = ((-0.3, 1.5, 0.68), (1.2, 2.5, 0.75))
CUP: Box = ((0.2, 1.7, 0.75), (0.35, 1.85, 0.95))
STOOL: Box = ((-1.2, 1.7, 0), (-0.8, 2.1, 0.5))


def room(boxes: list[Box], tilt: float, width: int = 128, side: float = 0.0, height: float = 1.5) -> DepthMap:
    """Boxes (low and high corner; x right, y ahead, z up) seen from ``height`` by a camera that looks down by ``tilt``
    degrees: exact planar depth, instances numbered by box."""
    rows = width * 3 // 4
    focal, angle = 0.9 * width, math.radians(tilt)
    u = (np.arange(width) + 0.5 - width / 2) / focal
    v = (np.arange(rows) + 0.5 - rows / 2) / focal
    local = np.stack(np.broadcast_arrays(u, v[:, None], 1.0), -1)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[1, 0, 0], [0, -sin, cos], [0, -cos, -sin]], float)
    rays, eye = local @ turn.T, np.array([side, 0.0, height])
    depth, instance = np.full((rows, width), np.inf), np.zeros((rows, width), np.int64)
    for number, (low, high) in enumerate(boxes):
        with np.errstate(divide="ignore", invalid="ignore"):
            one, two = (np.array(low) - eye) / rays, (np.array(high) - eye) / rays
        near, beyond = np.minimum(one, two).max(-1), np.maximum(one, two).min(-1)
        hit = (near < beyond) & (near > 0) & (near < depth)
        depth[hit], instance[hit] = near[hit], number
    pose = torch.eye(4)
    pose[:3, :3], pose[:3, 3] = torch.from_numpy(turn).float(), torch.from_numpy(eye).float()
    known = torch.from_numpy(np.isfinite(depth))
    camera = Camera(pose, torch.full((2,), focal), torch.tensor([width / 2, rows / 2]), width, rows)
    measured = torch.from_numpy(np.where(np.isfinite(depth), depth, 0.0)).float()
    return DepthMap("room", measured, known, ~known, camera, True, 0.0, torch.from_numpy(instance))


ALL = [FLOOR, WALL, TABLE, CUP, STOOL]


@pytest.mark.parametrize("tilt", [10.0, 30.0, 36.0])
def test_the_floor_is_found_however_far_down_the_camera_looks(tilt: float) -> None:
    observed = prepare(room(ALL, tilt), PointSettings(far=5.0))
    up = torch.tensor([0.0, -math.cos(math.radians(tilt)), -math.sin(math.radians(tilt))])
    assert float(observed.normal @ up) > math.cos(math.radians(1))
    assert observed.offset == pytest.approx(-1.5, abs=0.02)
    assert observed.depth_map.instances is not None
    floor = observed.depth_map.instances == 0
    assert float(observed.ground[floor & observed.depth_map.valid].float().mean()) > 0.9
    assert float(observed.ground[~floor].float().mean()) < 0.05


def test_a_table_without_a_floor_gives_the_up_and_is_no_ground() -> None:
    """The wall goes on below the table's top, so that this is not what everything stands on."""
    wide: Box = ((-3, 0.2, 0.6), (3, 2.2, 0.75))
    deep: Box = ((-9, 3.4, -1), (9, 4, 3))
    observed = prepare(room([deep, wide, CUP], 20.0), PointSettings(far=5.0))
    assert float(observed.normal @ torch.tensor([0.0, -math.cos(0.349), -math.sin(0.349)])) > 0.999
    assert observed.offset == pytest.approx(-0.75, abs=0.02)
    assert not observed.ground.any()
    assert observed.depth_map.instances is not None
    assert float(observed.background[observed.depth_map.instances == 1].float().mean()) > 0.85
    assert any("table" in note for note in observed.notes)


def test_large_planes_are_put_aside_and_what_stands_on_them_is_not() -> None:
    depth_map = room(ALL, 30.0)
    instances = depth_map.instances
    assert instances is not None
    plain, some = (prepare(depth_map, PointSettings(far=5.0, walls=0, surfaces=n)) for n in (0, 6))
    for number, low, high in ((1, 0.9, 1.0), (2, 0.7, 1.0), (3, 0.0, 0.2), (4, 0.0, 0.2)):
        share = float(some.background[instances == number].float().mean())
        assert low <= share <= high, (number, share)
    assert not plain.background.any()


def test_nothing_of_a_street_is_taken_for_a_table() -> None:
    for index in range(3):
        observed = prepare(draw_example("contact", 1000, index, samples=0).depth_map, PointSettings(far=14.0))
        assert observed.ground.any()
        assert not observed.notes


def test_ceilings_and_slanted_heaps_are_no_ground() -> None:
    ceiling: Box = ((-9, -9, 2.5), (9, 9, 3))
    depth_map = room([ceiling], -20.0)
    observed = prepare(depth_map, PointSettings(far=9.0))
    assert not observed.ground.any()
    assert observed.offset == pytest.approx(-1.6)
    random = np.random.Generator(np.random.PCG64(0))
    heap = np.stack([random.uniform(-1, 1, (40, 40)), random.uniform(0, 1, (40, 40)), np.full((40, 40), 2.0)], -1)
    heap[..., 2] += random.uniform(0, 2, (40, 40))
    known = np.ones((40, 40), bool)
    found = find_ground(heap, np.zeros_like(heap), known, 0.0, 0)
    assert not found.seen or found.table or found.height > 0.8


def test_smaller_depth_maps_hold_measured_depths_at_the_same_places() -> None:
    large = room(ALL, 30.0, width=512)
    times = times_smaller(large)
    small = reduced(large, times)
    assert times == 4
    assert small.depth.shape == (96, 128)
    direct = room(ALL, 30.0, width=128)
    assert torch.allclose(small.camera.focal, direct.camera.focal)
    assert torch.allclose(small.camera.center, direct.camera.center)
    assert small.instances is not None
    assert direct.instances is not None
    same = small.instances == direct.instances
    assert float(same.float().mean()) > 0.97
    assert float((small.depth - direct.depth)[same].abs().median()) < 0.01
    blocks = large.depth.unfold(0, 4, 4).unfold(1, 4, 4).flatten(2)
    assert bool((blocks == small.depth[..., None]).any(-1).all()), "each depth was measured somewhere in its block"


def test_blocks_of_which_little_is_known_are_unknown() -> None:
    large = room(ALL, 30.0, width=512)
    holes = torch.ones_like(large.valid)
    holes[:4, :4] = False
    holes[0, 0] = True
    small = reduced(replace(large, valid=large.valid & holes), 4)
    assert not small.valid[0, 0]
    assert small.valid[0, 1]
    assert small.depth[0, 0] == 0
    assert reduced(large, 1) is large
    with pytest.raises(ValueError, match="no blocks"):
        reduced(large, 999)


def test_a_block_has_the_lower_median_of_what_is_known_of_it() -> None:
    large = room(ALL, 30.0, width=512)
    depth, valid = large.depth.clone(), torch.ones_like(large.valid)
    depth[:4, :4] = torch.arange(1.0, 17.0).reshape(4, 4)
    valid[0, :3] = False
    assert float(reduced(replace(large, depth=depth, valid=valid, sky=~valid & False), 4).depth[0, 0]) == 10.0


def test_numbers_return_to_the_pixels_of_their_blocks() -> None:
    numbers = torch.tensor([[1, 2], [3, 4]])
    assert enlarged(numbers, 2, 5, 4).tolist() == [[1, 1, 2, 2]] * 2 + [[3, 3, 4, 4]] * 2 + [[0, 0, 0, 0]]


def seen_by(depth_map: DepthMap, names: dict[int, int]) -> Seen:
    """The true objects as found ones. names: box to number."""
    assert depth_map.instances is not None
    pixels = torch.zeros_like(depth_map.instances)
    for box, number in names.items():
        pixels[depth_map.instances == box] = number
    pose = depth_map.camera.pose
    centers = torch.zeros(len(names), 3)
    for box, number in names.items():
        middle = torch.tensor(ALL[box]).mean(0)
        centers[number - 1] = (middle - pose[:3, 3]) @ pose[:3, :3]
    return Seen(pixels, depth_map.depth, centers, depth_map)


def test_objects_are_found_again_from_another_place_whatever_their_numbers() -> None:
    first = seen_by(room(ALL, 30.0), {3: 1, 4: 2})
    second = seen_by(room(ALL, 28.0, side=0.2), {4: 1, 3: 2})
    again = found_again(first, second)
    assert again.numbers.tolist() == [1, 2]
    assert again.found.all()
    assert float(again.overlap.min()) > 0.8
    assert float(again.apart.max()) < 1e-3


def test_what_is_gone_is_not_found_and_what_cannot_be_seen_is_not_looked_for() -> None:
    first = seen_by(room(ALL, 30.0), {3: 1, 4: 2})
    one = seen_by(room(ALL, 30.0), {3: 1})
    again = found_again(first, one)
    assert again.numbers.tolist() == [1, 2]
    assert again.found.tolist() == [True, False]
    assert math.isnan(float(again.apart[1]))
    # From further to the right the stool has left the picture.
    aside = seen_by(room(ALL, 30.0, side=0.5), {3: 1, 4: 2})
    assert found_again(first, aside).numbers.tolist() == [1]
    # Nor is it found in something much larger that swallowed it.
    whole = replace(first, pixels=torch.full_like(first.pixels, 1), centers=first.centers[:1])
    assert not found_again(first, whole).found.any()
    with pytest.raises(BadInput, match="pose"):
        found_again(first, replace(aside, depth_map=replace(aside.depth_map, posed=False)))


def test_large_depth_maps_of_rooms_are_fitted_and_written_at_their_size(tmp_path: Path) -> None:
    import cv2

    large = room(ALL, 30.0, width=324)
    data = tmp_path / "data"
    data.mkdir()
    cv2.imwrite(str(data / "000000.png"), (large.depth.numpy() * 1000).round().astype(np.uint16))
    focal, center = large.camera.focal.tolist(), large.camera.center.tolist()
    out = tmp_path / "out"
    options = [
        "--intrinsics",
        *map(str, [*focal, *center]),
        "--depth-scale",
        "1000",
        "--far",
        str(fit.ROOM - 1),
        "--quiet",
    ]
    small = ["--steps", "10", "--final-steps", "0", "--slots", "4", "--prototypes", "2", "--out", str(out)]
    assert run(["slots", "fit", str(data), "--layout", "plain", *options, *small]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["scene_to_mesh"] < 0.08
    assert report["objects"] >= 2
    assert 0 < report["things_share"] < 0.5
    described = json.loads((out / "objects.json").read_text())
    assert described["camera"]["width"] == 324
    assert described["camera"]["focal"][0] == pytest.approx(focal[0])
    picture = cv2.imread(str(out / "instances.png"))
    assert picture is not None
    assert picture.shape[:2] == (243, 324)
    assert sum(each["pixels"] for each in described["objects"]) > 2000


def test_what_hardly_shows_of_a_thing_is_no_object() -> None:
    """The stool, and a ball behind the wall that one pixel is said to show."""
    observed = prepare(room([FLOOR, WALL, STOOL], 20.0), PointSettings(far=5.0))
    row, column = observed.things.nonzero().unbind(-1)
    stool = seen_points(observed, row, column).mean(0)
    plain = Slots(
        scale=torch.tensor([[0.25], [0.5]]),
        position=torch.stack([stool, torch.tensor([0.0, 1.0, 6.0])]),
        angles=torch.zeros(2, 3),
        logits=torch.zeros(2, 1),
        existence=torch.full((2, 1), 5.0),
        aspect=torch.zeros(2, 3),
    )
    prototypes = Prototypes(1, 2, torch.Generator().manual_seed(0))
    objects = objects_of(encode(plain), prototypes, observed)
    pixels = objects.pixels.clone()
    assert pixels.unique().tolist() == [0, 1]
    pixels[0, 0] = 2
    left = without_slivers(replace(objects, pixels=pixels), observed)
    assert len(left) == 1
    torch.testing.assert_close(left.vertices[0], objects.vertices[0])
    assert torch.equal(left.pixels, objects.pixels)
    # The other way round, the number of what stays follows.
    swapped = torch.where(objects.pixels == 1, 2, 0)
    only = without_slivers(replace(objects, vertices=objects.vertices.flip(0), pixels=swapped), observed)
    torch.testing.assert_close(only.vertices[0], objects.vertices[0])
    assert torch.equal(only.pixels, objects.pixels)
