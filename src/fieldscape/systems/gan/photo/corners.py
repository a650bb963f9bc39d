"""Where the room is in a photo: line segments, the three directions of its walls, then the back wall's corners.

Rooms are built at right angles, so most lines of a photo run towards one of three vanishing points at right angles
(Coughlan and Yuille's "Manhattan world", 1999). All rotations of a camera that people hold are tried, with several
focal lengths, and the one that explains most length of line is refined. Then boxes are judged by what lies where (after
Hedau, Hoiem and Forsyth 2009, and Lee, Hebert and Kanade 2009): a line that recedes cannot lie on the back wall, one
that runs across cannot lie on a side wall, and lines along the edges of the box speak for it.

There is always an answer: with few lines, a usual room seen from the front. ``Found.confidence`` tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import minimize

from fieldscape.systems.gan.photo.box import Box

USUAL_FOV = 60.0
"""Of the photo's width, in degrees, where its lines do not tell."""
FOVS = (45.0, 52.0, 60.0, 68.0, 77.0, 88.0)
LONG_SIDE = 640
MOST_LINES = 260
ASTRAY = 0.02
"""Sine of the angle by which lines miss their vanishing point, one sigma."""
EYE = 1.5
"""Of the camera over the floor, in metres, where nobody tells."""
STRAIGHT, ALONG, USUAL = 1.0, 1.0, 0.045
"""What counts: lines on planes that may hold them, lines along the edges, and usual sizes."""
BARE, FOLLOWED = 0.005, 0.012
"""What an edge in the picture costs that fewer lines follow than this share of all."""
LOW = 0.2
"""How much a line below the eye counts for what plane it is on, against one above."""
SURE = 0.35
"""Below this confidence, the box is called a guess."""


@dataclass(frozen=True)
class Found:
    """The box, how sure of it one may be (0..1), and whether lines told the focal length, or it was assumed."""

    box: Box
    confidence: float
    focal_told: bool


@dataclass(frozen=True)
class Lines:
    """Line segments, from the photo's centre, in pixels of the photo. middle, direction [n, 2] and length [n]."""

    middle: Float[np.ndarray, "n 2"]
    direction: Float[np.ndarray, "n 2"]
    length: Float[np.ndarray, "n"]


def find_box(photo: UInt8[np.ndarray, "h w 3"], fov: float | None = None) -> Found:
    """The room of a photo; ``fov`` is the horizontal field of view in degrees, if known."""
    width = photo.shape[1]
    lines = segments(photo)
    usual = width / 2 / math.tan(math.radians((fov or USUAL_FOV) / 2))
    if len(lines.length) < 6:
        return Found(usual_box(np.eye(3), usual), 0.0, fov is not None)
    rotation, focal, explained, told = directions(lines, width, fov)
    box, covered = room(lines, rotation, focal, width, photo.shape[0])
    # Lines in random directions are explained by a third, and cover edges by about a tenth.
    confidence = max(0.0, min(1.0, (explained - 0.3) / 0.45)) * max(0.0, min(1.0, (covered - 0.05) / 0.4))
    return Found(box, confidence**0.5, told)


def usual_box(rotation: Float[np.ndarray, "3 3"], focal: float) -> Box:
    """A room 4 m wide and 2.6 m high, its back wall 4.2 m ahead, at the height ``EYE``."""
    away = 4.2
    return Box(rotation, focal, -2 / away, 2 / away, (EYE - 2.6) / away, EYE / away)


