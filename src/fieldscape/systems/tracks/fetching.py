"""Colours of a source frame, seen through its mesh from elsewhere.

A sheet is drawn through the target camera with a z-test (``raster``). Each pixel then knows its face, and where on it:
right in perspective, both ways. The face is a piece of a plane, so the source and the target see it related by a
homography; u z, v z and z, with z the depth in the source camera, are linear on the face, and their quotients are the
place in the source frame. Colours there are interpolated by Keys' cubic convolution ("Cubic convolution interpolation
for digital image processing", 1981) and clamped to 0..1: a cubic overshoots at edges.

What belongs to the layer is cut out softly by the source frame's mask: a mover's colours where the mask says mover,
the background's where it does not, kept a pixel away from movers, whose borders are mixtures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fieldscape.raster import Raster, rasterize
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.placing import planar_at_own, vertices_at
from fieldscape.systems.tracks.sheets import Sheet
from fieldscape.types import Camera

BANDS = 8
"""Bands of rows that threads share: the same result for any number of them."""
NEAREST = 1e-3
"""What is nearer to the camera than this share of the vertices' median depth is not drawn."""
EXTREME = 1e3
"""Stretches are given up to this factor, either way."""
HINT = 2e-4
"""What lies beyond the source picture's border counts so much, with the colour of the border: hardly, but where nothing
else is."""
KEYS = -0.5
"""Keys' parameter: the slope of the cubic at its neighbours."""


@dataclass(frozen=True)
class Fetched:
    """What a camera sees of one source frame's sheet of one layer.

    color: 0 where there is no face.  alpha: the share that belongs to the layer, 0..1, soft at mask borders and at the
    source picture's borders.  depth: planar in the target camera, infinite where nothing is.  far: seen through the far
    layer only.  stretch: source pixels that a target pixel covers along the axis where that is farthest from 1: below
    it colours are magnified, above it they are squeezed; 0 where nothing is.  face: its number, -1 for none.  uv: the
    place in the source frame, pixels.
    """

    color: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    depth: Float[Tensor, "h w"]
    far: Bool[Tensor, "h w"]
    stretch: Float[Tensor, "h w"]
    face: Int[Tensor, "h w"]
    uv: Float[Tensor, "h w 2"]


def fetch(
    tracked: Tracked, sheet: Sheet, camera: Camera, when: float, offsets: Float[Tensor, "v 3"] | None = None
) -> Fetched:
    """What ``camera``, a pinhole of any size, sees of ``sheet`` as it lies at the time ``when``, in seconds.

    offsets: what to add to the vertices' world places, for a refinement; no gradient goes through here.
    Raises ``BadInput`` for a camera with another lens.
    """
    world = vertices_at(tracked, sheet, when)
    if offsets is not None:
        world = world + offsets.detach().to(world)
    pose = camera.pose.double()
    local = (world - pose[:3, 3]) @ pose[:3, :3]
    raster = drawn(local, sheet, camera)
    z = planar_at_own(tracked, sheet)
    texture = torch.cat([sheet.uv.double() * z[:, None], z[:, None]], 1)
    frame, cut = tracked.clip.frames[sheet.frame], cut_out(tracked, sheet.frame, sheet.layer)
    quality = stretches(local, sheet, camera)
    color, alpha, far, stretch, uv = look_up(raster, sheet.faces, texture, quality, sheet.far, frame, cut)
    return Fetched(color, alpha, raster.depth.float(), far, stretch, raster.face, uv)


def drawn(local: Float[Tensor, "v 3"], sheet: Sheet, camera: Camera) -> Raster:
    """What ``camera`` sees of a sheet whose vertices are ``local``, in its axes.

    The far layer lies behind everything, whatever its depth: it is seen where nothing else is.
    """
    near = nearest_drawn(local.detach())
    if not bool(sheet.far.any()):
        return rasterize(local, sheet.faces, camera, near)
    own, behind = (~sheet.far).nonzero().flatten(), sheet.far.nonzero().flatten()
    first, second = (rasterize(local, sheet.faces[which], camera, near) for which in (own, behind))
    filled = second.hit & ~first.hit
    face = torch.where(first.hit, own[first.face.clamp(min=0)] if len(own) else -1, -1)
    return Raster(
        torch.where(filled, behind[second.face.clamp(min=0)], face),
        torch.where(filled[..., None], second.weights, first.weights),
        torch.where(filled, second.depth, first.depth),
    )


