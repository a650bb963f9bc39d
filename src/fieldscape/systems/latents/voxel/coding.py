"""A fitted object in a few KiB: a pyramid of its density, then one of its colours where it is dense, as entropy-coded
whole numbers.

The density is coded over the whole grid of the class, as a difference from the class's mean, which costs next to
nothing where nothing is. What is dense in the decoded density has colours, and no mask is stored. How much a colour
counts is found by looking at the decoded density from all around, so both sides know where to spend bits: on what can
be seen.

A payload: the format number (1 byte), the fingerprint of the tables (8), the steps of density and colour (half floats,
4), the coded numbers, and the CRC-32 of all before (4).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32

from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.kernels.grid import Grid, read_lanes, write_lanes
from fieldscape.kernels.rangecoding import FAILED, PLACE, Coder, Model, finish, make_coder
from fieldscape.kernels.treecoding import code_tree
from fieldscape.systems.latents.voxel.pyramid import Pyramid, Weighted, backward, forward, pyramid, weighted
from fieldscape.systems.latents.voxel.tables import COLORS, DIGITS_OF_DENSITY, EMPTY, FULL, Chances, Tables
from fieldscape.systems.latents.voxel.weighing import around, seen_by
from fieldscape.voxels.bricks import LEARNED, Bricks, Workers
from fieldscape.voxels.field import OCCUPIED_RAW

FORMAT = 1
HEAD = struct.Struct("<B8s2e")
END = struct.Struct("<I")

USUAL_ERROR, USUAL_VERTICES, DENSITY_STEP, COLOR_STEP = 0.012, 30_000, 2.1, 2.5
"""Steps for objects of such an error on a grid of so many vertices: they lose about 0.2 dB."""

CLEAR = -1.5
"""A raw density that stays below what stops light when it is stored coarsely."""

BRIGHTEST = 60.0
"""Coefficients of colour are kept within this on either side of 0; a colour is full long before."""

OPPONENT = np.array(
    [[1 / 3**0.5] * 3, [1 / 2**0.5, 0, -1 / 2**0.5], [-1 / 6**0.5, 2 / 6**0.5, -1 / 6**0.5]], np.float32
)
"""Red, green and blue turned into brightness and two differences; a rotation, so errors keep their size."""

ROUNDING = 0.33
"""What is added before a coefficient is rounded down: less than a half, because small numbers are cheap."""

WORTH = 256.0
"""Weight 1 in the tables."""


@dataclass(frozen=True)
class Steps:
    """Of what the coefficients of density and of colour are multiples, on a grid of ``USUAL_VERTICES``."""

    density: float
    color: float

    def __post_init__(self) -> None:
        if not (1e-4 <= self.density <= 1e4 and 1e-4 <= self.color <= 1e4):
            raise BadInput(f"the steps of a payload must lie between 1e-4 and 1e4, and are {self}")


def steps_for(error: float, fineness: float = 1.0) -> Steps:
    """Steps for an object whose pictures are off by ``error`` (root mean square, 0..1): the better, the finer.

    fineness: above 1 finer and larger, below 1 coarser and smaller.
    """
    factor = (min(max(error, 1e-3), 1.0) / USUAL_ERROR) ** 0.25 / fineness
    return Steps(DENSITY_STEP * factor, COLOR_STEP * factor)


def _on_grid(steps: Steps, shape: tuple[int, int, int]) -> Steps:
    """What steps for a grid of the usual size are on this one: where more vertices share a pixel, each may err more."""
    size = (math.prod(shape) / USUAL_VERTICES) ** (1 / 3)
    return Steps(steps.density * size, steps.color * size)


def encode(bricks: Bricks, seen: Float32[np.ndarray, "x y z 2"], tables: Tables, steps: Steps) -> bytes:
    """The payload of an object. seen: how much its vertices matter, by ``weighing.seen_by`` of the training cameras.

    Raises BadInput where the field is not on the class's grid.
    """
    if bricks.shape != tables.shape or seen.shape[:3] != tables.shape:
        raise BadInput(f"the object is on a grid of {bricks.shape} vertices, and its class on one of {tables.shape}")
    steps = _on_grid(steps, bricks.shape)
    head = HEAD.pack(FORMAT, tables.fingerprint, steps.density, steps.color)
    _, _, density, color = HEAD.unpack(head)
    models = (tables.density.model(), tables.color.model())
    body = _written(bricks, seen, tables, Steps(density, color), models)
    return head + body + END.pack(zlib.crc32(head + body))


def _written(bricks: Bricks, seen: np.ndarray, tables: Tables, steps: Steps, models: tuple[Model, Model]) -> bytes:
    """The coded numbers; the models learn from them."""
    lanes = np.empty((*bricks.shape, LEARNED), np.float32)
    read_lanes(bricks.grid, 0, lanes)
    touched = _corners(bricks.cells)
    kept = touched & (seen[..., 1] > 0)
    tree = _density_tree(tables)
    # What nothing is known of may be as the class is, but for what is empty: that has to stay so.
    free = np.where(touched, tables.expected, np.minimum(tables.expected, CLEAR))
    target = np.where(kept, lanes[..., COLORS].clip(EMPTY, FULL), free)
    coefficients = forward(tree, (target - tables.expected).reshape(-1, 1))
    density = _rounded(coefficients, steps.density)

    raw = _raw(tables, tree, density, steps)
    used = _corners(cells_of(raw))
    if not used.any():
        return _coded([(density, tree.shape, models[0])], bricks.grid)
    stored = Bricks(bricks.framing, bricks.shape, cells_of(raw), bricks.step, bricks.workers)
    colors = _color_tree(stored, raw, used)
    known = kept & used
    values = lanes[..., :COLORS][used]
    # What was never seen is as the rest is on average: that costs nothing.
    mean = lanes[..., :COLORS][known].mean(0) if known.any() else np.zeros(COLORS, np.float32)
    values[~known[used]] = mean
    color = _rounded(forward(colors, _turned(values, OPPONENT)), steps.color)
    return _coded([(density, tree.shape, models[0]), (color, colors.shape, models[1])], bricks.grid)


def decode(payload: bytes, tables: Tables, framing: Framing, workers: Workers, step: float = 1.0) -> Bricks:
    """The field that ``encode`` stored, over the box of the class.

    step: voxels between samples on a ray.  Raises BadInput for anything that ``encode`` did not write with these
    tables.
    """
    steps, body = _opened(payload, tables)
    data = np.frombuffer(body, np.uint8)
    coder = make_coder(data, True)
    tree = _density_tree(tables)
    raw = _raw(tables, tree, _read(coder, tree.shape, tables.density.model(), 1), steps)
    lanes = np.zeros((*tables.shape, LEARNED), np.float32)
    lanes[..., COLORS] = raw
    cells = cells_of(raw)
    bricks = Bricks(framing, tables.shape, cells, step, workers)
    used = _corners(cells)
    if used.any():
        colors = _color_tree(bricks, raw, used)
        numbers = _read(coder, colors.shape, tables.color.model(), COLORS)
        values = backward(colors, numbers.astype(np.float32) * np.float32(steps.color))
        lanes[used, :COLORS] = _turned(values, OPPONENT.T).clip(-BRIGHTEST, BRIGHTEST)
    if coder.registers[PLACE] > len(data) + 4:
        raise BadInput("the stored object ends before it is complete; add it again")
    write_lanes(bricks.grid, 0, lanes)
    return bricks


def _opened(payload: bytes, tables: Tables) -> tuple[Steps, bytes]:
    """The steps and the coded numbers of a payload that is sound and of these tables."""
    if len(payload) < HEAD.size + END.size:
        raise BadInput(f"the stored object is cut short: it has {len(payload)} bytes; add it again")
    number, fingerprint, density, color = HEAD.unpack_from(payload)
    if number != FORMAT:
        raise BadInput(f"the stored object is of format {number}, and this version reads {FORMAT}; add it again")
    if END.unpack(payload[-END.size :])[0] != zlib.crc32(payload[: -END.size]):
        raise BadInput("the stored object is damaged: its bytes are not those that were written; add it again")
    if fingerprint != tables.fingerprint:
        raise BadInput("the stored object is of another class than the tables that it is opened with")
    return Steps(density, color), payload[HEAD.size : -END.size]


def _raw(tables: Tables, tree: Weighted, numbers: np.ndarray, steps: Steps) -> Float[np.ndarray, "x y z"]:
    """The raw density that the numbers stand for, float64, to the last bit the same everywhere."""
    change = backward(tree, numbers.astype(np.float64) * steps.density)
    return (tables.expected + change.reshape(tables.shape)).clip(EMPTY, FULL)


def cells_of(raw: Float[np.ndarray, "x y z"]) -> Bool[np.ndarray, "i j k"]:
    """Cells with a corner that stops light."""
    found = raw > OCCUPIED_RAW
    for axis in range(3):
        found = found.take(range(found.shape[axis] - 1), axis) | found.take(range(1, found.shape[axis]), axis)
    return found


def _corners(cells: Bool[np.ndarray, "i j k"]) -> Bool[np.ndarray, "x y z"]:
    """The corners of cells."""
    found = cells
    for axis in range(3):
        ends = [(1, 0) if k == axis else (0, 0) for k in range(3)]
        found = np.pad(found, ends) | np.pad(found, [end[::-1] for end in ends])
    return found


@lru_cache(maxsize=4)
def _whole(shape: tuple[int, int, int]) -> Pyramid:
    """The pyramid over all vertices of a grid."""
    return pyramid(np.ones(shape, bool))


@lru_cache(maxsize=4)
def _weighted_whole(shape: tuple[int, int, int], worth: bytes) -> Weighted:
    return weighted(_whole(shape), np.frombuffer(worth, np.uint16) / WORTH)


def _density_tree(tables: Tables) -> Weighted:
    return _weighted_whole(tables.shape, np.ascontiguousarray(tables.worth).tobytes())


def _color_tree(bricks: Bricks, raw: np.ndarray, used: Bool[np.ndarray, "x y z"]) -> Weighted:
    """The pyramid over what has colours, weighted by how well it can be seen from all around.

    The weights are not the same to the last bit on every processor, and need not be: what is read does not depend on
    them, and values only as smoothly as pictures do.
    """
    lanes = np.zeros((*bricks.shape, LEARNED), np.float32)
    lanes[..., COLORS] = raw
    write_lanes(bricks.grid, 0, lanes)
    seen = seen_by(bricks, around(bricks), np.ones(3, np.float32))[..., 1][used]
    weights = (seen / max(float(seen.mean()), 1e-12) + np.float32(1e-5)) ** np.float32(0.75)
    return weighted(pyramid(used), weights)


def _turned(values: Float32[np.ndarray, "n 12"], rotation: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "n 12"]:
    """The three channels of each harmonic, rotated."""
    # One product of matrices: the rotation, for each of the four harmonics.
    return values @ np.kron(rotation, np.eye(COLORS // 3, dtype=np.float32)).T


def _rounded(coefficients: Float[np.ndarray, "n c"], step: float) -> Int32[np.ndarray, "n c"]:
    size = np.floor(np.abs(coefficients) / step + ROUNDING).clip(0, 2**20 - 1)
    return (np.sign(coefficients) * size).astype(np.int32)


def _coded(parts: Sequence[tuple[np.ndarray, Pyramid, Model]], grid: Grid) -> bytes:
    """The numbers of pyramids as bytes."""
    # A number takes 8 bits of some 16, and up to twice 20 spelt out, at the very most.
    room = np.empty(sum(12 * numbers.size for numbers, _, _ in parts) + 64, np.uint8)
    coder = make_coder(room, False)
    for numbers, shape, model in parts:
        sums = np.zeros(len(numbers), np.int32)
        code_tree(coder, model, numbers.copy(), shape.near, shape.above, shape.level, sums)
    finish(coder)
    if coder.registers[FAILED]:
        raise ValueError("the numbers took more bytes than any numbers can")
    return room[: coder.registers[PLACE]].tobytes().rstrip(b"\0")


def _read(coder: Coder, shape: Pyramid, model: Model, channels: int) -> Int32[np.ndarray, "n c"]:
    numbers = np.zeros((len(shape.above), channels), np.int32)
    code_tree(coder, model, numbers, shape.near, shape.above, shape.level, np.zeros(len(numbers), np.int32))
    return numbers


def learn_tables(objects: Sequence[tuple[Bricks, Float32[np.ndarray, "x y z 2"], Steps]], passes: int = 2) -> Tables:
    """What fitted objects of a class, with how much their vertices matter and their steps, have in common.

    Raises BadInput for no objects, or objects on grids that differ.
    """
    shapes = {bricks.shape for bricks, _, _ in objects}
    if len(shapes) != 1:
        raise BadInput(f"tables are learned from objects on one grid, and here are {len(shapes)} grids")
    (shape,) = shapes
    mean, worth = np.zeros(shape), np.zeros(shape)
    for bricks, seen, _ in objects:
        raw = np.empty((*shape, 1), np.float32)
        read_lanes(bricks.grid, COLORS, raw)
        kept = _corners(bricks.cells) & (seen[..., 1] > 0)
        mean += np.where(kept, raw[..., 0].clip(EMPTY, FULL), EMPTY) / len(objects)
        worth += seen[..., 0]
    worth = np.sqrt(worth / max(float(worth.mean()), 1e-12) + 0.01)
    tables = Tables(
        ((mean - EMPTY) * DIGITS_OF_DENSITY).round().clip(0, 255).astype(np.uint8),
        (worth * WORTH).round().clip(1, 65535).astype(np.uint16),
        Chances.none(1),
        Chances.none(COLORS),
    )
    models = (tables.density.model(), tables.color.model())
    for _ in range(passes):
        for bricks, seen, steps in objects:
            _written(bricks, seen, tables, _on_grid(steps, shape), models)
    return tables.with_chances(*models)
