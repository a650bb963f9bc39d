"""Which pixels are learned from: near silhouettes, valid, of the views asked for; and what is known of opacity."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.systems.nerf.pool import known_opacity, unravel, useful_pixels
from fieldscape.types import Camera, Views

COUNT, HEIGHT, WIDTH = 4, 30, 40


def views(channels: int = 3) -> Views:
    pose = torch.eye(4).repeat(COUNT, 1, 1)
    camera = Camera(pose, torch.full((COUNT, 2), 50.0), torch.full((COUNT, 2), 20.0), WIDTH, HEIGHT)
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, HEIGHT, WIDTH, channels), generator=g, dtype=torch.uint8)
    return Views(camera, images, tuple("abcd"), (), "none", background=(1.0, 1.0, 1.0))


TRAIN = [0, 2, 3]


def chosen(pixels: np.ndarray) -> np.ndarray:
    """Truth values [v, h, w] of the pixels of a pool."""
    out = np.zeros(COUNT * HEIGHT * WIDTH, bool)
    out[pixels] = True
    assert out.sum() == len(pixels)
    return out.reshape(COUNT, HEIGHT, WIDTH)


def test_all_pixels_of_the_views_are_of_use_where_no_silhouette_is_known() -> None:
    pool = useful_pixels(replace(views(), background=None), None, TRAIN)
    found = chosen(pool.pixels)
    assert found[TRAIN].all()
    assert not found[1].any()
    assert pool.empty is None
    assert pool.pixels.dtype == np.uint32


def test_pixels_far_from_a_silhouette_are_left_out() -> None:
    shapes = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)
    shapes[:, 10, 12] = True
    shapes[2, 0, 39] = True
    found = chosen(useful_pixels(views(), shapes, TRAIN).pixels)
    expected = np.zeros((COUNT, HEIGHT, WIDTH), bool)
    expected[TRAIN, 8:13, 10:15] = True  # 2 pixels to each side, the least there is
    expected[2, :3, 37:] = True
    assert np.array_equal(found, expected)


def test_the_margin_around_silhouettes_grows_with_the_photos() -> None:
    wide = views()
    images = torch.zeros(COUNT, HEIGHT, 200, 3, dtype=torch.uint8)
    shapes = torch.zeros(COUNT, HEIGHT, 200, dtype=torch.bool)
    shapes[0, 15, 100] = True
    pixels = useful_pixels(replace(wide, images=images), shapes, TRAIN).pixels
    assert len(pixels) == 13 * 13  # 3 % of 200 pixels to each side


def test_pixels_that_may_not_be_used_are_left_out() -> None:
    valid = torch.rand(COUNT, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)) < 0.5
    found = chosen(useful_pixels(replace(views(), valid=valid), None, TRAIN).pixels)
    assert np.array_equal(found[TRAIN], valid[TRAIN].numpy())
    shapes = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)
    shapes[:, 10, 12] = True
    both = chosen(useful_pixels(replace(views(), valid=valid), shapes, TRAIN).pixels)
    assert np.array_equal(both[0, 8:13, 10:15], valid[0, 8:13, 10:15].numpy())
    assert both.sum() < 3 * 25


def test_views_without_a_pixel_to_learn_from_are_refused() -> None:
    nothing = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)
    for given, shapes, which in (
        (replace(views(), valid=nothing), None, TRAIN),
        (views(), nothing, TRAIN),
        (views(), None, []),
    ):
        with pytest.raises(BadInput, match="has a pixel to learn from"):
            useful_pixels(given, shapes, which)


def test_what_lies_outside_a_silhouette_is_known_to_be_empty_where_alpha_does_not_say_it() -> None:
    shapes = torch.rand(COUNT, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)) < 0.3
    pool = useful_pixels(views(), shapes, TRAIN)
    assert pool.empty is not None
    assert pool.empty.dtype == np.uint8
    assert np.array_equal(pool.empty, (~shapes).numpy())
    assert useful_pixels(views(4), shapes, TRAIN).empty is None


def test_unravelled_indices_are_view_row_and_column() -> None:
    view, row, column = torch.tensor([0, 3, 2]), torch.tensor([0, 29, 7]), torch.tensor([39, 39, 1])
    index = (view * HEIGHT + row) * WIDTH + column
    for found, expected in zip(unravel(index, views()), (view, row, column)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("stored", ["bytes", "floats"])
def test_alpha_tells_every_opacity(stored) -> None:
    given = views(4)
    if stored == "floats":
        given = replace(given, images=given.images.float() / 255)
    index = torch.tensor([5, 1300, 4799])
    pool = useful_pixels(given, torch.ones(COUNT, HEIGHT, WIDTH, dtype=torch.bool), TRAIN)
    found = known_opacity(given, pool, index)
    assert found is not None
    known, target = found
    assert known.tolist() == [1, 1, 1]
    expected = views(4).images.reshape(-1, 4)[index, 3].float() / 255
    assert torch.allclose(target, expected)


def test_silhouettes_tell_that_there_is_nothing_but_not_what_there_is() -> None:
    shapes = torch.zeros(COUNT, HEIGHT, WIDTH, dtype=torch.bool)
    shapes[3, 2, 5] = True
    pool = useful_pixels(views(), shapes, TRAIN)
    index = torch.tensor([(3 * HEIGHT + 2) * WIDTH + 5, 0])
    found = known_opacity(views(), pool, index)
    assert found is not None
    known, target = found
    assert known.tolist() == [0, 1]
    assert target.tolist() == [0, 0]
    plain = useful_pixels(replace(views(), background=None), None, TRAIN)
    assert known_opacity(views(), plain, index) is None