def nearest_drawn(local: Float[Tensor, "v 3"]) -> float:
    """The near plane that suits vertices in camera axes, whatever their unit."""
    ahead = local[local[:, 2] > 0, 2]
    return NEAREST * float(ahead.median()) if len(ahead) else NEAREST


def look_up(
    raster: Raster,
    faces: Int[Tensor, "f 3"],
    texture: Float[Tensor, "v 3"],
    quality: Float[Tensor, "f"],
    distant: Bool[Tensor, "f"],
    frame: UInt8[Tensor, "y x 3"],
    cut: UInt8[Tensor, "y x"],
) -> tuple[
    Float[Tensor, "h w 3"], Float[Tensor, "h w"], Bool[Tensor, "h w"], Float[Tensor, "h w"], Float[Tensor, "h w 2"]
]:
    """Color, alpha, far, stretch and uv, as in ``Fetched``, of what ``raster`` shows.

    texture: u z, v z and z of each vertex, u and v its place in ``frame``.  quality, distant: stretch and far of each
    face.  cut: the share of each pixel of ``frame`` that belongs to the layer, of 255.
    """
    from fieldscape.kernels import fetching as kernel
    from fieldscape.kernels.exact import share

    height, width = raster.face.shape
    given = [
        x.contiguous().numpy()
        for x in (
            raster.face,
            raster.weights.float(),
            faces.long(),
            texture.double(),
            quality.float(),
            distant,
            frame,
            cut,
        )
    ]
    color, alpha, stretch, places = (np.empty((height, width, *k), np.float32) for k in ((3,), (), (), (2,)))
    far = np.empty((height, width), bool)
    cuts = [round(i * height / BANDS) for i in range(BANDS + 1)]

    def work(part: int) -> None:
        kernel.look_up(*given, KEYS, HINT, color, alpha, far, stretch, places, cuts[part], cuts[part + 1])

    share(work, BANDS)
    return (*(torch.from_numpy(x) for x in (color, alpha, far, stretch, places)),)  # type: ignore[return-value]


def look_up_plain(
    raster: Raster,
    faces: Int[Tensor, "f 3"],
    texture: Float[Tensor, "v 3"],
    quality: Float[Tensor, "f"],
    distant: Bool[Tensor, "f"],
    frame: UInt8[Tensor, "y x 3"],
    cut: UInt8[Tensor, "y x"],
) -> tuple[
    Float[Tensor, "h w 3"], Float[Tensor, "h w"], Bool[Tensor, "h w"], Float[Tensor, "h w"], Float[Tensor, "h w 2"]
]:
    """``look_up`` as a page of tensors: its specification, and slow."""
    hit, face = raster.hit, raster.face.clamp(min=0)
    found = (texture.double()[faces.long()[face]] * raster.weights.double()[..., None]).sum(-2)
    places = found[..., :2] / torch.where(hit, found[..., 2], 1.0)[..., None]
    size = torch.tensor([frame.shape[1], frame.shape[0]])
    inside = (torch.minimum(places, size - places).amin(-1) + 0.5).clamp(HINT, 1)
    held = places.clamp(min=0).minimum(size.double()) - 0.5
    first = held.floor()
    offset = (held - first)[..., None] - torch.arange(-1, 3)  # of each of four neighbours, along x and along y
    color = _gathered(frame.double(), first, _keys(offset)).clamp(0, 255) / 255
    linear = (1 - offset.abs()).clamp(min=0)
    alpha = _gathered(cut.double()[..., None], first, linear)[..., 0] / 255 * inside
    return (
        (color * hit[..., None]).float(), (alpha * hit).float(), distant[face] & hit, quality[face].float() * hit,
        (places * hit[..., None]).float(),
    )  # fmt: skip


