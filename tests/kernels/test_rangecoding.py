"""The range coder: what goes in comes out, in as few bytes as the chances allow, whatever bytes there are."""

import math

import numpy as np
import pytest

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.rangecoding import (
    DIGITS,
    FAILED,
    NODES,
    ONE,
    PLACE,
    code_bit,
    code_number,
    finish,
    make_coder,
    make_model,
)
from fieldscape.kernels.treecoding import CONTEXTS, LEVELS, code_tree, mixers_of, slots_of


@compiled
def bits_at(coder, chances, bits):
    for n in range(bits.size):
        bits[n] = code_bit(coder, np.int64(chances[n]), np.int64(bits[n]))


@compiled
def numbers_in(coder, model, contexts, numbers):
    for n in range(numbers.size):
        for k in range(contexts.shape[1]):
            model.work[0, k] = contexts[n, k] * NODES
        numbers[n] = code_number(coder, model, 0, np.int64(numbers[n]))


def written(kernel, *arguments, room=1 << 20) -> np.ndarray:
    coder = make_coder(np.zeros(room, np.uint8), False)
    kernel(coder, *arguments)
    finish(coder)
    assert not coder.registers[FAILED]
    return coder.data[: coder.registers[PLACE]].copy()


def model_of(contexts: int, kinds: int):
    return make_model(contexts, kinds * NODES, 1)


@pytest.mark.parametrize("count", [0, 1, 7, 5000])
@pytest.mark.parametrize("seed", [0, 1])
def test_bits_come_back_whatever_their_chances(count, seed) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.choice([1, 24, 30000, 65000, ONE - 1], count).astype(np.int64)
    bits = (rng.random(count) * ONE < chances).astype(np.int64)
    data = written(bits_at, chances, bits.copy())
    found = np.zeros(count, np.int64)
    bits_at(make_coder(data, True), chances, found)
    assert np.array_equal(found, bits)


def test_unlikely_bits_carry_over_many_bytes() -> None:
    # All ones at a chance near 1, then zeros: low stays just under a power of two, and a carry has to travel.
    for tail in range(40):
        bits = np.r_[np.zeros(300, np.int64), np.ones(tail, np.int64), np.zeros(1, np.int64)]
        chances = np.full(len(bits), 1, np.int64)
        found = np.zeros(len(bits), np.int64)
        bits_at(make_coder(written(bits_at, chances, bits.copy()), True), chances, found)
        assert np.array_equal(found, bits)


@pytest.mark.parametrize("chance", [200, 3000, 20000, 32768, 60000])
def test_as_many_bytes_as_the_entropy_of_known_chances(chance) -> None:
    bits = (np.random.default_rng(chance).random(200_000) * ONE < chance).astype(np.int64)
    ones, p = bits.sum(), chance / ONE
    ideal = -(ones * math.log2(p) + (len(bits) - ones) * math.log2(1 - p)) / 8
    data = written(bits_at, np.full(len(bits), chance, np.int64), bits)
    assert ideal - 1 <= len(data) <= ideal * 1.001 + 4


def test_learned_chances_come_within_one_percent_of_the_entropy() -> None:
    rng = np.random.default_rng(4)
    # Two kinds of numbers, each with a distribution of its own that the model has to find out.
    kinds = rng.integers(0, 2, 150_000)
    shares = np.array([[0.02, 0.1, 0.7, 0.15, 0.03], [0.25, 0.2, 0.1, 0.2, 0.25]])
    numbers = np.where(kinds == 0, rng.choice(5, len(kinds), p=shares[0]), rng.choice(5, len(kinds), p=shares[1])) - 2
    ideal = -sum(np.log2(shares[k][numbers[kinds == k] + 2]).sum() for k in (0, 1)) / 8
    contexts = np.stack([kinds, kinds + 2], -1).astype(np.int64)
    data = written(numbers_in, make_model(2, 4 * NODES, 1, limit=1023), contexts, numbers.astype(np.int64))
    assert ideal * 0.999 < len(data) < ideal * 1.01


def test_numbers_of_all_sizes_come_back() -> None:
    largest = 2**DIGITS - 1 + NODES - 2
    numbers = np.array([0, 1, -1, 6, 7, 8, -7, 200, -70000, 2**20 - 1, 1 - 2**20, largest, -largest, 0, 3])
    contexts = np.zeros((len(numbers), 2), np.int64)
    data = written(numbers_in, model_of(2, 1), contexts, numbers.copy())
    found = np.zeros_like(numbers)
    numbers_in(make_coder(data, True), model_of(2, 1), contexts, found)
    assert found.tolist() == numbers.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_are_numbers_within_bounds(seed) -> None:
    rng = np.random.default_rng(seed)
    data = [rng.integers(0, 256, 500), np.zeros(500), np.full(500, 255), np.zeros(0)][seed].astype(np.uint8)
    found = np.zeros(3000, np.int64)
    numbers_in(make_coder(data, True), model_of(2, 1), np.zeros((3000, 2), np.int64), found)
    assert np.abs(found).max() < 2**DIGITS + NODES


def test_too_little_room_is_told_and_nothing_is_written_beyond() -> None:
    whole = np.full(64, 7, np.uint8)
    coder = make_coder(whole[:16], False)
    bits = np.random.default_rng(0).integers(0, 2, 1000)
    bits_at(coder, np.full(1000, ONE // 2, np.int64), bits)
    finish(coder)
    assert coder.registers[FAILED] == 1
    assert (whole[16:] == 7).all()


@pytest.mark.parametrize("channels", [1, 12])
def test_a_tree_comes_back_and_its_slots_lie_within_the_model(channels) -> None:
    rng = np.random.default_rng(channels)
    nodes = 400
    numbers = np.round(rng.laplace(0, 4, (nodes, channels))).astype(np.int32)
    numbers[0] = 2**20 - 1
    numbers[1:40] *= 1000  # the largest classes of size are met too
    numbers[100:300] *= rng.random((200, 1)) < 0.3  # and nodes without anything
    order = np.arange(nodes)[:, None]
    near = np.where(rng.random((nodes, 4)) < 0.8, order - 1 - rng.integers(0, 5, (nodes, 4)), -1).clip(-1)
    above = np.where(rng.random(nodes) < 0.9, np.arange(nodes) // 2 - 1, -1).clip(-1)
    level = rng.integers(0, LEVELS, nodes)
    tree = near.astype(np.int32), above.astype(np.int32), level.astype(np.int32)

    def model():
        guard = make_model(CONTEXTS, slots_of(channels) + 1000, mixers_of(channels))
        guard.chance[slots_of(channels) :] = -77
        return guard

    first, second = model(), model()
    data = written(code_tree, first, numbers.copy(), *tree, np.zeros(nodes, np.int32))
    found = np.zeros_like(numbers)
    code_tree(make_coder(data, True), second, found, *tree, np.zeros(nodes, np.int32))
    assert np.array_equal(found, numbers)
    # Both sides have learned the same, and nothing beyond the slots that such a tree needs.
    assert np.array_equal(first.chance, second.chance)
    assert np.array_equal(first.weight, second.weight)
    assert (first.chance[slots_of(channels) :] == -77).all()


def test_the_tables_of_the_mixture_do_not_hang_on_the_last_digit_of_a_library() -> None:
    # Entries are rounded from real numbers: none may lie so near a half that another library rounds it otherwise.
    squash = np.array([ONE / (1 + math.exp((2048 - n) / 256)) for n in range(4096)])
    stretch = np.array([256 * math.log((n + 0.5) / (4095.5 - n)) for n in range(4096)])
    for exact in (squash, stretch):
        assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
