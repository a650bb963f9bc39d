"""Photos stored sideways: pixels and cameras turn together, and the world's up is what people saw as up."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from fieldscape import cameras
from fieldscape.data.upright import exif, quarter_turn, rotation_between, settled, turned_upright
from fieldscape.errors import BadInput
from fieldscape.types import Camera, Views


def camera(lens="brown"):
    eye = torch.tensor([[0.0, -3.0, 1.0], [2.0, -2.0, 1.5], [-2.0, -2.0, 0.5]])
    pose = cameras.look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    coefficients = {
        "pinhole": None,
        "brown": torch.tensor([0.1, -0.05, 0.01, -0.02, 0.03]).expand(3, 5),
        "fisheye": torch.tensor([0.1, -0.05, 0.01, 0.0]).expand(3, 4),
    }[lens]
    return Camera(pose, torch.tensor([[50.0, 55.0]] * 3), torch.tensor([[31.0, 18.0]] * 3), 60, 40, lens, coefficients)


def views():
    images = torch.arange(3 * 40 * 60 * 3).reshape(3, 40, 60, 3).remainder(251).to(torch.uint8)
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    return Views(camera(), images, ("a", "b", "c"), (), "", points=points, bounds=torch.tensor([[1.0, 5.0]] * 3))


@pytest.mark.parametrize("lens", ["pinhole", "brown", "fisheye"])
def test_a_quarter_turn_moves_every_point_as_the_pixels_move(lens):
    before, after = camera(lens)[0], quarter_turn(camera(lens))[0]
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    (x, y), (turned_x, turned_y) = (cameras.project(c, points)[0].unbind(-1) for c in (before, after))
    assert torch.allclose(turned_x, 40 - y, atol=1e-4)
    assert torch.allclose(turned_y, x, atol=1e-4)
    assert (after.width, after.height) == (40, 60)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pixels_and_rays_stay_together(orientation):
    before = views()
    after, left = turned_upright(before, [orientation] * 3)
    assert left == [1, 1, 1]
    rays = cameras.image_rays(before.camera[1]).directions.reshape(-1, 3)
    turned = cameras.image_rays(after.camera[1]).directions.reshape(-1, 3)
    for y, x in ((3, 7), (39, 59), (20, 0)):
        index = int((turned - rays[y * 60 + x]).norm(dim=-1).argmin())
        assert (turned[index] - rays[y * 60 + x]).norm() < 1e-4
        assert torch.equal(after.images[1].reshape(-1, 3)[index], before.images[1, y, x])


@pytest.mark.parametrize("orientation", [6, 8, 3])
def test_the_turn_is_the_one_that_shows_the_photo_upright(tmp_path, orientation):
    """Pillow's own upright form of the stored pixels is the judge."""
    from PIL import ImageOps

    before = views()
    tag = Image.Exif()
    tag[0x0112] = orientation
    picture = Image.fromarray(before.images[0].numpy())
    picture.save(tmp_path / "a.png", exif=tag)
    assert exif(tmp_path / "a.png")[0] == orientation
    shown = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    expected = torch.frombuffer(bytearray(shown.tobytes()), dtype=torch.uint8)
    after, _ = turned_upright(before, [orientation] * 3)
    assert torch.equal(after.images[0].flatten(), expected)


def test_photos_held_in_different_ways_are_left_and_still_tell_up():
    before = views()
    after, left = turned_upright(before, [1, 6, 1])
    assert after is before
    assert left == [1, 6, 1]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_up_is_what_people_saw_as_up(orientation):
    """Cameras that were rolled so that the stored photo needs turning: the world's up is found all the same."""
    upright = views()
    rolled = upright.camera
    for _ in range({1: 0, 3: 2, 6: 3, 8: 1}[orientation]):  # the opposite of what makes it upright
        rolled = quarter_turn(rolled)
    found = settled(Views(rolled, upright.images, upright.names, (), ""), [orientation, orientation, orientation])
    away = found.camera.position - found.camera.position.mean(0)
    true = upright.camera.position - upright.camera.position.mean(0)
    # Heights are along +z, as in the true world, up to the mean camera's tilt, which all worlds here share.
    reference = settled(Views(upright.camera, upright.images, upright.names, (), ""), [1, 1, 1]).camera.position
    assert torch.allclose(away[:, 2], (reference - reference.mean(0))[:, 2], atol=1e-5)
    assert torch.corrcoef(torch.stack([away[:, 2], true[:, 2]]))[0, 1] > 0


def test_settling_changes_the_world_and_nothing_that_is_seen():
    before, after = views(), settled(views(), [1, 1, 1])
    for i in range(3):
        pixels, z = cameras.project(before.camera[i], before.points)
        moved, far = cameras.project(after.camera[i], after.points)
        assert torch.allclose(pixels, moved, atol=1e-3)
        assert torch.allclose(far / z, after.bounds[i, 0] / before.bounds[i, 0], rtol=1e-4)
    assert float(after.camera.position.norm(dim=-1).mean()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(after.points.median(0).values, torch.zeros(3), atol=1e-5)


def test_rotations_between_directions():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=-1) for _ in range(2))
    b[0] = -a[0]
    b[1] = a[1]
    for x, y in zip(a, b):
        rotation = rotation_between(x, y)
        assert torch.allclose(rotation @ x, y, atol=1e-5)
        assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-5)
        assert float(torch.linalg.det(rotation)) == pytest.approx(1, abs=1e-5)


def test_exif_tells_settings_apart(tmp_path):
    tag = Image.Exif()
    tag[0x0110] = "Model"
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.jpg")
    Image.new("RGB", (4, 4)).save(tmp_path / "model.jpg", exif=tag)
    assert exif(tmp_path / "plain.jpg") == exif(tmp_path / "plain.jpg")
    assert exif(tmp_path / "plain.jpg")[1] != exif(tmp_path / "model.jpg")[1]
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(BadInput, match="header"):
        exif(tmp_path / "text.jpg")
