"""Cameras: from pixels to rays and back, lenses, poses, and how several cameras relate.

Notation: a point in camera axes is (x, y, z) with z forward; its *normalised* image coordinates are (x/z, y/z); the
lens maps those to *distorted* ones (u, v); a pixel is (fx u + cx, fy v + cy).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.types import Camera, Rays

NEWTON_STEPS = 12
"""Enough for float32 accuracy on every lens in use; each step is a handful of multiplications."""


def image_rays(camera: Camera) -> Rays:
    """The rays through all pixel centres of one camera, leading dims [height, width]."""
    device = camera.pose.device
    y = torch.arange(camera.height, device=device) + 0.5
    x = torch.arange(camera.width, device=device) + 0.5
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return pixel_rays(camera, pixels)


def pixel_rays(camera: Camera, pixels: Float[Tensor, "*p 2"]) -> Rays:
    """The rays through ``pixels`` (x, y; the centre of the first is (0.5, 0.5)).

    The camera is a single one, or a batch with the same leading dims as ``pixels``: one camera a pixel.

    >>> camera = Camera(torch.eye(4), torch.tensor([10.0, 10.0]), torch.tensor([4.0, 3.0]), 8, 6)
    >>> pixel_rays(camera, torch.tensor([[4.0, 3.0]])).directions
    tensor([[0., 0., 1.]])
    """
    directions = undistort(camera, (pixels - camera.center) / camera.focal)
    directions = (camera.pose[..., :3, :3] * directions[..., None, :]).sum(-1)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    return Rays(camera.position.expand_as(directions), directions)


def project(camera: Camera, points: Float[Tensor, "*p 3"]) -> tuple[Float[Tensor, "*p 2"], Float[Tensor, "*p"]]:
    """World points to (pixels, z). A point with z <= 0 is behind a pinhole or brown camera: its pixel means nothing.

    >>> camera = Camera(torch.eye(4), torch.tensor([10.0, 10.0]), torch.tensor([4.0, 3.0]), 8, 6)
    >>> project(camera, torch.tensor([0.5, -0.5, 5.0]))
    (tensor([5., 2.]), tensor(5.))
    """
    local = (camera.pose[..., :3, :3] * (points - camera.position)[..., :, None]).sum(-2)
    return distort(camera, local) * camera.focal + camera.center, local[..., 2]


def distort(camera: Camera, local: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
    """Points in camera axes to distorted image coordinates (u, v), through the camera's lens.

    Brown-Conrady: Brown, "Decentering distortion of lenses", 1966. Fisheye: Kannala and Brandt, 2006, equation 6, in
    the equidistant form that OpenCV and COLMAP share.
    """
    if camera.lens == "fisheye":
        k1, k2, k3, k4 = _coefficients(camera)
        radius = local[..., :2].norm(dim=-1).clamp_min(1e-12)
        theta = torch.atan2(radius, local[..., 2])
        bent = theta * (1 + theta**2 * (k1 + theta**2 * (k2 + theta**2 * (k3 + theta**2 * k4))))
        return local[..., :2] * (bent / radius)[..., None]
    x, y = (local[..., :2] / local[..., 2:]).unbind(-1)
    if camera.lens == "pinhole":
        return torch.stack([x, y], -1)
    k1, k2, p1, p2, k3 = _coefficients(camera)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([u, v], -1)


def undistort(camera: Camera, image: Float[Tensor, "*p 2"]) -> Float[Tensor, "*p 3"]:
    """Distorted image coordinates (u, v) to directions in camera axes (not unit): the inverse of ``distort``.

    Solved by Newton's method, which needs the lens to be one-to-one over the image, as real lenses are.
    """
    u, v = image.unbind(-1)
    if camera.lens == "fisheye":
        k1, k2, k3, k4 = _coefficients(camera)
        bent = image.norm(dim=-1)
        theta = bent.clamp(max=math.pi)
        for _ in range(NEWTON_STEPS):
            t2 = theta**2
            value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4)))) - bent
            slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
            theta = (theta - value / slope.clamp_min(0.1)).clamp(0, math.pi)
        share = torch.where(bent > 1e-8, theta.sin() / bent.clamp_min(1e-8), torch.ones_like(bent))
        return torch.stack([u * share, v * share, theta.cos()], -1)
    if camera.lens == "brown":
        k1, k2, p1, p2, k3 = _coefficients(camera)
        x, y = u, v
        for _ in range(NEWTON_STEPS):
            r2 = x * x + y * y
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
            slope = k1 + r2 * (2 * k2 + r2 * 3 * k3)
            miss_u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x) - u
            miss_v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y - v
            xx = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
            xy = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
            yy = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
            determinant = (xx * yy - xy * xy).clamp_min(1e-3)
            x = x - (yy * miss_u - xy * miss_v) / determinant
            y = y - (xx * miss_v - xy * miss_u) / determinant
        u, v = x, y
    return torch.stack([u, v, torch.ones_like(u)], -1)


def _coefficients(camera: Camera) -> tuple[Tensor, ...]:
    """The lens coefficients, each with the camera's leading dims."""
    if camera.distortion is None:
        raise ValueError("a pinhole camera has no coefficients")
    return camera.distortion.unbind(-1)


