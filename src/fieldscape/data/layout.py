"""A picture of where the cameras are: from above, from the side, and what some of them see.

Most mistakes with poses are seen at a glance here: cameras that look away from the object, stand in a heap, or fly off.
Both views have one scale and are drawn as an architect would: the side view is seen from the bottom of the top view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from fieldscape.cameras import field_of_view, mean_up, pixel_rays
from fieldscape.data.checks_cameras import common_point
from fieldscape.types import Camera, Views

SHARPER = 2
"""Everything is drawn this many times as large and then shrunk: smooth lines from a library that has none."""

WIDTH, MARGIN, HEADER, PANEL, STRIP = 1240, 24, 64, 560, 170
"""Of the picture, in pixels: its width, the gaps, and the heights of the title, the two views and the thumbnails."""

INK, PALE, GRID, TRAIN, HELD_OUT, POINT, TARGET = (
    (38, 44, 52), (120, 128, 138), (233, 236, 240), (38, 98, 184), (226, 110, 22), (96, 110, 128), (200, 30, 60),
)  # fmt: skip

AXIS_COLORS = {"x": (208, 48, 48), "y": (44, 140, 60), "z": (40, 80, 200)}

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Panel:
    """One view: which world directions go right and up on the page, what is at its middle, and pixels per unit.

    box: left, top, right, bottom in pixels of the enlarged picture.
    """

    right: Float[Tensor, "3"]
    up: Float[Tensor, "3"]
    middle: Float[Tensor, "3"]
    scale: float
    box: Box

    def place(self, points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
        """World points to pixels of the picture."""
        across, along = (points - self.middle) @ self.right, (points - self.middle) @ self.up
        left, top, right, bottom = self.box
        return torch.stack([(left + right) / 2 + across * self.scale, (top + bottom) / 2 - along * self.scale], -1)


def draw_layout(views: Views) -> UInt8[Tensor, "h w 3"]:
    """The cameras from above and from the side, the point they look at, sparse points, and six of the photos."""
    height = HEADER + PANEL + STRIP + 3 * MARGIN
    canvas = Image.new("RGB", (WIDTH * SHARPER, height * SHARPER), "white")
    draw = ImageDraw.Draw(canvas, "RGBA")
    _title(draw, views)
    right, up = world_frame(views.camera)
    deep = torch.linalg.cross(up, right)
    middle, extent, outside = _framing(views, torch.stack([right, deep, up]))
    size = frustum_size(views.camera, float(extent.max()), outside)
    inner = (WIDTH - 3 * MARGIN) / 2
    scale = SHARPER * 0.8 * min(inner / float(extent[0]), PANEL / float(extent[1:].max()))
    for column, (name, page_up) in enumerate((("from above", deep), ("from the side", up))):
        left = SHARPER * (MARGIN + column * (inner + MARGIN))
        box = (left, float(SHARPER * HEADER), left + SHARPER * inner, float(SHARPER * (HEADER + PANEL)))
        panel = Panel(right, page_up, middle, scale, box)
        # Pillow cannot clip: a panel is drawn on a canvas of its own, and its box is copied.
        layer = Image.new("RGB", canvas.size, "white")
        _draw_panel(ImageDraw.Draw(layer, "RGBA"), panel, views, size, outside, name)
        canvas.paste(layer.crop(box), (round(box[0]), round(box[1])))
        draw.rectangle(box, outline=(205, 210, 216), width=SHARPER)
    _thumbnails(canvas, draw, views, SHARPER * (HEADER + PANEL + MARGIN))
    small = canvas.resize((WIDTH, height), Image.Resampling.BOX)
    return torch.from_numpy(np.array(small))


def world_frame(camera: Camera) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The world directions that go right, and up in the side view; unit, perpendicular.

    Up is the cameras' mean up, or the world axis within 20 degrees of it: data usually mean one of them. Right is a
    world axis then, else the direction in which the cameras spread most.
    """
    up = mean_up(camera)
    nearest = int(up.abs().argmax())
    if float(up[nearest].abs()) > 0.94:
        snapped = torch.zeros_like(up)
        snapped[nearest] = up[nearest].sign()
        right = torch.zeros_like(up)
        right[0 if nearest != 0 else 1] = 1
        return right, snapped
    flat = camera.position - camera.position.mean(0)
    flat = flat - (flat @ up)[:, None] * up
    if float(flat.norm(dim=-1).max()) < 1e-6:
        flat = torch.eye(3, dtype=up.dtype) - up[:, None] * up
    right = torch.linalg.svd(flat.double(), full_matrices=False).Vh[0].to(up.dtype)
    # The singular vector is perpendicular to up only to rounding, and its sign is a matter of luck.
    right = right - (right @ up) * up
    right = right * right[right.abs().argmax()].sign()
    return right / right.norm(), up