def _gathered(picture: Tensor, first: Tensor, weights: Tensor) -> Tensor:
    """The sum [h, w, c] of four by four pixels around ``first`` [h, w, 2], with weights [h, w, 2, 4]."""
    around = (first.long()[..., None] + torch.arange(-1, 3)).clamp(min=0)
    columns, rows = around[..., 0, :].clamp(max=picture.shape[1] - 1), around[..., 1, :].clamp(max=picture.shape[0] - 1)
    pixels = picture[rows[..., :, None], columns[..., None, :]]  # [h, w, 4, 4, c]
    return torch.einsum("hwyxc,hwx,hwy->hwc", pixels, weights[..., 0, :], weights[..., 1, :])


def _keys(offset: Tensor) -> Tensor:
    """The cubic convolution kernel (Keys, 1981, equation 8, of which 15 is the case a = -1/2).

    >>> _keys(torch.tensor([0.0, 0.5, 1.0, 1.5])).tolist()
    [1.0, 0.5625, 0.0, -0.0625]
    """
    s, a = offset.abs(), KEYS
    near = ((a + 2) * s - (a + 3)) * s * s + 1
    far = ((a * s - 5 * a) * s + 8 * a) * s - 4 * a
    return torch.where(s <= 1, near, torch.where(s < 2, far, 0.0))


def stretches(local: Float[Tensor, "v 3"], sheet: Sheet, camera: Camera) -> Float[Tensor, "f"]:
    """How much each face of ``sheet`` is squeezed (above 1) or magnified (below) in the picture of ``camera``.

    The singular value farthest from 1 (as a factor) of the map from target to source pixels, for a face seen by its
    corners. local: the vertices in the camera's axes. 0 for faces that reach behind the camera.
    """
    corners = local.numpy()[sheet.faces.numpy()]
    ahead = (corners[..., 2] > 0).all(1)
    depth = np.where(corners[..., 2:] > 0, corners[..., 2:], 1.0)
    target = corners[..., :2] / depth * camera.focal.double().numpy()
    source = sheet.uv.double().numpy()[sheet.faces.numpy()]
    ax, ay = (target[:, 1:] - target[:, :1]).transpose(2, 0, 1)  # [f, 2 edges] each
    bx, by = (source[:, 1:] - source[:, :1]).transpose(2, 0, 1)
    area = ax[:, 0] * ay[:, 1] - ax[:, 1] * ay[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    xx, xy = (bx[:, 0] * ay[:, 1] - bx[:, 1] * ay[:, 0]) / area, (bx[:, 1] * ax[:, 0] - bx[:, 0] * ax[:, 1]) / area
    yx, yy = (by[:, 0] * ay[:, 1] - by[:, 1] * ay[:, 0]) / area, (by[:, 1] * ax[:, 0] - by[:, 0] * ax[:, 1]) / area
    # The singular values of a 2x2 matrix are the sum and the difference of the sizes of its two conformal parts.
    same, mirrored = np.hypot(xx + yy, yx - xy) / 2, np.hypot(xx - yy, yx + xy) / 2
    large, small = same + mirrored, np.abs(same - mirrored)
    worse = np.where(large * small > 1, large, small).clip(1 / EXTREME, EXTREME)
    return torch.from_numpy(np.where(ahead, worse, 0.0)).float()


def cut_out(tracked: Tracked, frame: int, layer: int) -> UInt8[Tensor, "h w"]:
    """The share, of 255, of each pixel of ``frame`` that belongs to ``layer``."""
    height, width = tracked.clip.frames.shape[1:3]
    if tracked.clip.layers is None:
        return torch.full((height, width), 255, dtype=torch.uint8)
    layers = tracked.clip.layers[frame].numpy()
    if layer:
        return torch.from_numpy(np.where(layers == layer, 255, 0).astype(np.uint8))
    if not layers.any():
        return torch.full((height, width), 255, dtype=torch.uint8)
    moving = cv2.dilate(np.where(layers != 0, 255, 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return torch.from_numpy(255 - cv2.blur(moving, (3, 3)))
