"""TinyNeRF archives: what the keys mean, and what happens when they are not there or lie."""

from __future__ import annotations

import layouts
import numpy as np
import pytest
import torch

from fieldscape.data import ReadOptions, tinynerf
from fieldscape.errors import BadInput

POSES = layouts.opengl_poses(9)
PHOTOS = layouts.photos(POSES)


def read(folder, options=None, **changed):
    return tinynerf.read(layouts.write_tinynerf(folder, **changed), options or ReadOptions())


def test_floats_stay_floats_and_bytes_bytes(tmp_path):
    views = read(tmp_path)
    assert views.images.dtype == torch.float32
    np.testing.assert_allclose(views.images.numpy() * 255, PHOTOS, atol=1e-4)
    assert views.camera.focal[0].tolist() == [40, 40]
    assert views.camera.center[0].tolist() == [24, 18]
    assert views.bounds is None
    assert read(tmp_path, images=PHOTOS).images.dtype == torch.uint8
    assert read(tmp_path, images=PHOTOS / 255.0).images.dtype == torch.float32
    half = read(tmp_path, ReadOptions(downscale=2)).images.numpy()
    np.testing.assert_allclose(half * 255, PHOTOS.reshape(9, 18, 2, 24, 2, 3).mean((2, 4)), atol=1e-3)


def test_splits(tmp_path):
    assert read(tmp_path).held_out == (0, 8)
    assert read(tmp_path, i_test=np.array([7, 3, 3])).held_out == (3, 7)
    assert read(tmp_path, held_out=np.array(4)).held_out == (4,)
    poses = np.tile(POSES[:2], (53, 1, 1)).astype(np.float32)
    public = read(tmp_path, poses=poses, images=np.tile(PHOTOS[:2], (53, 1, 1, 1)))
    assert public.held_out == (100, 101, 102, 103, 104, 105)


def test_bounds_only_where_the_file_states_them(tmp_path):
    bounds = read(tmp_path, near=np.array(2.0), far=np.array(6)).bounds
    assert bounds.shape == (9, 2)
    assert bounds[5].tolist() == [2, 6]
    assert read(tmp_path, near=np.array(2.0)).bounds is None
    with pytest.raises(BadInput, match="near < far"):
        read(tmp_path, near=np.array(6.0), far=np.array(2.0))


def test_further_channels(tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.random((9, 36, 48, 4), dtype=np.float32)
    options = ReadOptions(channels=4)
    joined = np.concatenate([PHOTOS / np.float32(255), maps], -1)
    for changed in ({"maps": maps}, {"affordance_maps": maps}, {"images": joined}):
        views = read(tmp_path, options, **changed)
        np.testing.assert_array_equal(views.maps.numpy(), maps)
        assert views.images.shape[-1] == 3
    half = read(tmp_path, ReadOptions(channels=4, downscale=2), maps=maps).maps.numpy()
    np.testing.assert_allclose(half, maps.reshape(9, 18, 2, 24, 2, 4).mean((2, 4)), atol=1e-6)
    assert read(tmp_path, maps=maps).maps is None
    with pytest.raises(BadInput, match="further channels are asked for"):
        read(tmp_path, ReadOptions(channels=2), maps=maps)
    with pytest.raises(BadInput, match="--channels"):
        read(tmp_path, images=joined)


def test_four_channels_are_colour_with_alpha(tmp_path):
    views = read(tmp_path, images=layouts.photos(POSES, 4))
    assert views.images.shape[-1] == 4
    assert views.background == (1.0, 1.0, 1.0)


def test_floats_in_0_to_255_are_scaled_with_a_note(tmp_path):
    views = read(tmp_path, images=PHOTOS.astype(np.float32))
    np.testing.assert_allclose(views.images.numpy() * 255, PHOTOS, atol=1e-4)
    assert any("255" in note for note in views.notes)


BAD = {
    "no focal": ({"focal": np.array("x")}, "focal"),
    "focal 0": ({"focal": np.array(0.0)}, "above zero"),
    "focal NaN": ({"focal": np.array(np.nan)}, "focal"),
    "two focals": ({"focal": np.ones(2)}, "focal"),
    "poses 3x4": ({"poses": POSES[:, :3]}, r"\[9, 4, 4\]"),
    "too few poses": ({"poses": POSES[:4]}, r"\[9, 4, 4\]"),
    "whole poses": ({"poses": POSES.astype(int)}, "floats"),
    "pose NaN": ({"poses": np.where(np.arange(9)[:, None, None] == 3, np.nan, POSES)}, "view_3.*NaN"),
    "pose scaled": ({"poses": POSES * 1.5}, "view_0"),
    "grey": ({"images": PHOTOS[..., :1]}, "images have shape"),
    "one photo": ({"images": PHOTOS[0]}, "images have shape"),
    "no photo": ({"images": PHOTOS[:0], "poses": POSES[:0]}, "images have shape"),
    "whole numbers": ({"images": PHOTOS.astype(np.int64)}, "uint8"),
    "negative": ({"images": PHOTOS / 255 - 0.5}, "0..1"),
    "too bright": ({"images": PHOTOS / 128.0}, "0..1"),
    "NaN": ({"images": np.where(PHOTOS > 200, np.nan, 0.5)}, "images"),
    "split": ({"i_test": np.array([9])}, "indices"),
    "split of floats": ({"i_test": np.array([1.0])}, "indices"),
    "all held out": ({"i_test": np.arange(8)}, "at least 2"),
    "one view": ({"images": PHOTOS[:1], "poses": POSES[:1]}, "at least 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_archives_are_one_sentence(tmp_path, case):
    changed, says = BAD[case]
    with pytest.raises(BadInput, match=says) as caught:
        read(tmp_path, **changed)
    assert "tiny.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_keys_and_empty_files(tmp_path):
    np.savez(tmp_path / "a.npz", images=PHOTOS, pictures=PHOTOS)
    with pytest.raises(BadInput, match="lacks focal, poses; it holds images, pictures"):
        tinynerf.read(tmp_path / "a.npz", ReadOptions())
    (tmp_path / "b.npz").touch()
    with pytest.raises(BadInput, match=r"b\.npz"):
        tinynerf.read(tmp_path / "b.npz", ReadOptions())
    with pytest.raises(BadInput, match="exactly one"):
        tinynerf.read(tmp_path, ReadOptions())
