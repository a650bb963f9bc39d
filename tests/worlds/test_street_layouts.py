"""What lies on the disk, decoded with other tools than those that wrote it, and held against the truth."""

import json
import math
import random
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fieldscape.worlds.layouts.clip import Frame, angles
from fieldscape.worlds.layouts.packed import png, sixteen_bits, three_bytes, write_png
from fieldscape.worlds.street import solids
from fieldscape.worlds.street.make import WRITERS, frames, make_street, settings_of
from fieldscape.worlds.street.motions import Straight, Travel, travel
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.posing import joint_matrices
from fieldscape.worlds.street.record import clip_of
from fieldscape.worlds.street.scenes import draw_scene

WIDTH, HEIGHT, FRAMES = 64, 48, 3
INDEX = 3


def unpacked(path: Path) -> np.ndarray:
    """A PNG by OpenCV with its channels in the file's order."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def made(layout: str, folder: Path, **changes):
    """Video ``INDEX`` in a layout, and its truth: scene and frames."""
    options = MakeStreetOptions(
        folder,
        videos=1,
        frames=FRAMES,
        width=WIDTH,
        height=HEIGHT,
        layout=layout,
        walls=True,
        objects_min=3,
        color=False,
    )
    settings = settings_of(replace(options, **changes))
    scene = draw_scene(settings.scenes, INDEX)
    folder.mkdir()
    WRITERS[layout](folder, clip_of(scene, settings.exact), frames(scene, settings))
    return scene, clip_of(scene, settings.exact), list(frames(scene, settings))


# ------------------------------------------------------------------------------------------------------ PNG by hand


@pytest.mark.parametrize(("shape", "kind"), [((7, 5), np.uint8), ((7, 5), np.uint16), ((7, 5, 3), np.uint8),
    ((7, 5, 3), np.uint16), ((7, 5, 4), np.uint8), ((1, 1), np.uint16)])  # fmt: skip
def test_a_png_is_read_back_as_written(shape, kind, tmp_path):
    pixels = np.random.default_rng(1).integers(0, np.iinfo(kind).max, shape, endpoint=True).astype(kind)
    write_png(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(unpacked(tmp_path / "a.png"), pixels)
    if kind == np.uint8 or len(shape) == 2:
        np.testing.assert_array_equal(np.array(Image.open(tmp_path / "a.png")), pixels)


def test_a_pixel_packed_by_hand_keeps_its_channels():
    content = png(np.array([[[0x0102, 0x0304, 0x0506]]], np.uint16))
    start = content.index(b"IDAT") + 4
    assert zlib.decompress(content[start:]) == bytes([2, 1, 2, 3, 4, 5, 6])


def test_a_palette_is_kept(tmp_path):
    colors = np.array([[0, 0, 0], [255, 10, 20], [30, 40, 250]], np.uint8)
    write_png(tmp_path / "a.png", np.array([[0, 1], [2, 1]], np.uint8), colors)
    image = Image.open(tmp_path / "a.png")
    assert image.mode == "P"
    assert np.array(image).tolist() == [[0, 1], [2, 1]]
    assert np.array(image.convert("RGB"))[0, 1].tolist() == [255, 10, 20]


def test_what_no_png_holds_is_refused():
    for pixels in (np.zeros((2, 2), np.float32), np.zeros((2, 2, 2), np.uint8), np.zeros((0, 2), np.uint8)):
        with pytest.raises(ValueError, match="PNG"):
            png(pixels)
    with pytest.raises(ValueError, match="palette"):
        png(np.zeros((2, 2), np.uint16), np.zeros((1, 3), np.uint8))


def test_depth_in_three_bytes_is_the_published_sum():
    depth = np.array([[0.5, 12.345, 999.9, np.inf, np.nan]])
    for largest in (1000.0, 5000.0):
        red, green, blue = three_bytes(depth, largest).astype(float).transpose(2, 0, 1)
        back = largest * (red + 256 * green + 65536 * blue) / (2**24 - 1)
        np.testing.assert_allclose(back[0, :3], depth[0, :3], atol=largest / 2**24)
        assert back[0, 3:].tolist() == [largest, 0]


# ------------------------------------------------------------------------------------------------------- our layout


def test_our_layout_says_all_that_is_true(tmp_path):
    scene, _, truth = made("fieldscape", tmp_path / "out", exact=True, times="random", motion="mixed")
    home = tmp_path / "out" / "videos" / f"{INDEX:06d}"
    about = json.loads((home / "video.json").read_text())
    exact = np.load(home / "exact.npz")["depth"]
    assert about["times"] == scene.times.tolist()
    camera = about["camera"]
    np.testing.assert_array_equal(camera["poses"], scene.view.poses(scene.times))
    assert camera["focal"] == [scene.view.focal] * 2
    assert camera["center"] == [WIDTH / 2, HEIGHT / 2]
    assert [thing["shape"] for thing in about["things"]] == [actor.thing.shape for actor in scene.actors]
    for k, frame in enumerate(truth):
        depth = np.array(Image.open(home / "depth" / f"{k:06d}.png"))
        sky = np.isinf(frame.depth)
        assert ((depth == 65535) == sky).all()
        assert np.abs(depth[~sky] / 1000 - frame.depth[~sky]).max() <= 0.000501
        np.testing.assert_array_equal(np.array(Image.open(home / "instance" / f"{k:06d}.png")), frame.instance)
        np.testing.assert_array_equal(np.array(Image.open(home / "part" / f"{k:06d}.png")), frame.part)
        np.testing.assert_array_equal(exact[k], frame.depth.astype(np.float32))
        for thing in about["things"]:
            assert thing["visible"][k] == (frame.instance == thing["number"]).sum()
            assert thing["total"][k] >= thing["visible"][k]
    names = np.array(about["parts"])
    for thing in about["things"]:
        own = [truth[k].part[truth[k].instance == thing["number"]] for k in range(FRAMES)]
        assert set(names[np.concatenate(own)]) <= {piece["part"] for piece in thing["pieces"]}


def test_points_of_a_depth_map_lie_on_the_recorded_surfaces(tmp_path):
    """Back-projected as the layout's description says, with nothing but what the files hold."""
    made("fieldscape", tmp_path / "out", exact=True, motion="mixed")
    home = tmp_path / "out" / "videos" / f"{INDEX:06d}"
    about, exact = json.loads((home / "video.json").read_text()), np.load(home / "exact.npz")["depth"].astype(float)
    surfaces = np.load(home / "surfaces.npz")
    assert surfaces["points"].shape == (len(about["things"]), 512, 3)
    checked = 0
    for k in range(FRAMES):
        instance = np.array(Image.open(home / "instance" / f"{k:06d}.png"))
        pose, (fx, fy), (cx, cy) = (
            np.array(about["camera"]["poses"][k]),
            about["camera"]["focal"],
            about["camera"]["center"],
        )
        for thing in about["things"]:
            v, u = np.nonzero(instance == thing["number"])
            if not len(v):
                continue
            z = exact[k, v, u]
            local = np.stack([(u + 0.5 - cx) / fx * z, (v + 0.5 - cy) / fy * z, z], -1)
            world = local @ pose[:3, :3].T + pose[:3, 3]
            near = np.full(len(world), False)
            for piece in thing["pieces"]:
                joint = np.eye(4)
                if piece["joint"] is not None:
                    joint = moved(piece["joint"], piece["joint"]["phases"][k])
                back = np.linalg.inv(np.array(thing["poses"][k]) @ joint @ np.array(piece["rest"]))
                there = world @ back[:3, :3].T + back[:3, 3]
                grown, shrunk = (solids.inside(piece["kind"], piece["ratio"], there, s) for s in (-2e-4, 2e-4))
                near |= grown & ~shrunk
            assert near.all()
            checked += len(near)
    assert checked > 100


