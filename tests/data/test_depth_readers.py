"""The other layouts: a wall in closed form is read back exactly, with the half pixel right and the poses agreeing."""

from __future__ import annotations

import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import depth_layouts
import numpy as np
import pytest
import torch

from fieldscape.data.depth import tum
from fieldscape.data.depth.agreement import camera_points, disagreement
from fieldscape.data.depth.frames import gaps
from fieldscape.data.depth.making import given
from fieldscape.data.depth.opening import open_depth
from fieldscape.data.depth.pixels import read_png
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.worlds.layouts.packed import png


def off_the_wall(one: DepthMap) -> torch.Tensor:
    """How far each point of a map, in world axes, lies from the wall."""
    points, pose = camera_points(one, one.valid).double(), one.camera.pose.double()
    world = points @ pose[:3, :3].T + pose[:3, 3]
    return (world @ torch.from_numpy(depth_layouts.NORMAL) - depth_layouts.DISTANCE).abs()


def shifted(one: DepthMap, pixels: float) -> DepthMap:
    return replace(one, camera=replace(one.camera, center=one.camera.center + torch.tensor([pixels, -pixels])))


WRITTEN = {
    "7-scenes": (depth_layouts.write_seven_scenes, 0.001),
    "kitti": (depth_layouts.write_kitti, 1 / 256),
    "tum": (depth_layouts.write_tum, 1 / 5000),
}


@pytest.mark.parametrize("layout", WRITTEN)
def test_all_points_of_all_frames_lie_on_the_wall_and_half_a_pixel_off_they_do_not(layout, tmp_path) -> None:
    writer, quantum = WRITTEN[layout]
    frames = open_depth(writer(tmp_path / "data"), intrinsics=depth_layouts.TUM if layout == "tum" else None)
    assert frames.layout == layout
    assert frames[0].camera.center.tolist() == [frames[0].camera.width / 2, frames[0].camera.height / 2]
    posed = [frame for frame in frames if frame.posed]
    assert len(posed) >= 3
    for frame in posed:
        assert float(off_the_wall(frame).max()) < quantum + 1e-4
        assert float(off_the_wall(shifted(frame, 0.5)).mean()) > 2 * float(off_the_wall(frame).mean())
    miss = disagreement(frames[0], frames[1])
    if layout != "kitti":  # sparse: no four neighbours are known
        assert float(miss.max()) < 3 * quantum


def test_seven_scenes_codes_colours_and_times(tmp_path) -> None:
    frames = open_depth(depth_layouts.write_seven_scenes(tmp_path / "kitchen"))
    first = frames[0]
    assert first.valid[0, :3].tolist() == [False, False, True]
    assert not first.sky.any()
    assert first.color[0, 0].tolist() == [10, 20, 30]
    assert frames[2].time == pytest.approx(2 / 30)
    assert frames[1].name == "kitchen/000001"


def test_tum_frames_meet_their_colours_and_poses_by_time(tmp_path) -> None:
    frames = open_depth(depth_layouts.write_tum(tmp_path / "tum"), intrinsics=depth_layouts.TUM)
    assert [frame.color is not None for frame in frames] == [True, False, True, True]
    assert frames[2].color[0, 0, 0] == 2
    assert [frame.posed for frame in frames] == [True, True, True, False]
    assert "1 of 4 frames have no pose" in frames.notes[0]
    torch.testing.assert_close(
        frames[2].camera.pose.double(), torch.from_numpy(depth_layouts.pose(2.004)), atol=1e-5, rtol=0
    )
    assert given(tum.USUAL) == (525.0, 525.0, 320.0, 240.0)


def test_synthia_rand(tmp_path) -> None:
    frames = open_depth(depth_layouts.write_synthia_rand(tmp_path / "RAND_CITYSCAPES"))
    one = frames[1]
    assert (frames.layout, one.posed) == ("synthia-rand", False)
    assert "no intrinsics were published" in frames.notes[0]
    assert one.sky[:4].all()
    assert one.valid[4:].all()
    assert (one.classes[10, 10], one.instances[10, 10]) == (2, 301)
    expected = depth_layouts.wall(1, focal=532.740352 / 1280 * 64)
    assert np.abs(one.depth.numpy() - expected)[4:].max() <= 0.005 + 1e-6


def test_plain_folders_take_the_users_word(tmp_path) -> None:
    folder = depth_layouts.write_plain(tmp_path / "maps", per_metre=2000)
    frames = open_depth(folder, intrinsics=depth_layouts.PLAIN, depth_scale=2000, rate=10)
    assert (frames.layout, frames.notes) == ("plain", ())
    assert frames[2].time == pytest.approx(0.2)
    assert frames[0].camera.center.tolist() == [32, 24]
    assert np.abs(frames[1].depth.numpy() - depth_layouts.wall(1)).max() <= 0.00025 + 1e-6


