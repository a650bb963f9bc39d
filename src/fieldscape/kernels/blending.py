"""What several frames show of each pixel, blended: the rule and the small network, pixel by pixel, with nothing kept
between. ``systems.tracks.blending.Blender`` is its specification, and what learns.

Pixels go in blocks: every loop inside runs over a block's pixels, which stand side by side, so that the compiler makes
vector instructions of them and a block's numbers stay in the nearest cache.
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.functions import exp2, log2

f32 = np.float32

BLOCK = 64
"""Pixels at once."""
INPUTS = 14
LN2 = f32(0.6931471805599453)
PER_LN2 = f32(1.4426950408889634)


@inlined
def _log(x):
    return log2(x) * LN2


@inlined
def _exp(x):
    return exp2(x * PER_LN2)


@inlined
def _tanh(x):
    grown = exp2(min(max(x, f32(-9)), f32(9)) * (f32(2) * PER_LN2))
    return (grown - f32(1)) / (grown + f32(1))


@inlined
def _cut(x, low, high):
    return min(max(x, low), high)


@inlined
def _product(matrix, bias, given, rows, columns, out):
    """out [rows, BLOCK] = matrix given + bias, four columns of the matrix at once."""
    for j in range(rows):
        line = out[j]
        for b in range(BLOCK):
            line[b] = bias[j]
        for i in range(columns // 4):
            p, q, r, s = matrix[j, 4 * i], matrix[j, 4 * i + 1], matrix[j, 4 * i + 2], matrix[j, 4 * i + 3]
            one, other, third, last = given[4 * i], given[4 * i + 1], given[4 * i + 2], given[4 * i + 3]
            for b in range(BLOCK):
                line[b] += (p * one[b] + q * other[b]) + (r * third[b] + s * last[b])
        for i in range(columns // 4 * 4, columns):
            p, one = matrix[j, i], given[i]
            for b in range(BLOCK):
                line[b] += p * one[b]


@compiled
def blend(
    color, alpha, depth, far, stretch, apart, late, mover, rule, first, first_bias, second, shared, second_bias,
    nothing, last, limits, blended, scratch, inputs, hidden, mean, deep, begin, end,
):  # fmt: skip
    """Writes ``blended`` [6, p] (red, green, blue, alpha, depth, contrast) of the pixels ``begin``..``end`` - 1.

    color [3, s, p], the others [s, p]: as in ``Stack``, float32.  late [s]: log(1 + abs(frames)).  rule: near, exp of
    behind, gap.  first [w, 14] ...: the network; nothing [w]: zeros.  limits: the least alpha that counts, the most
    brightening, the most contrast.  Room to work in, float32: scratch [5, s, 64], inputs [14, 64], hidden [s, w, 64],
    mean, deep [w, 64].
    """
    sources, width = alpha.shape[0], first.shape[0]
    least = limits[0]
    rules, covers, there, weights, mores = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    none = np.float32(0)
    for start in range(begin, end, BLOCK):
        count = min(BLOCK, end - start)
        largest = none
        for s in range(sources):
            for b in range(count):
                largest = max(largest, alpha[s, start + b])
        if largest <= least:
            for k in range(6):
                for b in range(count):
                    blended[k, start + b] = none
            continue
        # The rule: scratch rows 3 and 4 hold the nearest depth and sums before they hold what they are called.
        nearest, first_there = weights[0], mores[0]
        for b in range(BLOCK):
            nearest[b], first_there[b] = f32(1e30), f32(1e30)
        for s in range(sources):
            for b in range(BLOCK):
                p = start + min(b, count - 1)
                a, z = alpha[s, p], depth[s, p]
                there[s, b] = f32(1) if a > least else none
                nearest[b] = min(nearest[b], z if a > f32(0.5) else f32(1e30))
                first_there[b] = min(first_there[b], z if a > least else f32(1e30))
        for b in range(BLOCK):
            nearest[b] = nearest[b] if nearest[b] < f32(1e30) else none
        for s in range(sources):
            for b in range(BLOCK):
                p = start + min(b, count - 1)
                z = _log(max(depth[s, p], f32(1e-9)))
                known = there[s, b] * (f32(1) if nearest[b] > none else none)
                behind = _cut(z - _log(max(nearest[b], f32(1e-30))) - f32(0.02), none, f32(3)) * known
                rules[s, b] = -rule[0] * _log(apart[s, p]) - rule[1] * behind - rule[2] * far[s, p]
                covers[s, b] = f32(2) * _log(max(alpha[s, p], least))
        relative = deep[1]  # the log of the nearest depth there is
        for b in range(BLOCK):
            relative[b] = _log(max(first_there[b], f32(1e-9)))
        # Weights by the rule alone, and the colour that they give.
        _weigh(rules, covers, there, sources, weights, deep[0])
        plain = mean  # red, green, blue, and the sources there are
        for k in range(4):
            for b in range(BLOCK):
                plain[k, b] = none
        total = deep[0]
        for b in range(BLOCK):
            total[b] = f32(1e-8)
        for s in range(sources):
            for b in range(BLOCK):
                p = start + min(b, count - 1)
                total[b] += weights[s, b]
                plain[3, b] += there[s, b]
                for k in range(3):
                    plain[k, b] += weights[s, b] * color[k, s, p]
        for k in range(3):
            for b in range(BLOCK):
                plain[k, b] /= max(total[b], f32(1e-8))
        for s in range(sources):
            for b in range(BLOCK):
                p = start + min(b, count - 1)
                away = none
                for k in range(3):
                    value = color[k, s, p]
                    inputs[k, b] = value - f32(0.5)
                    inputs[3 + k, b] = _cut(f32(4) * (value - plain[k, b]), f32(-2), f32(2))
                    away += abs(value - plain[k, b])
                inputs[6, b] = min(away * f32(4 / 3), f32(2))
                inputs[7, b] = alpha[s, p]
                inputs[8, b] = _log(_cut(stretch[s, p], f32(0.05), f32(20)))
                step = _cut(_log(max(depth[s, p], f32(1e-9))) - relative[b], none, f32(2))
                inputs[9, b] = step * there[s, b]
                inputs[10, b] = far[s, p]
                inputs[11, b] = _log(_cut(apart[s, p], f32(0.01), f32(20)))
                inputs[12, b] = late[s]
                inputs[13, b] = mover
            _product(first, first_bias, inputs, width, INPUTS, hidden[s])
            for j in range(width):
                for b in range(BLOCK):
                    hidden[s, j, b] = max(hidden[s, j, b], none)
        counts = deep[1]
        for b in range(BLOCK):
            counts[b] = f32(1) / max(plain[3, b], f32(1))
        for j in range(width):
            for b in range(BLOCK):
                mean[j, b] = none
            for s in range(sources):
                for b in range(BLOCK):
                    mean[j, b] += hidden[s, j, b] * there[s, b]
            for b in range(BLOCK):
                mean[j, b] *= counts[b]
        # What the mean of all says is the same for every source.
        _product(shared, second_bias, mean, width, width, deep)
        for j in range(width):
            for b in range(BLOCK):
                mean[j, b] = deep[j, b]
        for s in range(sources):
            _product(second, nothing, hidden[s], width, width, deep)
            for k in range(3):
                for b in range(BLOCK):
                    inputs[k, b] = none
            for j in range(width):
                p, q, r = last[0, j], last[1, j], last[2, j]
                for b in range(BLOCK):
                    value = max(deep[j, b] + mean[j, b], none)
                    inputs[0, b] += p * value
                    inputs[1, b] += q * value
                    inputs[2, b] += r * value
            for b in range(BLOCK):
                rules[s, b] += inputs[0, b]
                hidden[s, 0, b] = f32(1) + limits[1] * _tanh(inputs[1, b])
                hidden[s, 1, b] = inputs[2, b]
        _weigh(rules, covers, there, sources, weights, deep[0])
        if mover > none:
            _plainly(rules, sources, mores, deep[0])
        for k in range(6):
            for b in range(BLOCK):
                deep[k, b] = none
        total = inputs[0]
        for b in range(BLOCK):
            total[b] = none
        for s in range(sources):
            for b in range(BLOCK):
                total[b] += weights[s, b]
        for s in range(sources):
            for b in range(BLOCK):
                p = start + min(b, count - 1)
                share = weights[s, b] / max(total[b], f32(1e-8))
                bright = share * hidden[s, 0, b]
                deep[0, b] += bright * color[0, s, p]
                deep[1, b] += bright * color[1, s, p]
                deep[2, b] += bright * color[2, s, p]
                covered = alpha[s, p]
                deep[3, b] = deep[3, b] + mores[s, b] * covered if mover > none else max(deep[3, b], covered)
                deep[4, b] += there[s, b] * depth[s, p] * share
                deep[5, b] += share * hidden[s, 1, b]
        for b in range(BLOCK):
            deep[5, b] = limits[2] * _tanh(deep[5, b])
        for k in range(6):
            for b in range(count):
                blended[k, start + b] = deep[k, b]


@inlined
def _plainly(values, sources, weights, most):
    """weights = softmax of ``values`` over sources."""
    for b in range(BLOCK):
        most[b] = f32(-1e30)
    for s in range(sources):
        for b in range(BLOCK):
            most[b] = max(most[b], values[s, b])
    for s in range(sources):
        for b in range(BLOCK):
            weights[s, b] = _exp(values[s, b] - most[b])
    for b in range(BLOCK):
        most[b] = f32(0)
    for s in range(sources):
        for b in range(BLOCK):
            most[b] += weights[s, b]
    for s in range(sources):
        for b in range(BLOCK):
            weights[s, b] /= most[b]


@inlined
def _weigh(values, covers, there, sources, weights, most):
    """weights = softmax of ``values + covers`` over sources, 0 for those that are not there."""
    for b in range(BLOCK):
        most[b] = f32(-1e30)
    for s in range(sources):
        for b in range(BLOCK):
            most[b] = max(most[b], values[s, b] + covers[s, b])
    for s in range(sources):
        for b in range(BLOCK):
            weights[s, b] = _exp(values[s, b] + covers[s, b] - most[b])
    for b in range(BLOCK):
        most[b] = f32(0)
    for s in range(sources):
        for b in range(BLOCK):
            most[b] += weights[s, b]
    for s in range(sources):
        for b in range(BLOCK):
            weights[s, b] *= there[s, b] / most[b]
