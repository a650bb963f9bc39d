"""The last step that all readers share: cameras and photos are checked and become ``Views``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape import cameras
from fieldscape.data.options import ReadOptions
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Views

BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}

BORDER = 0.04
"""How deep the frame is that must be of one colour, as a share of the shorter side: more than the thin dark rims that
undistorting a photo leaves."""

CONSTANT = 0.97
"""The share of that frame that must have the colour; objects may stick out a little."""


def assemble(views: Views, options: ReadOptions, where: str) -> Views:
    """``views`` with valid, exactly orthonormal poses, a background, and enough to learn from.

    ``views`` needs camera, images, names and split; ``background`` and ``notes`` are completed here.

    Raises BadInput: an invalid pose, focal length or lens, or fewer than two views to learn from.
    """
    names, camera = views.names, views.camera
    cameras.require_valid_poses(camera.pose, names, where)
    for name, focal, center in zip(names, camera.focal.tolist(), camera.center.tolist()):
        if not all(0 < f < 1e9 for f in focal):
            raise BadInput(f"{where}: the focal length of {name} is {focal[0]:g}, {focal[1]:g}; it must be above zero.")
        if not all(abs(c) < 1e9 for c in center):
            raise BadInput(f"{where}: the principal point of {name} is {center[0]:g}, {center[1]:g}.")
    left = len(views.train)
    if left < 2:
        held = f", of which {len(views.held_out)} is held out" if views.held_out else ""
        raise BadInput(
            f"{where} has {len(views)} view{'s' * (len(views) != 1)}{held}; at least 2 must remain to learn from."
            " Add photos with poses, or hold fewer out."
        )
    background, notes = _background(views, options)
    camera = replace(camera, pose=orthonormal(camera.pose))
    return replace(views, camera=camera, background=background, notes=(*views.notes, *notes))


def every_nth(names: Sequence[str], options: ReadOptions) -> tuple[tuple[int, ...], str]:
    """The held-out indices where the data state none, and the split in words: every n-th view in order of name.

    >>> every_nth(["b", "a", "c"], ReadOptions(holdout=2))
    ((1, 2), 'every 2nd view in order of name held out')
    """
    if options.holdout == 0:
        return (), "no view held out"
    order = sorted(range(len(names)), key=lambda i: names[i])
    ending = {2: "nd", 3: "rd"}.get(options.holdout, "th")
    return tuple(sorted(order[:: options.holdout])), f"every {options.holdout}{ending} view in order of name held out"


def orthonormal(pose: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """float32 poses with the rotation nearest to the given one (polar decomposition) and last row 0 0 0 1."""
    u, _, vt = torch.linalg.svd(pose[..., :3, :3].double())
    exact = torch.zeros_like(pose, dtype=torch.float64)
    exact[..., :3, :3] = u @ vt
    exact[..., :3, 3] = pose[..., :3, 3]
    exact[..., 3, 3] = 1
    return exact.float()


def scaled_camera(camera: Camera, width: int, height: int, where: str) -> Camera:
    """``camera`` for photos of another size than it states, which must have its aspect ratio to within a pixel.

    Raises BadInput otherwise.
    """
    low = max((width - 1) / camera.width, (height - 1) / camera.height)
    high = min((width + 1) / camera.width, (height + 1) / camera.height)
    if low >= high:  # no scale brings both sides to within a pixel
        raise BadInput(
            f"{where}: the camera is for images of {camera.width} x {camera.height}, but the photos are {width} x"
            f" {height}, which is another aspect ratio. Photos must be scaled evenly and not cropped or turned."
        )
    return cameras.resize(camera, width, height)


def constant_border(photos: Float[Tensor, "v h w 3"] | UInt8[Tensor, "v h w 3"]) -> str | None:
    """ "white" or "black" where nearly all pixels in a frame along the borders of all photos have that colour."""
    height, width = photos.shape[1:3]
    depth = max(1, round(BORDER * min(height, width)))
    top, bottom = photos[:, :depth], photos[:, -depth:]
    left, right = photos[:, depth : height - depth, :depth], photos[:, depth : height - depth, -depth:]
    frame = torch.cat([part.reshape(-1, 3) for part in (top, bottom, left, right)])
    full, slack = (255, 2) if photos.dtype == torch.uint8 else (1.0, 1e-3)  # JPEG does not keep white exactly white
    if (frame >= full - slack).all(-1).float().mean() > CONSTANT:
        return "white"
    if (frame <= slack).all(-1).float().mean() > CONSTANT:
        return "black"
    return None


def _background(views: Views, options: ReadOptions) -> tuple[tuple[float, float, float] | None, list[str]]:
    if options.background != "auto":
        return BACKGROUNDS[options.background], []
    if views.background is not None:
        return views.background, []
    if views.images.shape[-1] == 4:
        return BACKGROUNDS["white"], ["transparent pixels are shown on white (--background changes it)"]
    color = constant_border(views.images)
    if color is None:
        return None, []
    return BACKGROUNDS[color], [f"the borders of all photos are {color}: taken as a constant background"]
