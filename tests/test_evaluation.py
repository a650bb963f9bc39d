"""Evaluation against pictures whose quality is known beforehand, and the Scene's own refusals."""

import dataclasses
import math

import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.evaluation import evaluate
from fieldscape.framing import Framing
from fieldscape.scenes import Control, Scene
from fieldscape.types import Camera, Rendered, Views


def camera(n: int) -> Camera:
    pose = torch.eye(4).repeat(n, 1, 1)
    pose[:, 0, 3] = torch.arange(float(n))
    return Camera(pose, torch.full((n, 2), 20.0), torch.full((n, 2), 8.0), 16, 16)


def views(**more) -> Views:
    images = torch.rand(4, 16, 16, 3, generator=torch.Generator().manual_seed(0)) * 0.8
    return Views(camera(4), images, ("a", "b", "c", "d"), (1, 3), "by hand", **more)


def scene(truth: Views, error: float, depth: float = 2.0, controls: tuple[Control, ...] = ()) -> Scene:
    """Shows each photo, off by ``error`` everywhere."""

    def draw(seen_by: Camera, values) -> Rendered:
        photo = truth.color(int(seen_by.position[0])) + error * (1 + values.get("fault", 0))
        return Rendered(photo, torch.full((16, 16, 1), depth), torch.ones(16, 16, 1))

    low, high = -torch.ones(3), torch.ones(3)
    framing = Framing(torch.zeros(3), low, high, 1.0, 5.0, torch.tensor([0.0, -1.0, 0.0]), False)
    return Scene("test", draw, truth.camera[0], truth.camera, framing, controls)


def test_psnr_is_the_mean_over_held_out_views() -> None:
    quality = evaluate(scene(views(), 0.1).render, views())
    assert quality.psnr == pytest.approx(20, abs=1e-3)
    assert (quality.views, quality.split) == (2, "by hand")
    assert quality.depth_error is None
    assert 0 < quality.ssim < 1


def test_without_held_out_views_it_says_so() -> None:
    truth = dataclasses.replace(views(), held_out=())
    quality = evaluate(scene(truth, 0.1).render, truth)
    assert quality.views == 4
    assert "none is held out" in quality.split


def test_pixels_that_may_not_be_used_do_not_count() -> None:
    valid = torch.ones(4, 16, 16, dtype=torch.bool)
    valid[:, :8] = False
    truth = views(valid=valid)
    spoiled = dataclasses.replace(truth, images=truth.images.clone())
    spoiled.images[:, :8] = 1.0
    assert evaluate(scene(truth, 0.1).render, spoiled).psnr == pytest.approx(20, abs=1e-3)
    with pytest.raises(BadInput, match="no usable pixel"):
        evaluate(scene(truth, 0.1).render, dataclasses.replace(truth, valid=torch.zeros_like(valid)))


def test_depth_error_is_the_median_relative_one_where_depth_is_known() -> None:
    depths = torch.full((4, 16, 16), 2.5)
    depths[:, :, :5] = 0  # unknown
    assert evaluate(scene(views(), 0.1).render, views(depths=depths)).depth_error == pytest.approx(0.2, abs=1e-5)


def test_each_view_is_told_as_it_is_done() -> None:
    told = []
    evaluate(scene(views(), 0.1).render, views(), lambda i, seen, psnr: told.append((i, psnr)))
    assert [i for i, _ in told] == [1, 3]
    assert all(math.isfinite(psnr) for _, psnr in told)


def test_controls_are_checked_and_have_defaults() -> None:
    fault = Control("fault", 0.0, 1.0, 0.0, "how much worse")
    shown = scene(views(), 0.1, controls=(fault,))
    plain, worse = shown.render(shown.start), shown.render(shown.start, fault=1.0)
    assert float((worse.color - plain.color).mean()) == pytest.approx(0.1, abs=1e-5)
    with pytest.raises(BadInput, match="0 to 1"):
        shown.render(shown.start, fault=2.0)
    with pytest.raises(BadInput, match="no control 'time'"):
        shown.render(shown.start, time=0.0)
