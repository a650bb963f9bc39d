"""What moves is found, what does not is not, and a mask is carried along."""

from dataclasses import replace

import numpy as np
import torch
from made_tracks_clips import sliding, texture

from fieldscape.progress import progress
from fieldscape.systems.tracks.follow_settings import FollowSettings
from fieldscape.systems.tracks.foreground import carried, find_layers, misfit, sampson, unlike
from fieldscape.systems.tracks.nouns import Clip


def overlap(layers: torch.Tensor, masks: np.ndarray) -> float:
    """Intersection over union over the whole clip."""
    found = layers.numpy() > 0
    return float((found & masks).sum() / (found | masks).sum())


def found(clip: Clip) -> Clip:
    with progress(len(clip), "finding", quiet=True) as bar:
        return find_layers(clip, FollowSettings(), bar)


def test_a_mover_is_found_against_a_moving_camera() -> None:
    clip, masks = sliding(9, step=(1.0, 0.3), mover=(1.0, 1.0))
    layers = found(clip).layers
    assert layers is not None
    assert overlap(layers, masks) > 0.7


def test_a_mover_is_found_from_a_tripod() -> None:
    clip, masks = sliding(12, step=(0.0, 0.0), mover=(5.0, 2.0))
    result = found(clip)
    assert result.layers is not None
    assert overlap(result.layers, masks) > 0.7
    assert "stands still" in result.notes[-1]


def test_where_nothing_moves_there_is_no_layer() -> None:
    for step in ((1.5, 0.5), (0.0, 0.0)):
        result = found(sliding(4, step=step)[0])
        assert result.layers is None
        assert "nothing" in result.notes[-1]


def test_a_first_mask_is_carried_forward() -> None:
    clip, masks = sliding(9, size=(160, 110), step=(1.0, 0.3), mover=(1.0, 1.0))
    first = torch.from_numpy(3 * masks[0].astype(np.uint8))
    layers = carried(clip, first).layers
    assert layers is not None
    assert torch.equal(layers[0], first)
    assert set(layers.unique().tolist()) == {0, 3}
    assert overlap(layers, masks) > 0.85
    last = layers[-1].numpy() > 0
    assert (last & masks[-1]).sum() / (last | masks[-1]).sum() > 0.75


def test_an_empty_mask_stays_empty() -> None:
    clip = sliding(3)[0]
    layers = carried(clip, torch.zeros(80, 120, dtype=torch.uint8)).layers
    assert layers is not None
    assert not bool(layers.any())


def test_a_finding_does_not_depend_on_masks_that_are_there() -> None:
    clip, _ = sliding(4, mover=(3.0, 2.0), marked=True)
    one, other = found(clip).layers, found(replace(clip, layers=None)).layers
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


def test_pairs_of_an_epipolar_geometry_are_at_distance_zero() -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(-1, 1, (30, 3)) + np.array([0, 0, 4])
    shift = np.array([0.5, 0.1, 0.2])
    start, end = points[:, :2] / points[:, 2:], (points + shift)[:, :2] / (points + shift)[:, 2:]
    x, y, z = shift
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    assert np.abs(sampson(essential, start, end)).max() < 1e-20
    normal = np.stack([-y + z * end[:, 1], x - z * end[:, 0]], 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    off = sampson(essential, start, end + 1e-3 * normal)
    assert (off > 0).all()
    assert off.max() < 1e-6


def test_flow_of_a_homography_fits_but_for_what_moves() -> None:
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    camera = np.stack([0.02 * columns - 1, 0.01 * rows + 0.5], -1)
    flow = camera.copy()
    flow[20:35, 30:50] += (4.0, 1.0)
    off, explained = misfit(flow, np.ones((60, 80), bool))
    assert off[20:35, 30:50].min() > 1
    off[20:35, 30:50] = 0
    assert off.max() < 0.1
    assert np.abs(explained - camera).max() < 0.1


def test_where_flow_errs_but_the_camera_explains_what_is_seen_nothing_moves() -> None:
    """Most of the picture is of one colour: whatever flow says there, fetching it as the camera moves looks right."""
    one = texture(60, 80, 4)
    one[:, 24:] = 90
    still = np.zeros((60, 80, 2), np.float32)
    assert unlike(one, one, still).max() < 0.2
    shifted_by_five = np.full((60, 80, 2), 5.0, np.float32)
    off = unlike(one, one, shifted_by_five)
    assert np.nanmedian(off[:, 2:16]) > 1
    assert np.nanmax(off[:, 34:70]) < 0.2
    assert bool(np.isnan(off[:, 76:]).all())