def segments(photo: UInt8[np.ndarray, "h w 3"]) -> Lines:
    """The longest straight edges of a photo."""
    height, width = photo.shape[:2]
    scale = min(3.0, LONG_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    found = cv2.createLineSegmentDetector().detect(gray)[0]
    ends = np.zeros((0, 2, 2)) if found is None else found.reshape(-1, 2, 2).astype(float)
    # OpenCV puts the centre of the first pixel at 0.
    ends = (ends + 0.5) * np.array([width / size[0], height / size[1]]) - np.array([width / 2, height / 2])
    along = ends[:, 1] - ends[:, 0]
    length = np.linalg.norm(along, axis=-1)
    order = np.argsort(-length, kind="stable")[:MOST_LINES]
    order = order[length[order] > 0.025 * max(height, width)]
    return Lines(ends[order].mean(1), along[order] / length[order][:, None], length[order])


def turned(angles: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3 3"]:
    """Cameras' axes in those of the room, as columns, for yaw, pitch and roll in radians: right, up, and clockwise."""
    cos, sin = np.cos(angles), np.sin(angles)
    cy, cp, cr = np.moveaxis(cos, -1, 0)
    sy, sp, sr = np.moveaxis(sin, -1, 0)
    # About y, after about x, after about z.
    rows = [
        [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def towards(lines: Lines, rotation: Float[np.ndarray, "*b 3 3"], focal: float) -> Float[np.ndarray, "*b n 3"]:
    """The sine of the angle by which each line misses the vanishing point of each of the room's axes."""
    axes = np.swapaxes(rotation, -1, -2)  # columns: the room's axes as the camera sees them
    x, y = lines.middle[:, :1], lines.middle[:, 1:]
    ahead = axes[..., None, 2, :]
    way_x = focal * axes[..., None, 0, :] - x * ahead
    way_y = focal * axes[..., None, 1, :] - y * ahead
    across = lines.direction[:, :1] * way_y - lines.direction[:, 1:] * way_x
    return np.abs(across) / np.maximum(np.hypot(way_x, way_y), 1e-9)


def explained(lines: Lines, rotation: np.ndarray, focal: float, astray: float) -> Float[np.ndarray, "*b"]:
    """The share of the length of all lines that runs towards some vanishing point."""
    miss = towards(lines, rotation, focal).min(-1)
    return (np.exp(-0.5 * (miss / astray) ** 2) * lines.length).sum(-1) / lines.length.sum()


def directions(lines: Lines, width: int, fov: float | None) -> tuple[np.ndarray, float, float, bool]:
    """The camera's rotation in the room, focal length, share of lines explained, and whether lines told the focal."""
    degrees = np.meshgrid(np.arange(-45, 46, 3), np.arange(-24, 25, 4), np.arange(-6, 7, 3), indexing="ij")
    angles = np.stack(degrees, -1).reshape(-1, 3) * math.pi / 180
    # Photos are held level: that decides between rotations that explain alike.
    level = 0.02 * ((angles[:, 1] / math.radians(12)) ** 2 + (angles[:, 2] / math.radians(4)) ** 2)
    tried = []
    for view in (fov,) if fov is not None else FOVS:
        focal = width / 2 / math.tan(math.radians(view / 2))
        chunks = np.array_split(angles, 16)
        shares = np.concatenate([explained(lines, turned(chunk), focal, 2 * ASTRAY) for chunk in chunks])
        best = angles[int(np.argmax(shares - level))]

        def loss(values: np.ndarray, fixed: float = focal) -> float:
            turn = turned(values)
            return -float(explained(lines, turn[None], fixed, ASTRAY)[0]) + 0.02 * float(
                (values[1] / math.radians(12)) ** 2 + (values[2] / math.radians(4)) ** 2
            )

        start = np.concatenate([best[None], best + 0.03 * np.vstack([np.eye(3)])])
        settled = minimize(loss, best, method="Nelder-Mead", options={"initial_simplex": start, "maxiter": 120})
        unusual = 0.0 if fov is not None else 0.015 * (math.log(math.tan(math.radians(view / 2)) / 0.577) / 0.25) ** 2
        tried.append((-settled.fun - unusual, view, focal, settled.x))
    worth, view, focal, values = max(tried, key=lambda one: one[0])
    told = fov is not None or (
        view != USUAL_FOV and worth > {view: worth for worth, view, _, _ in tried}[USUAL_FOV] + 0.01
    )
    if not told:
        worth, view, focal, values = next(one for one in tried if one[1] == USUAL_FOV)
    rotation = turned(values)
    return rotation, focal, float(explained(lines, rotation[None], focal, 2 * ASTRAY)[0]), told


def room(lines: Lines, rotation: Float[np.ndarray, "3 3"], focal: float, width: int, height: int) -> tuple[Box, float]:
    """The box in known directions that lines speak for most, and the share of its edges that they cover."""
    miss = towards(lines, rotation, focal)
    kind = miss.argmin(-1)
    weight = np.exp(-0.5 * (miss.min(-1) / (2 * ASTRAY)) ** 2) * lines.length
    weight = weight / max(weight.sum(), 1e-9)
    # Three points on each line, as directions in the room.
    spread = lines.direction[:, None] * lines.length[:, None, None] * np.array([-0.4, 0, 0.4])[:, None]
    points = lines.middle[:, None] + spread
    rays = np.concatenate([points / focal, np.ones((*points.shape[:-1], 1))], -1) @ rotation.T
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    away = np.geomspace(1.8, 8.0, 9)
    high, wide = np.array([2.2, 2.5, 2.8, 3.4]), np.geomspace(0.6, 5.0, 8)
    grid = np.stack(np.meshgrid(away, high, wide, wide, indexing="ij"), -1).reshape(-1, 4)
    boxes = np.stack([-grid[:, 2], grid[:, 3], EYE - grid[:, 1], np.full(len(grid), EYE)], -1) / grid[:, :1]

    def seen(boxes: np.ndarray) -> np.ndarray:
        """Whether the middle of the left, right, top and bottom edge is in the picture [b, 4]."""
        left, right, top, bottom = boxes.T
        x, y, one = (left + right) / 2, (top + bottom) / 2, np.ones(len(boxes))
        middles = [(left, y, one), (right, y, one), (x, top, one), (x, bottom, one)]
        ahead = np.stack([np.stack(middle, -1) for middle in middles], 1) @ rotation
        pixels = focal * ahead[..., :2] / np.maximum(ahead[..., 2:], 1e-6)
        return (ahead[..., 2] > 0) & (np.abs(pixels) < [0.49 * width, 0.49 * height]).all(-1)

    def worth(boxes: np.ndarray) -> np.ndarray:
        chunks = np.array_split(boxes, max(1, len(boxes) // 256))
        return np.concatenate([_fit(chunk, rays, kind, weight, seen) + _usual(chunk) for chunk in chunks])

    judged = worth(boxes)
    leaders = boxes[np.argsort(-judged, kind="stable")[:6]]
    best, most = leaders[0], -np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        on_wall = rays[:, 1] / rays[:, 1, 2:]
    for leader in leaders:
        current = leader.copy()
        for turn in range(4):
            for side in range(4):
                # The edge may lie on any line that runs its way, or near where it is.
                along = on_wall[kind == (1 if side < 2 else 0), 0 if side < 2 else 1]
                value = current[side]
                nearby = value * np.exp(np.linspace(-0.3, 0.3, 13) / (1 + 2 * turn))
                choice = np.concatenate([[value], nearby, along[np.isfinite(along) & (along * value > 0)]])
                choice = np.sign(value) * np.clip(np.abs(choice), 0.08, 3.0)
                trial = np.repeat(current[None], len(choice), 0)
                trial[:, side] = choice
                current = trial[int(np.argmax(worth(trial)))]
        score = float(worth(current[None])[0])
        if score > most:
            best, most = current, score
    box = Box(rotation, focal, *(float(value) for value in best))
    return box, _covered(box, rays, kind, lines, width, height)


def _usual(boxes: np.ndarray) -> np.ndarray:
    """How far from a usual room: away, high, and wide on both sides, as the square of a logarithm or a length."""
    left, right, top, bottom = boxes.T
    scale = EYE / bottom
    cost = (np.log(scale / 4.2) / 0.6) ** 2 + ((scale * (bottom - top) - 2.6) / 0.4) ** 2
    cost += (np.log(scale * right / 2.0) / 0.8) ** 2 + (np.log(-scale * left / 2.0) / 0.8) ** 2
    return -USUAL * cost


def _fit(
    boxes: np.ndarray, rays: np.ndarray, kind: np.ndarray, weight: np.ndarray, seen: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """How well lines fit boxes [b, 4]: those on planes that may hold them, less the others, and those along edges."""
    left, right, top, bottom = (side[:, None, None] for side in boxes.T)
    x, y, z = rays[..., 0], rays[..., 1], rays[..., 2]
    beside, upright = np.where(x > 0, x / right, x / left), np.where(y > 0, y / bottom, y / top)
    which = np.argmax(np.stack([beside, upright, np.broadcast_to(z, beside.shape)], -1), -1)
    # A line along x cannot lie on a side wall, one along y not on floor or ceiling, one along z not on the back wall.
    wrong = which == kind[:, None]
    # Furniture stands on the floor: above the eye, lines are of the room itself more often.
    told = np.where(rays[:, 1, 1] < 0, 1.0, LOW) * weight
    orient = ((1 - 2.0 * wrong).mean(-1) * told).sum(-1)
    size, near = 0.012, 0.06
    on_x = np.where(y > 0, y - bottom * z, y - top * z)  # edges of the back wall that run along x
    on_y = np.where(x > 0, x - right * z, x - left * z)
    corner_x, corner_y = np.where(x > 0, right, left), np.where(y > 0, bottom, top)
    on_z = (x * corner_y - y * corner_x) / np.hypot(corner_x, corner_y)
    inside = [beside <= z + near, upright <= z + near, np.maximum(beside, upright) >= z - near]
    edges, along = np.zeros(len(boxes)), []
    for axis, apart in enumerate((on_x, on_y, on_z)):
        hit = np.exp(-0.5 * (apart / size) ** 2) * inside[axis]
        support = hit.mean(-1) * weight * (kind == axis)
        edges += support.sum(-1)
        if axis < 2:
            second = rays[:, 1, 1 - axis] > 0
            along += [(support * ~second).sum(-1), (support * second).sum(-1)]
    # An edge of the back wall that is in the picture, but that no line follows, is hardly there.
    top_, bottom_, left_, right_ = (strength < FOLLOWED for strength in along)
    bare = np.stack([left_, right_, top_, bottom_], -1) & seen(boxes)
    return STRAIGHT * orient + ALONG * edges - BARE * bare.sum(-1)


def _covered(box: Box, rays: np.ndarray, kind: np.ndarray, lines: Lines, width: int, height: int) -> float:
    """The share of the box's edges within the photo that have a line of their direction along them."""
    size = np.array([width, height])
    reach = 0.012 * max(width, height)
    total, met = 0, 0
    for start, end, axis in edges_of(box):
        pixels = box.pixels(start + (end - start) * np.linspace(0.01, 0.99, 100)[:, None], width, height)
        pixels = pixels[((pixels > 0) & (pixels < size)).all(-1)] - size / 2
        if len(pixels) == 0:
            continue
        own = kind == axis
        offset = pixels[:, None] - lines.middle[own]
        along = (offset * lines.direction[own]).sum(-1)
        apart = np.abs(offset[..., 0] * lines.direction[own][:, 1] - offset[..., 1] * lines.direction[own][:, 0])
        close = (apart < reach) & (np.abs(along) < lines.length[own] / 2 + reach)
        total, met = total + len(pixels), met + int(close.any(-1).sum())
    return met / total if total else 0.0


def edges_of(box: Box) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """The eight edges that a box shows: start, end (in the room's axes; receding ones end near the eye), and axis."""
    low, high = np.array([box.left, box.top, 1.0]), np.array([box.right, box.bottom, 1.0])
    a, b, c, d = low, np.array([high[0], low[1], 1]), high, np.array([low[0], high[1], 1])
    edges = [(a, b, 0), (d, c, 0), (a, d, 1), (b, c, 1)]
    for corner in (a, b, c, d):
        axis = box.rotation[:, 2]
        end = corner * np.array([1, 1, 0.0])
        # Towards the eye as far as the camera sees ahead of itself.
        ahead_far, ahead_end = corner @ axis, end @ axis
        share = 1.0 if ahead_end > 0.05 else (ahead_far - 0.05) / max(ahead_far - ahead_end, 1e-9)
        edges.append((corner, corner + (end - corner) * max(0.0, min(1.0, share)), 2))
    return edges


def drawn_over(photo: UInt8[np.ndarray, "h w 3"], box: Box) -> UInt8[np.ndarray, "hh ww 3"]:
    """The photo with the edges of the box: the back wall's in yellow, the receding ones in cyan."""
    height, width = photo.shape[:2]
    grow = max(1, round(512 / max(height, width)))
    picture = cv2.resize(photo, (width * grow, height * grow), interpolation=cv2.INTER_NEAREST)
    thick = max(1, round(max(picture.shape) / 320))
    for start, end, axis in edges_of(box):
        line = (box.pixels(np.stack([start, end]), width, height) * grow).clip(-2e4, 2e4) * 16
        first, last = (tuple(round(float(v)) for v in point) for point in line)
        cv2.line(picture, first, last, (0, 0, 0), thick + 2, cv2.LINE_AA, 4)
        cv2.line(picture, first, last, (70, 220, 255) if axis == 2 else (255, 215, 0), thick, cv2.LINE_AA, 4)
    return picture
