"""Many objects of a kind, each seen from all sides: the noun that everything in this system learns from.

The photos of all objects are one array, usually mapped from a file, so that thousands of objects cost no memory until
they are looked at. An object is a run of rows in it: object i has the views ``first[i]:first[i + 1]``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8

from fieldscape.errors import BadInput
from fieldscape.systems.latents.object_settings import HeldOut, ObjectSettings
from fieldscape.types import Camera, Views

__all__ = ["HeldOut", "ObjectSettings", "Objects", "digest_of", "held_out_views"]

WHITE = (1.0, 1.0, 1.0)

SPLITS: dict[str, str] = {
    "first10": "the first 10 views by name are held out",
    "tenth": "the first tenth of the views by name is held out",
    "fifth": "the first fifth of the views by name is held out",
    "every5": "every fifth view by name is held out",
    "none": "no view is held out",
}


@dataclass(frozen=True)
class Objects:
    """Objects on white, photographed by pinhole cameras.

    names: of the objects.  images: of all views of all objects, RGB.  poses: camera-to-world, OpenCV axes.  focal,
    center: in pixels.  first: object i has the views first[i]:first[i+1].  held_out: views kept from training.
    split: how they were chosen, in words.  view_names: of the files, without suffix.  digests: of each object's
    photos and cameras, if they were computed before.  notes: what the reader wants the user to know.
    """

    names: tuple[str, ...]
    images: UInt8[np.ndarray, "v h w 3"]
    poses: Float32[np.ndarray, "v 4 4"]
    focal: Float32[np.ndarray, "v 2"]
    center: Float32[np.ndarray, "v 2"]
    first: Int64[np.ndarray, "f"]
    held_out: Bool[np.ndarray, "v"]
    split: str = SPLITS["none"]
    view_names: np.ndarray | None = None
    digests: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.first) != len(self.names) + 1 or self.first[0] != 0 or self.first[-1] != len(self.images):
            raise ValueError("first: one number for each object and one more, from 0 to the number of views")
        if (np.diff(self.first) < 1).any():
            raise ValueError("every object has at least one view")

    def __len__(self) -> int:
        """The number of objects."""
        return len(self.names)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the photos."""
        return self.images.shape[2], self.images.shape[1]

    def rows(self, index: int) -> slice:
        """Where the views of object ``index`` are."""
        return slice(int(self.first[index]), int(self.first[index + 1]))

    def cameras(self, rows: slice | np.ndarray) -> Camera:
        """The cameras of these rows, as a batch."""
        width, height = self.size
        pose, focal, center = (torch.from_numpy(np.array(a[rows])) for a in (self.poses, self.focal, self.center))
        return Camera(pose, focal, center, width, height)

    def views(self, index: int) -> Views:
        """The photos of object ``index`` alone, copied into memory. Raises IndexError beyond the last."""
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} objects, and none with the number {index}")
        rows = self.rows(index)
        count = rows.stop - rows.start
        names = range(count) if self.view_names is None else self.view_names[rows]
        return Views(
            self.cameras(rows),
            torch.from_numpy(np.array(self.images[rows])),
            tuple(f"{self.names[index]}/{name}" for name in names),
            tuple(np.nonzero(self.held_out[rows])[0].tolist()),
            self.split,
            WHITE,
        )

    def select(self, indices: Sequence[int] | range | slice) -> Objects:
        """Only these objects, in this order. Neighbours in a row share memory with ``self``; others are copied.

        Raises:
            BadInput: no object is left.
            IndexError: one beyond the last.
        """
        chosen = list(range(len(self))[indices]) if isinstance(indices, slice) else list(indices)
        if not chosen:
            raise BadInput("The range of objects is empty; choose at least one.")
        if min(chosen) < 0 or max(chosen) >= len(self):
            raise IndexError(
                f"there are {len(self)} objects, numbered from 0: {min(chosen)} to {max(chosen)} was asked"
            )
        rows: slice | np.ndarray
        if chosen == list(range(chosen[0], chosen[-1] + 1)):
            rows = slice(int(self.first[chosen[0]]), int(self.first[chosen[-1] + 1]))
        else:
            rows = np.concatenate([np.arange(self.first[i], self.first[i + 1]) for i in chosen])
        counts = np.diff(self.first)[chosen]
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            images=self.images[rows],
            poses=self.poses[rows],
            focal=self.focal[rows],
            center=self.center[rows],
            first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            held_out=self.held_out[rows],
            view_names=None if self.view_names is None else self.view_names[rows],
            digests=tuple(self.digests[i] for i in chosen) if self.digests else (),
        )

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits that tell these objects (names, photos, cameras, split) from any others."""
        digests = self.digests or tuple(self.digest(i) for i in range(len(self)))
        whole = hashlib.blake2b(digest_size=16)
        for name, digest in zip(self.names, digests, strict=True):
            whole.update(f"{len(name)}:{name}:{digest};".encode())
        whole.update(np.packbits(self.held_out).tobytes())
        return whole.hexdigest()

    def digest(self, index: int) -> str:
        """32 hexadecimal digits of the photos and cameras of one object, whatever its name."""
        rows = self.rows(index)
        return digest_of(self.images[rows], self.poses[rows], self.focal[rows], self.center[rows])


def digest_of(*arrays: np.ndarray) -> str:
    """32 hexadecimal digits of the content and shape of arrays.

    >>> digest_of(np.zeros(2, np.uint8)) == digest_of(np.zeros((2, 1), np.uint8))
    False
    """
    whole = hashlib.blake2b(digest_size=16)
    for array in arrays:
        whole.update(f"{array.dtype.str}{array.shape}".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def held_out_views(count: int, way: HeldOut) -> Bool[np.ndarray, "v"]:
    """Which of an object's ``count`` views, in order of name, are kept from training.

    >>> held_out_views(6, "every5").tolist()
    [True, False, False, False, False, True]
    >>> [int(held_out_views(50, way).sum()) for way in ("first10", "tenth", "fifth", "every5", "none")]
    [10, 5, 10, 10, 0]

    Raises BadInput where no view is left to learn from.
    """
    kept = np.zeros(count, bool)
    if way == "first10":
        kept[:10] = True
    elif way == "tenth":
        kept[: max(1, count // 10)] = True
    elif way == "fifth":
        kept[: max(1, count // 5)] = True
    elif way == "every5":
        kept[::5] = True
    if kept.all():
        raise BadInput(
            f"of its {count} views none is left to learn from ({SPLITS[way]}); hold out fewer (--held-out), or keep "
            "views from below (--above)"
        )
    return kept


def spread(count: int, most: int) -> list[int]:
    """All numbers below ``count``, or ``most`` of them, evenly spread.

    >>> spread(3, 5), spread(10, 4)
    ([0, 1, 2], [0, 2, 5, 7])
    """
    return list(range(count)) if count <= most else [i * count // most for i in range(most)]
