"""The sheet metal of a car: its body, its cabin and its underside, each lofted from a row of sections.

A section is not cut straight across: it belongs to one place (c, s) of the plan outline, a superellipse with
|c|^n + |s|^n = 1 where c runs from 1 at the nose to -1 at the tail and s from 0 in the middle to 1 at the side. So
sections lie close where the nose turns into the wings, and each goes up the bumper or the door, over the shoulder and
across the bonnet. Wheel arches are cut by beginning a section higher; the surface itself does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from fieldscape.types import Mesh
from fieldscape.worlds.cars.plans import Shape

Curve = Callable[[Tensor], Tensor]
MIRROR = torch.tensor([1.0, -1.0, 1.0])


@dataclass(frozen=True)
class CabinPlan:
    """Where things are around the cabin: ``a`` is the way around it at half height, from the middle of the windscreen.

    places, belt_x: a and, just above the belt, x of each section.  corners: a at the corners beside the windscreen and
    the rear window.  end: a in the middle of the rear window.
    """

    places: Float[Tensor, "k"]
    belt_x: Float[Tensor, "k"]
    corner_front: float
    corner_rear: float
    end: float

    def x_at(self, a: float) -> float:
        """x above the belt at the place a."""
        after = int(torch.searchsorted(self.places, a).clamp(1, len(self.places) - 1))
        low, high = float(self.places[after - 1]), float(self.places[after])
        share = (a - low) / max(high - low, 1e-9)
        return float(self.belt_x[after - 1]) * (1 - share) + float(self.belt_x[after]) * share


def curve(points: Sequence[tuple[float, float]]) -> Curve:
    """The smooth curve through points (x, y), without overshoot, constant beyond its ends."""
    ordered = sorted(points)
    xs = [x for x, _ in ordered]
    fit = PchipInterpolator(xs, [y for _, y in ordered])
    return lambda x: torch.from_numpy(fit(x.double().clamp(xs[0], xs[-1]).numpy())).float()


def exponent(sweep: float, reach: float) -> float:
    """The n of a superellipse whose corner at 45 degrees lies ``sweep`` behind its end ``reach``.

    >>> round(exponent(1 - 0.5**0.25, 1.0), 6)
    4.0
    """
    return math.log(0.5) / math.log(1 - sweep / reach)


def outline(front: float, rear: float, sides: Sequence[float], ends: int = 9) -> tuple[Tensor, Tensor]:
    """Places (c, s) from nose to tail: the ``sides`` at the given c (falling), and the two ends around them.

    front, rear: the exponents on either side of c = 0.
    """
    turn = torch.linspace(0, math.pi / 2, ends)[:-1].sin()
    first, last = max(sides), min(sides)
    s_front = (1 - first**front) ** (1 / front) * turn
    s_rear = (1 - (-last) ** rear) ** (1 / rear) * turn.flip(0)
    c = torch.cat([(1 - s_front**front) ** (1 / front), torch.tensor(list(sides)), -((1 - s_rear**rear) ** (1 / rear))])
    middle = torch.tensor(list(sides))
    power = torch.where(middle >= 0, front, rear)
    s = torch.cat([s_front, (1 - middle.abs() ** power) ** (1 / power), s_rear])
    return c, s


def loft(points: Float[Tensor, "k n 3"], paint: Float[Tensor, "k n 3"] | None = None) -> Mesh:
    """The surface through sections of n points each, from nose to tail; over the top they run from -y to +y."""
    k, n, _ = points.shape
    here = torch.arange(k - 1)[:, None] * n + torch.arange(n - 1)[None]
    faces = torch.stack([here, here + n + 1, here + n, here, here + 1, here + n + 1], -1).reshape(-1, 3)
    mesh = Mesh(points.reshape(-1, 3), faces, None if paint is None else paint.reshape(-1, 3))
    a, b, c = mesh.vertices[faces].unbind(1)
    whole = torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-9  # at the tips sections have no width
    return Mesh(mesh.vertices, faces[whole], mesh.colors)


def shoulder_line(shape: Shape) -> Curve:
    """The height of the body's shoulder along x: nose, bonnet, belt, tail."""
    half = shape.length / 2
    nose, cowl, tail = shape.nose_height, shape.cowl_height, shape.tail_height
    end = -half + 0.025
    back = max(shape.back, end + 0.08)
    if shape.family == "pickup":
        back = shape.back
    bonnet = half - shape.cowl
    points = [
        (half, nose - 0.05),
        (half - 0.1 * bonnet, nose),
        (half - 0.45 * bonnet, nose + 0.55 * (cowl - nose)),
        (shape.cowl, cowl - 0.01),
        (0.5 * (shape.cowl + back), 0.5 * (cowl + tail) + 0.01),
        (back, tail),
        (end, tail - (0.015 if back - end > 0.3 else 0.03)),
    ]
    return curve(points)


