"""The discriminator, augmentation and the figures: laws and closed forms."""

import math

import pytest
import torch

from fieldscape.systems.gan import figures
from fieldscape.systems.gan.augment import MOST, adapted, augment, moved
from fieldscape.systems.gan.depths import along_rays, planar
from fieldscape.systems.gan.discriminator import Discriminator, differences, with_places
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.poses import RoomPrior
from fieldscape.systems.gan.sources import as_floats, smaller
from fieldscape.systems.gan.train import keep, roughness, stage


@pytest.mark.parametrize("size", [16, 32, 64])
def test_scores_come_for_every_stage_and_pictures_are_judged_apart(size):
    torch.manual_seed(0)
    judge = Discriminator(size, 3, 2)
    side = size
    while side >= 16:
        seen = torch.rand(8, 3, side, side) * 2 - 1
        score, pose = judge(seen)
        assert score.shape == (8,)
        assert pose.shape == (8, 2)
        other = seen.clone()
        other[4:] = torch.rand(4, 3, side, side)  # another group of four
        torch.testing.assert_close(judge(other)[0][:4], score[:4])
        side //= 2


def test_a_new_block_grows_in_from_nothing():
    torch.manual_seed(0)
    judge = Discriminator(32, 3, 2)
    seen = torch.rand(4, 3, 32, 32)
    coarse = torch.nn.functional.avg_pool2d(seen, 2)
    torch.testing.assert_close(judge(seen, fade=0.0)[0], judge(coarse)[0], atol=1e-5, rtol=0)
    assert float((judge(seen, fade=1.0)[0] - judge(coarse)[0]).abs().max()) > 1e-3


def test_a_told_pose_changes_the_score():
    torch.manual_seed(0)
    judge = Discriminator(16, 3, 2, told=True)
    seen = torch.rand(4, 3, 16, 16)
    one, other = torch.zeros(4, 2), torch.ones(4, 2)
    assert float((judge(seen, one)[0] - judge(seen, other)[0]).abs().max()) > 1e-4


def test_copies_differ_by_nothing():
    same = torch.rand(1, 5, 4, 4).expand(4, 5, 4, 4)
    assert float(differences(same).max()) < 1e-3
    mixed = torch.cat([same, torch.rand(4, 5, 4, 4)])
    spread = differences(mixed)
    assert float(spread[:4].max()) < 1e-3
    assert float(spread[4:].min()) > 0.1


def test_places_say_where_a_pixel_is():
    seen = with_places(torch.zeros(1, 3, 4, 4))
    assert seen[0, 3, 2].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert seen[0, 4, :, 1].tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_augmentation_leaves_as_many_alone_as_it_should():
    generator = torch.Generator().manual_seed(0)
    seen = torch.rand(2000, 3, 8, 8) * 2 - 1
    torch.testing.assert_close(augment(seen, 0.0, generator), seen)
    changed = (augment(seen, 0.3, generator) != seen).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.04)


def test_moving_is_by_whole_pixels_and_fills_with_nothing():
    seen = torch.arange(1.0, 257.0).reshape(1, 1, 16, 16)
    right_down = moved(seen, torch.tensor([[0.0, 0.99]]))[0, 0]  # rows by -2, columns by +2: content up... and left
    brute = torch.zeros(16, 16)
    brute[2:, :14] = seen[0, 0, :14, 2:]
    assert torch.equal(right_down, brute)
    assert torch.equal(moved(seen, torch.tensor([[0.5, 0.5]])), seen)


def test_augmentation_is_differentiable():
    seen = (torch.rand(4, 3, 8, 8) * 2 - 1).requires_grad_()
    augment(seen, 1.0, torch.Generator().manual_seed(0)).square().sum().backward()
    assert bool((seen.grad.flatten(1).norm(dim=1) > 0).all())


def test_the_share_follows_how_sure_the_judge_is():
    share = 0.0
    for _ in range(10_000):
        share = adapted(share, 1.0, 16)
    assert share == MOST
    assert adapted(share, 0.0, 16) < share


def test_stages_go_from_coarse_to_fine():
    sides = [stage(64, p)[0] for p in (0.0, 0.049, 0.05, 0.39, 0.4, 0.99)]
    assert sides == [16, 16, 32, 32, 64, 64]
    assert stage(64, 0.05)[1] == 0
    # Made ten times as long after its end, a training does not begin with coarse pictures again.
    assert stage(32, 0.1) == (16, 1.0)
    assert stage(32, 0.1, 0, 32) == stage(64, 0.01, 32, 32) == (32, 1.0)
    assert stage(64, 0.05 + 0.05 * 0.35)[1] == pytest.approx(0.5)


def test_photos_become_pictures_by_area():
    photo = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    photo[:, :, 16:] = 255
    photo[:, :16, :16] = 128
    seen = smaller(as_floats(photo), 16)
    assert seen.shape == (1, 3, 16, 16)
    assert float(seen[0, 0, 0, 0]) == pytest.approx(128 / 127.5 - 1, abs=1e-6)
    assert seen[0, 0, 0, 15] == 1
    assert seen[0, 0, 15, 0] == -1


