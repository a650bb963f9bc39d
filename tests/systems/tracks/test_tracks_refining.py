"""Places and cameras moved: nothing at first, and toward where they ought to be."""

from dataclasses import replace

import pytest
import torch
from made_footage import SPEED, made_footage

from fieldscape.systems.tracks.config import RefineSettings
from fieldscape.systems.tracks.footage import Footage
from fieldscape.systems.tracks.refining import Moves, refine_loss, refined


def spoiled(sideways: float) -> Footage:
    """A small clip the camera of whose third frame is said to be ``sideways`` from where it was, in frames' steps."""
    footage = made_footage(5)
    pose = footage.tracked.camera.pose.clone()
    pose[2, 0, 3] += sideways * SPEED
    tracked = replace(footage.tracked, camera=replace(footage.tracked.camera, pose=pose))
    return replace(footage, tracked=tracked)


def test_at_first_nothing_moves():
    footage = made_footage(5, mover=True)
    same = refined(footage, Moves(footage.tracked, RefineSettings(vertices=True, poses=True)))
    assert torch.equal(same.tracked.world, footage.tracked.world)
    assert torch.allclose(same.tracked.camera.pose, footage.tracked.camera.pose, atol=1e-7)


def test_movers_stay_and_the_background_moves_by_pixels():
    footage = made_footage(5, mover=True)
    moves = Moves(footage.tracked, RefineSettings(vertices=True))
    with torch.no_grad():
        moves.whole[:, 0] = 1.0
    step = refined(footage, moves).tracked.world - footage.tracked.world
    layer = footage.tracked.points.layer
    assert float(step[:, layer == 1].abs().max()) == 0
    # The wall is 2 away, the focal length 40 pixels: a pixel is 0.05 wide there.
    assert torch.allclose(step[:, layer == 0, 0], torch.tensor(0.05), atol=1e-5)


def test_a_camera_said_to_be_elsewhere_is_moved_back():
    footage = spoiled(0.8)
    settings = RefineSettings(poses=True, tracks=0.0, smooth=0.0)
    moves = Moves(footage.tracked, settings)
    loss = refine_loss(footage, moves, settings)
    adam, chance = torch.optim.Adam([moves.poses], lr=0.05), torch.Generator().manual_seed(0)
    for _ in range(40):
        adam.zero_grad()
        loss(chance).backward()
        adam.step()

    def shift(of: Footage) -> float:
        """By how many pixels the middle of the wall is off in the third frame."""
        camera = of.tracked.camera[2]
        local = (torch.tensor([2 * SPEED, 0.0, 2.0]) - camera.position) @ camera.pose[:3, :3]
        return abs(float(local[0] / local[2])) * 40

    assert shift(footage) == pytest.approx(0.8, abs=0.01)
    assert shift(refined(footage, moves)) < 0.3


@pytest.mark.parametrize("which", ["vertices", "poses"])
def test_only_what_is_asked_for_learns(which):
    footage = made_footage(4)
    settings = RefineSettings(vertices=which == "vertices", poses=which == "poses")
    moves = Moves(footage.tracked, settings)
    refine_loss(footage, moves, settings)(torch.Generator().manual_seed(0)).backward()
    assert (moves.whole.grad is not None) == (which == "vertices")
    assert (moves.poses.grad is not None) == (which == "poses")
