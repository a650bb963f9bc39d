"""Fields of sines by kernels, held to numpy's sine, to plain layers of torch, and to finite differences."""

import numpy as np
import pytest
import torch

from fieldscape.kernels import sines
from fieldscape.kernels.sines import sine_field
from fieldscape.systems.gan.siren import SirenGenerator


def kernels_of(x, pull):
    """sin x and pull cos x by both kernels, of points of 16 channels, and the sum of the slopes. x, pull: [n, 16]."""
    n = len(x)
    sums, slopes, zero, total = (sines._room(*shape) for shape in ((n, 16), (n, 16), (16,), (16,)))
    sums[:], slopes[:], zero[:], total[:] = x, pull, 0, 0
    ahead, back = sines._room(n, 16), sines._room(n, 16)
    z, s, p, t = (tensor.numpy().reshape(-1, 16) for tensor in (sums, zero, slopes, total))
    sines.bend(z, s, ahead.numpy(), 1, n)
    sines.bend_back(z, s, p, t, back.numpy(), 1, n)
    return ahead.numpy(), back.numpy(), slopes.numpy(), total.numpy()


@pytest.mark.parametrize("reach", [1e-3, 1.0, 3.2, 100.0, 1e4, 1e6, 1e30])
def test_sines_and_slopes_are_those_of_double_precision(reach):
    chance = torch.Generator().manual_seed(0)
    x = (2 * torch.rand(3001, 16, generator=chance) - 1) * reach
    ahead, back, slopes, total = kernels_of(x, torch.ones(3001, 16))
    exact = x.double().numpy()
    assert np.abs(ahead - np.sin(exact)).max() < 1.5e-7
    assert np.array_equal(ahead, back)
    assert np.abs(slopes - np.cos(exact)).max() < 2.5e-7
    np.testing.assert_allclose(total, slopes.astype(np.float64).sum(0), rtol=5e-6, atol=2e-3)


def test_small_numbers_keep_all_their_digits():
    x = torch.logspace(-30, -1, 1600).reshape(100, 16)
    ahead, *_ = kernels_of(x, torch.ones(100, 16))
    np.testing.assert_allclose(ahead, np.sin(x.double().numpy()), rtol=2e-7)


def test_what_is_no_number_has_no_sine_and_spoils_no_other():
    x = torch.linspace(-8, 8, 48).reshape(3, 16).clone()
    x[1, 2], x[1, 5], x[2, 0], x[2, 7] = torch.nan, torch.inf, -torch.inf, 3e9
    for found, exact in zip(kernels_of(x, torch.ones(3, 16))[:3], (np.sin, np.sin, np.cos)):
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(found, exact(x.double().numpy()), atol=2.5e-7)


def arguments(n=2600, facing=3, width=32, depth=3, dtype=torch.float32):
    chance = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, generator=chance).to(dtype)

    sizes = [3, *[width] * (depth - 1), width + facing]
    layers = [(draw(width, size) * 2 / size**0.5, draw(width)) for size in sizes]
    return draw(n, 3), draw(n, facing), layers, draw(1, width), draw(3, width)


def plain(points, toward, layers, density, color):
    """``sine_field``, by torch. Its specification."""
    h = points
    for weight, shift in layers[:-1]:
        h = torch.sin(h @ weight.t() + shift)
    weight, shift = layers[-1]
    return h @ density.t(), torch.sin(torch.cat([toward, h], 1) @ weight.t() + shift) @ color.t()