def _framing(views: Views, frame: Float[Tensor, "3 3"]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"], list[int]]:
    """The middle of what to show, its extent along the rows of ``frame``, and the cameras too far out to be shown."""
    position = views.camera.position
    center = position.median(0).values
    away = (position - center).norm(dim=-1)
    limit = 10 * float(away.median())
    inside = away <= limit if limit > 0 else torch.ones_like(away, dtype=torch.bool)
    shown = [position[inside]]
    target, ahead, _ = common_point(views.camera)
    reach = float(away[inside].max())
    # Parallel axes meet nowhere near; drawing to there would shrink the cameras to a dot.
    if ahead > 0.5 and float((target - center).norm()) < 4 * max(reach, 1e-9):
        shown.append(target[None])
    if views.points is not None and len(views.points):
        near = (views.points - center).norm(dim=-1) < max(3 * reach, 1e-9)
        if bool(near.any()):
            shown.append(torch.quantile(_thinned(views.points[near], 20000), torch.tensor([0.03, 0.97]), dim=0))
    along = torch.cat(shown) @ frame.T
    low, high = along.amin(0), along.amax(0)
    extent = high - low
    extent = extent.clamp_min(0.2 * float(extent.max())) if float(extent.max()) > 0 else torch.ones_like(extent)
    return frame.T @ ((low + high) / 2), extent, torch.nonzero(~inside)[:, 0].tolist()


def frustum_size(camera: Camera, extent: float, outside: list[int]) -> float:
    """How deep to draw a camera's pyramid, world units: so that neighbours hardly overlap, yet can be seen."""
    kept = [i for i in range(len(camera)) if i not in set(outside)]
    position = camera.position[kept]
    if len(kept) < 2:
        return 0.08 * extent
    apart = torch.cdist(position, position) + torch.eye(len(kept)) * 1e9
    return float(apart.min(1).values.median().clamp(0.025 * extent, 0.08 * extent))


def _thinned(points: Float[Tensor, "p 3"], most: int) -> Float[Tensor, "q 3"]:
    """Every n-th of the points, so that at most ``most`` remain."""
    return points[:: max(1, -(-len(points) // most))]


def _draw_panel(
    draw: ImageDraw.ImageDraw, panel: Panel, views: Views, size: float, outside: list[int], name: str
) -> None:
    """One view: grid, points, path, cameras, the point they look at, numbers, axes, scale bar."""
    step = _grid(draw, panel)
    if views.points is not None:
        for x, y in panel.place(_thinned(views.points, 20000)).tolist():
            draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=(*POINT, 110))
    at = panel.place(views.camera.position)
    hidden, held_out = set(outside), set(views.held_out)
    _path(draw, views.camera, at, hidden)
    shown = [i for i in range(len(views)) if i not in hidden]
    corners = panel.place(frustum_corners(views.camera, size))
    # The far ones first, so that near ones cover them; held-out ones last, as they are few.
    toward = torch.linalg.cross(panel.right, panel.up)
    for i in sorted(shown, key=lambda i: (i in held_out, float(views.camera.position[i] @ toward))):
        _frustum(draw, at[i].tolist(), corners[i].tolist(), HELD_OUT if i in held_out else TRAIN)
    _look_at(draw, panel, views.camera)
    _numbers(draw, at, corners, shown)
    _axes(draw, panel)
    left, top, right, bottom = panel.box
    _text(draw, (left + 14 * SHARPER, top + 12 * SHARPER), name, 15, INK)
    # The scale bar is one step of the grid.
    x, y, length = right - 18 * SHARPER, bottom - 18 * SHARPER, step * panel.scale
    draw.line((x - length, y, x, y), fill=INK, width=2 * SHARPER)
    for end in (x - length, x):
        draw.line((end, y - 4 * SHARPER, end, y + 4 * SHARPER), fill=INK, width=2 * SHARPER)
    unit = "m" if views.metric else ("unit" if step == 1 else "units")
    _text(draw, (x - length / 2, y - 7 * SHARPER), f"{step:g} {unit}", 13, INK, anchor="mb")
    if outside and name == "from above":
        which = ", ".join(views.names[i] for i in outside[:2]) + (" ..." if len(outside) > 2 else "")
        said = f"{len(outside)} far outside: {which}"
        _text(draw, (right - 14 * SHARPER, top + 12 * SHARPER), said, 13, TARGET, anchor="ra")


def frustum_corners(camera: Camera, size: float) -> Float[Tensor, "v 4 3"]:
    """The corners of each camera's image in the world, at depth ``size`` (nearer where the lens is very wide)."""
    w, h = float(camera.width), float(camera.height)
    pixels = camera.center.new_tensor([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]])
    columns = []
    for corner in pixels:
        rays = pixel_rays(camera, corner.expand(len(camera), 2))
        along = (rays.directions * camera.forward).sum(-1, keepdim=True).clamp_min(0.45)
        columns.append(rays.origins + size * rays.directions / along)
    return torch.stack(columns, 1)


def _grid(draw: ImageDraw.ImageDraw, panel: Panel) -> float:
    """Lines at a round step of 1, 2 or 5 times a power of ten, through the middle; returns the step."""
    left, top, right, bottom = panel.box
    wanted = 90 * SHARPER / panel.scale
    power = 10 ** float(np.floor(np.log10(wanted)))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= wanted)
    for low, high, start, axis in ((left, right, left, panel.right), (top, bottom, bottom, panel.up)):
        origin = float(panel.middle @ axis)
        sign = 1 if start == low else -1
        first = np.ceil((origin - (high - low) / 2 / panel.scale) / step)
        for k in range(int((high - low) / panel.scale / step) + 2):
            at = (low + high) / 2 + sign * ((first + k) * step - origin) * panel.scale
            line = (at, top, at, bottom) if start == left else (left, at, right, at)
            draw.line(line, fill=GRID, width=SHARPER)
    return step


def _path(draw: ImageDraw.ImageDraw, camera: Camera, at: Float[Tensor, "v 2"], hidden: set[int]) -> None:
    """A thin line through the cameras in order, where the order is that of a walk."""
    if len(camera) < 3:
        return
    steps = (camera.position[1:] - camera.position[:-1]).norm(dim=-1)
    spread = (camera.position - camera.position.mean(0)).norm(dim=-1).median()
    if float(steps.median()) > 0.6 * float(spread):
        return
    for i in range(len(camera) - 1):
        if i not in hidden and i + 1 not in hidden and float(steps[i]) < 6 * float(steps.median()) + 1e-9:
            draw.line((*at[i].tolist(), *at[i + 1].tolist()), fill=(*PALE, 120), width=SHARPER)


def _frustum(
    draw: ImageDraw.ImageDraw, apex: list[float], corners: list[list[float]], color: tuple[int, int, int]
) -> None:
    """A camera as a pyramid: its base faint, its edges clear, its place a dot."""
    draw.polygon([(x, y) for x, y in corners], fill=(*color, 38))
    for a, b in zip(corners, [*corners[1:], corners[0]]):
        draw.line((*a, *b), fill=(*color, 210), width=SHARPER)
        draw.line((*apex, *a), fill=(*color, 150), width=SHARPER)
    r = 2.2 * SHARPER
    draw.ellipse((apex[0] - r, apex[1] - r, apex[0] + r, apex[1] + r), fill=color)


def _look_at(draw: ImageDraw.ImageDraw, panel: Panel, camera: Camera) -> None:
    """The point nearest to all axes, as a ringed cross, if most cameras look at it or the axes meet sharply there."""
    target, ahead, blur = common_point(camera)
    x, y = panel.place(target).tolist()
    left, top, right, bottom = panel.box
    if not (left < x < right and top < y < bottom) or (ahead < 0.5 and blur > 0.15):
        return
    r = 6 * SHARPER
    draw.ellipse((x - r, y - r, x + r, y + r), outline=TARGET, width=2 * SHARPER, fill=(255, 255, 255, 150))
    for dx, dy in ((1, 0), (0, 1)):
        draw.line((x - dx * 2 * r, y - dy * 2 * r, x + dx * 2 * r, y + dy * 2 * r), fill=TARGET, width=SHARPER)
    said = "looked at" if ahead > 0.8 else f"axes meet here; {ahead:.0%} look here"
    _text(draw, (x + 1.5 * r, y - 1.3 * r), said, 12, TARGET, anchor="lb", halo=True)


def _numbers(
    draw: ImageDraw.ImageDraw, at: Float[Tensor, "v 2"], corners: Float[Tensor, "v 4 2"], shown: list[int]
) -> None:
    """Numbers of about sixteen cameras, behind them, left out where they would cover each other."""
    taken: list[tuple[float, float]] = []
    for i in shown[:: max(1, len(shown) // 16)]:
        back = at[i] - corners[i].mean(0)
        back = back / back.norm().clamp_min(1e-6) if float(back.norm()) > 1 else torch.tensor([0.0, -1.0])
        x, y = (at[i] + back * 11 * SHARPER).tolist()
        if all(abs(x - a) > 22 * SHARPER or abs(y - b) > 13 * SHARPER for a, b in taken):
            taken.append((x, y))
            _text(draw, (x, y), str(i), 12, INK, anchor="mm", halo=True)


def _axes(draw: ImageDraw.ImageDraw, panel: Panel) -> None:
    """The world's axes as arrows in the lower left corner; one that points at the reader is a dot."""
    left, _, _, bottom = panel.box
    x, y, length = left + 50 * SHARPER, bottom - 54 * SHARPER, 28 * SHARPER
    for index, (name, color) in enumerate(AXIS_COLORS.items()):
        dx, dy = float(panel.right[index]) * length, -float(panel.up[index]) * length
        drawn = (dx * dx + dy * dy) ** 0.5
        if drawn < 0.3 * length:
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=color)
            continue
        draw.line((x, y, x + dx, y + dy), fill=color, width=2 * SHARPER)
        beyond = 1 + 9 * SHARPER / drawn
        _text(draw, (x + beyond * dx, y + beyond * dy), name, 13, color, anchor="mm", halo=True)


def _title(draw: ImageDraw.ImageDraw, views: Views) -> None:
    """How many cameras, which colour is which, and their lens."""
    x, y = float(MARGIN * SHARPER), HEADER * SHARPER / 2
    parts = [(f"{len(views)} cameras", INK), (f"{len(views.train)} to train on", TRAIN)]
    parts.append((f"{len(views.held_out)} held out", HELD_OUT))
    for position, (said, color) in enumerate(parts):
        if position:
            draw.rectangle((x, y - 6 * SHARPER, x + 12 * SHARPER, y + 6 * SHARPER), fill=color)
            x += 18 * SHARPER
        x = _text(draw, (x, y), said, 20 if position == 0 else 15, INK, anchor="lm") + 22 * SHARPER
    across, down = field_of_view(views.camera).median(0).values.tolist()
    size = f"{views.camera.width} x {views.camera.height} pixels"
    said = f"{size}, {across:.0f} x {down:.0f} degrees, {views.camera.lens}"
    _text(draw, ((WIDTH - MARGIN) * SHARPER, y), said, 15, PALE, anchor="rm")


def _thumbnails(canvas: Image.Image, draw: ImageDraw.ImageDraw, views: Views, top: float) -> None:
    """Up to six photos, evenly spread, numbered and framed in their colour."""
    height = (STRIP - 24) * SHARPER
    aspect = views.camera.width / views.camera.height
    count = min(6, len(views), max(1, int(WIDTH / (aspect * STRIP))))
    room = (WIDTH - 2 * MARGIN) * SHARPER / count
    width = min(room - 10 * SHARPER, height * aspect)
    held_out = set(views.held_out)
    for k, index in enumerate(torch.linspace(0, len(views) - 1, count).long().tolist()):
        image = (views.color(index).clamp(0, 1) * 255).byte().cpu().numpy()
        size = (max(1, round(width)), max(1, round(width / aspect)))
        left = round(MARGIN * SHARPER + k * room + (room - width) / 2)
        canvas.paste(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), (left, round(top)))
        color = HELD_OUT if index in held_out else TRAIN
        draw.rectangle((left, top, left + size[0], top + size[1]), outline=color, width=2 * SHARPER)
        said = f"{index}  {views.names[index][-28:]}"
        _text(draw, (left + size[0] / 2, top + size[1] + 6 * SHARPER), said, 12, INK, anchor="ma")


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    said: str,
    size: int,
    color: tuple[int, int, int],
    anchor: str = "la",
    halo: bool = False,
) -> float:
    """Writes ``said`` and returns where it ends, so that the next text can follow."""
    font = ImageFont.load_default(size=size * SHARPER)
    draw.text(at, said, fill=color, font=font, anchor=anchor, stroke_width=3 if halo else 0, stroke_fill="white")
    return draw.textbbox(at, said, font=font, anchor=anchor)[2]
