"""Generators: what their fields can tell apart, how they start, and what a camera sees of them."""

import pytest
import torch

from fieldscape.systems.gan import generators
from fieldscape.systems.gan.config import PLANE_SIDES, GanConfig
from fieldscape.systems.gan.picture import Sampling, as_pictures, draw
from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, RoomPrior, scene_box, seen_points
from fieldscape.systems.gan.shape import inside_of
from fieldscape.systems.gan.siren import SirenGenerator, modulated
from fieldscape.systems.gan.triplane import TriplaneGenerator

LOW, HIGH = torch.tensor([-2.0, -3.0, -1.0]), torch.tensor([2.0, 3.0, 5.0])


def generator_of(kind: str) -> TriplaneGenerator | SirenGenerator:
    torch.manual_seed(0)
    if kind == "siren":
        return SirenGenerator(LOW, HIGH, None, 16, "3x64")
    return TriplaneGenerator(LOW, HIGH, None, 16, 8, PLANE_SIDES[16])


@pytest.mark.parametrize("kind", ["triplane", "siren"])
def test_every_pair_of_axes_matters_together(kind):
    """A field that never sees y and z together would be a sum of functions of the other pairs: its second difference
    in y and z would vanish."""
    generator = generator_of(kind).requires_grad_(False)
    field = generator.field(generator.mapping(torch.randn(1, 16)))
    place = LOW + (HIGH - LOW) * (0.2 + 0.5 * torch.rand(1, 200, 3))
    step = 0.12 * (HIGH - LOW)

    def asked(move):
        points = place + torch.tensor(move) * step
        return torch.logit(field(points, torch.zeros_like(points))[0].double())

    for one, other in ((0, 1), (0, 2), (1, 2)):
        a, b = [0.0] * 3, [0.0] * 3
        a[one], b[other] = 1.0, 1.0
        both = [x + y for x, y in zip(a, b)]
        mixed = asked(both) - asked(a) - asked(b) + asked([0.0] * 3)
        change = asked(both) - asked([0.0] * 3)
        assert float(mixed.abs().mean()) > 0.05 * float(change.abs().mean()), (one, other)


