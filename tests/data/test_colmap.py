"""COLMAP models: both encodings, where models and photos are looked for, lenses, bounds, and damaged files."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from pathlib import Path

import layouts
import numpy as np
import pytest
import sparse_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldscape import cameras
from fieldscape.data import ReadOptions, colmap
from fieldscape.data.colmap_files import MODELS, Intrinsics, Photo, read_model
from fieldscape.errors import BadInput

# Computed by COLMAP 4.2 (Camera.img_from_cam) for the points (0.3, -0.2, 1) and (-0.5, 0.4, 1) in camera axes.
COLMAPS_PIXELS = [
    ("SIMPLE_PINHOLE", (50, 30, 20), [[45.0, 10.0], [5.0, 40.0]]),
    ("PINHOLE", (50, 55, 30, 20), [[45.0, 9.0], [5.0, 42.0]]),
    ("SIMPLE_RADIAL", (50, 30, 20, 0.1), [[45.195, 9.87], [3.975, 40.82]]),
    ("RADIAL", (50, 30, 20, 0.1, -0.05), [[45.1823, 9.8785], [4.1851, 40.6519]]),
    ("OPENCV", (50, 55, 30, 20, 0.1, -0.05, 0.01, -0.02), [[44.8123, 9.1138], [3.0751, 43.5586]]),
    ("OPENCV_FISHEYE", (50, 55, 30, 20, 0.1, -0.05, 0.01, -0.02), [[44.5587, 9.3236], [7.1564, 40.1023]]),
    ("FULL_OPENCV", (50, 55, 30, 20, 0.1, -0.05, 0.01, -0.02, 0.03, 0, 0, 0), [[44.8133, 9.1131], [3.0234, 43.6041]]),
    ("SIMPLE_RADIAL_FISHEYE", (50, 30, 20, 0.1), [[44.5688, 10.2875], [7.0421, 38.3663]]),
    ("RADIAL_FISHEYE", (50, 30, 20, 0.1, -0.05), [[44.5585, 10.2943], [7.1591, 38.2727]]),
    ("SIMPLE_FISHEYE", (50, 30, 20), [[44.3964, 10.4024], [7.7634, 37.7893]]),
    ("FISHEYE", (50, 55, 30, 20), [[44.3964, 9.4426], [7.7634, 39.5682]]),
]


def read(folder, **options):
    return colmap.read(folder, ReadOptions(**options))


def changed(**parts):
    return {**sparse_models.scene(), **parts}


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_poses_put_the_dot_where_the_photos_show_it(tmp_path, kind):
    views = read(sparse_models.capture(tmp_path, kind))
    expected = layouts.opengl_poses(9) * np.array([1, -1, -1, 1])
    np.testing.assert_allclose(views.camera.pose.numpy(), expected, atol=1e-5)
    for i in range(9):
        pixel, _ = cameras.project(views.camera[i], torch.tensor(layouts.DOT, dtype=torch.float32))
        bright = (views.color(i).mean(-1) - 0.25).clamp_min(0)
        y, x = np.mgrid[:36, :48] + 0.5
        seen = torch.tensor([(bright * torch.tensor(x)).sum(), (bright * torch.tensor(y)).sum()]) / bright.sum()
        assert (pixel - seen).abs().max() < 0.1
    assert views.held_out == (0, 8)
    assert views.names[:2] == ("000.png", "001.png")
    assert not views.metric


def test_text_and_binary_say_the_same(tmp_path):
    text = read_model(sparse_models.write_text(tmp_path / "text", sparse_models.scene()))
    binary = read_model(sparse_models.write_binary(tmp_path / "binary", sparse_models.scene()))
    assert text.cameras == binary.cameras
    assert text.photos == binary.photos
    for part in ("positions", "errors", "sighted", "photo"):
        np.testing.assert_array_equal(getattr(text.points, part), getattr(binary.points, part))


def test_every_model_is_tested():
    assert {name for name, _ in MODELS.values()} == {name for name, _, _ in COLMAPS_PIXELS}


@pytest.mark.parametrize(("model", "params", "pixels"), COLMAPS_PIXELS)
def test_lenses_bend_as_colmaps_do(model, params, pixels):
    intrinsics = Intrinsics(model, 60, 40, tuple(float(value) for value in params))
    camera = colmap.camera_of(Photo("a", 1, (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)), intrinsics, "here")
    found, _ = cameras.project(camera, torch.tensor([[0.3, -0.2, 1.0], [-0.5, 0.4, 1.0]]))
    assert torch.allclose(found, torch.tensor(pixels), atol=2e-4)


def test_the_largest_model_is_read_and_named(tmp_path):
    sparse_models.capture(tmp_path)
    model = sparse_models.scene()
    sparse_models.write_text(tmp_path / "sparse" / "1", {**model, "photos": model["photos"][:4]})
    (tmp_path / "sparse" / "0").rename(tmp_path / "sparse" / "2")
    views = read(tmp_path)
    assert len(views) == 9
    assert any("sparse/2" in note and "sparse/1: 4" in note for note in views.notes)


@pytest.mark.parametrize("place", [".", "sparse", "sparse/0", "colmap", "colmap/sparse", "colmap/sparse/0"])
def test_models_are_found_in_the_usual_places(tmp_path, place):
    sparse_models.write_binary(tmp_path / place, sparse_models.scene())
    assert [folder.resolve() for folder in colmap.detect(tmp_path)] == [(tmp_path / place).resolve()]


def test_the_folder_of_the_model_itself_can_be_given(tmp_path):
    sparse_models.capture(tmp_path)
    assert len(read(tmp_path / "sparse" / "0")) == 9


def test_missing_photos_are_dropped_with_a_count(tmp_path):
    sparse_models.capture(tmp_path)
    (tmp_path / "images" / "004.png").unlink()
    views = read(tmp_path)
    assert len(views) == 8
    assert "004.png" not in views.names
    assert any("1 of the 9 listed photos" in note and "004.png" in note for note in views.notes)


def test_no_photos_at_all(tmp_path):
    sparse_models.write_binary(tmp_path / "sparse" / "0", sparse_models.scene())
    with pytest.raises(BadInput, match=r"none of them is in"):
        read(tmp_path)


def test_reduced_photos_scale_the_camera(tmp_path):
    camera = ("PINHOLE", 4 * layouts.WIDTH, 4 * layouts.HEIGHT, (160.0, 160.0, 96.0, 72.0))
    views = read(sparse_models.capture(tmp_path, model=changed(cameras={1: camera}), images="images_4"))
    assert torch.allclose(views.camera.focal, torch.tensor(40.0))
    assert torch.allclose(views.camera.center, torch.tensor([24.0, 18.0]))


def test_downscale_reaches_camera_and_photos(tmp_path):
    views = read(sparse_models.capture(tmp_path), downscale=2)
    assert views.images.shape == (9, 18, 24, 3)
    assert (views.camera.width, views.camera.height) == (24, 18)
    assert torch.allclose(views.camera.focal, torch.tensor(20.0))


def test_each_photo_keeps_its_own_lens(tmp_path):
    photos = [(n, pose, 1 + n % 2, name) for n, pose, _, name in sparse_models.scene()["photos"]]
    radial = ("SIMPLE_RADIAL", layouts.WIDTH, layouts.HEIGHT, (44.0, 24.0, 18.0, 0.1))
    model = changed(photos=photos, cameras={1: sparse_models.PINHOLE, 2: radial})
    views = read(sparse_models.capture(tmp_path, model=model))
    assert views.camera.lens == "brown"
    assert views.camera.focal[:2, 0].tolist() == [44, 40]
    assert views.camera.distortion[:2, 0].tolist() == pytest.approx([0.1, 0])


def test_bounds_are_percentiles_of_what_a_view_sees(tmp_path):
    model = sparse_models.scene()
    lonely = model["photos"][-1][0]
    model["points"] = [(p, error, [n for n in track if n != lonely]) for p, error, track in model["points"]]
    model["points"].append((np.array([0.0, 0, 0]), 0.1, [lonely, 1]))  # too few for this view alone
    views = read(sparse_models.capture(tmp_path, model=model))
    positions = np.array([point for point, _, _ in model["points"]])
    for view, pose in enumerate(layouts.opengl_poses(9)[:-1]):
        seen = positions if view == 0 else positions[:-1]
        z = (seen - pose[:3, 3]) @ -pose[:3, 2]
        np.testing.assert_allclose(views.bounds[view], np.percentile(z, [0.5, 99.5]), rtol=1e-4)
    assert views.bounds[-1].tolist() == [views.bounds[:-1, 0].min(), views.bounds[:-1, 1].max()]


def test_points_seen_once_or_badly_are_left_out(tmp_path):
    near = np.zeros(3)
    points = [(near, 0.5, [1, 2]), (near + 1, 0.5, [1]), (near + 2, 9.0, [1, 2, 3]), (near + 3, -1.0, [3, 4])]
    views = read(sparse_models.capture(tmp_path, model=changed(points=points)))
    assert views.points.tolist() == [[0, 0, 0], [3, 3, 3]]
    assert views.bounds is None


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_model_without_points_still_has_poses(tmp_path, kind):
    sparse_models.capture(tmp_path, kind)
    next((tmp_path / "sparse" / "0").glob("points3D.*")).unlink()
    views = read(tmp_path)
    assert views.points is None
    assert views.bounds is None
    assert any("no surface points" in note for note in views.notes)


def test_map_coordinates_keep_their_detail(tmp_path):
    """A model in map coordinates, 600 km from the origin: single precision would leave steps of 6 cm."""
    offset = np.array([6e5, -5e6, 100.0])
    poses = layouts.opengl_poses(9)
    poses[:, :3, 3] += offset
    photos = [
        (n, pose, 1, name)
        for (n, _, _, name), pose in zip(sparse_models.scene()["photos"], sparse_models.world_to_camera(poses))
    ]
    points = [(point + offset, error, track) for point, error, track in sparse_models.scene()["points"]]
    far = read(sparse_models.capture(tmp_path / "far", model=changed(photos=photos, points=points)))
    near = read(sparse_models.capture(tmp_path / "near"))
    moved = near.camera.position - near.camera.position.mean(0)
    assert torch.allclose(far.camera.position, moved, atol=1e-4)
    assert torch.allclose(far.points, near.points - near.camera.position.mean(0), atol=1e-4)
    assert torch.allclose(far.bounds, near.bounds, atol=1e-3)
    assert any("origin" in note for note in far.notes)


LENS = (layouts.WIDTH, layouts.HEIGHT)
BAD_CAMERAS = {
    "k4 to k6": ("FULL_OPENCV", *LENS, (40, 40, 24, 18, 0.1, 0, 0, 0, 0, 0.1, 0, 0)),
    "FOV": ("FOV", *LENS, (40, 40, 24, 18, 0.9)),
    "above zero": ("SIMPLE_PINHOLE", *LENS, (0, 24, 18)),
    "usable number": ("SIMPLE_PINHOLE", *LENS, (float("nan"), 24, 18)),
    "which cannot be": ("PINHOLE", 0, 5, (40, 40, 24, 18)),
    "aspect ratio": ("PINHOLE", 36, 48, (40, 40, 24, 18)),
}


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("message", BAD_CAMERAS)
def test_impossible_cameras_are_named(tmp_path, kind, message):
    with pytest.raises(BadInput, match=message):
        read(sparse_models.capture(tmp_path, kind, changed(cameras={1: BAD_CAMERAS[message]})))


def with_photo(**fields):
    number, pose, camera, name = sparse_models.scene()["photos"][0]
    entry = {"number": number, "pose": pose, "camera": camera, "name": name, **fields}
    return changed(photos=[tuple(entry.values()), *sparse_models.scene()["photos"][1:]])


BAD_PHOTOS = {
    "listed twice": with_photo(name="001.png"),
    "leads out": with_photo(name="../../secret.png"),
    "absolute path": with_photo(name="/etc/secret.png"),
    "which cameras": with_photo(camera=7),
    "no rotation": with_photo(pose=(0, 0, 0, 0, 1, 2, 3)),
    "rotation and position": with_photo(pose=(1, 0, 0, 0, 1, float("nan"), 3)),
}


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("message", BAD_PHOTOS)
def test_impossible_photos_are_named(tmp_path, kind, message):
    with pytest.raises(BadInput, match=message):
        read(sparse_models.capture(tmp_path, kind, BAD_PHOTOS[message]))


def test_fisheye_and_other_lenses_do_not_mix(tmp_path):
    photos = [(n, pose, 1 + n % 2, name) for n, pose, _, name in sparse_models.scene()["photos"]]
    fisheye = ("FISHEYE", layouts.WIDTH, layouts.HEIGHT, (40, 40, 24, 18))
    with pytest.raises(BadInput, match="fisheye"):
        read(
            sparse_models.capture(
                tmp_path, model=changed(photos=photos, cameras={1: sparse_models.PINHOLE, 2: fisheye})
            )
        )


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("cameras.txt", "1 PINHOLE 48", "is not a camera"),
        ("cameras.txt", "1 PINHOLE 48 36 40 40 24", "4 parameters, not 3"),
        ("cameras.txt", "1 LENSLESS 48 36 40", "LENSLESS"),
        ("images.txt", "1 1 0 0 0 0 0 0 1", "is not a photo"),
        ("images.txt", "1 1 0 0 0 zero 0 0 1 a.png", "line 1 is not a photo"),
        ("points3D.txt", "1 0 0", "is not a point"),
        ("points3D.txt", "1 0 0 inf 1 2 3 0.5 1 2", "finite"),
        ("points3D.txt", "1 0 0 0 1 2 3 0.5 99999999999999999999 2", "is not a point"),
    ],
)
def test_lines_that_say_nothing_are_named(tmp_path, file, line, message):
    folder = sparse_models.write_text(tmp_path, sparse_models.scene())
    (folder / file).write_text(line)
    with pytest.raises(BadInput, match=message):
        read_model(folder)


def test_names_may_hold_spaces(tmp_path):
    model = with_photo(name="my photo.png")
    for kind, write in sparse_models.WRITERS.items():
        assert read_model(write(tmp_path / kind, model)).photos[1].name == "my photo.png"


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin", "points3D.bin"])
def test_absurd_counts_take_no_memory(tmp_path, file):
    folder = sparse_models.write_binary(tmp_path, sparse_models.scene())
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(struct.pack("<Q", 2**62) + content[8:])
    with pytest.raises(BadInput, match="announces"):
        read_model(folder)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_binary_models_are_refused_or_read(data):
    """Cut short anywhere: always refused. A byte changed, or other bytes altogether: refused or read, never a crash."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = sparse_models.write_binary(Path(temporary), sparse_models.scene(3))
        file = folder / data.draw(st.sampled_from(["cameras.bin", "images.bin", "points3D.bin"]))
        content = file.read_bytes()
        damage = data.draw(st.sampled_from(["cut", "change", "replace"]))
        if damage == "cut":
            file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
            with pytest.raises(BadInput):
                read_model(folder)
            return
        if damage == "change":
            at = data.draw(st.integers(0, len(content) - 1))
            content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
        else:
            content = data.draw(st.binary(max_size=200))
        file.write_bytes(content)
        try:
            model = read_model(folder)
        except BadInput:
            return
        assert np.isfinite(model.points.positions).all()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["cameras.txt", "images.txt", "points3D.txt"]), st.text(max_size=60), st.integers(0, 400))
def test_damaged_text_models_are_refused_or_read(file, text, at):
    with tempfile.TemporaryDirectory() as temporary:
        folder = sparse_models.write_text(Path(temporary), sparse_models.scene(3))
        content = (folder / file).read_text()
        (folder / file).write_text(content[:at] + text + content[at:], encoding="utf-8", errors="replace")
        with contextlib.suppress(BadInput):
            assert len(read_model(folder).photos) <= 4
