"""Frames taken through a lens that bends, made straight: the frames and cameras of a clip as those of a pinhole.

Each pixel of the straight frame looks up where the lens put it, by Brown-Conrady's or Kannala and Brandt's formulas
(``cameras.distort``). Focal length and principal point stay, so nothing is enlarged; what the lens did not see at the
borders repeats the border.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import distort, undistort
from fieldscape.systems.tracks.nouns import Clip
from fieldscape.types import Camera


def straightened(clip: Clip, camera: Camera) -> tuple[Clip, Camera]:
    """The clip as pinholes of the same focal lengths see it, and these. ``camera``: of each frame, of its size."""
    if camera.lens == "pinhole":
        return clip, camera
    frames = clip.frames.clone()
    layers = None if clip.layers is None else clip.layers.clone()
    for i in range(len(clip)):
        x, y = (part.contiguous().numpy().astype(np.float32) - 0.5 for part in bent_pixels(camera[i]).unbind(-1))
        edge = cv2.BORDER_REPLICATE
        frames[i] = torch.from_numpy(cv2.remap(clip.frames[i].numpy(), x, y, cv2.INTER_LINEAR, borderMode=edge))
        if layers is not None and clip.layers is not None:
            layers[i] = torch.from_numpy(cv2.remap(clip.layers[i].numpy(), x, y, cv2.INTER_NEAREST, borderMode=edge))
    notes = (*clip.notes, "the frames were straightened: their lens bends lines")
    straight = replace(camera, lens="pinhole", distortion=None)
    return replace(clip, frames=frames, layers=layers, notes=notes), straight


def bent_pixels(camera: Camera) -> Float[Tensor, "h w 2"]:
    """Where the lens of a single camera puts what a pinhole would show at each pixel's centre."""
    y, x = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    flat = (torch.stack([x, y], -1) - camera.center) / camera.focal
    return distort(camera, torch.cat([flat, torch.ones_like(flat[..., :1])], -1)) * camera.focal + camera.center


def straight_places(camera: Camera, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Where a pinhole would show what the lens of a single camera shows at ``places``, in pixels."""
    ahead = undistort(camera, (places - camera.center) / camera.focal)
    return ahead[..., :2] / ahead[..., 2:] * camera.focal + camera.center
