"""What training compares with the photos is, to the last bit, what a picture shows.

Both kernels take ``march.see`` into themselves, and each is optimised as a whole; so the same source need not give the
same bits. Photos are black here and one channel at a time counts, so that the error which ``learn`` tells of a ray is
the square of the colour it saw. Its samples are shifted by half a step, as those of a picture are, by choosing the
random number that it draws.
"""

import math

import numpy as np
import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.framing import Framing
from fieldscape.kernels.learn import CAMERA_NUMBERS, Photos, Rates, learn
from fieldscape.kernels.lenses import lens_table, pose_table
from fieldscape.types import Camera
from fieldscape.voxels.bricks import Workers, from_dense
from fieldscape.voxels.field import VoxelField

f32 = np.float32
BITS = 2**64 - 1


def unscrambled(chance: int) -> int:
    """The number that ``learn.scrambled`` makes ``chance`` of: its steps undone in reverse order."""

    def unshift(x: int, by: int) -> int:
        out = x
        for _ in range(64 // by + 1):
            out = x ^ (out >> by)
        return out & BITS

    x = unshift(chance, 31)
    x = unshift(x * pow(0x94D049BB133111EB, -1, 2**64) & BITS, 27)
    return unshift(x * pow(0xBF58476D1CE4E5B9, -1, 2**64) & BITS, 30)


def seed_for(pixel: int, pixels: int) -> int:
    """The seed whose ray 0 goes through ``pixel``, its samples shifted by half a step; as a signed number."""
    chance = math.ceil(pixel * 2**32 / pixels) << 32 | 0x800000
    seed = unscrambled(chance)
    return seed - 2**64 if seed >= 2**63 else seed


@pytest.mark.parametrize("unbounded", [False, True])
def test_training_sees_what_the_picture_shows_to_the_last_bit(unbounded):
    low, high = -torch.ones(3), torch.ones(3)
    framing = Framing(torch.zeros(3), low, high, 0.05, 500.0, torch.tensor([0.0, 0.0, 1.0]), unbounded)
    field = VoxelField(low, high, (21, 21, 21), unbounded)
    generator = torch.Generator().manual_seed(3)
    field.density.data.copy_(2.5 * torch.randn(field.density.shape, generator=generator) + 1)
    field.color.data.copy_(2 * torch.randn(field.color.shape, generator=generator))
    bricks = from_dense(field, framing, 1.0, Workers(1))

    size = 9
    eye = torch.tensor([[1.9, -1.4, 0.8]]) if not unbounded else torch.tensor([[0.3, -0.2, 0.1]])
    pose = look_at(eye, torch.zeros(1, 3), torch.tensor([0.0, 0.1, 1.0]))
    camera = Camera(pose, torch.full((1, 2), 1.2 * size), torch.full((1, 2), size / 2), size, size)
    shown = bricks.picture(camera[0], torch.zeros(3)).color.numpy()
    assert shown.std() > 0.05  # something to compare

    still = Rates(f32(0), f32(0), f32(0), f32(0), f32(1), f32(0), False, False)
    pixels = np.zeros((1, size, size, 3), np.uint8)
    pool = np.arange(size * size, dtype=np.uint32)
    for channel in range(3):
        gains = np.zeros((1, 4), f32)
        gains[0, channel] = 1
        photos = Photos(pixels, np.zeros((0, 0, 0), np.uint8), pool, pose_table(camera), lens_table(camera), gains, 0)
        for pixel in range(size * size):
            told, turned = np.zeros(3), np.zeros((1, CAMERA_NUMBERS), f32)
            seed, samples = seed_for(pixel, size * size), bricks.workers.samples[0]
            learn(bricks.grid, bricks.place, photos, still, np.zeros(3, f32), seed, 0, 1, samples, told, turned)
            seen = shown.reshape(-1, 3)[pixel, channel]
            assert told[0] == f32(f32(seen * seen) * f32(1 / 3)), (pixel, channel)
