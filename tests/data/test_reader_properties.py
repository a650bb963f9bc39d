"""Laws over random inputs: valid lists come back as they were; any other gives ``Views`` or ``BadInput``."""

from __future__ import annotations

import json
import math

import layouts
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldscape.data import ReadOptions, llff, tinynerf, transforms
from fieldscape.errors import BadInput
from fieldscape.types import Views

quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
coordinate = st.floats(-1e3, 1e3, allow_nan=False, width=32)
coefficient = st.floats(-0.25, 0.25, width=32)


@st.composite
def rotations(draw):
    """From a quaternion: every rotation there is."""
    q = np.array(draw(st.tuples(*[st.floats(-1, 1)] * 4)))
    if np.linalg.norm(q) < 1e-3:
        q = np.array([1.0, 0, 0, 0])
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return layouts.write_transforms(tmp_path_factory.mktemp("lists"), count=3)


@pytest.fixture(scope="module")
def llff_folder(tmp_path_factory):
    made = layouts.write_llff(tmp_path_factory.mktemp("rows"), count=3)
    np.save(made / "whole.npy", np.load(made / "poses_bounds.npy"))
    return made


@given(
    turns=st.lists(rotations(), min_size=3, max_size=3),
    places=st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=3, max_size=3),
    focal=st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)),
    center=st.tuples(coordinate, coordinate),
    lens=st.sampled_from(["brown", "fisheye"]),
    k=st.lists(coefficient, min_size=5, max_size=5),
)
@quick
def test_any_valid_list_comes_back(folder, turns, places, focal, center, lens, k):
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = turns, places
    names = ("k1", "k2", "p1", "p2", "k3") if lens == "brown" else ("k1", "k2", "k3", "k4")
    meta = {
        "fl_x": focal[0], "fl_y": focal[1], "cx": center[0], "cy": center[1], **dict(zip(names, k)),
        "camera_model": "OPENCV" if lens == "brown" else "OPENCV_FISHEYE",
        "frames": [{"file_path": f"images/{i:04d}.png", "transform_matrix": p.tolist()} for i, p in enumerate(poses)],
    }  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps(meta))
    camera = transforms.read(folder, ReadOptions(holdout=0)).camera
    np.testing.assert_allclose(camera.pose.numpy(), poses * [1, -1, -1, 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(camera.focal.numpy(), [focal] * 3, rtol=1e-6)
    np.testing.assert_allclose(camera.center.numpy(), [center] * 3, rtol=1e-6)
    if camera.lens != "pinhole":
        assert camera.lens == lens
        np.testing.assert_allclose(camera.distortion.numpy(), [k[: len(names)]] * 3, rtol=1e-6)


def views_or_refusal(read) -> None:
    try:
        views = read()
    except BadInput as error:
        if "\n" in str(error) or len(str(error)) > 900:
            pytest.fail(f"not a sentence: {error}")
        return
    assert isinstance(views, Views)
    assert bool(views.camera.pose.isfinite().all())
    assert bool((views.camera.focal > 0).all())
    assert len(views.train) >= 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.integers(10**30, 10**400),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = [
    "fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k4", "p1", "camera_model", "camera_angle_x", "x_fov", "is_fisheye",
    "frames", "train_filenames", "test_filenames", "metric", "applied_scale", "depth_unit_scale_factor", "ftheta_p0",
    "file_path", "transform_matrix", "mask_path", "depth_file_path", "rolling_shutter",
]  # fmt: skip
odd_names = st.sampled_from(
    ["images/0001.png", "images", ".", "../x", "\0", "x" * 400, "images/0000.png/", "transforms.json", "\ud800", "a/.."]
)


@given(key=st.sampled_from(KEYS), value=anything | odd_names, frame=st.none() | st.integers(0, 2), drop=st.booleans())
@quick
def test_any_change_to_a_list_gives_views_or_refusal(folder, key, value, frame, drop):
    meta = layouts.transforms(3)
    target = meta if frame is None else meta["frames"][frame]
    if drop:
        target.pop(key, None)
    else:
        target[key] = value
    (folder / "transforms.json").write_text(json.dumps(meta))
    views_or_refusal(lambda: transforms.read(folder, ReadOptions(holdout=0)))


@given(content=st.binary(max_size=80), at=st.integers(0, 3000), cut=st.integers(0, 80))
@quick
def test_any_damage_to_the_bytes_of_a_list(folder, content, at, cut):
    whole = json.dumps(layouts.transforms(3)).encode()
    (folder / "transforms.json").write_bytes(whole[:at] + content + whole[at + cut :])
    views_or_refusal(lambda: transforms.read(folder, ReadOptions(holdout=0)))


@given(value=anything)
@quick
def test_any_json_at_all(folder, value):
    (folder / "transforms.json").write_text(json.dumps(value))
    views_or_refusal(lambda: transforms.read(folder, ReadOptions(holdout=0)))


ARRAYS = st.sampled_from(
    [
        np.zeros((3, 4, 4)), np.zeros((3, 36, 48, 3), np.uint8), np.full((3, 36, 48, 3), np.inf), np.zeros(0),
        np.array("text"), np.array(True), np.zeros((3, 36, 48, 7)), np.zeros((3, 0, 48, 3)), np.zeros((3, 17)),
        np.full((3, 17), np.nan), np.tile(np.eye(4), (3, 1, 1)), np.array(-1.0), np.zeros((3, 4, 4), complex),
        np.arange(3), np.tile(np.eye(4) * 1e200, (3, 1, 1)), np.array([2**63 - 1]), np.array(1e-300), np.array(1e300),
    ]
)  # fmt: skip


@given(
    key=st.sampled_from(["images", "poses", "focal", "held_out", "maps", "near", "far"]),
    array=ARRAYS,
    n=st.integers(0, 4),
)
@quick
def test_any_array_under_any_key(tmp_path_factory, key, array, n):
    folder = tmp_path_factory.getbasetemp()
    file = layouts.write_tinynerf(folder, 3, **{"near": np.array(1.0), "far": np.array(2.0), key: array})
    views_or_refusal(lambda: tinynerf.read(file, ReadOptions(channels=n, holdout=0)))


@given(row=st.integers(0, 2), column=st.integers(0, 16), value=st.floats() | st.sampled_from([0.0, math.inf, 1e200]))
@quick
def test_any_number_in_an_llff_array(llff_folder, row, column, value):
    rows = np.load(llff_folder / "whole.npy")
    rows[row, column] = value
    np.save(llff_folder / "poses_bounds.npy", rows)
    views_or_refusal(lambda: llff.read(llff_folder, ReadOptions(holdout=0)))


@given(position=st.integers(0, 2000), byte=st.integers(0, 255))
@quick
def test_any_damaged_byte_of_an_archive(tmp_path_factory, position, byte):
    file = layouts.write_tinynerf(tmp_path_factory.getbasetemp(), 3)
    content = bytearray(file.read_bytes())
    content[position - 1000] = byte  # the end holds the directory, the beginning the first header
    file.write_bytes(bytes(content))
    views_or_refusal(lambda: tinynerf.read(file, ReadOptions(holdout=0)))


def test_the_laws_can_fail():
    with pytest.raises(ZeroDivisionError):
        views_or_refusal(lambda: 1 / 0)
    with pytest.raises(pytest.fail.Exception):
        views_or_refusal(_two_lines)


def _two_lines():
    raise BadInput("one\ntwo")
