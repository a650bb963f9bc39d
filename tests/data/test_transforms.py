"""transforms.json and its Blender forebear: lenses, sizes, splits, masks, depth, and all that can be wrong."""

from __future__ import annotations

import json
import math
import struct
import zlib

import layouts
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape import cameras
from fieldscape.data import ReadOptions, blender, transforms
from fieldscape.errors import BadInput

WHOLE = ReadOptions(holdout=0)


def read(folder, options=WHOLE, **changed):
    """The small data set with fields of its file changed; None removes one."""
    meta = {**layouts.transforms(), **changed}
    layouts.write_transforms(folder, meta={key: value for key, value in meta.items() if value is not None})
    return transforms.read(folder, options)


def frames(**changed):
    """The frames with fields of frame 3 changed."""
    made = layouts.transforms()["frames"]
    made[3] = {key: value for key, value in {**made[3], **changed}.items() if value is not None}
    return made


def test_poses_come_back_with_opencv_axes(tmp_path):
    views = read(tmp_path)
    expected = layouts.opengl_poses(9) * np.array([1, -1, -1, 1])
    np.testing.assert_allclose(views.camera.pose.numpy(), expected, atol=1e-6)
    assert views.names[2] == "images/0002.png"
    np.testing.assert_array_equal(views.images.numpy(), layouts.photos(layouts.opengl_poses(9)))


def test_focal_lengths(tmp_path):
    angle_x, angle_y = 2 * math.atan(24 / 40), 2 * math.atan(18 / 30)
    cases = [
        ({"fl_y": None}, (40, 40)),
        ({"fl_x": None, "fl_y": 30}, (30, 30)),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": angle_x}, (40, 40)),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": angle_x, "camera_angle_y": angle_y}, (40, 30)),
        ({"fl_x": None, "fl_y": None, "x_fov": math.degrees(angle_x)}, (40, 40)),
        ({"camera_angle_x": 0.1}, (40, 40)),
    ]
    for changed, expected in cases:
        assert torch.allclose(read(tmp_path, **changed).camera.focal, torch.tensor(expected, dtype=torch.float32))


def test_a_frame_goes_before_the_file(tmp_path):
    views = read(tmp_path, frames=frames(fl_x=50, cx=20.5, k1=0.1))
    assert views.camera.focal[3].tolist() == [50, 40]
    assert views.camera.center[3].tolist() == [20.5, 18]
    assert views.camera.focal[2].tolist() == [40, 40]
    assert views.camera.lens == "brown"
    assert views.camera.distortion[3].tolist() == pytest.approx([0.1, 0, 0, 0, 0])
    assert not views.camera.distortion[2].any()