def half_width(shape: Shape, z: Tensor) -> Tensor:
    """Half the width of the body at height z: drawn in at the sill and at the belt, widest between."""
    low, high = shape.clearance, shape.cowl_height
    share = ((z - low) / (high - low)).clamp(-0.2, 1.3)
    widest = 0.5
    under = 0.09 * ((widest - share) / widest).clamp(min=0) ** 2
    over = 0.075 * ((share - widest) / (1 - widest)).clamp(min=0) ** 2
    return 0.5 * shape.width * (1 - under - over)


def _ring(shape: Shape, c: Tensor, s: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """x and (positive) y of the body's wall at the place (c, s) of the outline and height z; all broadcast."""
    half = shape.length / 2
    bumper = 0.29 * shape.height
    nose = curve([(shape.clearance - 0.02, 0.1), (bumper, 0.0), (bumper + 0.1, 0.015),
                  (shape.nose_height, shape.nose_rake), (shape.nose_height + 0.3, shape.nose_rake + 0.05)])  # fmt: skip
    tail = curve([(shape.clearance - 0.02, 0.08), (bumper + 0.04, 0.0), (bumper + 0.15, 0.015),
                  (shape.tail_height, shape.tail_rake), (shape.tail_height + 0.3, shape.tail_rake + 0.05)])  # fmt: skip
    setback = torch.where(c >= 0, nose(z), tail(z))
    x = c * half - c.sign() * c.abs() ** 6 * setback
    taper = 1 - 0.035 * c**2
    y = s * taper * half_width(shape, z)
    for axle in (shape.front_axle, shape.rear_axle):
        near = torch.exp(-(((x - axle) / (1.15 * shape.arch)) ** 4))
        up = ((z - shape.clearance) / 0.2).clamp(0, 1) * ((shape.cowl_height - z) / 0.3).clamp(0, 1)
        y = y + shape.flare * near * up * s
    level = shape.clearance + 0.38 * (shape.cowl_height - shape.clearance)
    doors = torch.sigmoid((x - shape.rear_axle - shape.arch) / 0.06) * torch.sigmoid(
        (shape.front_axle - shape.arch - x) / 0.06
    )
    y = y - shape.scallop * doors * torch.exp(-(((z - level) / 0.11) ** 2)) * s
    return x, y


def wing(shape: Shape, axle: float) -> float:
    """y of the body's wall above the wheel at ``axle``."""
    half = shape.length / 2
    share = abs(axle) / half
    n = exponent(shape.nose_sweep if axle > 0 else shape.tail_sweep, half)
    _, y = _ring(
        shape, torch.tensor([axle / half]), torch.tensor([(1 - share**n) ** (1 / n)]), torch.tensor([shape.wheel])
    )
    return float(y)


def bumper_bar(shape: Shape, end: int) -> Mesh:
    """A bright bar around the nose (``end`` 1) or the tail (-1), as cars had before bumpers were painted."""
    c, s = _body_outline(shape)
    chosen = (c * end > 0.8).nonzero().flatten()
    place, level = chosen if end > 0 else chosen.flip(0), shape.clearance + 0.25
    turn = torch.arange(9) * (2 * math.pi / 8)
    x, y = _ring(shape, c[place, None], s[place, None], torch.full((1, 1), level))
    grown = 1 + 0.05 * turn.cos()
    x, y = (x + end * 0.03) + 0.05 * end * turn.cos(), (y + 0.02) * grown
    z = (level + 0.055 * turn.sin()).expand_as(x)
    one = torch.stack([x, y, z], -1)
    return loft(torch.cat([one.flip(0), one * MIRROR]))


def _body_outline(shape: Shape) -> tuple[Tensor, Tensor]:
    half = shape.length / 2
    places: list[float] = []
    for axle in (shape.front_axle, shape.rear_axle):
        places += [axle + shape.arch * math.cos(math.pi * k / 14) for k in range(15)]
        places += [axle + side * (shape.arch + 0.002) for side in (-1, 1)]
    front, rear = shape.front_axle + shape.arch + 0.03, shape.rear_axle - shape.arch - 0.03
    steps = round((front - rear) / 0.1)
    even = [front + (rear - front) * k / steps for k in range(steps + 1)]
    arches = [(axle - shape.arch - 0.02, axle + shape.arch + 0.02) for axle in (shape.front_axle, shape.rear_axle)]
    places += [x for x in even if not any(low < x < high for low, high in arches)]
    if shape.open_box is not None:
        for edge in shape.open_box[:2]:
            places = [x for x in places if abs(x - edge) > 0.006] + [edge + 0.004, edge - 0.004]
    sides = [x / half for x in sorted(places, reverse=True) if abs(x) < 0.985 * half]
    return outline(exponent(shape.nose_sweep, half), exponent(shape.tail_sweep, half), sides)


def bottom_line(shape: Shape, x: Tensor) -> Tensor:
    """Where the body's wall ends below: the sill, the arches, and a little higher under the bumpers."""
    half = shape.length / 2
    rise = 0.06 * ((x.abs() - 0.36 * shape.length) / (half - 0.36 * shape.length)).clamp(0, 1)
    low = shape.clearance + rise
    for axle in (shape.front_axle, shape.rear_axle):
        gap = shape.arch**2 - (x - axle) ** 2
        low = torch.where(gap > -1e-6, torch.maximum(low, shape.wheel + gap.clamp(min=0).sqrt()), low)
    return low


def body(shape: Shape, rows: int = 11) -> Mesh:
    """Wings, doors, bumpers, bonnet and boot: all from the sill up to the belt, open below."""
    c, s = _body_outline(shape)
    x_plan = c * shape.length / 2
    low, high = bottom_line(shape, x_plan), shoulder_line(shape)(x_plan)
    r = shape.shoulder
    share = torch.linspace(0, 1, rows)
    z = low[:, None] + (high - r - low).clamp(min=0.01)[:, None] * share
    x, y = _ring(shape, c[:, None], s[:, None], z)
    bend = torch.tensor([30.0, 60.0, 90.0]).deg2rad()
    top_z = torch.maximum(z[:, -1:], (high - r)[:, None]) + r * bend.sin()
    inset = r * (1 - bend.cos())
    scale_x, scale_y = 1 - inset / (shape.length / 2), 1 - inset / (0.5 * shape.width)
    top_x, top_y = x[:, -1:] * scale_x, y[:, -1:] * scale_y
    side = torch.cat([torch.stack([x, y, z], -1), torch.stack([top_x, top_y, top_z], -1)], 1)
    edge = side[:, -1]
    # Across the top; two places close together on each side make the walls of a load bed.
    across = torch.tensor([0.9, 0.832, 0.826, 0.66, 0.44, 0.22, 0.0])
    across = torch.cat([across, -across[:-1].flip(0)])
    lid_y = edge[:, 1:2] * across
    wide = 0.5 * shape.width
    crown = curve([(-shape.length / 2, 0.015), (min(shape.back, 0.0), 0.02), (shape.cowl, shape.crown),
                   (shape.length / 2, 0.4 * shape.crown)])(edge[:, 0])  # fmt: skip
    lid_z = edge[:, 2:] + crown[:, None] * (edge[:, 1:2] ** 2 - lid_y**2) / wide**2
    if shape.open_box is not None:
        start, end, floor = shape.open_box
        inside = ((edge[:, 0] < start) & (edge[:, 0] > end))[:, None] & (across.abs() < 0.83)
        lid_z = torch.where(inside, floor, lid_z)
    lid = torch.stack([edge[:, :1].expand_as(lid_y), lid_y, lid_z], -1)
    return loft(torch.cat([side * MIRROR, lid.flip(1), side.flip(1)], 1))


def underside(shape: Shape) -> Mesh:
    """What closes the body from below, wheel wells included, and the floor between the wheels."""
    c, s = _body_outline(shape)
    x_plan = c * shape.length / 2
    low = bottom_line(shape, x_plan)
    x, y = _ring(shape, c, s, low)
    inner = 0.5 * shape.width - shape.tyre - 0.09
    drawn_in = y.clamp(max=inner)
    across = torch.stack([y, drawn_in + 1e-3, drawn_in], 1)
    floor = low.clamp(max=shape.clearance + 0.07)
    z = torch.stack([low + 0.004, low + 0.004, floor], 1)
    half = torch.stack([x[:, None].expand_as(across), across, z], -1)
    return loft(torch.cat([half, half.flip(1) * MIRROR], 1))


def cabin(shape: Shape, rows: int = 7) -> tuple[Mesh, CabinPlan]:
    """Windows, pillars and roof. Its paint holds (a, t, 0): a as ``CabinPlan`` has it, t from 0 at the belt to 1.

    On the roof t is 1.6.
    """
    middle = 0.5 * (shape.screen + shape.roof)
    reach = (shape.cowl - middle, shape.screen - middle, middle - shape.roof, middle - shape.back)
    front, rear = exponent(shape.screen_sweep, reach[0]), exponent(shape.back_sweep, reach[3])
    c_front, c_rear = 0.5 ** (1 / front), 0.5 ** (1 / rear)
    sides = torch.linspace(c_front, -c_rear, 22).tolist()
    c, s = outline(front, rear, sides, ends=10)
    t = torch.linspace(0, 1, rows)
    bulge = 4 * t * (1 - t)
    ahead = reach[0] + (reach[1] - reach[0]) * t + 0.035 * bulge
    behind = reach[3] + (reach[2] - reach[3]) * t + 0.03 * bulge
    line = shoulder_line(shape)
    base = float(half_width(shape, torch.tensor(shape.cowl_height))) - shape.shoulder * 0.6 - shape.ledge
    wide = base - shape.tumble * t + 0.018 * bulge
    x = middle + torch.where(c[:, None] >= 0, c[:, None] * ahead, c[:, None] * behind)
    y = s[:, None] * wide
    r = 0.075
    top = _roof_line(shape, x[:, -1])
    z = (line(x[:, 0]) - 0.025)[:, None]
    z = z + (top - r - z[:, 0])[:, None] * t
    # Up to the roof the slope falls evenly from that of the windscreen or window below to none (a parabola).
    u = torch.tensor([1 / 3, 2 / 3, 1.0])
    tall = shape.height - shape.cowl_height
    ease = [min(max(2 * r * run / tall, least), 0.45) for run, least in
            ((reach[0] - reach[1], 0.1), (reach[3] - reach[2], 0.1), (shape.tumble, 0.12))]  # fmt: skip
    turn_z = (top - r)[:, None] + r * (1 - (1 - u) ** 2)
    ease_x = torch.where(c >= 0, ease[0] / reach[1], ease[1] / reach[2])[:, None]
    turn_x = middle + (x[:, -1:] - middle) * (1 - u * ease_x.clamp(max=0.8))
    turn_y = y[:, -1:] * (1 - u * ease[2] / wide[-1])
    side = torch.cat([torch.stack([x, y, z], -1), torch.stack([turn_x, turn_y, turn_z], -1)], 1)
    mid_x, mid_y = x[:, rows // 2], y[:, rows // 2]
    steps = torch.stack([mid_x.diff(), mid_y.diff()], -1).norm(dim=-1)
    a = torch.cat([torch.zeros(1), steps.cumsum(0)])
    plan = CabinPlan(a, x[:, 1], float(a[9]), float(a[-10]), float(a[-1]))
    rise = torch.cat([t, torch.full((3,), 1.6)]).expand(len(c), -1)
    side_paint = torch.stack([a[:, None].expand_as(rise), rise, torch.zeros_like(rise)], -1)
    edge = side[:, -1]
    across = torch.tensor([0.8, 0.5, 0.2, -0.2, -0.5, -0.8])
    lid_y = edge[:, 1:2] * across
    lid_z = edge[:, 2:] + 0.05 * (edge[:, 1:2] ** 2 - lid_y**2) / wide[-1] ** 2
    lid = torch.stack([edge[:, :1].expand_as(lid_y), lid_y, lid_z], -1)
    lid_paint = side_paint[:, -1:].expand(-1, len(across), -1)
    points = torch.cat([side * MIRROR, lid.flip(1), side.flip(1)], 1)
    return loft(points, torch.cat([side_paint, lid_paint, side_paint.flip(1)], 1)), plan


def screen(shape: Shape) -> Mesh:
    """The windscreen of an open car, with nothing behind it; painted as ``cabin`` is."""
    mesh, plan = cabin(shape)
    assert mesh.colors is not None
    kept = (mesh.colors[mesh.faces][..., 0] <= plan.corner_front + 0.02).all(1)
    kept &= (mesh.colors[mesh.faces][..., 1] <= 1.01).all(1)
    return Mesh(mesh.vertices, mesh.faces[kept], mesh.colors)


def _roof_line(shape: Shape, x: Tensor) -> Tensor:
    """The height of the roof's edge: highest a little behind the windscreen, falling to both ends."""
    long = shape.screen - shape.roof
    peak = shape.screen - 0.35 * long
    fall = torch.where(x > peak, 0.6, 1.0) * ((x - peak) / (0.65 * long)) ** 2
    return shape.height - 0.05 - shape.roof_drop * fall.clamp(max=1.5)
