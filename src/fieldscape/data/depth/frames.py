"""Depth maps one after the other, read when they are asked for."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from fieldscape.data.depth.pixels import number_in
from fieldscape.data.depth.record import DepthMap


@dataclass(frozen=True, eq=False)
class Sequence:
    """Frames that one camera took in one world. ``load(k)`` reads the k-th of ``names``.

    judged: looks into the frames and says what it made of them, where the files alone leave a question open.
    """

    name: str
    names: tuple[str, ...]
    load: Callable[[int], DepthMap]
    notes: tuple[str, ...] = ()
    judged: Callable[[], str] | None = None


@dataclass(frozen=True, eq=False)
class DepthFrames:
    """All frames of a data set, in order: ``frames[i]`` reads one.  notes: what the user should know of them.

    Poses of frames of one sequence belong to one world; those of different sequences have nothing in common.
    """

    layout: str
    sequences: tuple[Sequence, ...]
    notes: tuple[str, ...] = ()
    _ends: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", tuple(accumulate(len(sequence.names) for sequence in self.sequences)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> DepthMap:
        """Raises IndexError where there is no such frame, BadInput where it cannot be read."""
        number, k = self.place(index)
        return self.sequences[number].load(k)

    def place(self, index: int) -> tuple[int, int]:
        """The number of the sequence of frame ``index``, and which frame of it that is."""
        there = index + len(self) if index < 0 else index
        if not 0 <= there < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        number = bisect.bisect_right(self._ends, there)
        return number, there - (self._ends[number - 1] if number else 0)

    def neighbours(self) -> list[tuple[int, int]]:
        """The indices of frames that follow one another in the same sequence."""
        starts = {0, *self._ends}
        return [(i - 1, i) for i in range(1, len(self)) if i not in starts]


def spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``count``, evenly, with the first and the last.

    >>> spread(10, 4), spread(2, 4), spread(5, 1)
    ([0, 3, 6, 9], [0, 1], [0])
    """
    if count <= most:
        return list(range(count))
    return sorted({round(k * (count - 1) / max(most - 1, 1)) for k in range(most)})


def gaps(where: str, stems: Ordered[str]) -> list[str]:
    """A sentence if numbers are missing among those of the files, else none. Every second file of all is no gap.

    >>> gaps("depth", ["0", "2", "4"]), gaps("depth", ["0", "1", "3", "4"])
    ([], ['depth: 1 frame is missing between the first and the last (number 2).'])
    """
    numbers = sorted({number_in(stem) for stem in stems})
    steps = [b - a for a, b in pairwise(numbers)]
    if not steps:
        return []
    step = min(steps)
    lost = sum(gap // step - 1 for gap in steps)
    if lost <= 0:
        return []
    first = next(a + step for a, gap in zip(numbers, steps) if gap != step)
    which = f"number {first}" if lost == 1 else f"the first: number {first}"
    return [f"{where}: {lost} frame{' is' if lost == 1 else 's are'} missing between the first and the last ({which})."]


def absent(where: str, what: str, stems: Iterable[str], there: Iterable[str]) -> list[str]:
    """A sentence if ``what`` is there for some frames and not for others, else none.

    >>> absent("SEQ1", "labels", ["0", "1", "2"], ["1", "2", "3"])
    ['SEQ1: 3 frames have depth, 3 labels; those without labels: 0.']
    """
    wanted, have = list(stems), set(there)
    if not have or have == set(wanted):
        return []
    lacking = [stem for stem in wanted if stem not in have]
    told = "none" if not lacking else ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" * (len(lacking) > 3))
    return [f"{where}: {len(wanted)} frames have depth, {len(have)} {what}; those without {what}: {told}."]
