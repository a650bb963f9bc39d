"""The nouns: batches, splits, compositing on a background."""

import pytest
import torch

from fieldscape.types import Camera, Rays, Views


def camera(n: int = 3) -> Camera:
    pose = torch.eye(4).repeat(n, 1, 1)
    pose[:, 0, 3] = torch.arange(float(n))
    return Camera(pose, torch.full((n, 2), 5.0), torch.full((n, 2), 2.0), 4, 4)


def views(images: torch.Tensor, **more) -> Views:
    n = len(images)
    return Views(camera(n), images, tuple(map(str, range(n))), (1,), "by hand", **more)


def test_a_batch_of_cameras_is_indexed_as_a_tensor_is() -> None:
    batch = camera()
    assert len(batch) == 3
    assert batch[2].position.tolist() == [2, 0, 0]
    assert len(batch[1:]) == 2
    assert batch[torch.tensor([2, 0])].position[0].tolist() == [2, 0, 0]
    with pytest.raises(TypeError, match="no length"):
        len(batch[0])


def test_a_lens_takes_its_own_number_of_coefficients() -> None:
    plain = camera(1)[0]
    with pytest.raises(ValueError, match="brown camera takes 5"):
        Camera(plain.pose, plain.focal, plain.center, 4, 4, "brown", torch.zeros(4))
    with pytest.raises(ValueError, match="pinhole camera takes 0"):
        Camera(plain.pose, plain.focal, plain.center, 4, 4, "pinhole", torch.zeros(1))


def test_a_camera_looks_along_z_and_stands_where_its_pose_says() -> None:
    assert camera()[1].forward.tolist() == [0, 0, 1]
    assert camera()[1].position.tolist() == [1, 0, 0]


def test_points_along_rays() -> None:
    rays = Rays(torch.zeros(2, 3), torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    assert rays.at(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))[1, 1].tolist() == [4, 0, 0]
    assert rays[1].directions.tolist() == [1, 0, 0]


def test_what_is_not_held_out_is_learned_from() -> None:
    assert views(torch.zeros(3, 4, 4, 3)).train == [0, 2]


def test_transparent_photos_are_composited_on_their_background() -> None:
    images = torch.zeros(2, 4, 4, 4, dtype=torch.uint8)
    images[..., 0], images[..., 3] = 255, 51  # red, one fifth opaque
    on_white = views(images, background=(1.0, 1.0, 1.0)).color(0)
    assert on_white[0, 0].tolist() == pytest.approx([1, 0.8, 0.8], abs=1e-6)
    assert views(images).color(0)[0, 0].tolist() == pytest.approx([0.2, 0, 0], abs=1e-6)


def test_opaque_photos_stay_as_they_are() -> None:
    images = torch.rand(2, 4, 4, 3)
    assert torch.equal(views(images, background=(1.0, 1.0, 1.0)).color([0, 1]), images)
