"""Patches are parts of pictures, whichever way they are made; depth is told so that scale and holes tell nothing."""

import math

import pytest
import torch

from fieldscape.systems.gan.depths import about_unit, as_sums, coarser, mean_map, merged, planar, relative
from fieldscape.systems.gan.patches import Patches, cut, draw_patches, least_scale, seen_in
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw, pixel_centers
from fieldscape.systems.gan.poses import RoomPrior, batch_rays
from fieldscape.systems.gan.sources import Source
from fieldscape.systems.gan.train import joint, stage


def test_a_patch_of_all_is_the_picture_averaged():
    seen = torch.rand(3, 3, 64, 64)
    whole = Patches(torch.ones(3), torch.zeros(3, 2))
    torch.testing.assert_close(cut(seen, whole, 16), torch.nn.functional.avg_pool2d(seen, 4))


def test_a_patch_at_the_finest_scale_holds_the_pixels_themselves():
    seen = torch.rand(2, 3, 64, 64)
    corner = torch.tensor([[8 / 64, 16 / 64], [32 / 64, 0.0]])  # columns, rows
    found = cut(seen, Patches(torch.full((2,), 0.25), corner), 16)
    torch.testing.assert_close(found[0], seen[0, :, 16:32, 8:24], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], seen[1, :, 0:16, 32:48], atol=1e-5, rtol=0)


def test_rays_of_a_patch_are_rays_of_the_picture():
    camera, _ = RoomPrior().draw(2, 64, torch.Generator().manual_seed(0))
    patches = Patches(torch.full((2,), 0.25), torch.tensor([[8 / 64, 16 / 64], [32 / 64, 0.0]]))
    rays = batch_rays(seen_in(camera, patches, 16), pixel_centers(16, 16)).directions.unflatten(1, (16, 16))
    full = batch_rays(camera, pixel_centers(64, 64)).directions.unflatten(1, (64, 64))
    torch.testing.assert_close(rays[0], full[0, 16:32, 8:24])
    torch.testing.assert_close(rays[1], full[1, 0:16, 32:48])


def test_photos_and_scenes_are_cut_alike():
    """What is painted far away shows the same, cut from the picture or seen by the patch's camera."""

    def painted(points, directions):
        color = 0.5 + 0.4 * torch.sin(3 * points / points.norm(dim=-1, keepdim=True))
        return color, 1e4 * (points.norm(dim=-1) > 5).float()

    camera, _ = RoomPrior(yaw=0.0, pitch=0.0, shift=0.0).draw(4, 128, torch.Generator().manual_seed(0))
    patches = draw_patches(4, 0.25, torch.Generator().manual_seed(1))
    where = Sampling(0.4, 7.0, 24)
    whole, _ = as_pictures(draw(painted, camera, where))
    drawn, _ = as_pictures(draw(painted, seen_in(camera, patches, 32), where))
    assert float((cut(whole, patches, 32) - drawn).abs().max()) < 0.01
    elsewhere = Patches(patches.scale, patches.corner.flip(0))
    assert float((cut(whole, elsewhere, 32) - drawn).abs().max()) > 0.05


def test_patches_lie_inside_and_say_where():
    patches = draw_patches(500, 0.25, torch.Generator().manual_seed(0))
    assert float(patches.scale.min()) >= 0.25
    assert float(patches.scale.max()) <= 1
    assert float(patches.corner.min()) >= 0
    assert float((patches.corner + patches.scale[:, None]).max()) <= 1 + 1e-6
    told = Patches(torch.tensor([0.5]), torch.tensor([[0.5, 0.0]])).told()
    assert told.tolist() == [[0.5, 0.5, -0.5]]
    labels = torch.zeros(1, 2)
    assert joint(labels, Patches(torch.ones(1), torch.zeros(1, 2)), torch.device("cpu")).shape == (1, 5)
    assert joint(None, None, torch.device("cpu")) is None


