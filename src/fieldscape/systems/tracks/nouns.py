"""The nouns of a clip that is followed: its frames, the points on it, and where all that was in space.

Legend: t frames, n points, h and w the size of a frame. Layer 0 is the background, which does not move; 1, 2 ... are
movers, each with a number of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from fieldscape.types import Camera

Kind: TypeAlias = Literal["tripod", "rotation", "low", "full", "given"]
"""What the camera did, and so what can be known. tripod: it stood still: neither focal length nor depth.  rotation: it
turned on the spot: no depth.  low: it moved, but points were seen from directions so alike that depth is rough and the
focal length was bounded, not measured.  full: depth and cameras were found.  given: cameras came with the data."""


@dataclass(frozen=True)
class Clip:
    """Frames of one shot, upright and all of one size.

    seconds: when each was taken, from 0, increasing, not always evenly.  layers: which layer each pixel belongs to,
    where masks are known.  numbers: of the frames in the file that they came from.  notes: what the user should know.
    """

    frames: UInt8[Tensor, "t h w 3"]
    seconds: Float[Tensor, "t"]
    layers: UInt8[Tensor, "t h w"] | None
    numbers: tuple[int, ...]
    name: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.frames.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.frames.shape[2], self.frames.shape[1]

    def color(self, index: int) -> Float[Tensor, "h w 3"]:
        """A frame as float32 in 0..1."""
        return self.frames[index].float() / 255

    def at(self, chosen: list[int]) -> Clip:
        """Only the frames ``chosen``."""
        layers = None if self.layers is None else self.layers[chosen]
        numbers = tuple(self.numbers[i] for i in chosen)
        return replace(self, frames=self.frames[chosen], seconds=self.seconds[chosen], layers=layers, numbers=numbers)


def apart(clip: Clip, every: int) -> tuple[Clip, Clip | None]:
    """The frames to learn from, and every ``every``-th one (from number ``every // 2`` on), which nothing may see
    before the result is judged. The first and last frame are always learned from; 0 keeps nothing apart.

    >>> import torch
    >>> clip = Clip(torch.zeros(10, 2, 2, 3, dtype=torch.uint8), torch.arange(10.0), None, tuple(range(10)), "clip")
    >>> [part.numbers for part in apart(clip, 4) if part is not None]
    [(0, 1, 3, 4, 5, 7, 8, 9), (2, 6)]
    """
    held = [] if every < 2 else list(range(every // 2, len(clip) - 1, every))
    if not held:
        return clip, None
    kept = [i for i in range(len(clip)) if i not in set(held)]
    return clip.at(kept), clip.at(held)


@dataclass(frozen=True)
class Points:
    """Points followed through the frames.

    places: in pixels, the centre of the top-left pixel is (0.5, 0.5); finite everywhere, a guess where not seen.
    seen: whether the point is visible there and was found.  sure: how well it was found, 0..1, 0 where not seen.
    layer: what each lies on.
    """

    places: Float[Tensor, "t n 2"]
    seen: Bool[Tensor, "t n"]
    sure: Float[Tensor, "t n"]
    layer: Int[Tensor, "n"]

    def __len__(self) -> int:
        return self.places.shape[1]

    def of(self, chosen: Bool[Tensor, "n"] | Int[Tensor, "m"]) -> Points:
        """Only the points ``chosen``."""
        return Points(self.places[:, chosen], self.seen[:, chosen], self.sure[:, chosen], self.layer[chosen])


@dataclass(frozen=True)
class Tracked:
    """A clip, its points, and what is known of its space: what ``tracks extract`` finds and ``tracks fit`` starts from.

    clip: the frames that were followed.  held: frames that nothing has seen, to judge by.  camera: of each frame of
    ``clip``, pinholes.  world: where each point is at each frame. For layer 0 a point that does not move, but for the
    little that puts it on the ray through its place where it was seen: what a camera model does not explain. For movers
    the layer's motion. Finite everywhere, whether seen or not; ``timeline`` tells what lies between frames.
    deep: points whose distance was measured, not guessed.  notes: what was found out, for the user.
    """

    clip: Clip
    held: Clip | None
    points: Points
    camera: Camera
    kind: Kind
    world: Float[Tensor, "t n 3"]
    deep: Bool[Tensor, "n"]
    notes: tuple[str, ...] = ()
