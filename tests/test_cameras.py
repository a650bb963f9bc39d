"""Cameras: pixels to rays and back through every lens, poses by hand, and how sets of cameras relate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fieldscape import cameras
from fieldscape.errors import BadInput
from fieldscape.types import Camera

LENSES = {
    "pinhole": None,
    "brown": torch.tensor([0.05, -0.02, 0.001, -0.002, 0.003]),
    "fisheye": torch.tensor([0.02, -0.01, 0.004, -0.001]),
}


def rotation(seed: int) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return (q * torch.sign(torch.linalg.det(q))).float()


def camera(lens: str = "pinhole", seed: int = 0) -> Camera:
    pose = torch.eye(4)
    pose[:3, :3] = rotation(seed)
    pose[:3, 3] = torch.tensor([1.0, -2.0, 0.5])
    return Camera(pose, torch.tensor([90.0, 95.0]), torch.tensor([61.0, 47.0]), 120, 90, lens, LENSES[lens])


def test_the_axes_are_those_of_opencv() -> None:
    """x right, y down, z forward: written out for a camera at the origin."""
    plain = Camera(torch.eye(4), torch.tensor([10.0, 10.0]), torch.tensor([8.0, 6.0]), 16, 12)
    rays = cameras.image_rays(plain)
    assert rays.directions.shape == (12, 16, 3)
    assert rays.directions[0, 0, 0] < 0  # the top-left pixel looks left,
    assert rays.directions[0, 0, 1] < 0  # up, which is -y,
    assert bool((rays.directions[..., 2] > 0).all())  # and forward
    expected = torch.tensor([-0.75, -0.55, 1.0])  # its centre is (0.5, 0.5)
    assert torch.allclose(rays.directions[0, 0], expected / expected.norm())


@pytest.mark.parametrize("lens", LENSES)
@given(seed=st.integers(0, 1000))
def test_what_a_ray_meets_projects_to_its_pixel(lens, seed) -> None:
    seen = camera(lens, seed)
    g = torch.Generator().manual_seed(seed)
    pixels = torch.rand(20, 2, generator=g) * torch.tensor([120.0, 90.0])
    rays = cameras.pixel_rays(seen, pixels)
    assert torch.allclose(rays.directions.norm(dim=-1), torch.ones(20), atol=1e-6)
    distance = 0.5 + 5 * torch.rand(20, 1, generator=g)
    back, z = cameras.project(seen, rays.at(distance)[:, 0])
    assert torch.allclose(back, pixels, atol=2e-3)
    assert bool((z > 0).all())


@pytest.mark.parametrize("lens", ["brown", "fisheye"])
def test_lenses_agree_with_opencv(lens) -> None:
    cv2 = pytest.importorskip("cv2")
    seen = camera(lens)
    points = torch.tensor([1.0, -2.0, 0.5]) + (torch.rand(30, 3) - torch.tensor([0.5, 0.5, -1.0])) @ seen.pose[:3, :3].T
    matrix = torch.tensor([[90.0, 0, 61.0], [0, 95.0, 47.0], [0, 0, 1]]).double().numpy()
    local = ((points - seen.position) @ seen.pose[:3, :3]).double().numpy()
    zero, coefficients = torch.zeros(3).double().numpy(), LENSES[lens].double().numpy()
    if lens == "fisheye":
        expected, _ = cv2.fisheye.projectPoints(local[:, None], zero, zero, matrix, coefficients)
    else:
        expected, _ = cv2.projectPoints(local, zero, zero, matrix, coefficients)
    got, _ = cameras.project(seen, points)
    assert torch.allclose(got, torch.from_numpy(expected).float().reshape(-1, 2), atol=1e-2)


def test_a_batch_of_cameras_gives_each_pixel_its_own() -> None:
    pair = cameras.stack([camera("brown", 1), camera("brown", 2)])
    pixels = torch.tensor([[10.0, 20.0], [100.0, 50.0]])
    together = cameras.pixel_rays(pair, pixels)
    for i in range(2):
        alone = cameras.pixel_rays(pair[i], pixels[i])
        assert torch.allclose(together.directions[i], alone.directions, atol=1e-6)
        assert torch.equal(together.origins[i], alone.origins)


@given(seed=st.integers(0, 1000))
def test_look_at_puts_the_target_in_the_middle_and_up_on_top(seed) -> None:
    g = torch.Generator().manual_seed(seed)
    eye, target = 3 * torch.randn(3, generator=g), torch.randn(3, generator=g)
    up = torch.tensor([0.0, 0.0, 1.0])
    pose = cameras.look_at(eye, target, up)
    assert torch.allclose(pose[:3, :3].T @ pose[:3, :3], torch.eye(3), atol=1e-5)
    assert float(torch.linalg.det(pose[:3, :3])) == pytest.approx(1, abs=1e-4)
    seen = Camera(pose, torch.tensor([50.0, 50.0]), torch.tensor([32.0, 24.0]), 64, 48)
    pixel, z = cameras.project(seen, target)
    assert torch.allclose(pixel, torch.tensor([32.0, 24.0]), atol=1e-3)
    assert float(z) == pytest.approx(float((eye - target).norm()), rel=1e-4)
    above, _ = cameras.project(seen, target + 0.01 * up)
    assert float(above[1]) < float(pixel[1])


def test_look_at_refuses_what_is_not_determined() -> None:
    with pytest.raises(ValueError, match="look_at"):
        cameras.look_at(torch.zeros(3), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="look_at"):
        cameras.look_at(torch.tensor([0.0, 0.0, 5.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))


def test_flipping_twice_is_nothing_and_once_turns_the_camera_round() -> None:
    pose = camera().pose
    assert torch.equal(cameras.flip_yz(cameras.flip_yz(pose)), pose)
    assert torch.allclose(cameras.flip_yz(pose)[:3, 2], -pose[:3, 2])
    assert torch.equal(cameras.flip_yz(pose)[:3, 3], pose[:3, 3])


def test_a_resized_camera_sees_the_same_directions() -> None:
    small, large = camera("brown"), cameras.resize(camera("brown"), 240, 270)
    pixels = torch.tensor([[13.0, 70.0], [60.0, 45.0]])
    a = cameras.pixel_rays(small, pixels).directions
    b = cameras.pixel_rays(large, pixels * torch.tensor([2.0, 3.0])).directions
    assert torch.allclose(a, b, atol=1e-6)


def test_depths_convert_to_and_fro() -> None:
    seen = camera("brown")
    planar = torch.rand(90, 120) + 1
    along = cameras.ray_depth(seen, planar)
    assert torch.allclose(cameras.planar_depth(seen, along), planar, atol=1e-5)
    _, z = cameras.project(seen, cameras.image_rays(seen).at(along[..., None])[..., 0, :])
    assert torch.allclose(z, planar, atol=1e-4)


def test_field_of_view_and_focal_length_are_inverse() -> None:
    focal = cameras.focal_from_fov(65.0, 160)
    seen = Camera(torch.eye(4), torch.tensor([focal, focal]), torch.tensor([80.0, 60.0]), 160, 120)
    assert float(cameras.field_of_view(seen)[0]) == pytest.approx(65.0, abs=1e-4)
    with pytest.raises(ValueError, match="field of view"):
        cameras.focal_from_fov(180.0, 160)


def ring(n: int = 12, target: tuple[float, float, float] = (0.3, -0.2, 0.1)) -> Camera:
    angle = torch.arange(n) * 2 * math.pi / n
    eye = torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.full((n,), 1.5)], -1)
    pose = cameras.look_at(eye, torch.tensor(target).expand(n, 3), torch.tensor([0.0, 0.0, 1.0]))
    return Camera(pose, torch.full((n, 2), 50.0), torch.full((n, 2), 32.0), 64, 64)


def test_the_point_nearest_to_the_axes_is_what_they_all_look_at() -> None:
    assert torch.allclose(cameras.nearest_to_axes(ring()), torch.tensor([0.3, -0.2, 0.1]), atol=1e-4)


def test_parallel_axes_still_give_a_finite_point() -> None:
    pose = torch.eye(4).repeat(5, 1, 1)
    pose[:, 0, 3] = torch.arange(5.0)
    row = Camera(pose, torch.full((5, 2), 50.0), torch.full((5, 2), 32.0), 64, 64)
    assert bool(cameras.nearest_to_axes(row).isfinite().all())


def test_up_is_up() -> None:
    assert float(cameras.mean_up(ring()) @ torch.tensor([0.0, 0.0, 1.0])) > 0.99


@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_similarity_is_recovered(seed, scale) -> None:
    g = torch.Generator().manual_seed(seed)
    source, turn, shift = torch.randn(9, 3, generator=g), rotation(seed), torch.randn(3, generator=g)
    s, r, t = cameras.similarity(source, scale * source @ turn.T + shift)
    assert s == pytest.approx(scale, rel=1e-3)
    assert torch.allclose(r, turn, atol=1e-3)
    assert torch.allclose(s * source @ r.T + t, scale * source @ turn.T + shift, atol=1e-3 * (1 + scale))


def test_similarity_never_mirrors() -> None:
    source = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    _, r, _ = cameras.similarity(source, source * torch.tensor([1.0, 1.0, -1.0]))
    assert float(torch.linalg.det(r)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: p[1, 0, 0].fill_(math.nan), "NaN"),
        (lambda p: p[1, :3, :3].mul_(2), "not orthonormal"),
        (lambda p: p[1, :3, 0].mul_(-1), "mirror"),
        (lambda p: p[1, 3, 3].fill_(0), "last row"),
    ],
)
def test_bad_poses_are_named(spoil, said) -> None:
    poses = torch.eye(4).repeat(3, 1, 1)
    spoil(poses)
    with pytest.raises(BadInput, match=said) as caught:
        cameras.require_valid_poses(poses, ["a.png", "b.png", "c.png"], "here")
    assert "b.png" in str(caught.value)


def test_good_poses_pass() -> None:
    cameras.require_valid_poses(ring().pose, [str(i) for i in range(12)], "here")
