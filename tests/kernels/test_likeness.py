"""The patch comparison against a page of NumPy, and on planes that are known."""

from __future__ import annotations

import numpy as np
import pytest

from fieldscape.kernels.likeness import BEYOND, differences

LENS = np.array([20.0, 22.0, 12.0, 9.0])


def plainly(frames, own, other, turn, shift, place, plane, radius, sharp) -> float:
    """The weighted mean difference of one place, plane and frame, pixel by pixel as the docstring says it."""
    height, width = frames.shape[1:3]
    column, row = int(place[0]), int(place[1])
    total = mass = 0.0
    for y in range(max(row - radius, 0), min(row + radius + 1, height)):
        for x in range(max(column - radius, 0), min(column + radius + 1, width)):
            here = frames[own, y, x].astype(float)
            away = np.abs(here - frames[own, row, column]).sum() / 765
            weight = 1 / (1 + (away / sharp) ** 2)
            q = plane[0] + plane[1] * (x + 0.5 - place[0]) + plane[2] * (y + 0.5 - place[1])
            local = turn @ [(x + 0.5 - LENS[2]) / LENS[0], (y + 0.5 - LENS[3]) / LENS[1], 1.0] + max(q, 0) * shift
            difference = BEYOND
            if local[2] > 1e-6:
                u, v = LENS[:2] * local[:2] / local[2] + LENS[2:] - 0.5
                if 0 <= u <= width - 1 and 0 <= v <= height - 1:
                    left, top = min(int(u), width - 2), min(int(v), height - 2)
                    a, b = u - left, v - top
                    square = frames[other, top : top + 2, left : left + 2].astype(float)
                    seen = np.einsum("y,x,yxc->c", [1 - b, b], [1 - a, a], square)
                    difference = min(np.abs(seen - here).sum() / 765, BEYOND)
            total, mass = total + weight * difference, mass + weight
    return total / mass


def compared(frames, turns, shifts, places, planes, names, extra) -> np.ndarray:
    out = np.empty((len(places), planes.shape[1], len(turns)))
    others = np.arange(1, len(turns) + 1)
    lenses = np.tile(LENS, (len(turns), 1))
    differences(frames, 0, others, LENS, lenses, turns, shifts, places, planes, names, extra, 2, 0.1, out)
    return out


def test_it_is_the_page_of_numpy() -> None:
    generator = np.random.default_rng(0)
    frames = generator.integers(0, 256, (3, 18, 24, 3)).astype(np.uint8)
    turns = np.linalg.qr(np.eye(3) + 0.05 * generator.normal(size=(2, 3, 3)))[0]
    turns *= np.sign(np.einsum("sii->si", turns))[:, None]
    shifts, extra = generator.normal(size=(2, 3)), 0.1 * generator.normal(size=(2, 5, 3))
    places = generator.uniform(0, [24, 18], (12, 2))
    planes = np.concatenate([generator.uniform(0, 0.5, (12, 4, 1)), 0.02 * generator.normal(size=(12, 4, 2))], 2)
    names = generator.integers(0, 5, (12, 4))
    out = compared(frames, turns, shifts, places, planes, names, extra)
    for m in range(12):
        for c in range(4):
            for s in range(2):
                shift = shifts[s] + extra[s, names[m, c]]
                assert out[m, c, s] == pytest.approx(
                    plainly(frames, 0, s + 1, turns[s], shift, places[m], planes[m, c], 2, 0.1), abs=1e-9
                )


def test_the_right_depth_is_the_most_alike() -> None:
    """A picture that moved by 3 pixels to the left lies at inverse depth 0.15 if the camera moved by 1 to the right."""
    generator = np.random.default_rng(1)
    wide = generator.integers(0, 256, (18, 30, 3)).astype(np.uint8)
    frames = np.stack([wide[:, :24], wide[:, 3:27]])
    inverse = np.array([0.05, 0.1, 0.15, 0.2, 0.25])
    planes = np.zeros((1, 5, 3))
    planes[0, :, 0] = inverse
    nothing = np.zeros((1, 5), np.int64), np.zeros((1, 1, 3))
    out = compared(frames, np.eye(3)[None], np.array([[-1.0, 0, 0]]), np.array([[12.5, 9.5]]), planes, *nothing)
    assert out[0, :, 0].argmin() == 2
    assert out[0, 2, 0] == pytest.approx(0, abs=1e-6)