def moved(joint, phase):
    """Rodrigues' turn, or a squash, about a pivot: as ``video.json`` describes joints."""
    axis, pivot = np.array(joint["axis"], float), np.array(joint["pivot"])
    out = np.eye(4)
    if joint["drive"] == "squash":
        out[:3, :3] = np.diag([phase**-0.5, phase**-0.5, phase])
    else:
        out[:3, :3] = cv2.Rodrigues(axis * phase)[0]
    out[:3, 3] = pivot - out[:3, :3] @ pivot
    return out


def test_recorded_motions_are_the_formulas_of_the_poses(tmp_path):
    made("fieldscape", tmp_path / "out", motion="constant", times="jittered")
    about = json.loads((tmp_path / "out" / "videos" / f"{INDEX:06d}" / "video.json").read_text())
    times = np.array(about["times"])
    checked = 0
    for thing in about["things"]:
        motion = thing["motion"]
        if motion["formula"] != "Straight":
            continue
        go = travel(Straight(tuple(motion["start"]), motion["heading"], motion["speed"], motion["acceleration"]), times)
        np.testing.assert_allclose(np.array(thing["center"])[:, :2], go.place[:, :2])
        np.testing.assert_allclose(np.array(thing["center"])[:, 2], thing["size"][2] / 2)
        np.testing.assert_allclose(thing["velocity"], go.velocity)
        checked += 1
    assert checked >= 1


