"""Photos of many rooms: the truth kept aside is that of the photo, and the database holds the same photos."""

import io
import json

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.cameras import image_rays, require_valid_poses
from fieldscape.errors import BadInput
from fieldscape.types import Camera
from fieldscape.worlds.daylight import lit
from fieldscape.worlds.rooms.photos import LSUN_NAME, PhotoSettings, write_photos
from fieldscape.worlds.rooms.plans import STYLES, living_room

COUNT = 6
SETTINGS = PhotoSettings(32, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("rooms") / "rooms"
    assert write_photos(out, COUNT, SETTINGS, workers=1)
    return out


@pytest.fixture(scope="module")
def truth(folder):
    return json.loads((folder / "truth" / "cameras.json").read_text())["photos"]


def camera_of(record):
    return Camera(torch.tensor(record["pose"]), torch.tensor(record["focal"]), torch.tensor(record["center"]), 32, 32)


def test_what_is_there(folder, truth):
    assert sorted(p.name for p in folder.iterdir()) == sorted(["photos", "truth", LSUN_NAME, "world.json"])
    names = [f"{i:06d}.png" for i in range(COUNT)]
    assert sorted(p.name for p in (folder / "photos").iterdir()) == names
    assert sorted(p.name for p in (folder / "truth" / "depth").iterdir()) == names
    assert sorted(truth) == names
    assert all(Image.open(folder / "photos" / name).size == (32, 32) for name in names)


def test_depth_and_pose_are_those_of_the_room(folder, truth):
    """The room is made anew and looked at from the stored pose."""
    for index in (0, COUNT - 1):
        record = truth[f"{index:06d}.png"]
        plan = living_room(f"{SETTINGS.seed} {index}", SETTINGS.style)
        assert record["room"]["style"] == plan.style
        camera = camera_of(record)
        rays = image_rays(camera).reshape(-1)
        distance = lit(plan.parts, plan.lights).caster.first(rays.origins, rays.directions).distance
        planar = (distance * (rays.directions @ camera.forward)).reshape(32, 32)
        stored = np.array(Image.open(folder / "truth" / "depth" / f"{index:06d}.png")).astype(np.float32) / 1000
        torch.testing.assert_close(torch.from_numpy(stored), planar, atol=6e-4, rtol=0)


def test_the_camera_is_inside_near_eye_height_and_looks_at_things(folder, truth):
    for record in truth.values():
        camera = camera_of(record)
        x, y, z = camera.position.tolist()
        size = record["room"]["size"]
        assert abs(x) < size[0] / 2 - 0.3
        assert abs(y) < size[1] / 2 - 0.3
        assert 1.0 < z < 1.75
        degrees = 2 * np.degrees(np.arctan(16 / record["focal"][0]))
        assert 44.9 < degrees < 75.1
        assert abs(float(camera.pose[2, 0])) < 1e-5  # level: the camera's x axis is horizontal
        assert len(record["room"]["shown"]) > 4
    poses = torch.stack([camera_of(record).pose for record in truth.values()])
    require_valid_poses(poses, tuple(truth), "the rooms")


def test_the_database_is_as_lsuns_are(folder):
    with lmdb.open(str(folder / LSUN_NAME), readonly=True, lock=False) as environment, environment.begin() as read:
        values = {key.decode(): bytes(value) for key, value in read.cursor()}
    assert len(values) == COUNT
    assert all(len(key) == 40 and int(key, 16) >= 0 for key in values)
    photos = [np.array(Image.open(path)).astype(float) for path in sorted((folder / "photos").iterdir())]
    for value in values.values():
        assert value[:4] == b"RIFF"
        assert value[8:12] == b"WEBP"
        picture = np.array(Image.open(io.BytesIO(value)).convert("RGB")).astype(float)
        assert min(np.abs(picture - photo).mean() for photo in photos) < 8  # WebP loses a little


def test_the_same_whatever_the_workers_and_different_with_another_seed(folder, tmp_path):
    assert write_photos(tmp_path / "again", COUNT, SETTINGS, workers=2)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("lock.mdb", "world.json"):
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), path.name
    assert write_photos(tmp_path / "other", 1, PhotoSettings(32, 6), workers=1)
    first = "photos/000000.png"
    assert (folder / first).read_bytes() != (tmp_path / "other" / first).read_bytes()


def test_numbers_that_make_no_photos_are_refused(tmp_path):
    for count, settings, said in (
        (0, SETTINGS, "choose 1"),
        (1, PhotoSettings(2, 0), "choose 8"),
        (1, PhotoSettings(32, 0, "gothic"), STYLES[0]),
    ):
        with pytest.raises(BadInput, match=said):
            write_photos(tmp_path / "out", count, settings)
    assert list(tmp_path.iterdir()) == []
