"""The blending network: its rule in closed form, its symmetry, its bounds."""

from dataclasses import replace

import pytest
import torch

from fieldscape.systems.tracks.blending import BRIGHTER, LEAST, MAPS, Blender, Stack, blend, described


def made(sources: int = 3, pixels: int = 50, mover: bool = False) -> Stack:
    chance = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=chance)

    return Stack(
        drawn(3, sources, pixels), drawn(sources, pixels), 1 + drawn(sources, pixels),
        (drawn(sources, pixels) > 0.8).float(), 0.5 + drawn(sources, pixels), 0.1 + drawn(sources, pixels),
        torch.arange(sources) - 1.0, mover,
    )  # fmt: skip


def learned(width: int = 8) -> Blender:
    chance = torch.Generator().manual_seed(0)
    blender = Blender(width, chance)
    with torch.no_grad():
        blender.last.copy_(torch.randn(blender.last.shape, generator=chance))
    return blender


def test_untrained_blends_two_equal_sources_by_the_power_of_their_distances():
    blender = Blender(8, torch.Generator().manual_seed(0))
    one = torch.ones(2, 1)
    stack = Stack(
        torch.tensor([[[0.0], [1.0]]]).expand(3, 2, 1), one, 2 * one, 0 * one, one, torch.tensor([[1.0], [2.0]]),
        torch.tensor([-1.0, 2.0]), False,
    )  # fmt: skip
    far = 2.0 ** -float(blender.near.detach())
    blended = blender(stack)
    assert float(blended.color[0, 0].detach()) == pytest.approx(far / (1 + far), abs=1e-5)
    assert float(blended.alpha[0]) == 1
    assert float(blended.depth[0]) == pytest.approx(2)


def test_what_lies_behind_another_source_hardly_counts():
    blender = Blender(8, torch.Generator().manual_seed(0))
    one = torch.ones(2, 1)
    stack = Stack(
        torch.tensor([[[0.0], [1.0]]]).expand(3, 2, 1), one, torch.tensor([[1.0], [2.0]]), 0 * one, one, one,
        torch.tensor([-1.0, 1.0]), False,
    )  # fmt: skip
    assert float(blender(stack).color.max()) < 1e-4


@pytest.mark.parametrize("mover", [False, True])
def test_order_of_sources_does_not_matter(mover):
    stack, blender = made(mover=mover), learned()
    turned = [2, 0, 1]
    maps = {name: getattr(stack, name)[..., turned, :] for name in MAPS}
    other = blender(replace(stack, late=stack.late[turned], **maps))
    mine = blender(stack)
    for name in ("color", "alpha", "depth", "contrast"):
        assert torch.allclose(getattr(mine, name), getattr(other, name), atol=1e-5), name


def test_a_source_that_shows_nothing_changes_nothing_however_much_was_learned():
    stack, blender = made(), learned()
    maps = {name: getattr(stack, name)[..., :2, :] for name in MAPS}
    alone = blender(replace(stack, late=stack.late[:2], **maps))
    alpha = stack.alpha.clone()
    alpha[2] = 0
    color = stack.color.clone()
    color[:, 2] = 7
    together = blender(replace(stack, alpha=alpha, color=color))
    assert torch.allclose(alone.color, together.color, atol=1e-5)
    assert torch.allclose(alone.alpha, together.alpha, atol=1e-5)


def test_colors_stay_within_their_sources_and_the_bounded_residual():
    stack, blender = made(), learned()
    with torch.no_grad():
        blender.last.mul_(100)
    blended = blender(stack)
    shown = torch.where(stack.alpha > LEAST, stack.color, torch.nan)
    low = shown.nan_to_num(9).amin(1) * (1 - BRIGHTER)
    high = shown.nan_to_num(-9).amax(1) * (1 + BRIGHTER)
    assert bool((blended.color >= low - 1e-5).all())
    assert bool((blended.color <= high + 1e-5).all())


def test_nothing_anywhere_is_finite_and_transparent():
    stack = made()
    empty = replace(stack, alpha=torch.zeros_like(stack.alpha), depth=torch.ones_like(stack.depth))
    blended = learned()(empty)
    assert float(blended.alpha.abs().max()) == 0
    assert all(bool(x.isfinite().all()) for x in (blended.color, blended.depth, blended.contrast))
    assert bool(described(empty, torch.zeros_like(empty.alpha)).isfinite().all())


def test_gradients_reach_every_parameter():
    blender = learned()
    blended = blender(made())
    (blended.color.square().sum() + blended.contrast.sum()).backward()
    for name, parameter in blender.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize(
    ("sources", "pixels", "mover", "width"),
    [(3, 50, False, 8), (5, 1000, True, 6), (1, 70, False, 16), (4, 1, True, 4)],
)
def test_the_kernel_blends_as_the_network_does(sources, pixels, mover, width):
    stack, blender = made(sources, pixels, mover), learned(width)
    with torch.no_grad():
        for parameter in (blender.first_bias, blender.second_bias):
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    stack.alpha[:, ::3] = 0
    stack.alpha[0, 1::5] = 0
    stack.depth[-1] *= 1.3
    with torch.no_grad():
        plain = blender(stack)
    quick = blend(blender, stack)
    for name in ("color", "alpha", "depth", "contrast"):
        assert torch.allclose(getattr(quick, name), getattr(plain, name), atol=2e-5), name


def test_the_kernel_says_the_same_on_any_number_of_threads():
    stack, blender, before = made(3, 3000), learned(), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(blend(blender, stack))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].color, found[1].color)
    assert torch.equal(found[0].contrast, found[1].contrast)
