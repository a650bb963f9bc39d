"""Vectors of 16 inside kernels, against numpy: each kernel writes one row for each operation, in the order named."""

from collections.abc import Mapping

import numba
import numpy as np
import pytest

from fieldscape.kernels.compiling import OPTIONS, compiled
from fieldscape.kernels.functions import exp2, log2, rsqrt, sigmoid
from fieldscape.kernels.grid import aligned
from fieldscape.kernels.vectors import (
    LANES,
    at,
    cycle,
    lane,
    last_quads,
    least,
    load,
    magnitude,
    most,
    prefetch,
    put,
    quads,
    real,
    splat,
    spread,
    spread_in_quads,
    steps,
    store,
    sum_lanes,
    sum_quads,
    where,
    whole,
    with_last_quad,
    woven,
)

f32 = np.float32
SMALLEST, LARGEST = np.finfo(f32).tiny, np.finfo(f32).max
LOWEST_INT, HIGHEST_INT = -(2**31), 2**31 - 1


def in_rows(values, kind=f32) -> np.ndarray:
    """``values``, any number of them, in an aligned array [n, 16]; what is left over of the last row is 1."""
    values = np.asarray(values, kind).reshape(-1)
    out = aligned(-(-len(values) // LANES), kind)
    out.reshape(-1)[:] = 1
    out.reshape(-1)[: len(values)] = values
    return out


def operands(seed: int) -> np.ndarray:
    """Four rows of common floats of both signs."""
    return in_rows(np.random.default_rng(seed).normal(0, 3, 4 * LANES))


def check(out: np.ndarray, expected: Mapping[str, np.ndarray | np.floating], tolerance: float = 0) -> None:
    """Row r and operation k stand in row r n + k of ``out``. A relative ``tolerance`` of 0 asks for equal numbers."""
    found = out.reshape(-1, len(expected), LANES)
    for k, (name, value) in enumerate(expected.items()):
        value = np.broadcast_to(value, found[:, k].shape)
        np.testing.assert_allclose(found[:, k], value, rtol=tolerance, atol=0, err_msg=name)


@compiled
def _float_operators(a, b, number, integer, wide, out):
    for row in range(a.shape[0]):
        x, y, first = load(a, row), load(b, row), 19 * row
        store(out, first, x + y)
        store(out, first + 1, x - y)
        store(out, first + 2, x * y)
        store(out, first + 3, x / y)
        store(out, first + 4, x + number)
        store(out, first + 5, number + x)
        store(out, first + 6, x - number)
        store(out, first + 7, number - x)
        store(out, first + 8, x * number)
        store(out, first + 9, number * x)
        store(out, first + 10, x / number)
        store(out, first + 11, number / x)
        store(out, first + 12, x - integer)
        store(out, first + 13, integer - x)
        store(out, first + 14, x * wide)
        store(out, first + 15, wide - x)
        store(out, first + 16, x + 3)
        store(out, first + 17, 0.25 - x)
        store(out, first + 18, magnitude(x))


def float_operators(a: np.ndarray, b: np.ndarray, number: float, integer: int, wide: float) -> np.ndarray:
    out = aligned(19 * len(a))
    _float_operators(a, b, f32(number), integer, float(wide), out)
    return out


def floats_by_numpy(a: np.ndarray, b: np.ndarray, number: float, integer: int, wide: float) -> dict[str, np.ndarray]:
    n, i, w = f32(number), f32(integer), f32(wide)
    with np.errstate(all="ignore"):
        return {
            "x + y": a + b,
            "x - y": a - b,
            "x * y": a * b,
            "x / y": a / b,
            "x + number": a + n,
            "number + x": n + a,
            "x - number": a - n,
            "number - x": n - a,
            "x * number": a * n,
            "number * x": n * a,
            "x / number": a / n,
            "number / x": n / a,
            "x - integer": a - i,
            "integer - x": i - a,
            "x * wide": a * w,
            "wide - x": w - a,
            "x + 3": a + f32(3),
            "0.25 - x": f32(0.25) - a,
            "magnitude": np.abs(a),
        }


def test_arithmetic_of_floats_is_numpys() -> None:
    """Division may be by way of a reciprocal, which costs a last bit."""
    inputs = operands(1), operands(2), 1.7, -3, 0.1
    check(float_operators(*inputs), floats_by_numpy(*inputs), tolerance=3e-7)


def test_infinities_and_nan_keep_their_meaning_in_arithmetic() -> None:
    edges = np.array([0, 1, -1, np.inf, -np.inf, np.nan, LARGEST, SMALLEST], f32)
    inputs = in_rows(np.repeat(edges, 8)), in_rows(np.tile(edges, 8)), 2.0, -3, 0.5
    check(float_operators(*inputs), floats_by_numpy(*inputs), tolerance=3e-7)


@compiled
def _float_choices(a, b, number, out):
    for row in range(a.shape[0]):
        x, y, first = load(a, row), load(b, row), 17 * row
        store(out, first, where(x < y, 1, 0))
        store(out, first + 1, where(x > y, 1, 0))
        store(out, first + 2, where(x < number, 1, 0))
        store(out, first + 3, where(number < x, 1, 0))
        store(out, first + 4, where(x > number, 1, 0))
        store(out, first + 5, where(number > x, 1, 0))
        store(out, first + 6, least(x, y))
        store(out, first + 7, most(x, y))
        store(out, first + 8, least(x, number))
        store(out, first + 9, least(number, x))
        store(out, first + 10, most(x, number))
        store(out, first + 11, most(number, x))
        store(out, first + 12, where(x < y, x, y))
        store(out, first + 13, where(x < y, x, number))
        store(out, first + 14, where(x < y, number, x))
        store(out, first + 15, where((x < y) & (x > number), 2.5, 0.5))
        store(out, first + 16, where((x < y) | (x > number), 2.5, 0.5))


def test_choices_among_floats_and_what_nan_does_to_them() -> None:
    """A comparison with NaN is false, so ``where`` gives its second choice, and so do ``least`` and ``most``:
    ``least(NaN, b)`` is b, ``least(b, NaN)`` is NaN."""
    edges = np.array([0, 1, -1, np.inf, -np.inf, np.nan, LARGEST, SMALLEST], f32)
    a = in_rows([operands(3), np.repeat(edges, 8).reshape(4, LANES)])
    b = in_rows([operands(4), np.tile(edges, 8).reshape(4, LANES)])
    n = f32(0.75)
    out = aligned(17 * len(a))
    _float_choices(a, b, n, out)
    check(
        out,
        {
            "x < y": a < b,
            "x > y": a > b,
            "x < number": a < n,
            "number < x": n < a,
            "x > number": a > n,
            "number > x": n > a,
            "least": np.where(a < b, a, b),
            "most": np.where(a > b, a, b),
            "least(x, number)": np.where(a < n, a, n),
            "least(number, x)": np.where(n < a, n, a),
            "most(x, number)": np.where(a > n, a, n),
            "most(number, x)": np.where(n > a, n, a),
            "where": np.where(a < b, a, b),
            "where, number last": np.where(a < b, a, n),
            "where, number first": np.where(a < b, n, a),
            "and": np.where((a < b) & (a > n), 2.5, 0.5),
            "or": np.where((a < b) | (a > n), 2.5, 0.5),
        },
    )


@compiled
def _int_operators(a, b, shifts, number, narrow, out):
    for row in range(a.shape[0]):
        x, y, shift, first = load(a, row), load(b, row), load(shifts, row), 25 * row
        store(out, first, x + y)
        store(out, first + 1, x - y)
        store(out, first + 2, x * y)
        store(out, first + 3, x & y)
        store(out, first + 4, x | y)
        store(out, first + 5, x << shift)
        store(out, first + 6, x >> shift)
        store(out, first + 7, x + number)
        store(out, first + 8, number - x)
        store(out, first + 9, x - number)
        store(out, first + 10, number * x)
        store(out, first + 11, x & number)
        store(out, first + 12, number | x)
        store(out, first + 13, x << 3)
        store(out, first + 14, x >> 3)
        store(out, first + 15, number << shift)
        store(out, first + 16, number >> shift)
        store(out, first + 17, least(x, y))
        store(out, first + 18, most(x, y))
        store(out, first + 19, least(x, number))
        store(out, first + 20, most(number, x))
        store(out, first + 21, where(x < y, x, number))
        store(out, first + 22, where(x > number, number, y))
        store(out, first + 23, where(number > y, x, y))
        store(out, first + 24, x + narrow)


def test_operators_of_ints_wrap_around_and_shift_signs_as_numpys_do() -> None:
    draw = np.random.default_rng(5)
    edges = np.array([0, 1, -1, 7, -8, 2**30, LOWEST_INT, HIGHEST_INT])
    a, b = (
        in_rows(np.concatenate([draw.integers(LOWEST_INT, HIGHEST_INT, 64), pairs]), np.int32)
        for pairs in (np.repeat(edges, 8), np.tile(edges, 8))
    )
    shift = in_rows(np.arange(a.size) % 32, np.int32)
    n, narrow = np.int32(-1234567), np.int8(-5)
    out = aligned(25 * len(a), np.int32)
    _int_operators(a, b, shift, int(n), narrow, out)
    check(
        out,
        {
            "x + y": a + b,
            "x - y": a - b,
            "x * y": a * b,
            "x & y": a & b,
            "x | y": a | b,
            "x << shift": a << shift,
            "x >> shift": a >> shift,
            "x + number": a + n,
            "number - x": n - a,
            "x - number": a - n,
            "number * x": n * a,
            "x & number": a & n,
            "number | x": n | a,
            "x << 3": a << np.int32(3),
            "x >> 3": a >> np.int32(3),
            "number << shift": n << shift,
            "number >> shift": n >> shift,
            "least": np.minimum(a, b),
            "most": np.maximum(a, b),
            "least(x, number)": np.minimum(a, n),
            "most(number, x)": np.maximum(n, a),
            "where x < y": np.where(a < b, a, n),
            "where x > number": np.where(a > n, n, b),
            "where number > y": np.where(n > b, a, b),
            "x + narrow": a + np.int32(narrow),
        },
    )


@pytest.mark.parametrize(
    "mixed",
    [lambda a, b: load(a, 0) + load(b, 0), lambda a, b: where(load(a, 0) < load(b, 0), 1, 0)],
    ids=["add", "compare"],
)
def test_floats_and_ints_do_not_mix(mixed) -> None:
    with pytest.raises(numba.TypingError):
        numba.njit(mixed, **OPTIONS)(aligned(1), aligned(1, np.int32))


@compiled
def _conversions(floats, ints, cut, made):
    for row in range(floats.shape[0]):
        store(cut, row, whole(load(floats, row)))
        store(made, row, real(load(ints, row)))


def test_whole_cuts_towards_0_and_real_rounds_to_the_nearest() -> None:
    floats = in_rows(
        [0, 0.99, -0.99, 1, -1, 1.5, -1.5, 2.5, -2.5, 2**24, -(2**24), 2**31 - 128, LOWEST_INT, 1e-40, 9, 3]
    )
    ints = in_rows([0, 1, -1, 2**24, 2**24 + 1, -(2**24) - 1, 2**24 + 3, LOWEST_INT, HIGHEST_INT], np.int32)
    cut, made = aligned(1, np.int32), aligned(1)
    _conversions(floats, ints, cut, made)
    assert np.array_equal(cut, np.trunc(floats).astype(np.int32))
    assert np.array_equal(made, ints.astype(f32))


@compiled
def _moved(source, ints, out, out_ints, numbers, narrow, wide):
    """Rows and numbers, backwards."""
    last = source.shape[0] - 1
    for row in range(source.shape[0]):
        prefetch(source, row)
        store(out, last - row, load(source, row))
        store(out_ints, last - row, load(ints, row))
    for i in range(source.size):
        put(numbers, source.size - 1 - i, at(source, i))
        put(narrow, i, at(wide, i))
        put(wide, i, at(ints, i))


def test_rows_and_single_numbers_are_read_and_written_where_they_stand() -> None:
    """A number put is cast to the kind of the array, as an assignment is."""
    source = operands(6)
    ints = in_rows(np.arange(64) - 7, np.int32)
    wide = np.linspace(-1, 1, 64)
    before = wide.copy()
    out, out_ints, numbers, narrow = aligned(6), aligned(4, np.int32), np.zeros((2, 8, 4), f32), np.zeros(64, f32)
    out[:] = 5
    _moved(source, ints, out, out_ints, numbers, narrow, wide)
    assert np.array_equal(out[:4], source[::-1])
    assert (out[4:] == 5).all(), "a row that nobody stored"
    assert np.array_equal(out_ints, ints[::-1])
    assert np.array_equal(numbers.reshape(-1), source.reshape(-1)[::-1])
    assert np.array_equal(narrow, before.astype(f32))
    assert np.array_equal(wide, ints.reshape(-1))


@compiled
def _made(number, integer, wide, out):
    store(out, 0, splat(number))
    store(out, 1, splat(integer))
    store(out, 2, splat(wide))
    store(out, 3, steps())
    store(out, 4, quads(number, integer, wide, 4))
    store(out, 5, cycle(number, integer, wide, 4))


def test_vectors_made_of_numbers_of_any_width() -> None:
    out = aligned(6)
    _made(f32(1.5), -2, 0.1, out)
    four = np.array([1.5, -2, 0.1, 4], f32)
    check(
        out,
        {
            "splat": f32(1.5),
            "splat of an integer": f32(-2),
            "splat of a wide number": f32(0.1),
            "steps": np.arange(16),
            "quads": np.repeat(four, 4),
            "cycle": np.tile(four, 4),
        },
    )


@compiled
def _lanes(a, b, c, d, ints, out, single):
    x, y, z, w = load(a, 0), load(b, 0), load(c, 0), load(d, 0)
    store(out, 0, spread(x, 0))
    store(out, 1, spread(x, 6))
    store(out, 2, spread(x, 15))
    store(out, 3, spread_in_quads(x, 0))
    store(out, 4, spread_in_quads(x, 1))
    store(out, 5, spread_in_quads(x, 2))
    store(out, 6, spread_in_quads(x, 3))
    store(out, 7, last_quads(x, y, z, w))
    store(out, 8, with_last_quad(x, y, 0))
    store(out, 9, with_last_quad(x, y, 1))
    store(out, 10, with_last_quad(x, y, 2))
    store(out, 11, with_last_quad(x, y, 3))
    store(out, 12, woven(x, y, z))
    put(single, 0, lane(x, 0))
    put(single, 1, lane(x, 6))
    put(single, 2, lane(x, 15))
    put(single, 3, lane(load(ints, 0), 9) // 2)


def test_lanes_are_moved_where_the_docstrings_say() -> None:
    """Every number differs from every other, so a lane from elsewhere is seen."""
    a, b, c, d = (in_rows(100 * k + np.arange(16)) for k in range(1, 5))
    out, single = aligned(13), np.zeros(4)
    _lanes(a, b, c, d, in_rows(np.arange(16) + 2**30, np.int32), out, single)
    quad, within = np.arange(16) // 4, np.arange(16) % 4
    check(
        out,
        {
            **{f"spread {i}": a[0, i] for i in (0, 6, 15)},
            **{f"spread_in_quads {i}": a[0, 4 * quad + i] for i in range(4)},
            "last_quads": np.concatenate([row[0, 12:] for row in (a, b, c, d)]),
            **{f"with_last_quad {i}": np.append(a[0, :12], b[0, 4 * i : 4 * i + 4]) for i in range(4)},
            "woven": np.stack([a, b, c, c])[np.minimum(within, 2), 0, np.arange(16)],
        },
    )
    assert single.tolist() == [100, 106, 115, (2**30 + 9) // 2], "an Ints lane is an integer, exact above 2^24"


@compiled
def _sums(a, out, totals):
    for row in range(a.shape[0]):
        store(out, row, sum_quads(load(a, row)))
        put(totals, row, sum_lanes(load(a, row)))


def test_sums_of_quads_and_of_lanes() -> None:
    """Small whole numbers add up exactly in any order; others to the last bits of the largest partial sum."""
    exact = in_rows(np.random.default_rng(7).integers(-1000, 1000, 64))
    for a, error in ((exact, 0), (operands(8), 1e-6)):
        out, totals = aligned(len(a)), np.zeros(len(a), f32)
        _sums(a, out, totals)
        groups = a.astype(float).reshape(-1, 4, 4)
        room = error * np.abs(groups).sum((1, 2))
        assert (np.abs(out - np.repeat(groups.sum(-1), 4, axis=1)) <= room[:, None]).all()
        assert (np.abs(totals - groups.sum((1, 2))) <= room).all()


def test_a_sum_with_nan_or_infinity_is_one() -> None:
    a = in_rows(np.ones(32))
    a[0, 5], a[1, 9] = np.nan, np.inf
    out, totals = aligned(2), np.zeros(2, f32)
    _sums(a, out, totals)
    assert np.array_equal(out[0], [4] * 4 + [np.nan] * 4 + [4] * 8, equal_nan=True), "other quads are left alone"
    assert np.isnan(totals[0])
    assert totals[1] == np.inf


@compiled
def _functions(a, out):
    for row in range(a.shape[0]):
        x, first = load(a, row), 7 * row
        store(out, first, exp2(x))
        store(out, first + 1, log2(x))
        store(out, first + 2, sigmoid(x))
        store(out, first + 3, rsqrt(x))
        for i in range(16):
            single, place = at(a, 16 * row + i), 16 * first + i
            put(out, place + 64, exp2(single))
            put(out, place + 80, log2(single))
            put(out, place + 96, sigmoid(single))


def functions(values) -> dict[str, np.ndarray]:
    """Every function of every value, as vectors and (``_of_one``) as single numbers, in float64 for comparison."""
    values = np.asarray(values, f32)
    a = in_rows(values)
    out = aligned(7 * len(a))
    _functions(a, out)
    names = ("exp2", "log2", "sigmoid", "rsqrt", "exp2_of_one", "log2_of_one", "sigmoid_of_one")
    found = out.reshape(-1, 7, LANES).astype(float)
    return {name: found[:, k].reshape(-1)[: len(values)] for k, name in enumerate(names)}


def uniform(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(9).uniform(low, high, 20_000).astype(f32)


@pytest.mark.parametrize("name", ["exp2", "exp2_of_one"])
def test_exp2_is_right_to_a_relative_millionth(name: str) -> None:
    """Halves are where the rounding to the nearest whole number turns over."""
    x = np.concatenate([uniform(-126, 126), uniform(-1, 1), np.linspace(-126, 126, 505, dtype=f32)])
    np.testing.assert_allclose(functions(x)[name], np.exp2(x.astype(float)), rtol=1e-6, atol=0)
    x = np.arange(-126, 127)
    assert np.array_equal(functions(x)[name], 2.0**x), "whole powers are exact"


@pytest.mark.parametrize("name", ["exp2", "exp2_of_one"])
def test_exp2_stays_between_its_bounds_whatever_it_is_given(name: str) -> None:
    """Beyond -126..126 it is cut. NaN gives one of the bounds: what is computed from it stays a number."""
    low, high = 2.0**-126, 2.0**126
    found = functions([126.5, 1e30, np.inf, -126.5, -1e30, -np.inf, 0, np.nan, 1])[name]
    assert found[:7].tolist() == [high, high, high, low, low, low, 1]
    assert found[7] in (low, high)
    assert found[8] == 2, "the lane after NaN"


@pytest.mark.parametrize("name", ["log2", "log2_of_one"])
def test_log2_is_right_to_an_absolute_millionth(name: str) -> None:
    """Far from 1 a float32 is coarser than that: half a unit in the last place comes on top."""
    powers = np.arange(-126, 128)
    turns = f32(2 / 3) * (1 + np.linspace(-1e-5, 1e-5, 101))
    x = np.concatenate([10.0 ** uniform(-30, 30).astype(float), uniform(0.5, 2), turns, 2 * turns]).astype(f32)
    exact = np.log2(x.astype(float))
    assert (np.abs(functions(x)[name] - exact) <= 1e-6 + np.spacing(np.abs(exact).astype(f32)) / 2).all()
    assert np.array_equal(functions(2.0**powers)[name], powers), "whole powers are exact"
    assert functions([1, LARGEST])[name].tolist() == pytest.approx([0, 128], abs=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "sigmoid_of_one"])
def test_sigmoid_is_right_and_never_leaves_0_to_1(name: str) -> None:
    x = np.concatenate([uniform(-15, 15), np.array([0, 20, -20, 80, -80], f32)])
    exact = 1 / (1 + np.exp(-x.astype(float)))
    found = functions(x)[name]
    room = 2e-6 + 2e-7 * np.abs(x)  # the exponent is rounded to a float32 before 2 is raised to it
    assert (np.abs(found - exact) <= room * exact).all()
    assert functions([0])[name][0] == 0.5
    edges = functions([200, np.inf, LARGEST, -200, -np.inf, -LARGEST, np.nan])[name]
    assert (edges[:3] == 1).all()
    assert ((edges[3:6] >= 0) & (edges[3:6] < 1e-37)).all()
    assert 0 <= edges[6] <= 1, "of NaN too"


def test_rsqrt_is_right_to_five_millionths_of_every_normal_positive_number() -> None:
    powers = 4.0 ** np.arange(-60, 61)
    x = np.concatenate([10.0 ** uniform(-30, 30).astype(float), uniform(0.25, 4), powers, [SMALLEST, LARGEST]])
    x = x.astype(f32)
    np.testing.assert_allclose(functions(x)["rsqrt"], 1 / np.sqrt(x.astype(float)), rtol=5e-6, atol=0)
