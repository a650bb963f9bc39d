"""Stacks of photos: reduction by area, alpha, memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fieldscape import images
from fieldscape.data import photostack
from fieldscape.errors import BadInput


def overlap_mean(image: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """The specification of the area average: every old pixel counts by the area it shares with the new one."""

    def shares(old: int, new: int) -> torch.Tensor:
        made = torch.zeros(new, old, dtype=torch.float64)
        for i in range(new):
            for j in range(old):
                made[i, j] = max(0.0, min((i + 1) * old / new, j + 1) - max(i * old / new, j)) * new / old
        return made

    down, across = shares(image.shape[0], height), shares(image.shape[1], width)
    return torch.einsum("ah,bw,hwc->abc", down, across, image.double())


sizes = st.integers(1, 12)


@given(h=sizes, w=sizes, c=st.integers(1, 7), factor=st.floats(1, 5), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_area_mean_equals_its_specification(h, w, c, factor, seed):
    image = torch.rand(h, w, c, generator=torch.Generator().manual_seed(seed))
    width, height = photostack.reduced_size(w, h, factor)
    small = photostack.area_mean(image, width, height)
    assert torch.allclose(small.double(), overlap_mean(image, width, height), atol=1e-5)
    assert torch.allclose(small.mean((0, 1)), image.mean((0, 1)), atol=1e-5)


def test_colour_is_weighted_by_alpha():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(8, 8, 4, generator=generator)
    image[..., 3] = (image[..., 3] > 0.5).float()
    small = photostack.shrink(image, 4, 4)
    premultiplied = torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], -1)
    mean = overlap_mean(premultiplied, 4, 4).float()
    assert torch.allclose(small[..., :3] * small[..., 3:], mean[..., :3], atol=1e-6)
    assert torch.allclose(small[..., 3], mean[..., 3], atol=1e-6)
    # Changing what nobody sees changes nothing.
    noise = torch.rand(8, 8, 4, generator=generator) * torch.tensor([1, 1, 1, 0])
    other = torch.where(image[..., 3:] == 0, noise, image)
    assert torch.equal(photostack.shrink(other, 4, 4), small)


def save(folder, name, array):
    Image.fromarray(array).save(folder / name)
    return folder / name


def test_grey_colour_and_alpha_in_one_stack(tmp_path):
    rng = np.random.default_rng(0)
    grey, color, clear = (rng.integers(0, 255, (6, 8, *c), dtype=np.uint8) for c in ((), (3,), (4,)))
    opaque = clear.copy()
    opaque[..., 3] = 255
    paths = [save(tmp_path, f"{i}.png", a) for i, a in enumerate((grey, color, opaque))]
    stack = photostack.load(paths)
    assert stack.shape == (3, 6, 8, 3)
    np.testing.assert_array_equal(stack[0].numpy(), np.repeat(grey[..., None], 3, -1))
    np.testing.assert_array_equal(stack[1].numpy(), color)
    np.testing.assert_array_equal(stack[2].numpy(), opaque[..., :3])
    stack = photostack.load([*paths, save(tmp_path, "3.png", clear)])
    assert stack.shape == (4, 6, 8, 4)
    assert stack.dtype == torch.uint8
    assert bool((stack[:3, ..., 3] == 255).all())
    np.testing.assert_array_equal(stack[3].numpy(), clear)


def test_memory_is_reckoned_before_anything_is_decoded(tmp_path, monkeypatch):
    path = save(tmp_path, "0.png", np.zeros((60, 80, 3), np.uint8))
    monkeypatch.setattr(photostack, "free_memory", lambda: 100_000)

    def decode(path):
        raise AssertionError("a pixel was decoded")

    monkeypatch.setattr(images, "read_image", decode)
    with pytest.raises(BadInput, match="--downscale") as caught:
        photostack.load([path] * 20)
    assert "2.6 times" in str(caught.value)  # 20 x 4800 x 4 bytes in 60,000: sqrt(6.4) = 2.53
    monkeypatch.undo()
    monkeypatch.setattr(photostack, "free_memory", lambda: 100_000)
    assert photostack.load([path] * 20, 2.6).shape == (20, 23, 31, 3)


def test_free_memory_is_of_this_machine():
    assert 2**26 < photostack.free_memory() < 2**50


def test_only_photos_are_listed(tmp_path):
    for name in ("b.JPG", "a.png", ".hidden.png", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [p.name for p in photostack.photo_files(tmp_path)] == ["a.png", "b.JPG"]
    assert photostack.photo_files(tmp_path / "missing") == []
