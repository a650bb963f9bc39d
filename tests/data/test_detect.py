"""Every layout gives the same views: the dot of the photos is where the cameras say."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from dataclasses import replace

import layouts
import numpy as np
import pytest
import torch
from PIL import Image

import fieldscape.data
from fieldscape import cameras
from fieldscape.data import ReadOptions, describe, fingerprint, read
from fieldscape.errors import BadInput

WRITERS = {
    "tinynerf": layouts.write_tinynerf,
    "transforms": layouts.write_transforms,
    "blender": layouts.write_blender,
    "llff": layouts.write_llff,
    "llff, photos smaller": lambda folder: layouts.write_llff(folder, shrink=4.0, images="images_4"),
}


@pytest.fixture(autouse=True)
def no_colmap(monkeypatch):
    """COLMAP models and bare photos have their own tests; here nothing is one."""
    stub = types.ModuleType("fieldscape.data.colmap")
    stub.detect = lambda path: None
    monkeypatch.setitem(sys.modules, "fieldscape.data.colmap", stub)
    monkeypatch.setattr(fieldscape.data, "colmap", stub, raising=False)


def dot_error(views) -> float:
    """The largest distance in pixels between where the dot is seen and where the cameras project it."""
    bright = views.color(slice(None))[..., 0] if views.images.shape[-1] == 3 else views.images[..., 3].float()
    weight = (bright - bright.flatten(1).median(1).values[:, None, None]).clamp_min(0)
    weight = torch.where(weight > 0.1 * weight.amax((1, 2), keepdim=True), weight, 0.0)
    y, x = torch.meshgrid(torch.arange(bright.shape[1]) + 0.5, torch.arange(bright.shape[2]) + 0.5, indexing="ij")
    seen = torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], -1) / weight.sum((1, 2))[:, None]
    point = torch.tensor(layouts.DOT, dtype=torch.float32).expand(len(views), 3)
    pixels, depth = cameras.project(views.camera, point)
    assert bool((depth > 0).all())
    return float((pixels - seen).norm(dim=-1).max())


@pytest.mark.parametrize("layout", WRITERS)
@pytest.mark.parametrize("downscale", [1, 2, 1.5])
def test_the_dot_is_where_the_cameras_say(tmp_path, layout, downscale):
    WRITERS[layout](tmp_path)
    views = read(tmp_path, ReadOptions(downscale=downscale))
    assert (views.camera.width, views.camera.height) == (48 / downscale, 36 / downscale)
    assert views.images.shape[1:3] == (36 / downscale, 48 / downscale)
    assert dot_error(views) < 0.12


def test_the_dot_test_can_fail(tmp_path):
    views = read(layouts.write_transforms(tmp_path))
    assert dot_error(replace(views, camera=replace(views.camera, center=views.camera.center + 0.5))) > 0.5
    assert dot_error(replace(views, images=views.images.flip(2))) > 0.5


@pytest.mark.parametrize("layout", WRITERS)
def test_cameras_are_valid_and_splits_disjoint(tmp_path, layout):
    WRITERS[layout](tmp_path)
    views = read(tmp_path)
    rotation = views.camera.pose[:, :3, :3]
    assert torch.allclose(rotation.mT @ rotation, torch.eye(3).expand_as(rotation), atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(len(views)))
    assert sorted([*views.train, *views.held_out]) == list(range(len(views)))
    assert views.held_out
    assert len(views.names) == len(set(views.names)) == len(views)
    assert describe(views)


def test_a_file_can_be_named_itself(tmp_path):
    tiny = layouts.write_tinynerf(tmp_path)
    folder = layouts.write_transforms(tmp_path / "posed")
    assert len(read(tiny)) == len(read(folder / "transforms.json")) == 9
    blender = layouts.write_blender(tmp_path / "synthetic")
    assert len(read(str(blender / "transforms_train.json"))) == 6


def test_nothing_fits(tmp_path):
    with pytest.raises(BadInput, match=r"Looked for: transforms_train.json, transforms.json, poses_bounds.npy"):
        read(tmp_path)
    with pytest.raises(BadInput, match="no folder or file"):
        read(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"notes\.txt"):
        read(tmp_path / "notes.txt")


def test_two_formats_in_one_folder_are_told(tmp_path):
    layouts.write_transforms(layouts.write_llff(tmp_path))
    views = read(tmp_path)
    assert views.names[0] == "images/0000.png"
    assert any("LLFF" in note and "not used" in note for note in views.notes)


def test_bare_photos_and_videos_go_to_structure_from_motion(tmp_path, monkeypatch):
    views, asked = read(layouts.write_tinynerf(tmp_path)), []
    stub = types.ModuleType("fieldscape.data.photos")
    stub.read = lambda path, options, progress, quiet: asked.append(path) or views
    monkeypatch.setitem(sys.modules, "fieldscape.data.photos", stub)
    monkeypatch.setattr(fieldscape.data, "photos", stub, raising=False)
    bare = tmp_path / "bare"
    layouts.write_photos(bare, ["a.png", "b.png"], layouts.photos(layouts.opengl_poses(2)))
    layouts.write_photos(tmp_path / "inner", ["images/a.png"], layouts.photos(layouts.opengl_poses(1)))
    (tmp_path / "clip.MP4").touch()
    for path in (bare, tmp_path / "inner", tmp_path / "clip.MP4"):
        assert read(path) is views
        assert asked[-1] == path


@pytest.mark.parametrize(
    "options",
    [ReadOptions(downscale=0.5), ReadOptions(downscale=float("nan")), ReadOptions(holdout=1), ReadOptions(holdout=-2),
     ReadOptions(channels=-1), ReadOptions(downscale=float("inf"))],
)  # fmt: skip
def test_impossible_options(tmp_path, options):
    with pytest.raises(BadInput, match="--"):
        read(layouts.write_transforms(tmp_path), options)


def test_holdout_zero_and_two(tmp_path):
    folder = layouts.write_transforms(tmp_path)
    assert read(folder, ReadOptions(holdout=0)).held_out == ()
    assert read(folder, ReadOptions(holdout=2)).held_out == (0, 2, 4, 6, 8)


def test_progress_counts_every_photo(tmp_path):
    seen = []
    read(layouts.write_transforms(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 9) for i in range(1, 10)]


def test_fingerprint_follows_the_data(tmp_path):
    first = layouts.write_transforms(tmp_path / "a")
    views = read(first)
    same = fingerprint(read(layouts.write_transforms(tmp_path / "b")))
    assert fingerprint(views) == same
    images, pose = views.images.clone(), views.camera.pose.clone()
    images[3, 5, 7, 1] += 1
    pose[2, 0, 3] += 1e-3
    assert fingerprint(replace(views, images=images)) != same
    assert fingerprint(replace(views, camera=replace(views.camera, pose=pose))) != same
    assert fingerprint(replace(views, names=("other", *views.names[1:]))) != same
    assert fingerprint(replace(views, held_out=())) != same
    assert fingerprint(replace(views, notes=("a note",))) == same


def test_constant_borders_are_found(tmp_path):
    poses = layouts.opengl_poses(9)
    for color, word in ((255, "white"), (0, "black"), (128, None)):
        pictures = np.full((9, 36, 48, 3), color, np.uint8)
        pictures[:, 10:20, 10:20] = np.random.default_rng(0).integers(0, 255, (9, 10, 10, 3))
        file = layouts.write_tinynerf(tmp_path, images=pictures, poses=poses.astype(np.float32))
        views = read(file)
        assert views.background == {"white": (1.0,) * 3, "black": (0.0,) * 3, None: None}[word]
        assert any(f"borders of all photos are {word}" in note for note in views.notes) == (word is not None)
        assert read(file, ReadOptions(background="white")).background == (1.0, 1.0, 1.0)


def test_a_thin_dark_rim_is_no_background(tmp_path):
    pictures = np.random.default_rng(0).integers(40, 255, (9, 72, 96, 3)).astype(np.uint8)
    for edge in (np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1]):
        pictures[edge] = 0
    assert read(layouts.write_tinynerf(tmp_path, images=pictures)).background is None


def test_options_import_no_torch():
    code = "import sys, fieldscape.data.options, fieldscape.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_unequal_sizes_name_both_photos(tmp_path):
    folder = layouts.write_transforms(tmp_path)
    Image.new("RGB", (20, 10)).save(folder / "images/0004.png")
    with pytest.raises(BadInput, match=r"0000.png is 48 x 36 and .*0004.png is\s+20 x 10"):
        read(folder)


def test_one_view_is_not_enough(tmp_path):
    meta = layouts.transforms(9)
    meta["frames"] = meta["frames"][:1]
    with pytest.raises(BadInput, match="at least 2"):
        read(layouts.write_transforms(tmp_path, meta=meta))
    meta["frames"] = layouts.transforms(9)["frames"][:2]
    (tmp_path / "transforms.json").write_text(json.dumps(meta))
    with pytest.raises(BadInput, match="1 is held out"):
        read(tmp_path)
    assert len(read(tmp_path, ReadOptions(holdout=0))) == 2
