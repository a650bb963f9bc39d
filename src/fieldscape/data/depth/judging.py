"""Is this depth in metres? Looks at a few maps and says what seems wrong with them.

Units: half of what a camera on the ground or in a hand sees lies between decimetres and a hundred metres; depth that is
far from that was scaled wrongly, nearly always by 1000.

Disparity: on a plane, 1/z is an affine function of the pixel, and z is not (Labayrade, Aubert and Tarel, 2002, for the
ground). Maps of disparity have it the other way round. So second differences of the values are compared with those of
their inverses, both relative, wherever a smooth slope is steep enough to tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.data.depth.record import DepthMap
from fieldscape.data.findings import Finding
from fieldscape.errors import BadInput

NEAREST, FARTHEST = 0.1, 120.0
"""Metres between which the median of the measured depths is expected."""

SLOPE_LEAST, SLOPE_MOST = 0.04, 0.5
"""Relative change between neighbours on a slope: enough to bend visibly, too little for an edge."""

STRAIGHT = 0.3
"""One of the two bends at most this share of the other, or the slope tells nothing."""

LINES = 120
"""Rows, and columns, that are looked along."""

SLOPES = 200
"""That tell disparity from depth, at least."""

SURE = 0.7
"""Of the slopes, to call it either."""

EDGES = (0.0, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, float("inf"))
"""Metres, of the histogram."""


def require_depth(maps: Sequence[DepthMap], where: str) -> None:
    """Raises BadInput if no pixel of any of ``maps`` has a depth, saying whether sky or nothing is what there is."""
    if any(bool(one.valid.any()) for one in maps):
        return
    if maps and all(bool(one.sky.all()) for one in maps):
        raise BadInput(f"{where} shows only sky; there is nothing whose depth could be used.")
    if any(bool(one.sky.any()) for one in maps):
        raise BadInput(f"{where} shows sky, and no pixel with a depth; there is nothing that could be used.")
    raise BadInput(f"{where} has no pixel with a depth: all of it is unknown. Check that these are the depth pictures.")


def judge(maps: Sequence[DepthMap]) -> list[Finding]:
    """What the maps look like: units and kind. They hold some depth, see ``require_depth``."""
    return [_units(maps), _kind(maps)]


def histogram(maps: Sequence[DepthMap], width: int = 40) -> list[str]:
    """Lines of text: the share of measured pixels in ranges that double, with a bar each."""
    values = torch.cat([one.depth[one.valid] for one in maps])
    counts = torch.histogram(values, torch.tensor([*EDGES[:-1], 2 * max(float(values.max()), EDGES[-2])])).hist
    shares = counts / counts.sum()
    used = counts.nonzero()[:, 0]
    lines = []
    for k in range(int(used.min()), int(used.max()) + 1):
        reach = f"{EDGES[k]:g} - {EDGES[k + 1]:g} m" if k + 2 < len(EDGES) else f"over {EDGES[k]:g} m"
        bar = "#" * round(width * float(shares[k] / shares.max()))
        lines.append(f"  {reach:>14} {100 * float(shares[k]):5.1f} %  {bar}".rstrip())
    return lines


def quantiles(maps: Sequence[DepthMap]) -> Float[Tensor, "3"]:
    """The depths that 5, 50 and 95 % of the measured pixels do not reach."""
    values = torch.cat([one.depth[one.valid] for one in maps])
    return torch.quantile(values[:: 1 + len(values) // 100_000], torch.tensor([0.05, 0.5, 0.95]))


def bent_as_depth(depth: Float[Tensor, "h w"]) -> tuple[int, int]:
    """On how many slopes (five pixels in a row or column) the inverse is straighter than the value; on how many not."""
    step = max(2, min(depth.shape) // 20)
    as_depth = as_other = 0
    for values in (depth[:, :: 1 + depth.shape[1] // LINES], depth.T[:, :: 1 + depth.shape[0] // LINES]):
        count = len(values) - 4 * step
        if count <= 0:
            continue
        five = torch.stack([values[k * step : k * step + count] for k in range(5)])
        five = five[:, (five > 0).all(0)].double()
        change = five.diff(dim=0) / five[2]
        sloped = (change.abs().amin(0) > SLOPE_LEAST) & (change.abs().amax(0) < SLOPE_MOST)
        sloped &= (change > 0).all(0) | (change < 0).all(0)
        bend, inverse_bend = _bend(five[:, sloped]), _bend(1 / five[:, sloped])
        # Only what is straight by one of the two: the others cross an edge or a curve.
        straight = bend.minimum(inverse_bend) < STRAIGHT * bend.maximum(inverse_bend)
        as_depth += int((straight & (inverse_bend < bend)).sum())
        as_other += int((straight & (inverse_bend >= bend)).sum())
    return as_depth, as_other


def _bend(five: Float[Tensor, "5 n"]) -> Float[Tensor, "n"]:
    """The largest second difference, relative to the middle."""
    return (five / five[2]).diff(n=2, dim=0).abs().amax(0)


def _units(maps: Sequence[DepthMap]) -> Finding:
    low, middle, high = quantiles(maps).tolist()
    evidence = f"5 % below {low:.3g} m, half below {middle:.3g} m, 95 % below {high:.3g} m"
    if middle > FARTHEST:
        advice = (
            f"half of it is beyond {middle:.4g} m: a unit of the file is not a metre; if it is a millimetre, the depth"
            " scale must be 1000 times as large"
        )
        return Finding("warning", "depth is too far to be in metres", evidence, advice)
    if middle < NEAREST:
        advice = (
            f"half of it is within {middle:.2g} m: the depth scale is too large; if metres were taken for millimetres,"
            " it must be 1000 times as small"
        )
        return Finding("warning", "depth is too near to be in metres", evidence, advice)
    return Finding("ok", "depth is in metres", evidence)


def _kind(maps: Sequence[DepthMap]) -> Finding:
    pairs = [bent_as_depth(one.depth) for one in maps]
    yes, no = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    if yes + no < SLOPES:
        return Finding("unknown", "depth or disparity", "no slopes that would tell them apart")
    share = yes / (yes + no)
    evidence = f"{100 * share:.0f} % of {yes + no} slopes bend as depth does"
    if share < SURE:
        return Finding(
            "warning", "this looks like disparity", evidence, "give depth: focal length * baseline / disparity"
        )
    return Finding("ok", "it is depth and not disparity", evidence)
