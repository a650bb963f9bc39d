"""Rotations as matrices, unit quaternions (w, x, y, z) and turns about an axis; smooth curves through them.

Notation: q a unit quaternion, v its vector part. q and -q are the same rotation: ``aligned`` picks signs so that
neighbours are less than half a turn apart, and everything after it interpolates along the shorter way.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def about(axis: Float[Tensor, "3"], angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of ``angle`` radians about the unit ``axis``, by the right-hand rule (Rodrigues' formula).

    >>> turn = about(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(torch.pi / 2))
    >>> (turn @ torch.tensor([1.0, 0.0, 0.0])).round().tolist()
    [0.0, 1.0, 0.0]
    """
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    sine, versine = angle.sin()[..., None, None], (1 - angle.cos())[..., None, None]
    return torch.eye(3, dtype=axis.dtype, device=axis.device) + sine * cross + versine * (cross @ cross)


def from_vector(turn: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices by the right-hand rule: about the direction of ``turn``, by its length in radians.

    >>> turn = from_vector(torch.tensor([0.0, 0.0, torch.pi / 2]))
    >>> (turn @ torch.tensor([1.0, 0.0, 0.0])).round().abs().tolist()
    [0.0, 1.0, 0.0]
    """
    return to_matrix(_exp(turn / 2))


def nearest(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """The orthonormal matrix nearest to ``matrix`` (polar decomposition): takes rounding errors out of a rotation."""
    u, _, vt = torch.linalg.svd(matrix)
    return u @ vt


def to_quaternion(matrix: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """The unit quaternion of each rotation matrix, up to sign.

    Four times the outer product q q^T is linear in the matrix; its column with the largest diagonal entry is the
    quaternion without loss of accuracy (S. W. Shepperd, 1978).

    >>> to_quaternion(torch.diag(torch.tensor([1.0, -1.0, -1.0]))).abs().tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in matrix.unbind(-2))
    outer = torch.stack(
        [
            torch.stack([1 + a + e + i, h - f, c - g, d - b], -1),
            torch.stack([h - f, 1 + a - e - i, b + d, c + g], -1),
            torch.stack([c - g, b + d, 1 - a + e - i, f + h], -1),
            torch.stack([d - b, c + g, f + h, 1 - a - e + i], -1),
        ],
        -2,
    )
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    column = outer.gather(-2, largest[..., None, None].expand(*largest.shape, 1, 4))[..., 0, :]
    return column / column.norm(dim=-1, keepdim=True)


def to_matrix(q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """The rotation matrix of each quaternion, which is normalised first."""
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2)


def aligned(q: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """The same rotations with signs such that each quaternion is on the side of the one before."""
    flips = torch.where((q[1:] * q[:-1]).sum(-1) < 0, -1.0, 1.0).to(q)
    return q * torch.cat([flips.new_ones(1), flips.cumprod(0)])[:, None]


def slerp(p: Float[Tensor, "*b 4"], q: Float[Tensor, "*b 4"], t: Float[Tensor, "*b"]) -> Float[Tensor, "*b 4"]:
    """The point a share ``t`` of the way along the great circle from p to q (K. Shoemake, 1985); signs as given."""
    angle = 2 * torch.atan2((p - q).norm(dim=-1), (p + q).norm(dim=-1))
    sine, t = angle.sin()[..., None], t[..., None]
    near = sine.abs() < 1e-9  # the same quaternion: the straight line is the circle
    angle, sine = angle[..., None], torch.where(near, 1.0, sine)
    mixed = torch.sin((1 - t) * angle) / sine * p + torch.sin(t * angle) / sine * q
    return torch.where(near, (1 - t) * p + t * q, mixed)


def squad(
    q: Float[Tensor, "n 4"], inner: Float[Tensor, "n 4"], segment: Int[Tensor, "m"], t: Float[Tensor, "m"]
) -> Float[Tensor, "m 4"]:
    """A smooth curve through aligned quaternions: at ``t`` in 0..1 between q[segment] and q[segment + 1].

    ``inner`` holds the control quaternions of ``squad_controls``. Between two rotations alone it is slerp.
    K. Shoemake, "Quaternion calculus and fast animation", 1987.
    """
    chord = slerp(q[segment], q[segment + 1], t)
    bow = slerp(inner[segment], inner[segment + 1], t)
    return slerp(chord, bow, 2 * t * (1 - t))


def squad_controls(q: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """s_i = q_i exp(-(log(q_i^-1 q_i+1) + log(q_i^-1 q_i-1)) / 4); the two ends are their own controls."""
    controls = q.clone()
    if len(q) > 2:
        forth, back = _log_between(q[1:-1], q[2:]), _log_between(q[1:-1], q[:-2])
        controls[1:-1] = _product(q[1:-1], _exp(-(forth + back) / 4))
    return controls


def _product(p: Float[Tensor, "*b 4"], q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    scalar = p[..., :1] * q[..., :1] - (p[..., 1:] * q[..., 1:]).sum(-1, keepdim=True)
    vector = p[..., :1] * q[..., 1:] + q[..., :1] * p[..., 1:] + torch.linalg.cross(p[..., 1:], q[..., 1:])
    return torch.cat([scalar, vector], -1)


def _log_between(p: Float[Tensor, "*b 4"], q: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3"]:
    """log(p^-1 q): half the turn from p to q, as a vector along its axis."""
    relative = _product(p * p.new_tensor([1, -1, -1, -1]), q)
    length = relative[..., 1:].norm(dim=-1, keepdim=True)
    return relative[..., 1:] * torch.atan2(length, relative[..., :1]) / length.clamp_min(1e-30)


def _exp(v: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 4"]:
    """The unit quaternion (cos |v|, v sin |v| / |v|)."""
    length = v.norm(dim=-1, keepdim=True)
    return torch.cat([length.cos(), v * torch.sinc(length / torch.pi)], -1)
