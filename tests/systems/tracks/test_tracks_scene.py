"""A fitted clip written and read back."""

import pytest
import torch
from made_footage import made_footage

from fieldscape.cameras import resize
from fieldscape.errors import BadInput
from fieldscape.scenes import read_scene
from fieldscape.systems.tracks import scene
from fieldscape.systems.tracks.config import Preset, TracksConfig
from fieldscape.systems.tracks.presets import parts_of

CPU = torch.device("cpu")


def written(folder, preset: Preset = "blend", mover: bool = True):
    config, footage = TracksConfig(preset=preset), made_footage(5, mover=mover)
    parts = parts_of(footage, config, 3, CPU)
    scene.write(folder, footage, parts, config)
    return footage, parts


@pytest.mark.parametrize("preset", ["blend", "neural", "original"])
def test_a_reloaded_scene_draws_the_same(tmp_path, preset):
    _, parts = written(tmp_path, preset)
    loaded = scene.rebuild(read_scene(tmp_path), CPU)
    camera = resize(loaded.start, 32, 24)
    mine, theirs = parts.look(camera, 0.17), loaded.render(camera, time=0.17)
    assert torch.equal(mine.color, theirs.color)
    assert torch.equal(mine.depth, theirs.depth)
    assert torch.equal(mine.alpha, theirs.alpha)


def test_time_is_a_control_and_what_is_known_is_told(tmp_path):
    footage, _ = written(tmp_path)
    files = read_scene(tmp_path)
    loaded = scene.rebuild(files, CPU)
    (control,) = loaded.controls
    assert (control.name, control.low) == ("time", 0.0)
    assert control.high == pytest.approx(0.4)
    assert control.default == pytest.approx(0.2)
    assert len(loaded.cameras) == 5
    assert loaded.framing.unbounded
    assert files.details["kind"] == "given"
    assert 0 < files.details["reach"] < 90
    with pytest.raises(BadInput, match="time goes from"):
        loaded.render(loaded.start, time=1.0)
    assert footage.layers == [0, 1]


def test_sheets_come_back_as_they_were():
    sheets = made_footage(4, mover=True).sheets
    again = scene.unpacked(scene.packed(sheets), 4)
    for mine, theirs in zip(sheets, again, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert (one.frame, one.layer) == (other.frame, other.layer)
            assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in scene.SHEET)


@pytest.mark.parametrize("harm", ["missing", "frame", "shape"])
def test_a_damaged_scene_is_refused(tmp_path, harm):
    written(tmp_path)
    files = read_scene(tmp_path)
    if harm == "missing":
        del files.tensors["world"]
    elif harm == "frame":
        files.tensors["sheets.which"][0, 0] = 99
    else:
        files.tensors["modules.blend.first"] = torch.zeros(2, 2)
    with pytest.raises(BadInput, match="damaged"):
        scene.rebuild(files, CPU)


def test_a_scene_knows_the_ways_of_its_clip(tmp_path):
    footage, _ = written(tmp_path)
    loaded = scene.rebuild(read_scene(tmp_path), CPU)
    assert tuple(loaded.ways) == ("clip", "stabilise", "freeze", "orbit", "spiral", "dolly", "zoom")
    clip = loaded.ways["clip"](9, 1.0)
    assert clip.note is None
    assert clip.controls["time"] == pytest.approx([0.05 * i for i in range(9)])
    assert torch.allclose(clip.cameras.pose[::2], footage.tracked.camera.pose, atol=1e-5)
    still = loaded.ways["freeze"](3, 1.0)
    assert still.controls["time"] == pytest.approx([0.2] * 3)
    far = loaded.ways["orbit"](3, 10.0)
    assert far.note is not None
    assert "degrees" in far.note
    for way in (clip, still, far):  # the times are within what the control may be
        loaded.render(resize(way.cameras[-1], 16, 12), time=way.controls["time"][-1])
