"""LLFF folders: columns, sizes, masks, bounds, and arrays that do not fit their photos."""

from __future__ import annotations

import layouts
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.data import ReadOptions, llff
from fieldscape.errors import BadInput


def read(folder, options=None):
    return llff.read(folder, options or ReadOptions())


def changed(folder, change):
    """The folder with its array changed in place by ``change``."""
    layouts.write_llff(folder)
    rows = np.load(folder / "poses_bounds.npy")
    np.save(folder / "poses_bounds.npy", np.asarray(change(rows)))
    return folder


def put(rows, row, column, value):
    rows[row, column] = value
    return rows


def test_columns_become_opencv_axes(tmp_path):
    views = read(layouts.write_llff(tmp_path))
    expected = layouts.opengl_poses(9) * np.array([1, -1, -1, 1])
    np.testing.assert_allclose(views.camera.pose.numpy(), expected, atol=1e-6)
    assert views.bounds.tolist() == [[1, 9]] * 9
    assert views.held_out == (0, 8)
    assert views.images.shape == (9, 36, 48, 3)


def test_the_focal_length_follows_the_photos(tmp_path):
    views = read(layouts.write_llff(tmp_path, shrink=5.0))
    assert torch.allclose(views.camera.focal, torch.tensor(40.0))
    assert views.camera.center[0].tolist() == [24, 18]
    assert (views.camera.width, views.camera.height) == (48, 36)


def test_the_full_photos_go_before_reduced_ones(tmp_path):
    layouts.write_llff(tmp_path / "both", images="images_8")
    layouts.write_llff(tmp_path / "both", images="images_4")
    assert llff._photos(tmp_path / "both")[0].parent.name == "images_4"
    layouts.write_llff(tmp_path / "both", images="images")
    assert llff._photos(tmp_path / "both")[0].parent.name == "images"


@pytest.mark.parametrize("full", [255, 1])
def test_masks_become_alpha(tmp_path, full):
    layouts.write_llff(tmp_path)
    (tmp_path / "masks").mkdir()
    mask = np.zeros((36, 48), np.uint8)
    mask[10:20, 10:30] = full
    for i in range(9):
        Image.fromarray(mask).save(tmp_path / f"masks/{i:03d}.png")
    views = read(tmp_path)
    np.testing.assert_array_equal(views.images[..., 3].numpy(), np.tile(mask > 0, (9, 1, 1)) * 255)
    assert views.background == (1.0, 1.0, 1.0)
    assert read(tmp_path, ReadOptions(background="black")).background == (0.0, 0.0, 0.0)
    color = views.color(3)
    assert bool((color[0, 0] == 1).all())
    half = read(tmp_path, ReadOptions(downscale=2)).images[..., 3]
    np.testing.assert_array_equal(half[0].numpy() > 127, mask.reshape(18, 2, 24, 2).max((1, 3)) > 0)
    (tmp_path / "masks/004.png").unlink()
    with pytest.raises(BadInput, match=r"masks of 1 photos, e\.g\. 004\.png"):
        read(tmp_path)


BAD = {
    "columns": (lambda rows: rows[:, :16], r"\[views, 17\]"),
    "flat": (lambda rows: rows.ravel(), r"\[views, 17\]"),
    "whole numbers": (lambda rows: rows.astype(int), r"\[views, 17\]"),
    "too few": (lambda rows: rows[:5], "5 poses.*9 photos"),
    "NaN pose": (lambda rows: put(rows, 3, 0, np.nan), "003.*NaN"),
    "NaN focal": (lambda rows: put(rows, 3, 14, np.nan), "focal"),
    "focal 0": (lambda rows: put(rows, 3, 14, 0), "003.*above zero"),
    "size 0": (lambda rows: put(rows, slice(None), 4, 0), "states images of"),
    "sizes differ": (lambda rows: put(rows, 3, 4, 99), "several image sizes"),
    "aspect": (lambda rows: put(rows, slice(None), 4, 48), "aspect ratio"),
    "bounds swapped": (lambda rows: put(rows, 3, 15, 20), "003.*near < far"),
    "bounds 0": (lambda rows: put(rows, 3, 15, 0), "003"),
    "bounds infinite": (lambda rows: put(rows, 3, 16, np.inf), "bound"),
    "stretched": (lambda rows: put(rows, 3, 0, 5), "003"),
    "mirrored": (lambda rows: np.concatenate([-rows[:, :1], rows[:, 1:]], 1), "000"),
    "objects": (lambda rows: np.array([{}]), "plain numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_one_sentence(tmp_path, case):
    change, says = BAD[case]
    with pytest.raises(BadInput, match=says) as caught:
        read(changed(tmp_path, change))
    assert "poses_bounds.npy" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_photos(tmp_path):
    layouts.write_llff(tmp_path)
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(BadInput, match="images/"):
        read(tmp_path)
