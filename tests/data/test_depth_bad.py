"""Depth data that are not what they should be: one clear sentence each, and never a traceback."""

from __future__ import annotations

import struct
import zlib

import depth_layouts
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.cli import run
from fieldscape.data.depth.judging import bent_as_depth
from fieldscape.data.depth.making import depth_map
from fieldscape.data.depth.opening import open_depth, recognise
from fieldscape.errors import BadInput
from fieldscape.planes import fit_plane
from fieldscape.worlds.layouts.packed import write_png

PLAIN = depth_layouts.PLAIN


def plain(path, **changed):
    return open_depth(path, **{"intrinsics": PLAIN, "depth_scale": 1000, **changed})


def test_millimetres_as_metres_and_metres_as_millimetres_are_said(tmp_path) -> None:
    folder = depth_layouts.write_plain(tmp_path / "a")
    assert "too far to be in metres" in plain(folder, depth_scale=1).notes[0]
    assert "too near to be in metres" in plain(folder, depth_scale=1e6).notes[0]
    assert plain(folder).notes == ()


def test_disparity_is_told_from_depth(tmp_path) -> None:
    tilted = depth_layouts.wall(0) * np.ones((48, 64))
    y = np.arange(48)[:, None] + np.zeros((48, 64))
    road = 60.0 / (y + 6.0)
    assert bent_as_depth(torch.from_numpy(road).float())[1] == 0
    assert bent_as_depth(torch.from_numpy(1 / road).float())[0] == 0
    (tmp_path / "d").mkdir()
    write_png(tmp_path / "d" / "0.png", np.round(20000 / road).astype(np.uint16))
    assert "this looks like disparity" in plain(tmp_path / "d").notes[0]
    write_png(tmp_path / "d" / "0.png", np.round(1000 * road).astype(np.uint16))
    assert plain(tmp_path / "d").notes == ()
    assert tilted.min() > 0


@pytest.mark.parametrize(("value", "said"), [(0, "all of it is unknown"), (65535, "all of it is unknown")])
def test_nothing_measured_is_refused(value, said, tmp_path) -> None:
    write_png(tmp_path / "0.png", np.full((48, 64), value, np.uint16))
    with pytest.raises(BadInput, match=said):
        plain(tmp_path)


def test_sky_alone_is_refused(tmp_path) -> None:
    folder = depth_layouts.write_synthia_rand(tmp_path / "rand")
    for path in (folder / "Depth").iterdir():
        write_png(path, np.full((48, 64, 3), 65535, np.uint16))
    with pytest.raises(BadInput, match="only sky"):
        open_depth(folder)


def test_eight_bits_a_cut_file_and_a_claimed_size_are_refused(tmp_path) -> None:
    folder = depth_layouts.write_plain(tmp_path / "a", count=1)
    path = folder / "0000.png"
    whole = path.read_bytes()
    for cut in (10, 30, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=r"cut short|not begin|not a PNG"):
            plain(folder)
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="0 bytes"):
        plain(folder)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    path.write_bytes(broken)
    with pytest.raises(BadInput, match="checksum"):
        plain(folder)
    head = struct.pack(">IIBBBBB", 200_000, 200_000, 16, 0, 0, 0, 0)
    block = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    path.write_bytes(whole[:8] + block + whole[33:])
    with pytest.raises(BadInput, match="200000 x 200000"):
        plain(folder)
    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(path)
    with pytest.raises(BadInput, match="8 bits"):
        plain(folder)


def test_intrinsics_of_another_size_are_refused(tmp_path) -> None:
    folder = depth_layouts.write_plain(tmp_path / "a")
    for numbers in [(100.0, 100.0, 64.0, 48.0), (0.0, 50.0, 32.0, 24.0), (5000.0, 5000.0, 32.0, 24.0)]:
        with pytest.raises(BadInput, match="intrinsics"):
            plain(folder, intrinsics=numbers)


@pytest.mark.parametrize(
    "changed", [{"depth_scale": 0.0}, {"depth_scale": float("nan")}, {"rate": 0.0}, {"intrinsics": None}]
)
def test_options_that_cannot_be(changed, tmp_path) -> None:
    with pytest.raises(BadInput, match="--"):
        plain(depth_layouts.write_plain(tmp_path / "a"), **changed)


