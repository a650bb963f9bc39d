"""Rendering along a scene's own ways: time goes on with the camera, unless it was asked to stand still."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.commands import render
from fieldscape.commands.options import RenderOptions
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.scenes import Control, Scene, Way
from fieldscape.types import Camera, Rendered
from fieldscape.video import read_video


def a_scene_that_brightens() -> Scene:
    """Grey as its time says; one camera path of its own, along which time goes from 0 to 1."""
    pose = look_at(torch.tensor([0.0, -2.0, 0.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(pose, torch.tensor([30.0, 30.0]), torch.tensor([16.0, 16.0]), 32, 32)

    def draw(camera: Camera, controls) -> Rendered:
        shape = (camera.height, camera.width)
        return Rendered(torch.full((*shape, 3), controls["time"]), torch.ones(*shape, 1), torch.ones(*shape, 1))

    def onward(frames: int, strength: float) -> Way:
        many = camera.map(lambda tensor: tensor.expand(frames, *tensor.shape))
        return Way(many, {"time": torch.linspace(0, 1, frames).tolist()}, "kept near the clip")

    low, high, up = -torch.ones(3), torch.ones(3), torch.tensor([0.0, 0.0, 1.0])
    around = camera.map(lambda tensor: tensor[None])
    framing = Framing(torch.zeros(3), low, high, 0.1, 10.0, up, unbounded=False)
    return Scene("made", draw, camera, around, framing, (Control("time", 0, 1, 0.5, "when"),), ways={"clip": onward})


@pytest.mark.parametrize(("asked", "shades"), [((), [0.0, 0.5, 1.0]), (("time=0.25",), [0.25, 0.25, 0.25])])
def test_time_goes_on_along_a_scenes_own_way(monkeypatch, tmp_path, capsys, asked, shades) -> None:
    monkeypatch.setattr(render, "open_scene", lambda *_: a_scene_that_brightens())
    out = tmp_path / "film.mp4"
    render.render(RenderOptions(Path("run"), out=out, frames=3, width=64, set=asked, device="cpu", quiet=True))
    seen = torch.stack(list(read_video(out))).float().mean((1, 2, 3)) / 255
    torch.testing.assert_close(seen, torch.tensor(shades), atol=0.02, rtol=0)
    said = capsys.readouterr()
    assert "clip, 64 x 64, 3 frames" in said.out
    assert "kept near the clip" in said.err


def test_ways_of_clips_are_for_scenes_that_have_them(monkeypatch) -> None:
    monkeypatch.setattr(render, "open_scene", lambda *_: replace(a_scene_that_brightens(), ways={}))
    with pytest.raises(BadInput, match="--path freeze is for scenes of clips, and this is one of made"):
        render.render(RenderOptions(Path("run"), path="freeze", device="cpu", quiet=True))
