"""The SRN layout: where cameras stand, what the text files say, and that pictures, masks and poses belong together."""

from __future__ import annotations

import math
import random

import pytest
import torch
from PIL import Image

from fieldscape.cameras import project
from fieldscape.errors import BadInput
from fieldscape.files import read_json
from fieldscape.meshes import box
from fieldscape.worlds import batches
from fieldscape.worlds.cars import objects
from fieldscape.worlds.cars.car import car
from fieldscape.worlds.cars.make import MakeCarsOptions, make_cars
from fieldscape.worlds.cars.objects import ObjectSettings
from fieldscape.worlds.cars.srn import RADIUS, WHITE, camera, intrinsics, poses, spiral_eyes, studio, view, write_object
from fieldscape.worlds.shading import Part, render
from fieldscape.worlds.textures import plain


@pytest.mark.parametrize(("way", "count"), [("random", 60), ("spiral", 250), ("auto", 7), ("random", 1), ("spiral", 1)])
def test_cameras_stand_on_the_sphere_and_look_at_the_origin_upright(way, count) -> None:
    views = poses(count, way, random.Random("a"))
    turn, eye = views[:, :3, :3], views[:, :3, 3]
    assert views.shape == (count, 4, 4)
    assert torch.allclose(eye.norm(dim=-1), torch.full((count,), RADIUS, dtype=torch.float64))
    # The optical axis, third column, leads from the eye to the origin.
    assert torch.allclose(eye + RADIUS * turn[:, :, 2], torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(turn @ turn.mT, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(torch.linalg.det(turn), torch.ones(count, dtype=torch.float64))
    # The image's x axis is level and its y axis, second column, points down.
    assert float(turn[:, 2, 0].abs().max()) < 1e-12
    assert float(turn[:, 2, 1].max()) < 0


def test_random_cameras_fill_the_sphere_evenly() -> None:
    z = poses(4000, "random", random.Random("b"))[:, 2, 3] / RADIUS
    # Areas of a sphere between two heights are as the heights (Archimedes): each tenth of z holds a tenth.
    counts = torch.histc(z, 10, -1, 1)
    assert float((counts - 400).abs().max()) < 80
    few = poses(50, "auto", random.Random("c"))[:, 2, 3]
    assert bool((few > 0.1).any())
    assert bool((few < -0.1).any())


def test_the_spiral_leaves_no_gap_and_crowds_nowhere() -> None:
    eyes = spiral_eyes(250) / RADIUS
    distance = torch.cdist(eyes, eyes) + 9 * torch.eye(250)
    even = math.sqrt(4 * math.pi / 250)
    assert float(distance.amin(1).min()) > 0.45 * even
    anywhere = torch.nn.functional.normalize(
        torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)).double(), dim=-1
    )
    assert float(torch.cdist(anywhere, eyes).amin(1).max()) < even
    # It is a spiral: it goes down steadily, and each step turns the same way.
    assert bool((eyes[:, 2].diff() < 0).all())
    side = eyes[:-1, 0] * eyes[1:, 1] - eyes[:-1, 1] * eyes[1:, 0]
    assert bool((side[5:-5] > 0).all())


def test_auto_is_random_for_few_views_and_a_spiral_for_many() -> None:
    assert torch.equal(poses(100, "auto", random.Random("d")), poses(100, "random", random.Random("d")))
    assert torch.equal(poses(101, "auto", random.Random("d")), poses(101, "spiral", random.Random("e")))


def test_intrinsics_read_as_the_original() -> None:
    assert intrinsics(128) == "131.250000 64.000000 64.000000 0.\n0. 0. 0.\n1.\n128 128\n"
    assert intrinsics(512).startswith("525.000000 256.000000 256.000000 0.\n")


def test_a_written_view_shows_the_object_where_its_pose_says(tmp_path) -> None:
    made = car(5, 0)
    views = poses(3, "random", random.Random("f"))
    write_object(tmp_path / "a", studio(made.parts), made.diagonal, views, 64)
    points = torch.cat([part.mesh.vertices[part.mesh.faces.unique()] for part in made.parts]) / made.diagonal
    for k in range(3):
        row = (tmp_path / "a" / "pose" / f"{k:06d}.txt").read_text().split()
        pose = torch.tensor([float(value) for value in row]).reshape(4, 4)
        focal, cx, cy, _ = map(float, (tmp_path / "a" / "intrinsics.txt").read_text().splitlines()[0].split())
        seen = camera(pose, 64)
        assert (float(seen.focal[0]), float(seen.center[0]), float(seen.center[1])) == (focal, cx, cy)
        pixels, _ = project(seen, points)
        with Image.open(tmp_path / "a" / "mask" / f"{k:06d}.png") as file:
            left, top, right, bottom = file.getbbox()
            assert file.mode == "L"
            assert file.size == (64, 64)
        low, high = pixels.amin(0), pixels.amax(0)
        assert abs(float(low[0]) - left) < 1.5
        assert abs(float(low[1]) - top) < 1.5
        assert abs(float(high[0]) - right) < 1.5
        assert abs(float(high[1]) - bottom) < 1.5


