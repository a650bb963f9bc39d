"""Weights of photos: read as said, refused where they make no sense, and heeded by every engine."""

import json

import numpy as np
import pytest
import torch

from fieldscape import data
from fieldscape.data.options import ReadOptions
from fieldscape.data.weights import read_weights
from fieldscape.errors import BadInput
from fieldscape.systems.nerf.pixels import look_up
from fieldscape.types import Camera, Views

NAMES = ("images/0001.png", "images/0002.png", "images/0003.png")


def written(tmp_path, value):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(value))
    return path


def test_a_photo_is_known_by_its_path_its_name_and_its_stem(tmp_path):
    path = written(tmp_path, {"images/0001.png": 0.5, "0002.png": 0, "0003": 7})
    assert read_weights(path, NAMES).tolist() == [0.5, 0.0, 7.0]
    assert read_weights(written(tmp_path, {"0002": 2}), NAMES).tolist() == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1, 2], "one JSON object"),
        ({"0001": -1}, "0001 is -1"),
        ({"0001": "much"}, "must be a number"),
        ({"0001": True}, "must be a number"),
        ({"0001": 1e9}, "0 to 1000"),
        ({"0009": 1}, "no photo has that name"),
        ({"0001": 0, "0002": 0, "0003": 0}, "nothing is left"),
    ],
)
def test_weights_that_make_no_sense_are_refused(tmp_path, value, said):
    with pytest.raises(BadInput, match=said):
        read_weights(written(tmp_path, value), NAMES)


def test_a_name_that_two_photos_share_is_refused(tmp_path):
    with pytest.raises(BadInput, match="2 photos"):
        read_weights(written(tmp_path, {"a.png": 1}), ("left/a.png", "right/a.png"))
    assert read_weights(written(tmp_path, {"left/a.png": 3}), ("left/a.png", "right/a.png")).tolist() == [3.0, 1.0]


def test_readers_attach_them_and_the_fingerprint_tells(tmp_path):
    poses = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    poses[:, 0, 3] = range(4)
    images = np.random.default_rng(0).random((4, 6, 6, 3), dtype=np.float32)
    np.savez(tmp_path / "scene.npz", images=images, poses=poses, focal=np.float32(8))
    plain = data.read(tmp_path / "scene.npz")
    path = written(tmp_path, {plain.names[1]: 0.25})
    weighted = data.read(tmp_path / "scene.npz", ReadOptions(weights=path))
    assert plain.weights is None
    assert weighted.weights is not None
    assert weighted.weights[1] == 0.25
    assert data.fingerprint(plain) != data.fingerprint(weighted)


def test_a_batch_carries_the_weight_of_each_pixels_photo():
    pose = torch.eye(4).expand(3, 4, 4).clone()
    camera = Camera(pose, torch.full((3, 2), 4.0), torch.full((3, 2), 2.0), 4, 4)
    images = torch.zeros(3, 4, 4, 3)
    valid = torch.ones(3, 4, 4, dtype=torch.bool)
    valid[2] = False
    views = Views(camera, images, NAMES, (), "", valid=valid, weights=torch.tensor([0.5, 1.0, 3.0]))
    view = torch.tensor([0, 1, 2])
    assert look_up(views, view, view, view).weight[:, 0].tolist() == [0.5, 1.0, 0.0]
