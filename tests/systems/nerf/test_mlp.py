"""The network against itself written out in double precision, and the laws of placing and rendering it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fieldscape.systems.nerf import mlp
from fieldscape.systems.nerf.config import MLP_PRESETS, MlpConfig
from fieldscape.types import Rays

UNIT = mlp.Placement((0.0, 0.0, 0.0), 1.0, 2.0, 6.0, False)
SMALL = MlpConfig(depth=4, width=32, octaves=4, n_samples=16)


def make(config: MlpConfig = SMALL, placement: mlp.Placement = UNIT, seed: int = 0, bias: float = 0.5) -> mlp.NerfMlp:
    model = mlp.NerfMlp(config, placement)
    mlp.initialize(model, torch.Generator().manual_seed(seed), bias)
    return model


def random_rays(n: int, seed: int = 0) -> Rays:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.randn(n, 3, generator=generator)
    origins = 4 * origins / origins.norm(dim=-1, keepdim=True)
    directions = 0.5 * torch.randn(n, 3, generator=generator) - origins
    return Rays(origins, directions / directions.norm(dim=-1, keepdim=True))


def written_out(
    weights: dict[str, Tensor], point: Tensor, direction: Tensor, config: MlpConfig
) -> tuple[Tensor, Tensor]:
    """The dumb twin: one point, double precision, the paper's figure 7 line by line."""

    def encode(x: Tensor, octaves: int) -> Tensor:
        values = x.tolist()
        values += [math.sin(2**k * v) for k in range(octaves) for v in x.tolist()]
        values += [math.cos(2**k * v) for k in range(octaves) for v in x.tolist()]
        return torch.tensor(values, dtype=torch.float64)

    def linear(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"].double() @ x + weights[f"{name}.bias"].double()

    encoded = hidden = encode(point.double(), config.octaves)
    for i in range(config.depth):
        if i == config.depth // 2 + 1:
            hidden = torch.cat([hidden, encoded])
        hidden = linear(f"layers.{i}", hidden).clamp_min(0)
    density = linear("density", hidden).clamp_min(0)
    if config.view_octaves:
        feature = torch.cat([linear("color.feature", hidden), encode(direction.double(), config.view_octaves)])
        hidden = linear("color.hidden", feature).clamp_min(0)
    return 1 / (1 + torch.exp(-linear("color.out", hidden))), density[0]


@pytest.mark.parametrize("view_octaves", [0, 2])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_network_is_the_paper_written_out(depth: int, view_octaves: int) -> None:
    config = MlpConfig(depth=depth, width=24, octaves=3, view_octaves=view_octaves, channels=2)
    network = make(config, seed=depth).coarse
    generator = torch.Generator().manual_seed(1)
    points, directions = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    color, density = network(points, directions)
    for i in range(5):
        expected = written_out(network.state_dict(), points[i], directions[i], config)
        torch.testing.assert_close(color[i].double(), expected[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(density[i].double(), expected[1], rtol=1e-4, atol=1e-5)


def test_the_papers_network_has_the_papers_number_of_weights() -> None:
    network = make(MLP_PRESETS["nerf"]).coarse
    assert sum(p.numel() for p in network.parameters()) == 595_844


def test_bf16_agrees_with_float32_forward_and_backward() -> None:
    model = make(MlpConfig(n_samples=16, depth=8, width=64))
    rays, background = random_rays(64), torch.zeros(3)
    truth = torch.rand(64, 3, generator=torch.Generator().manual_seed(2))
    gradients, colors = [], []
    for bf16 in (False, True):
        model.zero_grad()
        picture = mlp.render_rays(model, rays, background, bf16)[-1]
        ((picture.color - truth) ** 2).mean().backward()
        colors.append(picture.color.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert colors[1].dtype == torch.float32
    assert not torch.equal(colors[0], colors[1]), "the bfloat16 path did not run"
    assert (colors[0] - colors[1]).abs().max() < 0.02
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99
    assert (gradients[0] - gradients[1]).norm() < 0.1 * gradients[0].norm()
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_gradients_of_parts_add_up_to_the_whole() -> None:
    model, rays = make(), random_rays(50)
    mlp.render_rays(model, rays, None)[-1].color.sum().backward()
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for start in range(0, 50, 16):
        mlp.render_rays(model, rays[start : start + 16], None)[-1].color.sum().backward()
    for a, b in zip(whole, (p.grad for p in model.parameters()), strict=True):
        assert b is not None
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_scaling_and_moving_the_world_with_its_placement_changes_no_picture() -> None:
    rays, shift = random_rays(20), torch.tensor([5.0, -3.0, 1.0])
    moved = mlp.Placement((5.0, -3.0, 1.0), 10.0, 20.0, 60.0, False)
    here, there = make(), make(placement=moved)
    one = mlp.render_rays(here, rays, torch.ones(3))[-1]
    two = mlp.render_rays(there, Rays(10 * rays.origins + shift, rays.directions), torch.ones(3))[-1]
    torch.testing.assert_close(one.color, two.color, rtol=0, atol=2e-5)
    torch.testing.assert_close(one.depth * 10, two.depth, rtol=1e-4, atol=1e-3)


def test_an_unbounded_scene_stays_finite_far_away() -> None:
    model = make(placement=mlp.Placement((0.0, 0.0, 0.0), 1.0, 0.01, 1e6, True))
    picture = mlp.render_rays(model, random_rays(9), None)[-1]
    assert bool(torch.isfinite(picture.color).all())
    color, density = model.field(model.best)(torch.tensor([[1e9, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    near_infinity, _ = model.field(model.best)(torch.tensor([[1e8, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(color, near_infinity, rtol=0, atol=1e-4)
    assert density.shape == (1,)


def test_only_the_directed_network_sees_the_direction() -> None:
    points, one = torch.rand(6, 3), torch.tensor([[1.0, 0.0, 0.0]]).expand(6, 3)
    two = torch.tensor([[0.0, 1.0, 0.0]]).expand(6, 3)
    plain = make().coarse
    assert torch.equal(plain(points, one)[0], plain(points, two)[0])
    directed = make(MlpConfig(depth=4, width=32, view_octaves=2)).coarse
    assert not torch.equal(directed(points, one)[0], directed(points, two)[0])
    assert torch.equal(directed(points, one)[1], directed(points, two)[1]), "density must not depend on the direction"


def test_further_channels_come_apart_from_the_colour() -> None:
    model = make(MlpConfig(depth=4, width=32, channels=5, n_samples=8))
    picture = mlp.render_rays(model, random_rays(7), torch.ones(3))[-1]
    assert picture.color.shape == (7, 3)
    assert picture.extra is not None
    assert picture.extra.shape == (7, 5)
    assert 0 <= picture.extra.min() <= picture.extra.max() <= 1


def test_empty_space_shows_the_background() -> None:
    background = torch.tensor([0.2, 0.4, 0.9])
    model = make(MlpConfig(depth=4, width=32, channels=1), bias=-1e4)
    picture = mlp.render_rays(model, random_rays(5), background)[-1]
    torch.testing.assert_close(picture.color, background.expand(5, 3))
    assert picture.alpha.abs().max() == 0
    assert picture.extra is not None
    assert picture.extra.abs().max() == 0


def test_coarse_to_fine_has_two_networks_and_both_learn() -> None:
    model = make(MlpConfig(depth=2, width=32, n_samples=8, n_importance=12))
    seen = mlp.render_rays(model, random_rays(10), None)
    assert len(seen) == 2
    assert model.best is model.fine
    sum(picture.color.sum() for picture in seen).backward()
    weights = [p for name, p in model.named_parameters() if "weight" in name]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in weights)


def test_the_fine_network_is_asked_where_the_coarse_one_stopped_light(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(MlpConfig(depth=2, width=32, n_samples=32, n_importance=32))
    asked: list[Tensor] = []

    def wall(network: mlp.TinyNeRF, *_: object) -> object:
        def field(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
            asked.append(points)
            return torch.ones_like(points), torch.where((points[..., 2] - 4.0).abs() < 0.2, 50.0, 0.0)

        return field

    monkeypatch.setattr(model, "field", wall)
    ray = Rays(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
    mlp.render_rays(model, ray, None)
    coarse, fine = (points[0, :, 2] for points in asked)
    assert len(coarse) == 32
    assert len(fine) == 64
    assert bool((fine.diff() >= 0).all())
    assert ((fine - 4).abs() < 0.4).sum() >= 30


def test_randomness_is_a_parameter() -> None:
    model, rays = make(), random_rays(12)
    still = mlp.render_rays(model, rays, None)[-1].color
    assert torch.equal(still, mlp.render_rays(model, rays, None, noise=1.0)[-1].color)

    def drawn(seed: int, noise: float) -> Tensor:
        return mlp.render_rays(model, rays, None, generator=torch.Generator().manual_seed(seed), noise=noise)[-1].color

    assert torch.equal(drawn(1, 1.0), drawn(1, 1.0))
    assert not torch.equal(drawn(1, 0.0), drawn(2, 0.0))
    assert not torch.equal(drawn(1, 0.0), drawn(1, 1.0))


def test_a_picture_in_pieces_is_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rays = make(MlpConfig(depth=2, width=32, n_samples=8, channels=2)), random_rays(35)
    whole = mlp.render_rays(model, rays, torch.ones(3))[-1]
    monkeypatch.setattr(mlp, "rays_at_once", lambda model, device: 4)
    pieces = mlp.render_picture(model, rays.reshape(5, 7), torch.ones(3))
    assert pieces.extra is not None
    assert whole.extra is not None
    for a, b in [(pieces.color, whole.color), (pieces.depth, whole.depth), (pieces.extra, whole.extra)]:
        torch.testing.assert_close(a, b.reshape(5, 7, -1), rtol=1e-5, atol=1e-6)
    assert not pieces.color.requires_grad


def test_initialization_is_drawn_from_the_generator_alone() -> None:
    one, two, other = make(seed=3), make(seed=3), make(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))
    assert not torch.equal(one.coarse.layers[0].weight, other.coarse.layers[0].weight)
    assert one.coarse.density.bias.item() == 0.5


def test_a_fresh_network_is_never_empty() -> None:
    """The published initialisation starts about half of all networks without density; ours must start none."""
    for seed in range(10):
        model = make(MlpConfig(), seed=seed, bias=0.1)
        with torch.no_grad():
            picture = mlp.render_rays(model, random_rays(30, seed), torch.zeros(3))[-1]
        assert picture.alpha.max() > 0.05