def test_the_kept_weights_are_a_running_mean():
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.75 * one.weight.detach().clone() + 0.25 * other.weight.detach()
    keep(one, other, 0.75)
    torch.testing.assert_close(one.weight.detach(), expected)


def test_smooth_density_is_not_rough():
    low, high = torch.zeros(3), torch.ones(3)

    def ramp(points, directions):
        return points, 100 * points[..., 0]

    def flat(points, directions):
        return points, torch.full(points.shape[:-1], 5.0)

    assert float(roughness(flat, low, high, 2, torch.Generator().manual_seed(0))) == 0
    found = float(roughness(ramp, low, high, 2, torch.Generator().manual_seed(0)))
    assert found == pytest.approx(100 * 0.004 * math.sqrt(2 / math.pi), rel=0.05)


def test_distance_of_pictures_to_shifted_ones_is_the_shift():
    """All patches brighter by a constant: along a direction u they move by that times the sum of u."""
    pictures_ = torch.rand(64, 3, 16, 16)
    assert figures.sliced_wasserstein(pictures_, pictures_) == 0
    near = figures.sliced_wasserstein(pictures_, pictures_ + 0.1)
    far = figures.sliced_wasserstein(pictures_, pictures_ + 0.2)
    assert far == pytest.approx(2 * near, rel=1e-3)
    # The sum of a random unit vector of 75 numbers has mean magnitude about sqrt(2 / pi).
    assert near == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.1)


def test_frechet_distance_of_gaussians_is_the_closed_form():
    noise = torch.randn(4000, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert figures.frechet(noise, noise) == pytest.approx(0, abs=1e-6)
    # Means apart by 0.5 in 48 numbers; spreads 1 and 2: 48 (0.25 + (2 - 1)^2).
    assert figures.frechet(noise, 2 * noise + 0.5) == pytest.approx(48 * 1.25, rel=0.03)


def test_the_nearest_of_copies_is_at_no_distance():
    seen = torch.rand(6, 3, 4, 4)
    assert figures.nearest_apart(torch.cat([seen, seen])) == 0
    assert figures.nearest_apart(seen) > 0.1


def wall(points, directions):
    """A checkered wall at z = 3."""
    hit = points[..., 2] > 3
    check = (torch.sin(4 * points[..., 0]) * torch.sin(4 * points[..., 1]))[..., None] * 0.5 + 0.5
    return check.expand(*points.shape[:-1], 3), 1e4 * hit.float()


def test_true_depth_explains_the_other_view_and_wrong_depth_does_not():
    prior = RoomPrior()
    angles = torch.deg2rad(torch.tensor([[0.0, 0.0], [12.0, 0.0]]))
    views = prior.at(angles, torch.zeros(2, 3), torch.full((2,), 0.9), 32)
    color, depth = as_pictures(draw(wall, views, Sampling(0.4, 7.0, 128, 128)))
    color = color / 2 + 0.5
    here, there = (color[:1], depth[:1], views[:1]), (color[1:], depth[1:], views[1:])
    right = figures.reprojection(*here, *there)
    assert right.shared > 0.6
    assert right.ratio < 0.25
    wrong = figures.reprojection(here[0], 0.5 * here[1], here[2], *there)
    assert wrong.ratio > 2 * right.ratio


def corner(points, directions):
    """A checkered wall at z = 3, and another at x = 1."""
    x, y, z = points.unbind(-1)
    hit = (z > 3) | (x > 1)
    check = (torch.sin(4 * x) * torch.sin(4 * y) * torch.sin(4 * z + 1))[..., None] * 0.5 + 0.5
    return check.expand(*points.shape[:-1], 3), 1e4 * hit.float()


@pytest.mark.parametrize(("field", "flat"), [(wall, True), (corner, False)])
def test_a_board_explains_views_of_a_wall_and_not_of_a_corner(field, flat):
    prior = RoomPrior()
    angles = torch.deg2rad(torch.tensor([[0.0, 0.0], [12.0, 0.0]]))
    views = prior.at(angles, torch.zeros(2, 3), torch.full((2,), 0.9), 32)
    color, depth = as_pictures(draw(field, views, Sampling(0.4, 7.0, 128, 128)))
    board = along_rays(views, figures.boards(planar(views, depth)))
    seen = color / 2 + 0.5
    by_depth = figures.reprojection(seen[:1], depth[:1], views[:1], seen[1:], depth[1:], views[1:])
    by_board = figures.reprojection(seen[:1], board[:1], views[:1], seen[1:], board[1:], views[1:])
    assert (by_board.ratio < 1.1 * by_depth.ratio) == flat


def test_relief_is_the_spread_of_depth():
    depth = torch.tensor([1.0, 3.0]).repeat(8).reshape(1, 1, 4, 4)
    assert figures.relief(depth, 0.0, 10.0) == pytest.approx(0.1 * math.sqrt(16 / 15), rel=1e-4)
    assert figures.relief(torch.full((2, 1, 4, 4), 3.0), 0.0, 10.0) == 0
