"""Stored objects: what is written is what is read, and small; and bytes of another origin are BadInput."""

import math
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.kernels.grid import read_lanes, write_lanes
from fieldscape.systems.latents.voxel import coding
from fieldscape.systems.latents.voxel.coding import Steps, decode, encode, learn_tables, steps_for
from fieldscape.systems.latents.voxel.tables import COLORS, Chances, Tables
from fieldscape.systems.latents.voxel.weighing import around, seen_by
from fieldscape.voxels.bricks import Bricks, Workers

SHAPE = (14, 19, 11)
STEPS = Steps(1.0, 1.0)
WORKERS = Workers(1)


def box() -> Framing:
    high = torch.tensor([0.26, 0.36, 0.2])
    return Framing(torch.zeros(3), -high, high, 0.1, 3.0, torch.tensor([0.0, 0.0, 1.0]), unbounded=False)


def lanes_of(bricks: Bricks) -> np.ndarray:
    lanes = np.empty((*bricks.shape, COLORS + 1), np.float32)
    read_lanes(bricks.grid, 0, lanes)
    return lanes


def ellipsoid(seed: int, workers: Workers = WORKERS) -> tuple[Bricks, np.ndarray]:
    """A painted ellipsoid of a size and colours of its own, a little rough, and how much its vertices matter."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, n) for n in SHAPE]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    size = rng.uniform(0.6, 0.85, 3)
    away = np.sqrt((x / size[0]) ** 2 + (y / size[1]) ** 2 + (z / size[2]) ** 2)
    lanes = rng.normal(0, 0.1, (*SHAPE, COLORS + 1)).astype(np.float32)
    lanes[..., COLORS] += (1 - away) * 20
    for channel in range(3):
        lanes[..., 4 * channel] += rng.uniform(-4, 4) + 3 * np.sin(4 * x + rng.uniform(0, 6))
    bricks = Bricks(box(), SHAPE, np.ones([n - 1 for n in SHAPE], bool), 1.0, workers)
    write_lanes(bricks.grid, 0, lanes)
    bricks.settle(reach=0)
    return bricks, seen_by(bricks, around(bricks), np.ones(3, np.float32))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return learn_tables([(*ellipsoid(seed), STEPS) for seed in range(5)])


@pytest.fixture(scope="module")
def payload(tables) -> bytes:
    return encode(*ellipsoid(9), tables, STEPS)


def sealed(body: bytes) -> bytes:
    """Bytes with the checksum that they should have."""
    return body + struct.pack("<I", zlib.crc32(body))


def picture(bricks: Bricks) -> torch.Tensor:
    return bricks.picture(replace(around(bricks)[5], width=64, height=64), torch.ones(3)).color


def psnr(one: Bricks, other: Bricks) -> float:
    return -10 * math.log10(float((picture(one) - picture(other)).square().mean()) + 1e-12)


# --- What is written is what is read ---


def test_the_numbers_that_are_read_are_those_that_were_written(tables, monkeypatch) -> None:
    wrote, read = [], []
    coded, reading = coding._coded, coding._read

    def spy_coded(parts, grid):
        wrote.extend(numbers.copy() for numbers, _, _ in parts)
        return coded(parts, grid)

    def spy_read(*arguments):
        read.append(reading(*arguments))
        return read[-1]

    monkeypatch.setattr(coding, "_coded", spy_coded)
    monkeypatch.setattr(coding, "_read", spy_read)
    decode(encode(*ellipsoid(9), tables, STEPS), tables, box(), WORKERS)
    assert len(wrote) == len(read) == 2
    assert all(np.array_equal(a, b) for a, b in zip(wrote, read, strict=True))
    assert all(np.count_nonzero(numbers) > 50 for numbers in wrote)


def test_an_object_looks_as_before_and_finer_steps_are_closer_and_larger(tables) -> None:
    bricks, seen = ellipsoid(9)
    found = []
    for step in (0.25, 1.0, 4.0):
        stored = encode(bricks, seen, tables, Steps(step, step))
        found.append((len(stored), psnr(decode(stored, tables, box(), WORKERS), bricks)))
    assert found[0][0] > found[1][0] > found[2][0]
    assert found[0][1] > found[1][1] > found[2][1]
    assert found[0][1] > 38
    assert found[1][1] > 28
    assert found[1][0] < 3000


def test_density_is_off_by_no_more_than_a_step_where_it_matters(tables) -> None:
    bricks, seen = ellipsoid(9)
    fine = Steps(0.05, 0.05)
    stored = lanes_of(decode(encode(bricks, seen, tables, fine), tables, box(), WORKERS))
    before = lanes_of(bricks)
    matters = (seen[..., 0] > seen[..., 0].mean()) & (np.abs(before[..., COLORS] - 4) < 7)
    assert matters.sum() > 50
    assert np.abs(stored - before)[matters][:, COLORS].max() < 0.2
    assert np.abs(stored - before)[matters].max() < 0.5


def test_nothing_is_left_of_an_object_that_is_empty(tables) -> None:
    empty = Bricks(box(), SHAPE, np.zeros([n - 1 for n in SHAPE], bool), 1.0, WORKERS)
    stored = encode(empty, np.zeros((*SHAPE, 2), np.float32), tables, STEPS)
    found = decode(stored, tables, box(), WORKERS)
    assert not found.cells.any()
    assert (picture(found) == 1).all()


def test_the_bytes_do_not_depend_on_threads(tables, payload) -> None:
    two = Workers(2)
    assert encode(*ellipsoid(9, two), tables, STEPS) == payload
    one, other = decode(payload, tables, box(), WORKERS), decode(payload, tables, box(), two)
    assert np.array_equal(lanes_of(one), lanes_of(other))


# --- What the class brings ---


def test_tables_of_the_class_make_objects_smaller_that_they_were_not_learned_from(tables) -> None:
    bricks, seen = ellipsoid(9)
    ignorant = replace(tables, density=Chances.none(1), color=Chances.none(COLORS))
    plain = replace(ignorant, mean=np.zeros(SHAPE, np.uint8), worth=np.full(SHAPE, 256, np.uint16))
    sizes = [len(encode(bricks, seen, known, STEPS)) for known in (tables, ignorant, plain)]
    assert sizes[0] < 0.95 * sizes[1] < 0.95 * sizes[2]


def test_tables_are_kept_as_tensors_and_words(tables, payload) -> None:
    again = Tables.of(tables.tensors(), tables.details())
    assert again.fingerprint == tables.fingerprint
    one, other = (lanes_of(decode(payload, known, box(), WORKERS)) for known in (again, tables))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("part", ["mean", "worth", "density.chance", "color.count", "color.weight"])
def test_tables_that_were_tampered_with_are_refused(tables, part) -> None:
    tensors = tables.tensors()
    with pytest.raises(BadInput):
        Tables.of({name: tensor for name, tensor in tensors.items() if name != part}, tables.details())
    with pytest.raises(BadInput):
        Tables.of(tensors | {part: tensors[part].reshape(-1)[:-1]}, tables.details())
    if part != "mean":
        worst = 255 if part == "color.count" else torch.iinfo(tensors[part].dtype).min
        with pytest.raises(BadInput):
            Tables.of(tensors | {part: torch.full_like(tensors[part], worst)}, tables.details())


@pytest.mark.parametrize("details", [{}, {"format": 2}, {"shape": [0, 1, 2]}, {"shape": [10**6] * 3}, {"shape": "big"}])
def test_details_that_make_no_sense_are_refused(tables, details) -> None:
    with pytest.raises(BadInput):
        Tables.of(tables.tensors(), tables.details() | details if details else {})


# --- Bytes of another origin ---


@pytest.mark.parametrize("length", [0, 1, 8, 16, 17, 100, -5, -1])
def test_a_payload_cut_short_is_refused(tables, payload, length) -> None:
    with pytest.raises(BadInput):
        decode(payload[:length], tables, box(), WORKERS)


def test_a_flipped_bit_is_refused_wherever_it_is(tables, payload) -> None:
    for place in range(0, 8 * len(payload), 61):
        damaged = bytearray(payload)
        damaged[place // 8] ^= 1 << (place % 8)
        with pytest.raises(BadInput):
            decode(bytes(damaged), tables, box(), WORKERS)


def test_a_payload_of_other_tables_or_another_format_is_refused(tables, payload) -> None:
    other = replace(tables, worth=tables.worth + np.uint16(1))
    with pytest.raises(BadInput, match="another class"):
        decode(payload, other, box(), WORKERS)
    with pytest.raises(BadInput, match="format 2"):
        decode(sealed(b"\x02" + payload[1:-4]), tables, box(), WORKERS)


@pytest.mark.parametrize("steps", [(0.0, 1.0), (float("nan"), 1.0), (1.0, float("inf")), (-1.0, 1.0)])
def test_steps_that_make_no_sense_are_refused(tables, payload, steps) -> None:
    forged = payload[:9] + struct.pack("<2e", *steps) + payload[13:-4]
    with pytest.raises(BadInput, match="steps"):
        decode(sealed(forged), tables, box(), WORKERS)


@pytest.mark.parametrize("kind", ["noise", "zeros", "ones", "tail"])
def test_forged_bytes_with_a_right_checksum_are_some_object_or_refused(tables, payload, kind) -> None:
    rng = np.random.default_rng(1)
    length = len(payload)
    for trial in range(4):
        bodies = {
            "noise": payload[:13] + rng.bytes(length),
            "zeros": payload[:13] + bytes(length),
            "ones": payload[:13] + b"\xff" * length,
            "tail": payload[: length // (trial + 2)] + rng.bytes(length),
        }
        try:
            found = decode(sealed(bodies[kind]), tables, box(), WORKERS)
        except BadInput:
            continue
        lanes = lanes_of(found)
        assert np.isfinite(lanes).all()
        assert torch.isfinite(picture(found)).all()


def test_coded_numbers_that_end_too_early_are_refused(tables, payload) -> None:
    with pytest.raises(BadInput, match="ends before"):
        decode(sealed(payload[: len(payload) // 2]), tables, box(), WORKERS)


def test_objects_on_another_grid_are_refused(tables) -> None:
    small = Bricks(box(), (8, 8, 8), np.ones((7, 7, 7), bool), 1.0, WORKERS)
    with pytest.raises(BadInput, match="grid"):
        encode(small, np.ones((8, 8, 8, 2), np.float32), tables, STEPS)
    with pytest.raises(BadInput, match="grid"):
        learn_tables([])
    with pytest.raises(BadInput, match="grid"):
        learn_tables([(*ellipsoid(0), STEPS), (small, np.ones((8, 8, 8, 2), np.float32), STEPS)])


def test_steps_grow_with_the_error_and_the_grid_and_fall_with_fineness() -> None:
    usual = steps_for(0.02)
    larger = coding._on_grid(usual, (40, 60, 100))
    for coarser in (steps_for(0.04), steps_for(0.02, 0.5), larger):
        assert coarser.color > usual.color
        assert coarser.density > usual.density
    assert larger.color == pytest.approx(2 * usual.color)
    with pytest.raises(BadInput):
        steps_for(0.02, 1e9)