# ------------------------------------------------------------------------------------------------- layouts of others


def depths_agree(found: np.ndarray, frame: Frame, step: float, sky: float):
    """``found`` in metres against the truth, whose sky is at ``sky``."""
    beyond = np.isinf(frame.depth)
    assert beyond.any()
    assert (found[beyond] > sky).all()
    assert np.abs(found[~beyond] - frame.depth[~beyond]).max() <= 0.5001 * step


def test_synthia_seqs(tmp_path):
    scene, clip, truth = made("synthia-seqs", tmp_path / "out")
    home = tmp_path / "out" / "SYNTHIA-SEQS-04-SPRING"
    lines = (home / "CameraParams" / "intrinsics.txt").read_text().splitlines()
    assert len(lines) == 7
    focal, cx, cy, _ = (float(line) for line in lines if line)
    assert focal == pytest.approx(532.740352 * WIDTH / 1280, rel=1e-8)
    worlds = []
    for k, frame in enumerate(truth):
        name = f"{k:06d}"
        depth = unpacked(home / "Depth/Stereo_Left/Omni_F" / f"{name}.png")
        assert depth.dtype == np.uint16
        assert (depth[..., 0] == depth[..., 2]).all()
        depths_agree(depth[..., 1] / 100, frame, 0.01, 655)
        labels = unpacked(home / "GT/LABELS/Stereo_Left/Omni_F" / f"{name}.png")
        np.testing.assert_array_equal(labels[..., 1], frame.instance)
        assert (labels[..., 0][frame.part == 1] == 3).all()
        assert (labels[..., 0][frame.part == 2] == 2).all()
        assert (labels[..., 0][frame.part == 0] == 1).all()
        for n, shape in enumerate(clip.shapes):
            if shape in ("car", "person"):
                assert (labels[..., 0][frame.instance == n + 1] == {"car": 8, "person": 10}[shape]).all()
        numbers = np.array((home / "CameraParams/Stereo_Left/Omni_F" / f"{name}.txt").read_text().split(), float)
        turn = numbers.reshape(4, 4).T
        # Back-projected as the loaders do: y up and z backward in the camera, then camera to world.
        v, u = np.nonzero(frame.part == 1)
        z = depth[v, u, 0] / 100
        local = np.stack([(u + 0.5 - cx) / focal * z, -(v + 0.5 - cy) / focal * z, -z, np.ones_like(z)], -1)
        worlds.append((local @ turn.T)[:, :3])
        np.testing.assert_allclose(np.linalg.det(turn[:3, :3]), 1)
        eye = scene.view.poses(scene.times)[k, :3, 3]
        np.testing.assert_allclose(turn[:3, 3], [eye[0], eye[2], -eye[1]])
    # Their y is up: the road lies at 0 in all frames.
    ground = np.concatenate(worlds)
    assert np.abs(ground[:, 1]).max() < 0.02
    np.testing.assert_allclose(scene.times, np.arange(FRAMES) / 5)


def test_synthia_sf(tmp_path):
    _, clip, truth = made("synthia-sf", tmp_path / "out")
    home = tmp_path / "out" / "SEQ4"
    assert clip.focal == pytest.approx(847.630211643 * WIDTH / 1920)
    for k, frame in enumerate(truth):
        red, green, blue = unpacked(home / "DepthLeft" / f"{k:07d}.png").astype(float).transpose(2, 0, 1)
        depths_agree(1000 * (red + 256 * green + 65536 * blue) / (2**24 - 1), frame, 1000 / (2**24 - 1), 999)
        labels = unpacked(home / "GTLeft" / f"{k:07d}.png")
        np.testing.assert_array_equal(labels[..., 1], frame.instance)
        assert (labels[..., 0][frame.part == 1] == 1).all()
        assert (labels[..., 0][frame.part == 0] == 11).all()
        assert (home / "GTLeftDebug" / f"{k:07d}.png").exists()


