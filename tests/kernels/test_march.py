"""Samples along rays: where they lie, against ``voxels.distances``, and what of the grid is read at all."""

import numpy as np
import pytest
import torch

from fieldscape.framing import Framing
from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.grid import aligned
from fieldscape.kernels.march import MOST, Ray, Samples, _distance, basis, f32, lay, make_samples, see
from fieldscape.kernels.vectors import lane, steps, store
from fieldscape.types import Rays, Rendered
from fieldscape.voxels.bricks import Bricks, Workers, from_dense
from fieldscape.voxels.field import VoxelField, distances, march

WORKERS = Workers(1)


@compiled
def place_samples(grid, place, origins, directions, shift, t, delta, counts):
    """Distances [r, 16 groups, 16] of the samples on each ray, the lengths they stand for, and how many there are."""
    for i in range(origins.shape[0]):
        ray = Ray(origins[i, 0], origins[i, 1], origins[i, 2], directions[i, 0], directions[i, 1], directions[i, 2])
        path = lay(grid, place, ray, shift)
        counts[i] = path.steps
        group, groups = 0, t.shape[0] // origins.shape[0]
        while 16 * group < path.steps and group < groups:
            at_t, at_delta = _distance(place, path, steps() + f32(16 * group))
            store(t, i * groups + group, at_t)
            store(delta, i * groups + group, at_delta)
            group += 1


@compiled
def see_all(grid, place, origins, directions, samples, seen, visible):
    """Colour and alpha of each ray before black [r, 4], and its number of visible samples."""
    for i in range(origins.shape[0]):
        ray = Ray(origins[i, 0], origins[i, 1], origins[i, 2], directions[i, 0], directions[i, 1], directions[i, 2])
        count, color, stopped = see(grid, place, ray, lay(grid, place, ray, f32(0.5)), basis(ray), samples)
        seen[i, 0], seen[i, 1], seen[i, 2], seen[i, 3] = lane(color, 0), lane(color, 4), lane(color, 8), stopped
        visible[i] = count


def framing(unbounded: bool, half: tuple[float, float, float] = (1.0, 0.6, 0.8)) -> Framing:
    center = torch.tensor([0.2, 0.1, -0.3])
    side = torch.ones(3) if unbounded else torch.tensor(half)
    return Framing(center, center - side, center + side, 0.05, 500.0, torch.tensor([0.0, 0.0, 1.0]), unbounded)


def field(unbounded: bool, raw: float = 3.0, shape: tuple[int, int, int] = (21, 13, 17)) -> VoxelField:
    """Even fog of a colour that changes with the direction."""
    place = framing(unbounded)
    made = VoxelField(place.low, place.high, (21, 21, 21) if unbounded else shape, unbounded)
    made.density.data.fill_(raw)
    made.color.data.copy_(torch.linspace(-2, 2, 12).expand_as(made.color))
    return made