def test_scales_fall_to_the_picture_s_own_pixels_and_no_further():
    falling = [least_scale(128, 32, p / 20) for p in range(21)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 1
    assert falling[-1] == 0.25
    assert least_scale(64, 32, 1.0) == 0.5
    assert stage(128, 0.9, 32) == (32, 1.0)
    assert stage(128, 0.01, 32)[0] == 16
    assert stage(128, 0.9)[0] == 128


def test_scale_is_told_by_nothing():
    z = torch.rand(2, 1, 8, 8) * 5 + 1
    known = z > 2
    torch.testing.assert_close(relative(z, known), relative(1000 * z, known), atol=1e-4, rtol=0)
    told = relative(z, known)
    assert bool((told[~known] == 0).all())
    assert float(told[known].mean().abs()) < 0.1
    near, far = z[0, 0] == z[0][known[0]].min(), z[0, 0] == z[0].max()
    assert float(told[0, 0][near]) > 0 > float(told[0, 0][far])
    assert bool((relative(z, torch.zeros_like(known)) == 0).all())


def test_depth_that_nobody_knows_does_not_reach_the_gradient():
    z = (torch.rand(1, 1, 4, 4) + 1).requires_grad_()
    known = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    known[..., :2] = False
    relative(z, known).square().sum().backward()
    assert bool((z.grad[~known] == 0).all())
    assert bool((z.grad[known] != 0).all())


def test_reduced_depth_is_of_what_is_known():
    z = torch.tensor([[1.0, 4.0, 3.0, 0.0], [2.0, 2.0, 0.0, 0.0]]).repeat(2, 1)[None, None]
    small = coarser(z, 2)[0, 0]
    assert float(small[0, 0]) == pytest.approx((1 * 4 * 2 * 2) ** 0.25, rel=1e-5)
    assert float(small[0, 1]) == 0  # a quarter is known
    torch.testing.assert_close(merged(as_sums(z)), z)


def test_planar_depth_of_a_wall_is_its_distance():
    camera = RoomPrior().at(torch.zeros(1, 2), torch.zeros(1, 3), torch.full((1,), 1.0), 16)
    rays = batch_rays(camera, pixel_centers(16, 16))
    along_ray = (3 / rays.directions[..., 2]).reshape(1, 1, 16, 16)
    torch.testing.assert_close(planar(camera, along_ray), torch.full((1, 1, 16, 16), 3.0))


def test_pictures_of_unknown_scale_weigh_alike_in_the_mean():
    z = torch.rand(6, 1, 4, 4) + 1
    factors = torch.tensor([1.0, 10, 100, 1e-3, 5, 2])[:, None, None, None]
    torch.testing.assert_close(mean_map(z), mean_map(z * factors), atol=1e-4, rtol=1e-4)
    holes = z.clone()
    holes[:, :, 0] = 0
    assert bool(mean_map(holes).isfinite().all())


def test_depths_that_cannot_be_metres_are_named():
    z = torch.rand(4, 8, 8) + 2
    assert about_unit(z, 0.4, 7.0) is None
    said = about_unit(1000 * z, 0.4, 7.0)
    assert said is not None
    assert "--depth-unit" in said
    assert about_unit(z / 1000, 0.4, 7.0) is not None


def test_flips_turn_depth_with_its_photo_and_patches_cut_both():
    images = torch.randint(0, 255, (6, 32, 32, 3), dtype=torch.uint8)
    depths = images[..., 0].float() / 255 + 1  # depth that can be read off the photo
    source = Source(images, depths, True, torch.device("cpu"))
    for patches in (None, draw_patches(6, 0.5, torch.Generator().manual_seed(3))):
        seen, known = source.real(
            torch.arange(6), 32 if patches is None else 16, patches, torch.Generator().manual_seed(1)
        )
        assert seen.shape[1] == 4
        assert bool(known.all())
        expected = relative((seen[:, :1] + 1) / 2 + 1, known)
        # Reduced depth is a geometric mean, so a patch agrees but for the spread within its pixels.
        assert float((seen[:, 3:] - expected).abs().max()) < (1e-4 if patches is None else 0.1)
    plain, none = Source(images, None, False, torch.device("cpu")).real(torch.arange(2), 8, None, torch.Generator())
    assert none is None
    assert plain.shape == (2, 3, 8, 8)


def test_levels_are_mixed_where_a_scale_lies_between():
    ramp = (torch.arange(64.0) / 64).expand(1, 1, 64, 64).clone()
    scale = 1 / math.sqrt(2)
    found = cut(ramp, Patches(torch.tensor([scale]), torch.tensor([[0.1, 0.1]])), 16)[0, 0, 0]
    steps = found.diff()
    assert float(steps.min()) == pytest.approx(scale / 16, rel=1e-3)
    assert float(steps.max()) == pytest.approx(scale / 16, rel=1e-3)