def test_planes_are_read_where_the_point_is_projected():
    """A plane that holds its own first coordinate answers with it, whatever the third axis says."""
    generator = generator_of("triplane")
    side = generator.side
    ramp = ((torch.arange(side) + 0.5) / side * 2 - 1).expand(side, side)
    planes = torch.zeros(1, 3, generator.features, side, side)
    for index, (first, _) in enumerate(((0, 1), (0, 2), (1, 2))):
        only = planes.clone()
        only[0, index] = ramp
        generator.tensors = lambda code, only=only: only  # type: ignore[method-assign]
        generator.decode = lambda feature: (feature[..., :3], feature[..., 0])  # type: ignore[method-assign]
        inner = -0.9 + 1.8 * torch.rand(1, 50, 3)
        points = LOW + (HIGH - LOW) * (inner + 1) / 2
        _, answer = generator.field(torch.zeros(1, 128))(points, torch.zeros_like(points))
        # Densities leave a field through a softplus.
        torch.testing.assert_close(answer, torch.nn.functional.softplus(inner[..., first]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["triplane", "siren"])
def test_scenes_of_a_batch_do_not_mix(kind):
    generator = generator_of(kind)
    code = generator.mapping(torch.randn(3, 16))
    points = LOW + (HIGH - LOW) * torch.rand(3, 4, 5, 3)
    color, density = generator.field(code)(points, torch.zeros_like(points))
    assert color.shape == (3, 4, 5, 3)
    assert density.shape == (3, 4, 5)
    assert bool((density >= 0).all())
    for index in range(3):
        alone = generator.field(code[index : index + 1])(points[index : index + 1], torch.zeros(1, 4, 5, 3))
        torch.testing.assert_close(alone[0][0], color[index], atol=1e-5, rtol=1e-4)


def test_modulating_the_weights_is_modulating_the_activations():
    layer = torch.nn.Linear(7, 5)
    frequency, phase, h = torch.randn(2, 5) * 10, torch.randn(2, 5), torch.randn(2, 11, 7)
    plain = torch.sin(frequency[:, None] * layer(h) + phase[:, None])
    torch.testing.assert_close(modulated(layer, frequency, phase, h), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("preset", ["3x64", "4x128", "8x256"])
def test_sines_neither_die_nor_wash_out_with_depth(preset):
    torch.manual_seed(0)
    generator = SirenGenerator(LOW, HIGH, None, 64, preset)
    code = generator.mapping(torch.randn(4, 64))
    frequency, phase = code.unflatten(1, (2, generator.depth + 1, generator.width)).unbind(1)
    h = 2 * torch.rand(4, 500, 3) - 1
    for i, layer in enumerate((generator.first, *generator.sines())):
        h = modulated(layer, 15 * frequency[:, i] + 30, phase[:, i], h)
        assert 0.5 < float(h.std()) < 0.8, i


@pytest.mark.parametrize(
    "prior",
    [RoomPrior(), RoomPrior(fov=(45.0, 75.0), yaw=20.0), OrbitPrior(), OrbitPrior((30.0, 30.0), 180.0, 40.0, True)],
)
def test_the_box_holds_what_other_cameras_see(prior):
    low, high = scene_box(prior, 0.4, 7.0)
    points = seen_points(prior, 0.4, 7.0, torch.Generator().manual_seed(7))
    inside = ((points >= low) & (points <= high)).all(-1)
    assert float(inside.float().mean()) > 0.995
    filled = points.amax(0) - points.amin(0)
    assert bool((filled > 0.5 * (high - low)).all())  # and is not much larger than that


def test_rooms_are_seen_from_different_places_and_labels_are_angles():
    camera, label = RoomPrior(shift=0.0).draw(500, 16, torch.Generator().manual_seed(0))
    assert float(camera.position.std(0)[0]) > 0.3  # it swings about a pivot: turning alone shows no depth
    pivot = torch.tensor([0.0, 0.0, RoomPrior().pivot])
    toward = torch.nn.functional.normalize(pivot - camera.position, dim=-1)
    torch.testing.assert_close(toward, camera.forward, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.atan2(camera.forward[:, 0], camera.forward[:, 2]), label[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.asin(-camera.forward[:, 1]), label[:, 1], atol=1e-5, rtol=0)


def test_given_poses_are_the_datas_own():
    poses = torch.eye(4).repeat(3, 1, 1)
    poses[:, 0, 3] = torch.tensor([1.0, 2.0, 4.0])
    given = GivenPoses(poses, torch.tensor([0.8, 0.9, 1.0]))
    camera, label = given.draw(20, 32, torch.Generator().manual_seed(0))
    assert label.shape == (20, given.labels)
    torch.testing.assert_close(label[:, 3], camera.position[:, 0] / 4)
    widths = {1.0: 0.8, 2.0: 0.9, 4.0: 1.0}
    for place, focal in zip(camera.position[:, 0].tolist(), camera.focal[:, 0].tolist()):
        assert focal / 32 == pytest.approx(widths[place])


@pytest.mark.parametrize("fine", [0, 64])
def test_a_wall_is_seen_at_its_distance(fine):
    """An opaque wall at z = 3: the closed form of depth along the ray is 3 / cos."""

    def wall(points, directions):
        hit = points[..., 2] > 3
        color = torch.where(hit[..., None], torch.tensor([1.0, 0.5, 0.0]), torch.zeros(3))
        return color, 1e4 * hit.float()

    camera, _ = RoomPrior(yaw=0.0, pitch=0.0, shift=0.0).draw(2, 8, torch.Generator().manual_seed(0))
    seen = draw(wall, camera, Sampling(0.4, 7.0, 256, fine))
    color, depth = as_pictures(seen)
    assert color.shape == (2, 3, 8, 8)
    torch.testing.assert_close(color[:, 0], torch.ones(2, 8, 8))
    place = (torch.arange(8) + 0.5 - 4) / camera.focal[0, 0]
    closed = 3 * (1 + place[None] ** 2 + place[:, None] ** 2).sqrt()
    assert float((depth[0, 0] - closed).abs().max()) < (0.06 if fine else 0.12)
    torch.testing.assert_close(seen.alpha, torch.ones_like(seen.alpha))


def test_pixels_are_those_of_the_whole_picture():
    generator = generator_of("triplane")
    field = generator.field(generator.mapping(torch.randn(2, 16)))
    camera, _ = RoomPrior().draw(2, 8, torch.Generator().manual_seed(0))
    whole = draw(field, camera, Sampling(0.4, 7.0, 12))
    some = draw(field, camera, Sampling(0.4, 7.0, 12), pixels=torch.tensor([[2.5, 1.5], [7.5, 7.5]]))
    torch.testing.assert_close(some.color, whole.color[:, [10, 63]], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["triplane", "siren"])
def test_a_room_starts_with_air_inside_and_walls_around(kind):
    torch.manual_seed(0)
    prior = RoomPrior()
    low, high = scene_box(prior, 0.8, 7.0)
    config = GanConfig(size=16, generator=kind, preset="3x64")
    generator = generators.generator_of(config, low, high, inside_of(prior))
    field = generator.field(generator.mapping(torch.randn(8, config.latent)))
    points = torch.tensor([[0.0, 0.0, 2.0], [0.0, 2.4, 2.0], [0.0, -2.4, 2.0], [-3.4, 0.0, 2.0], [0.0, 0.0, 5.8]])
    with torch.no_grad():
        _, density = field(points.expand(8, 5, 3), torch.zeros(8, 5, 3))
    assert bool((density[:, 1:].mean(0) > 10 * density[:, 0].mean()).all()), density.mean(0)


def test_walls_stand_behind_where_cameras_are():
    poses = torch.eye(4).repeat(11, 1, 1)
    poses[:, 0, 3] = torch.linspace(-2.0, 2.0, 11)
    inside = inside_of(GivenPoses(poses, torch.ones(11)))
    assert inside is not None
    torch.testing.assert_close(inside, torch.tensor([[-2.5, -0.9, -0.9], [2.5, 0.9, 0.9]]))
    assert inside_of(OrbitPrior()) is None
