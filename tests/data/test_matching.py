"""Matches between photos: in the right place to a fraction of a pixel, and independent of the poses."""

from __future__ import annotations

import itertools
from dataclasses import replace

import corner
import posed_world
import pytest
import torch

from fieldscape.data import matching
from fieldscape.types import Camera, Views


def photo(seed: int = 0, size: int = 320) -> torch.Tensor:
    return torch.from_numpy(corner.wallpaper(seed, 800)[:size, :size]).float() / 255


def shrunk(image: torch.Tensor, factor: int) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(image.permute(2, 0, 1), factor).permute(1, 2, 0)


@pytest.mark.parametrize(("factor", "tolerance"), [(1, 0.15), (4, 0.1)])
def test_a_shifted_photo_is_matched_where_it_is(factor, tolerance):
    """Also after enlarging, which moves pixel centres: the classic half pixel."""
    image = photo()
    left, right = shrunk(image[:256, :256], factor), shrunk(image[8:264, 12:268], factor)
    (at, a), (there, b) = matching.keypoints(left), matching.keypoints(right)
    found = matching.nearest_descriptors(a, b)
    moved = at[found[:, 0]] - there[found[:, 1]]
    assert len(found) > 50
    assert torch.allclose(moved.median(0).values, torch.tensor([12.0, 8.0]) / factor, atol=tolerance)


def test_pixels_are_the_same_at_every_size():
    image = photo(1, 256)
    fine, coarse = matching.keypoints(image), matching.keypoints(shrunk(image, 2))
    found = matching.nearest_descriptors(fine[1], coarse[1])
    off = fine[0][found[:, 0]] / 2 - coarse[0][found[:, 1]]
    assert off.median(0).values.abs().max() < 0.05


@pytest.mark.parametrize(("width", "height"), [(100, 80), (320, 200), (900, 700)])
def test_a_blob_is_found_at_its_place(width, height):
    """Absolutely: an offset common to both photos of a pair would bend every ray."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    place = torch.tensor([0.43 * width + 0.3, 0.55 * height - 0.2])
    blob = torch.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * (0.02 * width) ** 2))
    at, _ = matching.keypoints((0.2 + 0.6 * blob)[..., None].expand(-1, -1, 3).contiguous())
    assert float((at - place).norm(dim=-1).min()) < 0.13 / min(4, matching.WORKING_SIZE / width)


def test_a_blank_photo_has_no_keypoints():
    at, descriptors = matching.keypoints(torch.ones(60, 80, 3))
    assert at.shape == (0, 2)
    assert descriptors.shape == (0, 128)
    assert len(matching.nearest_descriptors(descriptors, descriptors)) == 0


def test_nearest_descriptors_are_those_of_brute_force():
    generator = torch.Generator().manual_seed(0)
    first = torch.nn.functional.normalize(torch.rand(40, 6, generator=generator), dim=-1)
    second = torch.nn.functional.normalize(torch.rand(50, 6, generator=generator), dim=-1)
    apart = torch.cdist(first.double(), second.double())
    expected = []
    for i in range(40):
        j, runner_up = apart[i].argsort()[:2].tolist()
        if int(apart[:, j].argmin()) == i and apart[i, j] < matching.RATIO * apart[i, runner_up]:
            expected.append([i, j])
    assert matching.nearest_descriptors(first, second).tolist() == expected
    assert len(expected) > 3


def test_matches_that_disagree_with_the_rest_are_dropped():
    camera = posed_world.ring()
    found = posed_world.matches(camera, posed_world.cloud(), noise=0.05)
    mine = found.pair == 0
    first, second = found.first_pixels[mine].clone(), found.second_pixels[mine].clone()
    wrong = torch.arange(0, len(first), 4)
    second[wrong] += torch.tensor([13.0, 29.0])
    kept = matching.agreeing(first, second, 0.5)
    assert not set(kept.tolist()) & set(wrong.tolist())
    assert len(kept) > 0.6 * len(first)


def textured(count: int, order: list[int] | None = None) -> Views:
    """Windows of one wallpaper that slide by 10 pixels."""
    paper = torch.from_numpy(corner.wallpaper(3))
    images = torch.stack([paper[:120, 10 * i : 10 * i + 160] for i in (order or range(count))])
    camera = Camera(
        torch.eye(4).repeat(count, 1, 1), torch.full((count, 2), 200.0), torch.full((count, 2), 70.0), 160, 120
    )
    return Views(camera, images, tuple(str(i) for i in range(count)), (), "none")


def test_matches_do_not_depend_on_the_poses_of_a_small_set():
    views = textured(5)
    other = replace(views, camera=replace(views.camera, pose=torch.randn(5, 4, 4)))
    first, second = matching.match_views(views), matching.match_views(other)
    assert first.pairs == second.pairs
    assert torch.equal(first.first_pixels, second.first_pixels)
    moved = first.first_pixels - first.second_pixels
    apart = 10.0 * (first.second - first.first)
    assert float((moved[:, 0] - apart).abs().median()) < 0.1
    assert float(moved[:, 1].abs().median()) < 0.1


def test_hidden_pixels_are_not_matched():
    views = textured(4)
    valid = torch.ones(4, 120, 160, dtype=torch.bool)
    valid[:, :, 80:] = False
    found = matching.match_views(replace(views, valid=valid))
    assert len(found) > 0
    assert float(found.first_pixels[:, 0].max()) < 80
    alpha = (valid * 255).to(torch.uint8)[..., None]
    found = matching.match_views(replace(views, images=torch.cat([views.images, alpha], -1)))
    assert float(found.second_pixels[:, 0].max()) < 81


def test_neighbours_are_chosen_from_a_shuffled_set():
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1)).tolist()
    views = textured(60, order)
    chosen = matching.choose_views(views, 20)
    assert len(chosen) == len(set(chosen)) <= 20
    places = sorted(order[i] for i in chosen)
    # The pictures themselves find some of their neighbours, though neither order nor rotation helps.
    assert sum(b - a <= 2 for a, b in itertools.pairwise(places)) >= 4
