"""What a scene costs in bytes and seconds, alone and together with everything that scenes share.

With shared parts of S bytes and m bytes of each scene's own, N scenes take S + m N: the *marginal* cost is m and the
*effective* one S / N + m. A training that learns the shared parts from L scenes yields those scenes too, so the seconds
of N scenes are S + m max(N - L, 0). Figures that leave S out flatter any method that shares; both are always given.
(3Da-AE, CVPRW 2024, counts auto-encoder, macro planes and renderer as shared.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Number = int | float


@dataclass(frozen=True)
class Line:
    """The cost of N scenes together: shared + marginal * max(N - learned, 0)."""

    shared: Number
    marginal: Number
    learned: int = 0

    def total(self, n: int) -> Fraction:
        """Of ``n`` scenes, exactly.

        >>> Line(100, 3, 10).total(5), Line(100, 3, 10).total(12)
        (Fraction(100, 1), Fraction(106, 1))
        """
        return Fraction(self.shared) + Fraction(self.marginal) * max(n - self.learned, 0)

    def effective(self, n: int) -> float:
        """Of one of ``n`` scenes, its part of what is shared included. Raises ValueError for less than one scene."""
        if n < 1:
            raise ValueError(f"a number of scenes is at least 1, not {n}")
        return float(self.total(n) / n)


def break_even(mine: Line, rival: Line) -> int | None:
    """The least number of scenes from which on ``mine`` never costs more than ``rival``; None: there is none.

    >>> break_even(Line(1000, 3), Line(0, 5)), break_even(Line(0, 3), Line(0, 3)), break_even(Line(1000, 5), Line(0, 5))
    (500, 1, None)
    """
    bends = sorted({1, max(mine.learned, 1), max(rival.learned, 1)})
    best: int | None = None
    # Between bends the difference is a straight line. Come from infinity: the last place where it is positive counts.
    for start, stop in reversed(list(zip(bends, [*bends[1:], None], strict=True))):
        at = mine.total(start) - rival.total(start)
        slope = mine.total(start + 1) - rival.total(start + 1) - at
        if stop is None and slope > 0:
            return None
        if at <= 0 and (stop is None or mine.total(stop) <= rival.total(stop)):
            best = start
            continue
        if slope < 0 and (stop is None or mine.total(stop) <= rival.total(stop)):
            best = start + math.ceil(-at / slope)
        return best
    return best


def saved(mine: float, rival: float) -> float:
    """The share of ``rival`` that is saved; below zero where it is more.

    >>> saved(1.0, 4.0)
    0.75
    """
    return 1 - mine / rival if rival else (0.0 if not mine else -math.inf)


@dataclass(frozen=True)
class Costs:
    """What one way of keeping scenes costs.

    shared, own: bytes by part, of what all scenes share and of each scene.  shared_seconds, own_seconds: of learning
    the shared parts, and of adding a scene; None: not known (where only the shared seconds are not, they are taken to
    be in ``own_seconds``, and no break-even is given).  learned: scenes that learning the shared parts yields.
    psnr: decibels on views kept from training.  note: what the reader must know about the figures.
    """

    name: str
    shared: Mapping[str, int] = field(default_factory=dict)
    own: Mapping[str, int] = field(default_factory=dict)
    shared_seconds: float | None = None
    own_seconds: float | None = None
    learned: int = 0
    psnr: float | None = None
    note: str = ""

    @property
    def memory(self) -> Line:
        """Bytes. Scenes that were learned with the shared parts take as many as the others."""
        return Line(sum(self.shared.values()), sum(self.own.values()))

    @property
    def time(self) -> Line | None:
        """Seconds, where they are known."""
        if self.own_seconds is None:
            return None
        return Line(self.shared_seconds or 0, self.own_seconds, 0 if self.shared_seconds is None else self.learned)

    def pays_in_time(self, rival: Costs) -> int | Literal["not known"] | None:
        """``break_even`` in seconds, where shared and own ones of both are known."""
        if None in (self.shared_seconds, rival.shared_seconds) or self.time is None or rival.time is None:
            return "not known"
        return break_even(self.time, rival.time)

    def figures(self, baseline: Costs, rivals: Sequence[Costs], n: int) -> dict[str, object]:
        """All figures at ``n`` scenes as JSON. rivals: whom break-even is reckoned against, the baseline among them."""
        memory, base = self.memory, baseline.memory
        figures: dict[str, object] = {
            "name": self.name,
            "scenes": n,
            "shared_bytes": dict(self.shared),
            "own_bytes": dict(self.own),
            "marginal_bytes": memory.marginal,
            "marginal_ratio": base.marginal / memory.marginal if memory.marginal else None,
            "effective_bytes": memory.effective(n),
            "saved_bytes": saved(memory.effective(n), base.effective(n)),
            "break_even_bytes": {rival.name: break_even(memory, rival.memory) for rival in rivals},
            "psnr": self.psnr,
            "note": self.note,
        }
        if self.time is None:
            return figures
        times = {rival.name: self.pays_in_time(rival) for rival in rivals}
        return figures | {
            "shared_seconds": self.shared_seconds,
            "marginal_seconds": self.own_seconds,
            "effective_seconds": self.time.effective(n),
            "saved_seconds": None
            if baseline.time is None
            else saved(self.time.effective(n), baseline.time.effective(n)),
            "break_even_seconds": times,
        }