def test_lenses(tmp_path):
    brown = read(tmp_path, k1=0.1, k2=0.2, p1=0.3, p2=0.4, k3=0.5).camera
    assert brown.lens == "brown"
    assert brown.distortion[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    for changed in ({"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}):
        fisheye = read(tmp_path, k1=0.1, k2=0.2, k3=0.3, k4=0.4, **changed).camera
        assert fisheye.lens == "fisheye"
        assert fisheye.distortion[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert read(tmp_path, camera_model="SIMPLE_RADIAL", k1=0.1).camera.lens == "brown"
    assert read(tmp_path, camera_model="PINHOLE").camera.lens == "pinhole"
    assert read(tmp_path, k1=0, k2=0.0).camera.lens == "pinhole"
    for changed in ({"camera_model": "EQUIRECTANGULAR"}, {"camera_model": "FULL_OPENCV"}, {"equirectangular": True}):
        with pytest.raises(BadInput, match="not supported"):
            read(tmp_path, **changed)
    with pytest.raises(BadInput, match="k4"):
        read(tmp_path, k1=0.1, k4=0.1)
    with pytest.raises(BadInput, match="fisheye"):
        read(tmp_path, frames=frames(camera_model="OPENCV_FISHEYE"))


def test_intrinsics_of_another_size_are_scaled(tmp_path):
    views = read(tmp_path, w=480, h=360, fl_x=400, fl_y=410, cx=250, cy=170)
    assert (views.camera.width, views.camera.height) == (48, 36)
    assert views.camera.focal[0].tolist() == pytest.approx([40, 41])
    assert views.camera.center[0].tolist() == pytest.approx([25, 17])
    with pytest.raises(BadInput, match="aspect ratio"):
        read(tmp_path, w=360, h=480)


def test_missing_photos_are_left_out_and_counted(tmp_path):
    made = frames()
    for index in (1, 5):
        made[index]["file_path"] = f"images/gone_{index}.png"
    views = read(tmp_path, frames=made)
    assert len(views) == 7
    assert any("2 of the 9" in note and "gone_1" in note for note in views.notes)
    expected = np.delete(layouts.opengl_poses(9), [1, 5], 0) * np.array([1, -1, -1, 1])
    np.testing.assert_allclose(views.camera.pose.numpy(), expected, atol=1e-6)
    with pytest.raises(BadInput, match="none of the 9"):
        read(tmp_path, frames=[{**frame, "file_path": f"x{i}.png"} for i, frame in enumerate(made)])


def test_names_without_extension_and_in_windows_spelling(tmp_path):
    made = frames()
    for frame in made:
        frame["file_path"] = ".\\" + frame["file_path"].removesuffix(".png").replace("/", "\\")
    assert read(tmp_path, frames=made).names[3] == "images/0003"


def test_views_are_in_order_of_name(tmp_path):
    views = read(tmp_path, ReadOptions(), frames=frames()[::-1])
    assert list(views.names) == sorted(views.names)
    assert views.held_out == (0, 8)
    np.testing.assert_array_equal(views.images.numpy(), layouts.photos(layouts.opengl_poses(9)))


def test_the_files_own_split(tmp_path):
    names = [frame["file_path"] for frame in frames()]
    views = read(tmp_path, ReadOptions(), train_filenames=names[:5], test_filenames=names[6:8])
    assert views.names == tuple(names[:5] + names[6:8])
    assert views.held_out == (5, 6)
    assert any("2 photos are in no split" in note for note in views.notes)
    assert read(tmp_path, test_filenames=[names[4]]).held_out == (4,)
    with pytest.raises(BadInput, match="both"):
        read(tmp_path, train_filenames=names, test_filenames=names[:1])
    with pytest.raises(BadInput, match="no frame"):
        read(tmp_path, test_filenames=["images/9999.png"])


def test_masks_say_which_pixels_are_valid(tmp_path):
    mask = np.full((36, 48), 255, np.uint8)
    mask[10:13, 20:24] = 0
    (tmp_path / "masks").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "masks/3.png")
    made = frames(mask_path="masks/3.png")
    views = read(tmp_path, frames=made)
    np.testing.assert_array_equal(views.valid[3].numpy(), mask > 0)
    assert bool(views.valid[[0, 1, 2, 4]].all())
    half = read(tmp_path, ReadOptions(downscale=2, holdout=0), frames=made).valid
    np.testing.assert_array_equal(half[3].numpy(), mask.reshape(18, 2, 24, 2).min((1, 3)) > 0)
    Image.fromarray(mask[:20]).save(tmp_path / "masks/3.png")
    with pytest.raises(BadInput, match=r"3\.png is 48 x 20"):
        read(tmp_path, frames=made)
    with pytest.raises(BadInput, match="no such file"):
        read(tmp_path, frames=frames(mask_path="masks/4.png"))


@pytest.mark.parametrize("kind", ["png", "npy"])
@pytest.mark.parametrize("downscale", [1, 2])
def test_depth_is_distance_along_the_ray(tmp_path, kind, downscale):
    """The plane z = 0 of the world, seen by all cameras: a closed form for every pixel."""
    poses = layouts.opengl_poses(9)
    y, x = np.mgrid[:36, :48] + 0.5
    local = np.stack([(x - 24) / 40, -(y - 18) / 40, -np.ones_like(x)], -1)  # OpenGL axes, z-depth 1
    made = frames()
    (tmp_path / "depth").mkdir(parents=True)
    for i, pose in enumerate(poses):
        down = local @ pose[2, :3]
        planar = np.where(down < -0.05, -pose[2, 3] / np.minimum(down, -0.05), 0)
        if kind == "png":
            Image.fromarray((planar * 2000).round().clip(0, 65535).astype(np.uint16)).save(tmp_path / f"depth/{i}.png")
        else:
            np.save(tmp_path / f"depth/{i}.npy", np.where(planar > 0, planar, np.nan).astype(np.float32))
        made[i]["depth_file_path"] = f"depth/{i}.{kind}"
    options = ReadOptions(downscale=downscale, holdout=0)
    views = read(tmp_path, options, frames=made, depth_unit_scale_factor=0.0005, metric=True)
    assert views.metric
    assert views.depths.shape == (9, 36 // downscale, 48 // downscale)
    known = views.depths > 0
    assert 0.3 < float(known.float().mean()) < 1
    for view in range(9):
        rays = cameras.image_rays(views.camera[view])
        points = rays.origins + views.depths[view][..., None] * rays.directions
        near = known[view] & (views.depths[view] < 30)
        assert float(points[near][:, 2].abs().max()) < 5e-3


def test_depth_across_an_edge_is_unknown(tmp_path):
    depth = np.full((36, 48), 2.0, np.float32)
    depth[:, 25:] = 4.0
    (tmp_path / "depth").mkdir(parents=True)
    np.save(tmp_path / "depth/3.npy", depth)
    views = read(tmp_path, ReadOptions(downscale=2, holdout=0), frames=frames(depth_file_path="depth/3.npy"))
    assert (views.depths[3, 0] == 0).nonzero().flatten().tolist() == [12]
    assert not views.depths[4].any()
    np.save(tmp_path / "depth/3.npy", depth.astype(np.int16))
    with pytest.raises(BadInput, match="floats"):
        read(tmp_path, frames=frames(depth_file_path="depth/3.npy"))


def test_depth_follows_the_scale_that_was_applied_to_the_poses(tmp_path):
    (tmp_path / "depth").mkdir(parents=True)
    np.save(tmp_path / "depth/3.npy", np.full((36, 48), 2.0, np.float32))
    made = frames(depth_file_path="depth/3.npy")
    plain, scaled = (read(tmp_path, frames=made, applied_scale=scale).depths for scale in (1, 0.25))
    assert torch.allclose(plain * 0.25, scaled)


def test_further_maps(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "maps").mkdir(parents=True)
    options = ReadOptions(channels=5, holdout=0)
    with pytest.raises(BadInput, match=r"maps/0000\.npy \(\[H, W, 5\]\)"):
        read(tmp_path, options)
    made = rng.random((9, 36, 48, 5), dtype=np.float32)
    for i in range(9):
        np.save(tmp_path / f"maps/{i:04d}.npy", made[i])
    np.testing.assert_array_equal(read(tmp_path, options).maps.numpy(), made)
    half = read(tmp_path, ReadOptions(channels=5, downscale=2)).maps
    np.testing.assert_allclose(half.numpy(), made.reshape(9, 18, 2, 24, 2, 5).mean((2, 4)), atol=1e-6)
    np.save(tmp_path / "maps/0004.npy", made[0, ..., :3])
    with pytest.raises(BadInput, match=r"0004\.npy holds"):
        read(tmp_path, options)
    for i in range(9):
        (tmp_path / f"maps/{i:04d}.npy").unlink()
        Image.fromarray((made[i, ..., 0] * 255).astype(np.uint8)).save(tmp_path / f"maps/{i:04d}.png")
    one = read(tmp_path, ReadOptions(channels=1)).maps
    np.testing.assert_allclose(one.numpy()[..., 0], (made[..., 0] * 255).astype(np.uint8) / np.float32(255), atol=1e-6)


BAD = {
    "no frames": ({"frames": None}, "no list of frames"),
    "empty": ({"frames": []}, "no frames"),
    "frames is text": ({"frames": "all"}, "array"),
    "a frame is a number": ({"frames": [1, 2]}, "object"),
    "no path": ({"frames": frames(file_path=None)}, "frame 3 has no file_path"),
    "path is a number": ({"frames": frames(file_path=3)}, "string"),
    "climbing": ({"frames": frames(file_path="../../x.png")}, "leads out"),
    "absolute": ({"frames": frames(file_path="/etc/passwd")}, "absolute"),
    "twice": ({"frames": frames(file_path="images/0002.png")}, "same photo"),
    "no pose": ({"frames": frames(transform_matrix=None)}, "no transform_matrix"),
    "pose of text": ({"frames": frames(transform_matrix=[["a"] * 4] * 4)}, "4x4"),
    "pose too small": ({"frames": frames(transform_matrix=[[1, 0], [0, 1]])}, "4x4"),
    "pose NaN": ({"frames": frames(transform_matrix=[[math.nan] * 4] * 4)}, "0003.*NaN"),
    "pose scaled": ({"frames": frames(transform_matrix=(2 * np.eye(4)).tolist())}, "0003"),
    "pose mirrored": ({"frames": frames(transform_matrix=np.diag([1.0, 1, -1, 1]).tolist())}, "mirror"),
    "pose huge": ({"frames": frames(transform_matrix=[[10**400] * 4] * 4)}, "too large"),
    "focal 0": ({"fl_x": 0}, "above zero"),
    "focal negative": ({"fl_y": -3}, "above zero"),
    "focal NaN": ({"fl_x": math.nan}, "no usable number"),
    "focal true": ({"fl_x": True}, "number"),
    "focal huge": ({"fl_x": 10**400}, "no usable number"),
    "no focal": ({"fl_x": None, "fl_y": None}, "neither a focal length"),
    "angle": ({"fl_x": None, "fl_y": None, "camera_angle_x": 3.2}, "half a turn"),
    "size 0": ({"w": 0}, "above zero"),
    "size half": ({"w": 48.5}, "whole number"),
    "k1 text": ({"k1": "x"}, "number"),
    "model": ({"camera_model": 7}, "string"),
    "depth unit": ({"depth_unit_scale_factor": 0}, "above zero"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_lists_are_one_sentence(tmp_path, case):
    changed, says = BAD[case]
    with pytest.raises(BadInput, match=says) as caught:
        read(tmp_path, **changed)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_slightly_noisy_rotations_are_made_exact(tmp_path):
    noisy = layouts.opengl_poses(9)[3]
    noisy[:3, :3] += np.random.default_rng(0).normal(0, 2e-4, (3, 3))
    pose = read(tmp_path, frames=frames(transform_matrix=noisy.tolist())).camera.pose[3].double()
    assert torch.allclose(pose[:3, :3].T @ pose[:3, :3], torch.eye(3, dtype=torch.float64), atol=1e-6)
    np.testing.assert_allclose(pose.numpy() * [1, -1, -1, 1], noisy, atol=2e-3)


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "outside.png").write_bytes(b"")
    folder = layouts.write_transforms(tmp_path / "data")
    (folder / "images/0003.png").unlink()
    (folder / "images/0003.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(BadInput, match="leads out"):
        transforms.read(folder, WHOLE)


def test_damaged_photos(tmp_path):
    folder = layouts.write_transforms(tmp_path)
    photo = folder / "images/0004.png"
    whole = photo.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"not a picture", whole[:40]):
        photo.write_bytes(content)
        with pytest.raises(BadInput, match=r"0004\.png"):
            transforms.read(folder, WHOLE)


def test_a_header_of_a_billion_pixels(tmp_path):
    folder = layouts.write_transforms(tmp_path)
    huge = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 40_000, 25_000, 8, 2, 0, 0, 0)
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100))):
        huge += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    for photo in folder.glob("images/*"):
        photo.write_bytes(huge)
    with pytest.raises(BadInput, match="40000 x 25000"):
        transforms.read(folder, WHOLE)


def test_gigantic_and_bottomless_lists(tmp_path):
    file = tmp_path / "transforms.json"
    with file.open("wb") as sparse:
        sparse.truncate(2**30)
    with pytest.raises(BadInput, match="larger than"):
        transforms.read(tmp_path, WHOLE)
    file.write_bytes(b'{"frames":' + b"[" * 1_000_000)
    with pytest.raises(BadInput, match="deeply"):
        transforms.read(tmp_path, WHOLE)


def test_blender_keeps_alpha_and_its_own_split(tmp_path):
    views = blender.read(layouts.write_blender(tmp_path), ReadOptions())
    assert views.images.shape == (6, 36, 48, 4)
    assert views.images.dtype == torch.uint8
    assert views.held_out == (4, 5)
    assert views.names == ("train/r_0", "train/r_1", "train/r_2", "train/r_3", "test/r_0", "test/r_1")
    assert views.background == (1.0, 1.0, 1.0)
    assert blender.read(tmp_path, ReadOptions(background="black")).background == (0.0, 0.0, 0.0)
    assert torch.allclose(views.camera.focal, torch.tensor(40.0))
    (tmp_path / "transforms_val.json").write_text("{}")
    assert any("validation views" in note for note in blender.read(tmp_path, ReadOptions()).notes)


def test_blender_needs_both_lists_and_no_photo_in_both(tmp_path):
    layouts.write_blender(tmp_path)
    test = tmp_path / "transforms_test.json"
    train = json.loads((tmp_path / "transforms_train.json").read_text())
    test.write_text(json.dumps({**train, "frames": train["frames"][:1]}))
    with pytest.raises(BadInput, match="is in both"):
        blender.read(tmp_path, ReadOptions())
    test.unlink()
    with pytest.raises(BadInput, match=r"no transforms_test\.json"):
        blender.read(tmp_path, ReadOptions())


def test_blender_maps_keep_the_splits_apart(tmp_path):
    layouts.write_blender(tmp_path)
    for split, value, count in (("train", 0.25, 4), ("test", 0.75, 2)):
        (tmp_path / "maps" / split).mkdir(parents=True)
        for i in range(count):
            np.save(tmp_path / "maps" / split / f"r_{i}.npy", np.full((36, 48, 2), value, np.float32))
    maps = blender.read(tmp_path, ReadOptions(channels=2)).maps
    assert maps[:, 0, 0, 0].tolist() == [0.25] * 4 + [0.75] * 2