def look_at(
    eye: Float[Tensor, "*b 3"], target: Float[Tensor, "*b 3"] | Float[Tensor, "3"], up: Float[Tensor, "*u 3"]
) -> Float[Tensor, "*b 4 4"]:
    """The pose of a camera at ``eye`` that looks at ``target``, with the world's ``up`` pointing up in the image.

    >>> look_at(torch.tensor([0.0, 0.0, -2.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0]))[:3, 2]
    tensor([0., 0., 1.])

    Raises ValueError where the eye is at the target or looks along ``up``: the pose is not determined then.
    """
    forward = target - eye
    right = torch.linalg.cross(forward, up.expand_as(forward))
    lengths = forward.norm(dim=-1) * up.norm(dim=-1)
    if not bool((right.norm(dim=-1) > 1e-6 * lengths).all()):
        raise ValueError("look_at needs an eye away from the target and an up that is not the viewing direction")
    forward = forward / forward.norm(dim=-1, keepdim=True)
    right = right / right.norm(dim=-1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    pose = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(*eye.shape[:-1], 1, 1)
    pose[..., :3, :] = torch.stack([right, down, forward, eye], -1)
    return pose


def flip_yz(pose: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """A pose with OpenGL axes (x right, y up, z backward) as one with OpenCV axes, or the other way round."""
    return pose * torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=pose.dtype, device=pose.device)


def resize(camera: Camera, width: int, height: int) -> Camera:
    """The same view on an image of another size: focal length and principal point scale with it."""
    scale = camera.focal.new_tensor([width / camera.width, height / camera.height])
    return Camera(
        camera.pose, camera.focal * scale, camera.center * scale, width, height, camera.lens, camera.distortion
    )


def stack(cameras: list[Camera]) -> Camera:
    """Single cameras with one image size and lens as a batch."""
    first = cameras[0]
    if any((c.width, c.height, c.lens) != (first.width, first.height, first.lens) for c in cameras):
        raise ValueError("a batch of cameras shares its image size and lens")
    distortion = None
    if first.distortion is not None:
        distortion = torch.stack([c.distortion for c in cameras if c.distortion is not None])
    return Camera(
        torch.stack([c.pose for c in cameras]),
        torch.stack([c.focal for c in cameras]),
        torch.stack([c.center for c in cameras]),
        first.width,
        first.height,
        first.lens,
        distortion,
    )


def focal_from_fov(degrees: float, size: int) -> float:
    """Focal length in pixels of a pinhole that sees ``degrees`` across ``size`` pixels.

    >>> round(focal_from_fov(90.0, 200), 6)
    100.0
    """
    if not 0 < degrees < 180:
        raise ValueError(f"a pinhole's field of view lies between 0 and 180 degrees, not {degrees}")
    return 0.5 * size / math.tan(math.radians(degrees) / 2)


def field_of_view(camera: Camera) -> Float[Tensor, "*b 2"]:
    """Horizontal and vertical field of view in degrees, ignoring distortion."""
    size = camera.focal.new_tensor([camera.width, camera.height])
    return torch.rad2deg(2 * torch.atan(size / (2 * camera.focal)))


def planar_depth(camera: Camera, along_ray: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Distance along each pixel's ray as z, the distance along the optical axis."""
    return along_ray * _cosines(camera)


def ray_depth(camera: Camera, planar: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """z, the distance along the optical axis, as distance along each pixel's ray."""
    return planar / _cosines(camera)


def _cosines(camera: Camera) -> Float[Tensor, "h w"]:
    """The cosine of the angle between each pixel's ray and the optical axis."""
    return (image_rays(camera).directions * camera.forward).sum(-1)


def mean_up(camera: Camera) -> Float[Tensor, "3"]:
    """The direction that is up in most images: the mean of the cameras' own up, a good guess of the world's."""
    up = -camera.pose[..., :3, 1].reshape(-1, 3).mean(0)
    length = up.norm()
    return up / length if length > 1e-3 else -camera.pose.reshape(-1, 4, 4)[0, :3, 1]


def nearest_to_axes(camera: Camera) -> Float[Tensor, "3"]:
    """The point with the least squared distance to all optical axes: what the cameras look at together.

    Solves sum_i (I - f_i f_i^T)(x - c_i) = 0, with c the positions and f the axes. Where the axes are parallel the
    point is not determined; the smallest solution relative to the mean position is taken.
    """
    position, forward = camera.position.reshape(-1, 3).double(), camera.forward.reshape(-1, 3).double()
    middle = position.mean(0)
    across = torch.eye(3, dtype=torch.float64, device=position.device) - forward[:, :, None] * forward[:, None, :]
    right_side = (across @ (position - middle)[:, :, None]).sum(0)
    solution = torch.linalg.lstsq(across.sum(0), right_side, rcond=1e-6, driver="gelsd" if position.is_cpu else None)
    return (middle + solution.solution[:, 0]).to(camera.pose.dtype)


def similarity(
    source: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]
) -> tuple[float, Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """Scale s, rotation R and translation t with the least squared error of ``s R source + t`` against ``target``.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991.

    >>> s, r, t = similarity(torch.eye(3), 2 * torch.eye(3) + 1)
    >>> round(s, 4), torch.allclose(r, torch.eye(3), atol=1e-5), torch.allclose(t, torch.ones(3), atol=1e-5)
    (2.0, True, True)
    """
    a, b = source.double(), target.double()
    a_mean, b_mean = a.mean(0), b.mean(0)
    u, spread, vt = torch.linalg.svd((b - b_mean).T @ (a - a_mean))
    sign = torch.ones(3, dtype=torch.float64, device=a.device)
    sign[2] = torch.sign(torch.linalg.det(u) * torch.linalg.det(vt))
    rotation = u @ torch.diag(sign) @ vt
    scale = float((spread * sign).sum() / (a - a_mean).square().sum())
    translation = b_mean - scale * rotation @ a_mean
    return scale, rotation.to(source.dtype), translation.to(source.dtype)


def require_valid_poses(poses: Float[Tensor, "v 4 4"], names: list[str] | tuple[str, ...], where: str) -> None:
    """Raises BadInput for a pose that is not finite, whose rotation is not one, or whose last row is not 0 0 0 1."""
    for pose, name in zip(poses.double(), names, strict=True):
        rotation = pose[:3, :3]
        if not bool(pose.isfinite().all()):
            raise BadInput(f"{where}: the pose of {name} holds NaN or infinity. Remove that view or mend its pose.")
        if not torch.allclose(pose[3], pose.new_tensor([0, 0, 0, 1]), atol=1e-4):
            raise BadInput(f"{where}: the last row of the pose of {name} is {pose[3].tolist()}, not 0 0 0 1.")
        if not torch.allclose(rotation.T @ rotation, torch.eye(3, dtype=torch.float64), atol=2e-3):
            raise BadInput(f"{where}: the rotation of {name} is not orthonormal. Give poses without scale or shear.")
        if torch.linalg.det(rotation) < 0:
            raise BadInput(f"{where}: the rotation of {name} is a mirror image (determinant -1). Flip one of its axes.")
