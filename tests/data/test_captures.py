"""Real captures: counts, sizes, splits, and cameras that stand where such cameras stand."""

from __future__ import annotations

import pytest
import torch

from fieldscape import cameras
from fieldscape.data import ReadOptions, describe, read


def looks_at_the_middle(views, bound: float) -> None:
    """Where the optical axes pass closest to each other is in front of all cameras, and near all axes."""
    target = cameras.nearest_to_axes(views.camera)
    toward = target - views.camera.position
    along = (toward * views.camera.forward).sum(-1)
    assert bool((along > 0).all())
    away = (toward - along[:, None] * views.camera.forward).norm(dim=-1)
    assert float(away.median() / along.median()) < bound


def level(views) -> float:
    """The smallest cosine between a camera's own up and that of all."""
    return float((-views.camera.pose[:, :3, 1] @ cameras.mean_up(views.camera)).min())


def test_tiny_lego(real_data):
    views = read(real_data / "tiny_lego")
    assert views.images.shape == (106, 100, 100, 3)
    assert views.images.dtype == torch.float32
    assert views.train == list(range(100))
    assert views.background == (0.0, 0.0, 0.0)
    assert float(views.camera.focal[0, 0]) == pytest.approx(138.889, abs=1e-3)
    assert cameras.nearest_to_axes(views.camera).norm() < 1e-4
    assert torch.allclose(views.camera.position.norm(dim=-1), torch.tensor(4.0311), atol=1e-3)
    assert cameras.mean_up(views.camera)[2] > 0.99
    looks_at_the_middle(views, 1e-4)
    assert describe(views)


def test_lego_400(real_data):
    views = read(real_data / "lego_400", ReadOptions(downscale=2))
    assert views.images.shape == (120, 200, 200, 4)
    assert views.images.dtype == torch.uint8
    assert views.held_out == tuple(range(100, 120))
    assert views.background == (1.0, 1.0, 1.0)
    assert float(views.camera.focal[0, 0]) == pytest.approx(277.78, abs=0.01)
    assert cameras.nearest_to_axes(views.camera).norm() < 1e-4
    # The same photo on black, reduced to 100 x 100, is in the other archive: its colours and its place agree.
    tiny = read(real_data / "tiny_lego")
    small = read(real_data / "lego_400", ReadOptions(downscale=4, background="black"))
    assert torch.allclose(small.camera.pose[:100], tiny.camera.pose[:100], atol=1e-5)
    assert float((small.color([0, 50]) - tiny.images[[0, 50]]).abs().max()) < 0.02


def test_head(real_data):
    views = read(real_data / "head_llff", ReadOptions(downscale=4))
    assert views.images.shape == (66, 200, 200, 4)
    assert len(views.held_out) == 9
    assert float(views.camera.focal[0, 0]) == pytest.approx(7543.57 / 20, abs=0.1)
    assert 0.05 < float((views.images[..., 3] > 127).float().mean()) < 0.6
    looks_at_the_middle(views, 0.05)
    assert level(views) > 0.8
    near = (cameras.nearest_to_axes(views.camera) - views.camera.position).norm(dim=-1)
    assert bool((views.bounds[:, 0] < near).all())
    assert float((near < views.bounds[:, 1]).float().mean()) > 0.8


def test_fox(real_data):
    views = read(real_data / "fox", ReadOptions(downscale=4))
    assert views.images.shape == (50, 480, 270, 3)
    assert len(views.held_out) == 7
    assert any("17 of the 67" in note for note in views.notes)
    assert views.camera.lens == "brown"
    assert views.camera.focal[0].tolist() == pytest.approx([343.88, 343.6225])
    assert views.background is None
    looks_at_the_middle(views, 0.2)
    assert level(views) > 0.8
