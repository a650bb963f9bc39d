"""Bits to bytes and back: a binary range coder whose chances are mixed from several contexts, in whole numbers only.

The coder is the carry-propagating range coder of Martin ("Range encoding: an algorithm for removing redundancy from a
digitised message", 1979) in the binary form that LZMA made common. What it is told of a bit comes from a mixture in the
logistic domain (Mahoney, "Adaptive weighing of context models for lossless data compression", 2005): each context
keeps how often the bit was 1, all those chances are stretched to ln(p / (1 - p)), summed with learned weights and
squashed back. Chances and weights learn from every bit, on both sides alike.

No floating-point number is met on the way: the same bytes on every processor. One function codes and decodes, so the
two sides cannot drift apart. Any bytes can be decoded, to some numbers or other: past their end zeros are read, and no
index is ever taken from them unchecked.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined
from fieldscape.kernels.vectors import at, put

NODES = 8
"""Bits of a number that are modelled: whether it is 0, its sign, and six for its size. What is larger is spelt out."""

DIGITS = 20
"""A number lies within about 2^20 of 0."""

ONE = 1 << 16
"""Chances are counted of so many."""

LEAST = 24
"""No bit is thought less likely than that."""

REGISTERS = 7
_LOW, _RANGE, _HELD, _PENDING, PLACE, _CODE, FAILED = range(REGISTERS)


class Coder(NamedTuple):
    """registers: int64, ``PLACE`` is the number of bytes written or asked for, ``FAILED`` is 1 when they did not fit.

    data: uint8, the bytes.
    """

    registers: np.ndarray
    data: np.ndarray
    decoding: bool


class Model(NamedTuple):
    """What is known of bits.

    A slot is a bit of a number in one context. Chances and weights are of ``ONE``.
    """

    chance: np.ndarray  # int32 [slots]: that the bit is 1
    met: np.ndarray  # int32 [slots]: how often the bit was met, up to ``limit``
    weight: np.ndarray  # int32 [mixers NODES, contexts]
    stretch: np.ndarray  # int32 [4096]
    squash: np.ndarray  # int32 [4096]
    share: np.ndarray  # int32 [1024]: how far a chance moves that was met so often
    work: np.ndarray  # int64 [2, contexts]: the slots of a number, and what their chances are stretched to
    limit: int
    rate: int


@cache
def _curves() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a model's ``stretch``, ``squash`` and ``share`` are."""
    squash = [round(ONE / (1 + math.exp((2048 - n) / 256))) for n in range(4096)]
    stretch = [round(256 * math.log((n + 0.5) / (4095.5 - n))) for n in range(4096)]
    share = [round(ONE / (n + 1.5)) for n in range(1024)]
    return (
        np.array(stretch, np.int32).clip(-2047, 2047),
        np.array(squash, np.int32).clip(LEAST, ONE - LEAST),
        np.array(share, np.int32),
    )