def rays(unbounded: bool, n: int = 200) -> Rays:
    """Rays from in and around the box; some of them miss it, and some run along the axes."""
    g, place = torch.Generator().manual_seed(0), framing(unbounded)
    origins = place.center + 3 * torch.randn(n, 3, generator=g) * torch.rand(n, 1, generator=g)
    directions = place.center + torch.rand(n, 3, generator=g) - 0.5 - origins
    directions[: n // 4] = torch.eye(3).repeat(n, 1)[: n // 4] * torch.tensor([[1.0], [-1.0]]).repeat(n, 1)[: n // 4]
    origins[: n // 8] = place.center + 0.37 - 2 * directions[: n // 8]
    directions[n // 4 : n // 3, 1] = 0
    return Rays(origins, directions / directions.norm(dim=-1, keepdim=True))


def seen_through(bricks: Bricks, along: Rays, samples: Samples | None = None) -> tuple[Rendered, np.ndarray]:
    seen, visible = np.empty((len(along.origins), 4), np.float32), np.empty(len(along.origins), np.int64)
    samples = make_samples() if samples is None else samples
    see_all(bricks.grid, bricks.place, along.origins.numpy(), along.directions.numpy(), samples, seen, visible)
    picture = torch.from_numpy(seen)
    return Rendered(picture[:, :3], torch.zeros(len(seen), 1), picture[:, 3:]), visible


@pytest.mark.parametrize("step", [0.5, 1.0])
@pytest.mark.parametrize("shift", [0.0, 0.5, 0.93])
@pytest.mark.parametrize("unbounded", [False, True])
def test_samples_lie_where_the_twin_puts_them(unbounded, shift, step, monkeypatch) -> None:
    fog, along = field(unbounded), rays(unbounded)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "rand", lambda *size, **options: torch.full(size, shift))
        expected = distances(along, fog, framing(unbounded), step, torch.Generator())
    bricks = from_dense(fog, framing(unbounded), step, WORKERS)
    groups, n = 16, len(along.origins)
    t, delta, counts = aligned(n * groups), aligned(n * groups), np.empty(n, np.int64)
    origins, directions = along.origins.numpy(), along.directions.numpy()
    place_samples(bricks.grid, bricks.place, origins, directions, f32(shift), t, delta, counts)
    assert counts.max() < 16 * groups
    missed = 0
    for i in range(n):
        found_t, found_delta = (values.reshape(n, -1)[i, : counts[i]] for values in (t, delta))
        truth_t, truth_delta = (values.expand(n, -1)[i].numpy() for values in expected)
        kept, truly_kept = found_delta > 0, truth_delta > 0
        missed += not truly_kept.any()
        # Rounding may put one more sample just before the end, or one less.
        common = min(int(kept.sum()), int(truly_kept.sum()))
        assert max(int(kept.sum()), int(truly_kept.sum())) <= common + 1
        near = slice(common - 3 if unbounded else common)  # the last reach so far out that rounding moves them
        assert np.allclose(found_t[kept][near], truth_t[truly_kept][near], rtol=2e-3, atol=1e-5)
        assert np.allclose(found_delta[kept][near], truth_delta[truly_kept][near], rtol=5e-3, atol=1e-5)
    if unbounded:
        assert missed == 0
    else:
        assert 10 < missed < n // 2


@pytest.mark.parametrize("unbounded", [False, True])
def test_fog_looks_as_the_twin_sees_it(unbounded) -> None:
    fog, along = field(unbounded, 1.0), rays(unbounded)
    with torch.no_grad():
        expected = march(fog, along, framing(unbounded), None)
    found, visible = seen_through(from_dense(fog, framing(unbounded), 1.0, WORKERS), along)
    assert float((found.color - expected.color).abs().max()) < 2e-3
    assert float((found.alpha - expected.alpha).abs().max()) < 2e-3
    assert visible.max() > 5
    if not unbounded:
        assert (visible == 0).any()


def drawn(fog: VoxelField, along: Rays) -> torch.Tensor:
    return seen_through(from_dense(fog, framing(False), 1.0, WORKERS), along)[0].color


def test_nothing_is_read_behind_what_stops_the_light() -> None:
    """Whatever stands behind a wall, the picture is the same to the last bit; seen from there it is another."""
    fog = field(False, -20.0)
    lattice = torch.meshgrid(torch.linspace(-0.5, 0.5, 9), torch.linspace(-0.7, 0.7, 9), indexing="ij")
    y, z = (axis.reshape(-1) for axis in lattice)
    origins = framing(False).center + torch.stack([torch.full_like(y, -3.0), y, z], -1)
    directions = torch.tensor([[1.0, 0.02, -0.01]]).expand_as(origins)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    front, back = Rays(origins, directions), Rays(origins + 6 * directions, -directions)
    fog.density.data.view(*fog.shape)[8:11] = 30
    seen, seen_from_behind = drawn(fog, front), drawn(fog, back)
    fog.density.data.view(*fog.shape)[13:] = 5
    fog.color.data.view(*fog.shape, 12)[13:] = 3
    assert torch.equal(drawn(fog, front), seen)
    assert float(seen.mean()) > 0.1
    assert float((drawn(fog, back) - seen_from_behind).abs().mean()) > 0.03


def test_nothing_is_read_in_cells_that_are_not_occupied() -> None:
    fog, along = field(False), rays(False)
    fog.occupied[:, :, 8:] = False
    seen = drawn(fog, along)
    fog.density.data.view(*fog.shape)[:, :, 9:] = 8
    fog.color.data.view(*fog.shape, 12)[:, :, 9:] = 3
    assert torch.equal(drawn(fog, along), seen)
    fog.occupied[:, :, 8:] = True
    assert float((drawn(fog, along) - seen).abs().mean()) > 0.05


def test_a_ray_through_endless_haze_stays_within_its_memory() -> None:
    """More samples than there is room for: the furthest are left out, and nothing is written beyond the rest."""
    place = framing(False, (0.05, 0.05, 6.0))
    haze = VoxelField(place.low, place.high, (5, 5, 481), False)
    haze.density.data.fill_(-4.0)
    bricks = from_dense(haze, place, 0.1, WORKERS)
    ordinary = make_samples()
    roomy = {name: aligned(len(array) + 16, array.dtype) for name, array in ordinary._asdict().items()}
    parts = {name: array[: len(getattr(ordinary, name))] for name, array in roomy.items()}
    for name, array in roomy.items():
        array[len(parts[name]) :] = 7
    origins = place.center + torch.tensor([[0.0, 0.0, -8.0], [0.01, 0.01, 8.0]])
    along = Rays(origins, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]))
    t, _ = distances(along, haze, place, 0.1, None)
    assert t.shape[1] > 2 * MOST
    found, _ = seen_through(bricks, along, Samples(**parts))
    for name, array in roomy.items():
        assert bool((array[len(parts[name]) :] == 7).all()), name
    assert parts["t"].any()
    assert bool(found.color.isfinite().all())
    assert not found.alpha.any()  # each sample is too faint to show