def test_a_window_shows_what_the_whole_picture_does() -> None:
    made = car(5, 1)
    world = studio(made.parts)
    for pose in poses(3, "random", random.Random("h")):
        seen = camera(pose, 64, made.diagonal)
        color, alpha = view(world, seen)
        whole = render(world, seen, behind=WHITE)
        assert torch.equal(alpha, whole.alpha)
        assert float((color - whole.color).abs().mean()) < 0.002
    near = camera(poses(1, "random", random.Random("h"))[0], 64, 0.5 * made.diagonal)  # larger than the picture
    assert torch.equal(view(world, near)[1], render(world, near, behind=WHITE).alpha)


def test_the_background_is_white_and_the_mask_says_where(tmp_path) -> None:
    black = Part("box", box((0.5, 0.4, 0.3)), plain((0.01, 0.01, 0.01), 0.0), torch.eye(4))
    write_object(tmp_path / "b", studio([black]), 0.7071, poses(2, "random", random.Random("g")), 32)
    with Image.open(tmp_path / "b" / "rgb" / "000000.png") as file:
        assert file.mode == "RGB"
        color = torch.tensor(list(file.get_flattened_data() if hasattr(file, "get_flattened_data") else file.getdata()))
    with Image.open(tmp_path / "b" / "mask" / "000000.png") as file:
        mask = torch.tensor(list(file.tobytes()))
    assert bool((color[mask == 0] == 255).all())
    assert bool((color[mask == 255] < 90).all())
    assert 0.02 < float((mask == 255).float().mean()) < 0.9


def everything(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_seed_decides_every_byte(tmp_path, capsys) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_cars(MakeCarsOptions(tmp_path / name, objects=1, views=3, size=32, seed=seed, workers=1, quiet=True))
    first, second, third = (everything(tmp_path / name) for name in "abc")
    assert first == second
    assert first.keys() == third.keys()
    assert first["car-000000/rgb/000001.png"] != third["car-000000/rgb/000001.png"]
    assert first["objects.json"] != third["objects.json"]  # another car, not only other views
    assert set(first) == {
        "world.json", "objects.json", "car-000000/intrinsics.txt",
        *(f"car-000000/{part}/{k:06d}.{end}" for part, end in (("rgb", "png"), ("pose", "txt"), ("mask", "png"))
          for k in range(3)),
    }  # fmt: skip
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"1 car with 3 views each in {tmp_path / 'a'}"


def test_objects_are_described(tmp_path) -> None:
    make_cars(MakeCarsOptions(tmp_path / "a", objects=2, views=1, size=16, workers=1, quiet=True))
    told = read_json(tmp_path / "a" / "objects.json")["objects"]
    assert list(told) == ["car-000000", "car-000001"]
    for one in told.values():
        assert {"family", "paint", "color", "length", "width", "height", "faces"} <= set(one)


def test_work_that_goes_on_ends_as_work_that_was_never_interrupted(tmp_path, monkeypatch) -> None:
    options = MakeCarsOptions(tmp_path / "whole", objects=3, views=2, size=16, workers=1, quiet=True)
    make_cars(options)
    honest = objects.make_car

    def fails_at_two(settings: ObjectSettings, folder, index: int) -> None:
        if index == 1:
            (folder / "half").mkdir()
            raise KeyboardInterrupt
        honest(settings, folder, index)

    monkeypatch.setattr(objects, "make_car", fails_at_two)
    parts = MakeCarsOptions(tmp_path / "parts", objects=3, views=2, size=16, workers=1, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        make_cars(parts)
    assert not (tmp_path / "parts").exists()
    monkeypatch.setattr(objects, "make_car", honest)
    make_cars(parts)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")
    assert batches.DONE not in everything(tmp_path / "parts")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"objects": 0}, "--objects is 0; it has to be from 1 to 100000"),
        ({"objects": 100_001}, "--objects is 100001"),
        ({"views": 0}, "--views is 0; it has to be from 1 to 1000"),
        ({"views": 1001}, "--views is 1001"),
        ({"size": 15}, "from 16 to 2048 pixels"),
        ({"size": 2049}, "from 16 to 2048 pixels"),
        ({"workers": 0}, "--workers is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, changed, told) -> None:
    with pytest.raises(BadInput, match=told):
        make_cars(MakeCarsOptions(tmp_path / "a", **changed))
    assert not list(tmp_path.iterdir())