def answers_and_gradients(function, inputs, dtype=torch.float32):
    points, toward, layers, density, color = inputs
    leaves = [points, toward, density, color, *(tensor for pair in layers for tensor in pair)]
    leaves = [leaf.to(dtype).clone().requires_grad_() for leaf in leaves]
    points, toward, density, color, *rest = leaves
    thick, seen = function(points, toward, list(zip(rest[0::2], rest[1::2])), density, color)
    ((thick * 0.7).sin().sum() + (seen * torch.tensor([1.0, -2.0, 0.3])).square().sum()).backward()
    return [thick.detach(), seen.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("facing", [0, 3])
@pytest.mark.parametrize("n", [0, 1, 511, 2600, 4096])
def test_answers_and_gradients_are_those_of_torch(n, facing):
    inputs = arguments(n, facing)
    ours, exact = answers_and_gradients(sine_field, inputs), answers_and_gradients(plain, inputs, torch.float64)
    for got, want in zip(ours, exact, strict=True):
        assert got.shape == want.shape
        if want.numel():
            assert float((got - want).abs().max()) < 2e-5 * max(float(want.abs().max()), 1.0)


def test_gradients_are_those_of_finite_differences():
    points, toward, layers, density, color = arguments(5, 3, 16, 2)
    weight = layers[1][0].clone().requires_grad_()
    asked = [layers[0], (weight, layers[1][1]), layers[2]]
    sum(part.sum() for part in sine_field(points, toward, asked, density, color)).backward()
    step, ends = torch.zeros_like(weight), []
    step[3, 5] = 1e-2
    for sign in (1, -1):
        moved = [layers[0], (layers[1][0] + sign * step, layers[1][1]), layers[2]]
        ends.append(sum(float(part.double().sum()) for part in sine_field(points, toward, moved, density, color)))
    assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(float(weight.grad[3, 5]), rel=1e-2, abs=1e-3)


def test_strided_inputs_are_read_as_they_are():
    points, toward, layers, density, color = arguments(600)
    turned = [(w.t().contiguous().t(), torch.stack([s, s], 1)[:, 0]) for w, s in layers]
    twice = points.repeat_interleave(2, 1)[:, ::2]
    for got, want in zip(
        sine_field(twice, toward, turned, density, color), plain(points, toward, layers, density, color)
    ):
        torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


def test_without_gradients_the_answers_are_the_same_and_nothing_is_kept():
    inputs = arguments(3000)
    inputs[3].requires_grad_()
    learned = sine_field(*inputs)
    with torch.no_grad():
        alone = sine_field(*inputs)
    assert any(kept.shape == (4, 3000, 32) for kept in learned[0].grad_fn.saved_tensors)
    assert alone[0].grad_fn is None
    assert all(torch.equal(one, other) for one, other in zip(learned, alone))


def test_no_number_of_threads_changes_a_bit():
    inputs = arguments(9000)
    points, toward, layers, density, color = inputs
    learned = [points, toward, density, color, *(tensor for pair in layers for tensor in pair)]
    for tensor in learned:
        tensor.requires_grad_()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            thick, seen = sine_field(*inputs)
            found.append([thick, seen, *torch.autograd.grad(thick.sum() + seen.square().sum(), learned)])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other))


def test_memory_is_used_again_only_once_nothing_needs_it():
    first = sines._room(100, 16)
    first[:] = 1
    at = first.data_ptr()
    other = sines._room(100, 16)
    other[:] = 2
    assert (first == 1).all()
    view = first[50:]
    del first
    assert sines._room(100, 16).data_ptr() != at
    assert (view == 1).all()
    del view
    assert sines._room(90, 16).data_ptr() == at


def test_second_derivatives_are_refused():
    points, toward, layers, density, color = arguments(10)
    points.requires_grad_()
    thick, _ = sine_field(points, toward, layers, density, color)
    with pytest.raises(RuntimeError, match="second derivatives"):
        torch.autograd.grad(thick.sum(), points, create_graph=True)


@pytest.mark.parametrize("wrong", ["double", "width", "shape"])
def test_other_tensors_are_refused(wrong):
    inputs = arguments(
        4, width=24 if wrong == "width" else 32, dtype=torch.float64 if wrong == "double" else torch.float32
    )
    if wrong == "shape":
        inputs[2][1] = (inputs[2][1][0][:, :-1], inputs[2][1][1])
    with pytest.raises(ValueError, match=r"float32|layers"):
        sine_field(*inputs)


@pytest.mark.parametrize("sheen", [False, True])
def test_a_generator_answers_as_it_does_in_double_precision(sheen):
    torch.manual_seed(0)
    single = SirenGenerator(torch.full((3,), -1.0), torch.full((3,), 1.0), None, 16, "3x64", sheen)
    double = SirenGenerator(torch.full((3,), -1.0), torch.full((3,), 1.0), None, 16, "3x64", sheen).double()
    double.load_state_dict(single.state_dict())
    z, points, toward = torch.randn(2, 16), torch.rand(2, 70, 5, 3) * 2 - 1, torch.randn(2, 70, 5, 3)
    for generator, dtype in ((single, torch.float32), (double, torch.float64)):
        field = generator.field(generator.mapping(z.to(dtype)))
        color, density = field(points.to(dtype), toward.to(dtype))
        ((color * torch.tensor([1.0, 2.0, 3.0])).sum() + density.square().sum()).backward()
        generator.answer = (color, density)
    for got, want in zip(single.answer, double.answer):
        torch.testing.assert_close(got.double(), want, atol=2e-4, rtol=1e-3)
    for (name, got), want in zip(single.named_parameters(), double.parameters()):
        assert float((got.grad - want.grad).abs().max()) < 2e-3 * float(want.grad.abs().max()), name