def test_maps_of_nan_or_below_zero_are_refused() -> None:
    sky, inner = np.zeros((4, 4), bool), (4.0, 4.0, 2.0, 2.0)
    for value, said in ((np.nan, "NaN"), (np.inf, "NaN or infinity"), (-1.0, "negative")):
        with pytest.raises(BadInput, match=said):
            depth_map("a", np.full((4, 4), value, np.float32), sky, inner, "here", 0.0)
    with pytest.raises(BadInput, match="2 x 2 pixels and its depth 4 x 4"):
        depth_map("a", np.ones((4, 4), np.float32), sky, inner, "here", 0.0, classes=np.zeros((2, 2), np.int64))


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "depth/../../x.png"])
def test_lists_of_tum_stay_in_their_folder(name, tmp_path) -> None:
    folder = depth_layouts.write_tum(tmp_path / "tum", 2)
    (folder / "depth.txt").write_text(f"1000.0 {name}\n")
    with pytest.raises(BadInput, match=r"leads out of|absolute"):
        open_depth(folder)


@pytest.mark.parametrize("line", ["1000.0", "now depth/a.png", "nan depth/a.png", "1000.0 depth/none.png"])
def test_lists_of_tum_that_are_none(line, tmp_path) -> None:
    folder = depth_layouts.write_tum(tmp_path / "tum", 2)
    (folder / "depth.txt").write_text(line + "\n")
    with pytest.raises(BadInput):
        open_depth(folder)


def test_missing_frames_and_streams_of_other_lengths_are_said(tmp_path) -> None:
    folder = depth_layouts.write_seven_scenes(tmp_path / "a", 5)
    (folder / "frame-000002.depth.png").unlink()
    (folder / "frame-000003.color.png").unlink()
    notes = open_depth(folder).notes
    assert "1 frame is missing between the first and the last (number 2)" in notes[0]
    assert any("those without colours: 000003" in note for note in notes)
    (folder / "frame-000004.pose.txt").unlink()
    with pytest.raises(BadInput, match="no pose of frame-000004"):
        open_depth(folder)


def test_photos_are_not_taken_for_depth_and_the_command_line_says_so(tmp_path, capsys) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photo.png")
    assert recognise(tmp_path) is None
    assert run(["info", str(tmp_path), "--layout", "tum"]) == 2
    assert "does not hold depth as tum has it" in capsys.readouterr().err
    with pytest.raises(BadInput, match="Looked for"):
        open_depth(tmp_path)
    with pytest.raises(BadInput, match="There is no"):
        open_depth(tmp_path / "none")


def test_info_warns_of_a_wrong_scale(tmp_path, capsys) -> None:
    folder = depth_layouts.write_plain(tmp_path / "a")
    words = ["--intrinsics", *map(str, PLAIN), "--depth-scale", "1"]
    assert run(["info", str(folder), *words]) == 0
    assert "WARNING depth is too far to be in metres" in capsys.readouterr().out


def test_a_plane_is_found_among_stray_points() -> None:
    generator = torch.Generator().manual_seed(1)
    flat = torch.rand(3000, 3, generator=generator) * 10 - 5
    normal = torch.tensor([0.1, -1.0, 0.2]) / torch.tensor([0.1, -1.0, 0.2]).norm()
    flat = flat - ((flat @ normal) + 1.5)[:, None] * normal
    stray = torch.rand(4000, 3, generator=generator) * 10 - 5
    plane = fit_plane(torch.cat([flat, stray]), 0.02, torch.Generator().manual_seed(0))
    again = fit_plane(torch.cat([flat, stray]), 0.02, torch.Generator().manual_seed(0))
    assert plane is not None
    assert again is not None
    assert torch.equal(plane.normal, again.normal)
    torch.testing.assert_close(plane.normal, normal, atol=1e-3, rtol=0)
    assert plane.offset == pytest.approx(-1.5, abs=2e-3)
    assert plane.inliers[:3000].float().mean() > 0.99
    up = torch.tensor([1.0, 0.0, 0.0])
    other = fit_plane(flat, 0.02, torch.Generator().manual_seed(0), up, 10)
    assert other is None or abs(float(other.normal[0])) > 0.98


def test_no_plane_where_none_can_be() -> None:
    line = torch.linspace(0, 1, 50)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    assert fit_plane(line[:2], 0.01, torch.Generator()) is None
    assert fit_plane(line * 0 + 1, 0.01, torch.Generator()) is None
