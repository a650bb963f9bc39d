"""The settings of meshes. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeshSettings:
    """How the tracked points of a frame become meshes. Lengths in pictures are pixels."""

    ring: int = 16
    """Vertices along each side of the ring around the background."""

    margin: float = 0.05
    """How far that ring lies outside the picture, as a share of its longer side: no edge comes into view."""

    around: float = 4.0
    """How far a mover's mesh reaches beyond its mask."""

    closest: float = 0.75
    """Of points nearer to each other than this one is a vertex."""

    slack: float = 20.0
    """A triangle of the frame before stays while the angles that face each of its edges sum to less than 180 degrees
    plus this."""

    step: float = 4.0
    """Between inserted vertices, where the points around disagree about the depth. 0: insert none."""

    apart: float = 1.0
    """The points around disagree if their surfaces would shift by more than this in the frames compared."""

    candidates: int = 8
    """Tracked points around, whose surfaces an inserted vertex may lie on."""

    compared: tuple[int, ...] = (-2, -1, 1, 2)
    """Frames, counted from the own one, that decide on which."""

    radius: int = 2
    """Of the patch of pixels that is compared."""

    sharp: float = 0.15
    """Pixels of a patch that differ from its middle by this colour difference, 0..1, count half."""

    doubt: float = 0.004
    """How much better, as a colour difference 0..1, a surface must fit than the plain mesh does."""

    jump: float = 1.4
    """Neighbours whose depths differ by more than this factor, and do not lie on one plane, are not joined."""

    change: float = 1.3
    """Neighbours whose distance in space changes by more than this factor around their frame are not joined."""

    jitter: float = 2.0
    """... and, as seen, by more than this: tracks jitter."""

    window: int = 2
    """Frames before and after over which that is looked at."""
