"""The encoder before it has learned anything: laws that hold for any weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fieldscape.systems.slots.attention import ABSENT
from fieldscape.systems.slots.codec import decode, rotation
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.encoder import Encoder, anchored, shape_of
from fieldscape.systems.slots.model import blank
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.scenes import draw_example
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.views import NO_SEGMENT, Views, furthest, mirrored, ranked, views_of

SMALL = TrainConfig(width=8, channels=16, points=128, slots=5)


@pytest.fixture(scope="module")
def seen() -> tuple[list[Observed], list[Tensor]]:
    """Two depth maps with their segments."""
    maps = [draw_example("iso", 1000, k, samples=0).depth_map for k in range(2)]
    observed = [prepare(each, PointSettings(points=128, far=14.0)) for each in maps]
    return observed, [segment(each, some, ConvexitySettings()) for each, some in zip(maps, observed)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return blank(SMALL, 0)[0].eval()


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=2e-4, rtol=1e-3)


def test_the_order_of_slots_does_not_matter(seen, encoder) -> None:
    views = views_of(seen[0], None, 5, 128)
    order = torch.tensor([3, 0, 4, 1, 2])
    swapped = replace(views, seeds=views.seeds[:, order], present=views.present[:, order])
    with torch.no_grad():
        one, other = encoder(views), encoder(swapped)
    assert close(one.vecta[:, order], other.vecta)
    assert close(one.attention[:, order], other.attention)
    assert not close(one.vecta, other.vecta)


def test_the_order_of_points_and_padding_do_not_matter(seen, encoder) -> None:
    views = views_of(seen[0], seen[1], 5, 128)
    padded = views_of(seen[0], seen[1], 5, 150)
    with torch.no_grad():
        one, other = encoder(views), encoder(padded)
        order = torch.randperm(128, generator=torch.Generator().manual_seed(0))
        shuffled = {
            name: getattr(views, name)[:, order] for name in ("points", "normals", "weights", "places", "owner")
        }
        mixed = encoder(replace(views, **shuffled))
    assert close(one.vecta, other.vecta)
    assert close(one.vecta, mixed.vecta)


def test_points_are_shared_out_and_absent_slots_get_none(seen, encoder) -> None:
    views = views_of(seen[0], None, 5, 128)
    views = replace(views, present=torch.tensor([[True, True, False, True, False], [True] * 5]))
    with torch.no_grad():
        encoded = encoder(views)
    assert close(encoded.looks[-1].logs.exp().sum(1), torch.ones(2, 128))
    assert float(encoded.attention[0, [2, 4]].max()) < 1e-6
    assert float(encoded.attention[1].sum(-1).min()) > 0
    assert (decode(encoded.vecta).existence[0, [2, 4], 0] == ABSENT).all()
    alone = replace(views, seeds=views.seeds[:, [0, 1, 3]], present=torch.ones(2, 3, dtype=torch.bool))
    with torch.no_grad():
        fewer = encoder(alone)
    assert close(fewer.vecta[0], encoded.vecta[0, [0, 1, 3]])


def test_slots_lie_on_what_they_attend_to(seen, encoder) -> None:
    views = views_of(seen[0], seen[1], 5, 128)
    with torch.no_grad():
        encoded = encoder(views)
        anchor, extent, _ = anchored(encoded.attention, views.seeds[..., :3], views)
    slots = decode(encoded.vecta)
    # Half an extent along each axis, and one more along the ray.
    bound = (0.5 * math.sqrt(3) + 1) * extent[..., 0]
    assert ((slots.position - anchor).norm(dim=-1) <= bound + 1e-5).all()
    ratio = slots.scale / extent
    assert float(ratio.min()) > math.exp(-0.81)
    assert float(ratio.max()) < math.exp(0.81)
    seeded = views.present & (views.seeds[..., 3] > 0.1)
    near = (anchor - views.seeds[..., :3]).norm(dim=-1)[seeded]
    assert float(near.median()) < 0.5  # even untrained, segments say where slots are


def box_points(angle: float) -> Views:
    """Points on two sides and the top of an upright box, turned about its middle and seen from above it."""
    grid = torch.linspace(-0.9, 0.9, 8)
    a, b = torch.meshgrid(grid, grid, indexing="ij")
    one = torch.ones_like(a)
    sides = [(one, a, b), (a, one, b), (a, b, one)]
    normals = [(one, 0 * a, 0 * a), (0 * a, one, 0 * a), (0 * a, 0 * a, one)]
    points = torch.cat([torch.stack(side, -1).reshape(-1, 3) for side in sides]) * torch.tensor([0.5, 0.4, 0.3])
    facing = torch.cat([torch.stack(normal, -1).reshape(-1, 3) for normal in normals])
    matrix = rotation(torch.tensor([angle, 0.0, 0.0]))
    n = len(points)
    return Views(
        torch.zeros(1, 8, 8, 8),
        (points @ matrix.T)[None],
        (facing @ matrix.T)[None],
        torch.full((1, n), 1 / n),
        torch.zeros(1, n, dtype=torch.long),
        torch.tensor([[0.0, 5.0, 0.0]]),
        torch.zeros(1, 1, 5),
        torch.ones(1, 1, dtype=torch.bool),
        torch.full((1, n), NO_SEGMENT),
    )


@pytest.mark.parametrize("angle", [0.2, -0.6, 0.7])
def test_the_yaw_of_a_box_is_read_off_its_normals_and_its_shape_does_not_turn(angle) -> None:
    shapes = []
    for turn in (0.0, angle):
        views = box_points(turn)
        anchor, extent, part = anchored(torch.ones(1, 1, views.points.shape[1]), views.seeds[..., :3], views)
        found, shape = shape_of(part, anchor, extent, views)
        shapes.append(shape)
        assert torch.allclose(found[0, 0], torch.tensor([math.cos(turn), math.sin(turn)]), atol=1e-4)
    assert torch.allclose(shapes[0], shapes[1], atol=1e-3)


def test_mirroring_twice_changes_nothing_and_once_does(seen) -> None:
    views = views_of(seen[0], seen[1], 5, 128)
    which = torch.tensor([True, False])
    once = mirrored(views, which)
    twice = mirrored(once, which)
    for name in Views.__dataclass_fields__:
        assert torch.equal(getattr(twice, name), getattr(views, name)), name
        assert torch.equal(getattr(once, name)[1], getattr(views, name)[1]), name
    assert not torch.equal(once.image[0], views.image[0])
    # A point still lies where the picture shows it.
    for each in (views, once):
        shown = each.image.flatten(2).gather(2, each.places[:, None].expand(-1, 8, -1))[:, 2:5].mT * 14.0
        assert float((shown - each.points).abs().max()) < 1e-3


def test_seeds_are_far_apart_and_segments_are_ranked() -> None:
    chance = torch.Generator().manual_seed(0)
    points, weights = torch.rand(1, 40, 3, generator=chance), torch.ones(1, 40)
    weights[0, 30:] = 0
    points[0, 30:] = 9.0  # padding, which must not be chosen
    found = furthest(points, weights, 6)[0]
    real = points[0, :30]
    chosen = [int((real - real.mean(0)).norm(dim=1).argmin())]
    for _ in range(5):  # the slow twin
        chosen.append(int(torch.cdist(real, real[chosen]).amin(1).argmax()))
    assert torch.equal(found, real[chosen])
    labels = torch.tensor([0, 1, 1, 2, 3, 3])
    order = ranked(labels, torch.tensor([9.0, 1, 1, 5, 0.5, 0.5]), 2)
    assert order.tolist() == [-1, 1, 1, 0, -1, -1]


def test_every_weight_learns(seen) -> None:
    encoder, _ = blank(SMALL, 1)
    encoded = encoder(views_of(seen[0], None, 5, 128))
    (encoded.vecta.square().sum() + encoded.looks[-1].logs.square().sum()).backward()
    still = {name for name, p in encoder.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
    assert still <= {"look.own"}, still  # of a slot for its own segment, and there are none here
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters() if p.grad is not None)