def test_synthia_al(tmp_path):
    scene, clip, truth = made("synthia-al", tmp_path / "out", walls=False)
    home = tmp_path / "out" / "train" / "street" / "01-01-2020_00-03-00"
    np.testing.assert_allclose(scene.times, np.arange(FRAMES) / 25)
    checked = 0
    for k, frame in enumerate(truth):
        name = f"{k:06d}"
        red, green, blue, alpha = unpacked(home / "Depth" / f"{name}.png").astype(float).transpose(2, 0, 1)
        assert (alpha == 255).all()
        depths_agree(5000 * (red + 256 * green + 65536 * blue) / (2**24 - 1), frame, 5000 / (2**24 - 1), 4999)
        assert (unpacked(home / "InstSeg" / f"{name}.png")[..., 0] == frame.instance).all()
        calibration = dict(line.split(": ") for line in (home / "calib_kitti" / f"{name}.txt").read_text().splitlines())
        projection = np.array(calibration["P2"].split(), float).reshape(3, 4)
        assert projection[0, 0] == pytest.approx(895.692 * WIDTH / 640)
        rows = [line.split() for line in (home / "labels_kitti" / f"{name}.txt").read_text().splitlines()]
        shown = np.flatnonzero(frame.total > 0)
        assert len(rows) == len(shown)
        for row, n in zip(rows, shown):
            numbers = np.array(row[3:], float)
            high, wide, long = numbers[5:8]
            np.testing.assert_allclose([long, wide, high], clip.sizes[n], rtol=1e-7)
            pose = np.linalg.inv(clip.poses[k]) @ clip.thing_poses[k, n]
            foot = pose @ [0, 0, -clip.sizes[n, 2] / 2, 1]
            np.testing.assert_allclose(numbers[8:11], foot[:3], atol=1e-6)
            # KITTI: a box whose rotation_y is r looks along (cos r, ., -sin r).
            ahead = pose[:3, 0] * [1, 0, 1]
            ahead /= np.linalg.norm(ahead)
            np.testing.assert_allclose([math.cos(numbers[11]), 0, -math.sin(numbers[11])], ahead, atol=1e-6)
            pixels = np.argwhere(frame.instance == n + 1)
            if len(pixels) and row[2] == "0" and frame.visible[n] == frame.total[n]:
                left, top, right, bottom = numbers[1:5]
                assert [top, left] == pixels.min(0).tolist()
                assert [bottom, right] == (pixels.max(0) + 1).tolist()
                checked += 1
    assert checked >= 1