def make_model(contexts: int, slots: int, mixers: int, limit: int = 255, rate: int = 6) -> Model:
    """A model that knows nothing: ``slots`` in all, ``contexts`` of which are met at each bit."""
    stretch, squash, share = _curves()
    return Model(
        np.full(slots, ONE // 2, np.int32),
        np.zeros(slots, np.int32),
        np.full((mixers * NODES, contexts), round(ONE / math.sqrt(contexts)), np.int32),
        stretch,
        squash,
        share,
        np.zeros((2, contexts), np.int64),
        min(limit, len(share) - 1),
        rate,
    )


def make_coder(data: np.ndarray, decoding: bool) -> Coder:
    """A coder that writes to ``data``, or reads from it."""
    registers = np.zeros(REGISTERS, np.int64)
    registers[_RANGE] = (1 << 32) - 1
    if decoding:
        first = bytes(data[:4].tolist()).ljust(4, b"\0")
        registers[_CODE], registers[PLACE] = int.from_bytes(first, "big"), 4
    else:
        registers[PLACE] = -1  # the first byte out is always 0, and not kept
    return Coder(registers, data, decoding)


@inlined
def _emit(coder, byte):
    place = at(coder.registers, PLACE)
    if place >= coder.data.size:
        put(coder.registers, FAILED, 1)
    else:
        if place >= 0:
            put(coder.data, place, np.uint8(byte & 255))
        put(coder.registers, PLACE, place + 1)


@inlined
def _shift(coder):
    """Writes the highest byte of ``low``, unless a carry may yet change it."""
    low = at(coder.registers, _LOW)
    if low < 0xFF000000 or low >= 1 << 32:
        carry = low >> 32
        _emit(coder, at(coder.registers, _HELD) + carry)
        for _ in range(at(coder.registers, _PENDING)):
            _emit(coder, 255 + carry)
        put(coder.registers, _PENDING, 0)
        put(coder.registers, _HELD, (low >> 24) & 255)
    else:
        put(coder.registers, _PENDING, at(coder.registers, _PENDING) + 1)
    put(coder.registers, _LOW, (low & 0xFFFFFF) << 8)


@inlined
def _next(coder):
    place = at(coder.registers, PLACE)
    put(coder.registers, PLACE, place + 1)
    if place < coder.data.size:
        return np.int64(at(coder.data, place))
    return np.int64(0)


@compiled
def finish(coder):
    """Writes what is still held: so few bytes that zeros after them mean the same."""
    put(coder.registers, _LOW, (at(coder.registers, _LOW) + 0xFFFFFF) & ~np.int64(0xFFFFFF))
    _shift(coder)
    _shift(coder)


@inlined
def code_bit(coder, chance, bit):
    """Codes ``bit``, or finds it. chance: of a 1, of 65536, within 1..65535."""
    span = at(coder.registers, _RANGE)
    bound = (span >> 16) * chance
    if coder.decoding:
        code = at(coder.registers, _CODE)
        bit = 1 if code < bound else 0
        if bit:
            span = bound
        else:
            code -= bound
            span -= bound
        while span < 1 << 24:
            span <<= 8
            code = ((code << 8) | _next(coder)) & 0xFFFFFFFF
        put(coder.registers, _CODE, code)
        put(coder.registers, _RANGE, span)
    else:
        if bit:
            span = bound
        else:
            put(coder.registers, _LOW, at(coder.registers, _LOW) + bound)
            span -= bound
        while span < 1 << 24:
            span <<= 8
            _shift(coder)
        put(coder.registers, _RANGE, span)
    return bit


@inlined
def mixed_bit(coder, model, node, mixer, bit):
    """Codes a bit of a number, whose contexts' first slots stand in ``work``, and learns from it."""
    contexts = model.weight.shape[1]
    first = (mixer * NODES + node) * contexts
    total = np.int64(0)
    for n in range(contexts):
        value = np.int64(at(model.stretch, np.int64(at(model.chance, at(model.work, n) + node) >> 4)))
        put(model.work, contexts + n, value)
        total += value * at(model.weight, first + n)
    total = min(max(total >> 16, np.int64(-2047)), np.int64(2047))
    chance = np.int64(at(model.squash, total + 2048))
    bit = code_bit(coder, chance, bit)
    target = np.int64(bit) << 16
    error = target - chance
    for n in range(contexts):
        step = (at(model.work, contexts + n) * error * model.rate + (1 << 17)) >> 18
        weight = min(max(np.int64(at(model.weight, first + n)) + step, np.int64(-(1 << 20))), np.int64(1 << 20))
        put(model.weight, first + n, np.int32(weight))
        slot = at(model.work, n) + node
        met, old = at(model.met, slot), np.int64(at(model.chance, slot))
        new = old + (((target - old) * at(model.share, np.int64(met))) >> 16)
        put(model.chance, slot, np.int32(min(max(new, np.int64(16)), np.int64(ONE - 16))))
        if met < model.limit:
            put(model.met, slot, np.int32(met + 1))
    return bit


@inlined
def code_number(coder, model, mixer, value):
    """Codes a whole number or finds it: 0 or not, its sign, its size; from ``NODES`` - 1 on in Elias's gamma code.

    The first slots of its contexts stand in ``model.work``.
    """
    if not mixed_bit(coder, model, 0, mixer, 1 if value != 0 else 0):
        return np.int64(0)
    negative = mixed_bit(coder, model, 1, mixer, 1 if value < 0 else 0)
    size, known = abs(np.int64(value)), np.int64(1)
    while known < NODES - 1:
        if not mixed_bit(coder, model, known + 1, mixer, 1 if size > known else 0):
            break
        known += 1
    if known == NODES - 1:
        rest, digits, number = size - known + 1, np.int64(0), np.int64(1)
        while digits < DIGITS - 1 and code_bit(coder, np.int64(ONE // 2), 1 if rest >> (digits + 1) > 0 else 0):
            digits += 1
        for n in range(digits):
            number = (number << 1) | code_bit(coder, np.int64(ONE // 2), (rest >> (digits - 1 - n)) & 1)
        known += number - 1
    return -known if negative else known