def test_a_cropped_selection_of_kitti(tmp_path) -> None:
    for kind in ("groundtruth_depth", "intrinsics"):
        (tmp_path / kind).mkdir()
    stem = "2011_09_26_drive_0002_sync_{}_0000000008_image_02"
    depth = depth_layouts.steps(depth_layouts.wall(0), 256)
    (tmp_path / "groundtruth_depth" / (stem.format("groundtruth_depth") + ".png")).write_bytes(png(depth))
    (tmp_path / "intrinsics" / (stem.format("image") + ".txt")).write_text("50 0 31.5 0 50 23.5 0 0 1\n")
    frames = open_depth(tmp_path)
    assert frames.layout == "kitti"
    assert frames[0].camera.center.tolist() == [32, 24]


class Arrays(dict):
    """Stands in for an open HDF5 file."""


def nyu(tmp_path: Path, monkeypatch, **changed) -> Path:
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file, made by a test")
    depth = np.stack([depth_layouts.wall(k, 325.08245, 253.23617, 640, 480, 518.8579).T for k in range(2)])
    raw = depth.copy()
    raw[:, :5] = 0
    labels = np.full(depth.shape, 7, np.uint16)
    labels[:, :, :9] = 0
    arrays = {"depths": depth.astype(np.float32), "rawDepths": raw, "labels": labels, "instances": np.ones_like(labels)}
    arrays["images"] = np.broadcast_to(np.array([1, 2, 3], np.uint8)[None, :, None, None], (2, 3, 640, 480))
    made = Arrays({**arrays, **changed})
    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=lambda path, mode: made))
    return path


def test_nyu_turns_matlabs_arrays_and_keeps_what_was_measured(tmp_path, monkeypatch) -> None:
    frames = open_depth(nyu(tmp_path, monkeypatch))
    one = frames[0]
    assert (frames.layout, len(frames), tuple(one.depth.shape)) == ("nyu", 2, (480, 640))
    assert not one.valid[:, :5].any()
    assert one.valid[:, 5:].all()
    assert one.instances[20, 20] == 7001
    assert one.instances[3, 20] == 0
    assert one.color[4, 5].tolist() == [1, 2, 3]
    assert float(off_the_wall(one).max()) < 0.01  # fx and fy differ a little, the wall was drawn with one


def test_nyu_without_the_package_names_the_extra(tmp_path, monkeypatch) -> None:
    path = nyu(tmp_path, monkeypatch)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BadInput, match=r"fieldscape\[nyu\]"):
        open_depth(path)
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert any(need.startswith("h5py") for need in project["project"]["optional-dependencies"]["nyu"])


def test_nyu_with_nan_or_other_shapes_is_refused(tmp_path, monkeypatch) -> None:
    bad = np.full((2, 640, 480), np.nan, np.float32)
    with pytest.raises(BadInput, match="NaN or infinity"):
        open_depth(nyu(tmp_path, monkeypatch, depths=bad))
    with pytest.raises(BadInput, match="labels is not"):
        open_depth(nyu(tmp_path, monkeypatch, labels=np.zeros((2, 3, 4))))


def test_a_real_hdf5_file(tmp_path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra nyu is not installed")
    path = tmp_path / "labeled.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["depths"] = np.full((1, 640, 480), 2.0, np.float32)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")
    assert float(open_depth(path)[0].depth[3, 4]) == 2.0


def test_sixteen_bits_in_three_channels_packed_by_hand_keep_their_order(tmp_path) -> None:
    pixels = np.array([[[0x0102, 0x0304, 0xFFFE], [1, 65535, 0]]], np.uint16)
    (tmp_path / "hand.png").write_bytes(png(pixels))
    got = read_png(tmp_path / "hand.png")
    assert got.dtype == np.uint16
    assert got.tolist() == pixels.tolist()
    four = np.concatenate([pixels, pixels[..., :1]], -1)
    (tmp_path / "four.png").write_bytes(png(four))
    assert read_png(tmp_path / "four.png").tolist() == four.tolist()


def test_every_second_frame_is_no_gap_and_a_lost_one_is() -> None:
    assert gaps("a", ["000000", "000002", "000004"]) == []
    assert "2 frames are missing" in gaps("a", ["0", "1", "4", "5"])[0]


def test_real_kitchen(real_data) -> None:
    frames = open_depth(real_data / "kitchen_rgbd")
    assert (frames.layout, len(frames), frames.notes) == ("7-scenes", 150, ())
    miss = disagreement(frames[0], frames[5])
    assert float(miss.median()) < 0.02