def test_vkitti2(tmp_path):
    scene, clip, truth = made("vkitti2", tmp_path / "out", color=True)
    root, rest = tmp_path / "out", Path("Scene04") / "clone"

    def table(name):
        lines = (root / "vkitti_2.0.3_textgt" / rest / f"{name}.txt").read_text().splitlines()
        return lines[0].split(), [line.split() for line in lines[1:]]

    head, inner = table("intrinsic")
    assert head == ["frame", "cameraID", "K[0,0]", "K[1,1]", "K[0,2]", "K[1,2]"]
    fx, fy, cx, cy = (float(value) for value in inner[0][2:])
    assert (cx, cy) == ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    _, outer = table("extrinsic")
    pose_head, poses = table("pose")
    box_head, boxes = table("bbox")
    assert len(pose_head) == 19
    assert len(box_head) == 11
    _, info = table("info")
    assert [row[2] for row in info] == list(clip.shapes)
    assert [row[0] for row in table("colors")[1]][3] == "Road"
    down = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    for k, frame in enumerate(truth):
        depth = unpacked(root / "vkitti_2.0.3_depth" / rest / f"frames/depth/Camera_0/depth_{k:05d}.png")
        assert depth.dtype == np.uint16
        assert ((depth == 65535) == np.isinf(frame.depth)).all()
        depths_agree(depth / 100, frame, 0.01, 655)
        place = root / "vkitti_2.0.3_instanceSegmentation" / rest / "frames/instanceSegmentation/Camera_0"
        image = Image.open(place / f"instancegt_{k:05d}.png")
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), frame.instance)
        assert (root / "vkitti_2.0.3_rgb" / rest / f"frames/rgb/Camera_0/rgb_{k:05d}.jpg").exists()
        classes = unpacked(
            root / "vkitti_2.0.3_classSegmentation" / rest / f"frames/classSegmentation/Camera_0/classgt_{k:05d}.png"
        )
        assert (classes[frame.part == 1] == [100, 60, 100]).all()
        to_camera = np.array(outer[k][2:], float).reshape(4, 4)
        # The ground, back-projected with pixel centres at whole numbers, is at y = 0 in their world (y down).
        v, u = np.nonzero(frame.part == 1)
        z = depth[v, u] / 100
        local = np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z, np.ones_like(z)], -1)
        assert np.abs((local @ np.linalg.inv(to_camera).T)[:, 1]).max() < 0.02
        for row in (row for row in poses if row[0] == str(k)):
            n, values = int(row[2]), np.array(row[3:], float)
            wide, high, long = values[1:4]
            assert (long, wide, high) == pytest.approx(tuple(clip.sizes[n]))
            ours = clip.thing_poses[k, n]
            foot = ours @ [0, 0, -clip.sizes[n, 2] / 2, 1]
            np.testing.assert_allclose(values[4:7], down @ foot[:3], atol=1e-9)
            there = to_camera @ [*values[4:7], 1]
            np.testing.assert_allclose(values[10:13], there[:3], atol=1e-9)
            # Corners of the box by their angles, in the world and in the camera, are ours.
            corner = np.array([long / 2, -high, wide / 2])  # ahead, up, to the left
            expected = down @ (ours @ [long / 2, wide / 2, high / 2, 1])[:3]
            np.testing.assert_allclose(values[4:7] + turned(*values[7:10]) @ corner, expected, atol=1e-9)
            seen = to_camera @ [*expected, 1]
            np.testing.assert_allclose(values[10:13] + turned(*values[13:16]) @ corner, seen[:3], atol=1e-9)
        for row in (row for row in boxes if row[0] == str(k)):
            n = int(row[2])
            assert int(row[7]) == (frame.instance == n + 1).sum()
            assert row[10] == str(bool(np.linalg.norm(clip.velocities[k, n]) > 1e-3))
    assert scene.times[1] == pytest.approx(0.1)


def turned(y, x, z):
    """R_y R_x R_z by OpenCV."""
    turns = [
        cv2.Rodrigues(np.array(axis) * angle)[0]
        for axis, angle in (((0, 1.0, 0), y), ((1.0, 0, 0), x), ((0, 0, 1.0), z))
    ]
    return turns[0] @ turns[1] @ turns[2]


def test_angles_give_the_turn_back():
    rng = random.Random(1)
    for _ in range(20):
        y, x, z = (rng.uniform(-1.5, 1.5) for _ in range(3))
        np.testing.assert_allclose(angles(turned(y, x, z)), (y, x, z), atol=1e-12)


def test_missing_depth_is_not_sky():
    depth = np.array([[np.nan, np.inf, 3.0]])
    assert sixteen_bits(depth, 100).tolist() == [[0, 65535, 300]]


def test_sequences_are_numbered_and_the_folder_says_what_it_is(tmp_path):
    make_street(
        MakeStreetOptions(
            tmp_path / "out",
            videos=3,
            frames=2,
            width=32,
            height=24,
            color=False,
            layout="synthia-sf",
            workers=1,
            quiet=True,
        )
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["SEQ1", "SEQ2", "SEQ3", "world.json"]
    about = json.loads((tmp_path / "out" / "world.json").read_text())
    assert (about["kind"], about["count"], about["settings"]["layout"]) == ("street", 3, "synthia-sf")


def test_joints_of_the_record_are_those_of_the_poses():
    scene = draw_scene(settings_of(MakeStreetOptions(Path("unused"), motion="cycles", color=False)).scenes, 1)
    go: Travel = scene.travels()[0]
    joint = next((p.joint for p in scene.actors[0].thing.pieces if p.joint), None)
    assert joint is not None
    phase = np.linspace(0.8, 1.2, 5)
    theirs = [moved({"axis": joint.axis, "pivot": joint.pivot, "drive": joint.drive}, value) for value in phase]
    np.testing.assert_allclose(joint_matrices(joint, phase), np.stack(theirs), atol=1e-12)
    assert len(go.place) == 24
