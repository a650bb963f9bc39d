"""What a slot's numbers mean: there and back, and the order of the turns."""

from __future__ import annotations

import math

import pytest
import torch

from fieldscape.rotations import about
from fieldscape.systems.slots import codec


def draw(count: int, prototypes: int, generator: torch.Generator) -> codec.Slots:
    angles = torch.randn(count, 3, generator=generator) * torch.tensor([1.5, 0.05, 0.05])
    aspect = 0.1 * torch.randn(count, 3, generator=generator)
    return codec.Slots(
        scale=0.3 + torch.rand(count, 1, generator=generator),
        position=torch.randn(count, 3, generator=generator),
        angles=angles.clamp(-3.1, 3.1),
        logits=torch.randn(count, prototypes, generator=generator),
        existence=torch.randn(count, 1, generator=generator),
        aspect=aspect - aspect.mean(-1, keepdim=True),
    )


def test_the_slices_are_where_they_are_said_to_be() -> None:
    vecta = torch.arange(17.0)
    slots = codec.decode(vecta)
    assert codec.length(6) == 17
    assert slots.scale.tolist() == [0]
    assert slots.position.tolist() == [1, 2, 3]
    assert slots.angles.tolist() == [4, 5, 6]
    assert slots.logits.tolist() == [7, 8, 9, 10, 11, 12]
    assert slots.existence.tolist() == [13]
    assert slots.aspect.tolist() == [14, 15, 16]
    assert torch.equal(codec.encode(slots), vecta)


def test_too_short_a_row_holds_no_slot() -> None:
    with pytest.raises(ValueError, match="at least 12"):
        codec.decode(torch.zeros(2, 11))


def test_raw_numbers_mean_what_they_were_made_from() -> None:
    generator = torch.Generator().manual_seed(0)
    slots = draw(50, 4, generator)
    vecta = codec.encode(slots)
    ray = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    # An anchor in front of the middle, half an extent away, as the seen side of a thing is.
    extent = slots.scale * 1.1
    anchor = slots.position - 0.5 * extent * ray
    raw = codec.to_raw(vecta, anchor, extent, ray)
    assert raw.shape == (50, codec.raw_length(4))
    assert torch.allclose(codec.from_raw(raw, anchor, extent, ray), vecta, atol=2e-5)


def test_no_raw_number_leaves_what_was_observed() -> None:
    generator = torch.Generator().manual_seed(1)
    raw = 50 * torch.randn(200, codec.raw_length(3), generator=generator)
    anchor, extent = torch.randn(200, 3, generator=generator), torch.full((200, 1), 0.7)
    ray = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=-1)
    slots = codec.decode(codec.from_raw(raw, anchor, extent, ray))
    assert float((slots.position - anchor).norm(dim=-1).max()) <= 0.7 * (1 + 0.5 * 3**0.5) + 1e-5
    assert float(slots.scale.min()) > 0.3
    assert float(slots.scale.max()) < 1.6
    assert float(slots.angles[:, 1:].abs().max()) <= codec.TILT + 1e-6
    assert torch.allclose(slots.aspect.sum(-1), torch.zeros(200), atol=1e-5)


def test_turns_come_in_the_order_yaw_pitch_roll() -> None:
    angles = torch.randn(40, 3, generator=torch.Generator().manual_seed(2))
    x, y, z = torch.eye(3)
    product = about(y, angles[:, 0]) @ about(x, angles[:, 1]) @ about(z, angles[:, 2])
    assert torch.allclose(codec.rotation(angles), product, atol=1e-6)


def test_angles_of_a_turn_turn_the_same() -> None:
    angles = 2 * torch.randn(100, 3, generator=torch.Generator().manual_seed(3))
    angles[0, 1] = math.pi / 2
    turns = codec.rotation(angles)
    assert torch.allclose(codec.rotation(codec.angles_of(turns)), turns, atol=2e-3)
    assert torch.allclose(codec.rotation(codec.angles_of(turns[1:])), turns[1:], atol=1e-5)


def test_a_whole_turn_changes_no_mesh() -> None:
    slots = draw(5, 2, torch.Generator().manual_seed(4))
    shape = torch.randn(5, 20, 3, generator=torch.Generator().manual_seed(5))
    around = codec.Slots(
        slots.scale, slots.position, slots.angles + torch.tensor([2 * math.pi, 0, 0]), slots.logits, slots.existence,
        slots.aspect,
    )  # fmt: skip
    assert torch.allclose(codec.transformed(shape, slots), codec.transformed(shape, around), atol=1e-5)


def test_a_slot_moves_turns_and_sizes_a_shape() -> None:
    quarter = codec.Slots(
        *(torch.tensor([v]) for v in ([2.0], [1.0, 0, 0], [math.pi / 2, 0, 0], [0.0], [0.0], [0.0, 0, 0]))
    )
    moved = codec.transformed(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), quarter)
    # A quarter turn about y takes z to x.
    assert torch.allclose(moved, torch.tensor([[[3.0, 0, 0], [1.0, 2.0, 0]]]), atol=1e-6)
