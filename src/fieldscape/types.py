"""The nouns of fieldscape, and the conventions every other module relies on.

Conventions, stated here and nowhere else (``tests/test_types.py`` and ``tests/test_cameras.py`` hold us to them):

* **Poses** are camera-to-world 4x4 matrices with **OpenCV axes**: x right, y down, z forward. A reader of data with
  OpenGL axes (x right, y up, z backward) flips y and z once, at the door.
* **Pixels**: the centre of the top-left pixel is at (0.5, 0.5); an image spans [0, width] x [0, height].
* **Images** outside networks are channels last, float32 in 0..1 (or the file's own uint8), straight alpha.
* **Ray directions** are unit vectors, so a depth *along the ray* is a Euclidean distance from the camera centre.
  ``Rendered.depth`` is such a distance; ``cameras.planar_depth`` and ``cameras.ray_depth`` convert to and from z.
* **Density** is per unit length and already non-negative when it leaves a field.
* **Background** is a colour given to the compositing, never assumed.
* **Lengths** are metres where the data are metric, else the data's own unit.
* **Leading dimensions agree**: every tensor of a noun starts with the same ``*b``; scalars keep a trailing 1, so
  everything broadcasts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Lens: TypeAlias = Literal["pinhole", "brown", "fisheye"]
"""``brown``: Brown-Conrady (k1, k2, p1, p2, k3). ``fisheye``: equidistant with a polynomial (k1, k2, k3, k4)."""

LENS_COEFFICIENTS = {"pinhole": 0, "brown": 5, "fisheye": 4}

Field: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``field(points [*, 3], directions [*, 3]) -> (color [*, C], density [*])``: all that renders is one of these."""


@dataclass(frozen=True)
class Camera:
    """One camera, or a batch of them (leading dims ``*b``) that share a lens model and an image size.

    pose: camera-to-world, OpenCV axes.  focal: (fx, fy) in pixels.  center: principal point (cx, cy) in pixels.
    distortion: the coefficients of ``lens``; zero columns for a pinhole.
    """

    pose: Float[Tensor, "*b 4 4"]
    focal: Float[Tensor, "*b 2"]
    center: Float[Tensor, "*b 2"]
    width: int
    height: int
    lens: Lens = "pinhole"
    distortion: Float[Tensor, "*b k"] | None = None

    def __post_init__(self) -> None:
        expected = LENS_COEFFICIENTS[self.lens]
        given = 0 if self.distortion is None else self.distortion.shape[-1]
        if given != expected:
            raise ValueError(f"a {self.lens} camera takes {expected} distortion coefficients, not {given}")

    def __len__(self) -> int:
        """The number of cameras in a batch; a single camera has no length."""
        if self.pose.ndim == 2:
            raise TypeError("a single camera has no length")
        return self.pose.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Camera:
        """Cameras ``index`` of the batch: ``cameras[3]`` is one camera, ``cameras[2:5]`` a batch of three."""
        return self.map(lambda tensor: tensor[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> Camera:
        """The camera with ``function`` applied to each of its tensors (indexing, moving to a device, ...)."""
        distortion = None if self.distortion is None else function(self.distortion)
        return replace(
            self,
            pose=function(self.pose),
            focal=function(self.focal),
            center=function(self.center),
            distortion=distortion,
        )

    def to(self, device: torch.device | str) -> Camera:
        return self.map(lambda tensor: tensor.to(device))

    @property
    def position(self) -> Float[Tensor, "*b 3"]:
        """The camera centre in the world."""
        return self.pose[..., :3, 3]

    @property
    def forward(self) -> Float[Tensor, "*b 3"]:
        """The unit vector along the optical axis, in the world."""
        return self.pose[..., :3, 2]


@dataclass(frozen=True)
class Rays:
    """Half-lines in the world: ``origins + t * directions`` with t >= 0 and unit directions."""

    origins: Float[Tensor, "*b 3"]
    directions: Float[Tensor, "*b 3"]

    def __getitem__(self, index: int | slice | Tensor) -> Rays:
        return Rays(self.origins[index], self.directions[index])

    def reshape(self, *shape: int) -> Rays:
        """Rays with other leading dimensions, e.g. ``rays.reshape(-1)`` for a flat batch."""
        return Rays(self.origins.reshape(*shape, 3), self.directions.reshape(*shape, 3))

    def at(self, t: Float[Tensor, "*b n"]) -> Float[Tensor, "*b n 3"]:
        """The points at distances ``t``."""
        return self.origins[..., None, :] + t[..., None] * self.directions[..., None, :]


@dataclass(frozen=True)
class Rendered:
    """What a scene looks like along rays.

    color: linear blend of what the ray met and the background.  depth: distance along the ray to what it met, 0 where
    it met nothing: the mean, which is differentiable, or the median, which haze behind a surface does not move.
    alpha: the share of light stopped, 0..1.  extra: further channels of the field, if any.  normal: the unit direction
    out of the surface where the depth is, 0 where there is none, if the scene knows it.
    """

    color: Float[Tensor, "*b c"]
    depth: Float[Tensor, "*b 1"]
    alpha: Float[Tensor, "*b 1"]
    extra: Float[Tensor, "*b n"] | None = None
    normal: Float[Tensor, "*b 3"] | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Rendered:
        extra = None if self.extra is None else function(self.extra)
        normal = None if self.normal is None else function(self.normal)
        return Rendered(function(self.color), function(self.depth), function(self.alpha), extra, normal)


@dataclass(frozen=True)
class Views:
    """Posed photos of one scene: what every reader yields.

    images: as stored, uint8 or float32 in 0..1, RGB or RGBA with straight alpha.  held_out: indices kept from training.
    split: how they were chosen, in words.  background: the constant colour behind the object (for RGBA: the colour to
    composite on), or None when the photos show a real background.  maps: further per-pixel channels to learn.
    valid: pixels that may be used.  bounds: near and far z-depth of each view, if the data state them.
    points: sparse surface points, if known.  depths: true distance along the ray, if known (0 = unknown).
    metric: lengths are metres.  weights: how much each counts in training, if not all the same.  notes: what the reader
    wants the user to know.
    """

    camera: Camera
    images: Float[Tensor, "v h w c"] | UInt8[Tensor, "v h w c"]
    names: tuple[str, ...]
    held_out: tuple[int, ...]
    split: str
    background: tuple[float, float, float] | None = None
    maps: Float[Tensor, "v h w n"] | None = None
    valid: Bool[Tensor, "v h w"] | None = None
    bounds: Float[Tensor, "v 2"] | None = None
    points: Float[Tensor, "p 3"] | None = None
    depths: Float[Tensor, "v h w"] | None = None
    metric: bool = False
    weights: Float[Tensor, "v"] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def train(self) -> list[int]:
        """The indices to learn from: all that are not held out."""
        kept = set(self.held_out)
        return [i for i in range(len(self)) if i not in kept]

    def color(self, index: int | slice | list[int] | Tensor) -> Float[Tensor, "*b h w 3"]:
        """Images ``index`` as float32 RGB, composited on ``background`` (black if None) where they have alpha."""
        image = self.images[index]
        image = image.float() / 255 if image.dtype == torch.uint8 else image
        if image.shape[-1] == 3:
            return image
        behind = torch.tensor(self.background or (0.0, 0.0, 0.0), device=image.device)
        return image[..., :3] * image[..., 3:] + behind * (1 - image[..., 3:])


@dataclass(frozen=True)
class Mesh:
    """Triangles in the world: ``faces`` index ``vertices``, counter-clockwise seen from outside."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "v 3"] | None = None
