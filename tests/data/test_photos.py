"""Poses of bare photos: found, kept, found again when damaged, and refused in plain words when there are none."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import subprocess
import sys

import corner
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape import cameras
from fieldscape.data import ReadOptions, photos, sfm_caller, sfm_process
from fieldscape.errors import BadInput

needs_pycolmap = pytest.mark.skipif(
    importlib.util.find_spec("pycolmap") is None, reason="pip install 'fieldscape[sfm]'"
)

COUNT = 8


def position_errors(views, true_positions):
    """Distances to the true camera positions after the best similarity, as shares of the path's extent."""
    found = views.camera.position
    scale, rotation, translation = cameras.similarity(found, true_positions)
    extent = torch.cdist(true_positions, true_positions).max()
    return (scale * found @ rotation.T + translation - true_positions).norm(dim=-1) / extent


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """Photos of the corner, their true poses, the views found, and the cache they were kept in."""
    folder = tmp_path_factory.mktemp("corner")
    true = corner.write(folder / "images", COUNT)
    cache = folder / "cache"
    views = photos.read(folder, ReadOptions(cache=cache), quiet=True)
    return folder, true, views, cache


@needs_pycolmap
def test_cameras_of_bare_photos_are_found(solved):
    _, true, views, _ = solved
    assert views.names == tuple(f"{i:02d}.png" for i in range(COUNT))
    assert position_errors(views, true[:, :3, 3]).max() < 0.005
    assert torch.allclose(views.camera.focal, torch.tensor(corner.FOCAL), rtol=0.02)
    scale, rotation, _ = cameras.similarity(views.camera.position, true[:, :3, 3])
    angle = (rotation @ views.camera.pose[:, :3, :3]).transpose(1, 2) @ true[:, :3, :3]
    assert ((angle.diagonal(dim1=1, dim2=2).sum(-1) - 1) / 2).min() > np.cos(np.radians(1.0))
    # The points lie on the walls: one coordinate is 0.
    on_walls = (scale * (views.points - views.camera.position[0]) @ rotation.T + true[0, :3, 3]).abs().amin(-1)
    assert len(views.points) > 100
    assert on_walls.median() < 0.01
    assert len(views.notes) == 1
    assert views.notes[0].startswith(f"placed {COUNT} of {COUNT} photos; mean reprojection error 0.")


@needs_pycolmap
def test_the_world_has_a_standard_place_size_and_up(solved):
    _, _, views, _ = solved
    assert torch.allclose(views.points.median(0).values, torch.zeros(3), atol=1e-5)
    assert float(views.camera.position.norm(dim=-1).mean()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(cameras.mean_up(views.camera), torch.tensor([0.0, 0.0, 1.0]), atol=1e-5)
    z = cameras.project(views.camera[0], views.points)[1]
    assert views.bounds[0, 0] >= z.min() - 1e-4
    assert views.bounds[0, 1] <= z.max() + 1e-4
    assert not views.metric


@needs_pycolmap
def test_a_second_reading_takes_what_was_kept(solved, monkeypatch):
    folder, _, views, cache = solved
    monkeypatch.setattr(photos, "run", None)  # calling it would fail
    again = photos.read(folder, ReadOptions(cache=cache), quiet=True)
    assert torch.equal(again.camera.pose, views.camera.pose)
    assert any("earlier run" in note for note in again.notes)
    assert sorted(path.name for path in cache.iterdir()) == ["model", "sfm.json", "sfm.log"]


@needs_pycolmap
@pytest.mark.parametrize("damage", ["truncated model", "no model", "no json", "other shape", "other photos"])
def test_a_damaged_cache_is_noticed(solved, tmp_path, monkeypatch, damage):
    folder, _, _, good = solved
    cache = shutil.copytree(good, tmp_path / "cache")
    if damage == "truncated model":
        content = (cache / "model" / "points3D.bin").read_bytes()
        (cache / "model" / "points3D.bin").write_bytes(content[: len(content) // 2])
    elif damage == "no model":
        shutil.rmtree(cache / "model")
    elif damage == "no json":
        (cache / "sfm.json").write_text("{")
    else:
        kept = json.loads((cache / "sfm.json").read_text())
        kept["found"] = [] if damage == "other shape" else {**kept["found"], "placed": ["00.png"]}
        (cache / "sfm.json").write_text(json.dumps(kept))

    def search(job, log, quiet):
        shutil.copytree(good / "model", job["out"], dirs_exist_ok=True)
        return json.loads((good / "sfm.json").read_text())["found"]

    monkeypatch.setattr(photos, "run", search)
    views = photos.read(folder, ReadOptions(cache=cache), quiet=True)
    assert len(views) == COUNT
    assert any("damaged and have been found anew" in note for note in views.notes)
    assert not any("damaged" in note for note in photos.read(folder, ReadOptions(cache=cache), quiet=True).notes)


@needs_pycolmap
def test_changed_photos_are_done_anew(solved, tmp_path, monkeypatch):
    folder, _, _, good = solved
    cache = shutil.copytree(good, tmp_path / "cache")
    other = shutil.copytree(folder / "images", tmp_path / "other")
    searched = []

    def search(job, log, quiet):
        searched.append(job)
        raise BadInput("searched")

    monkeypatch.setattr(photos, "run", search)
    with pytest.raises(BadInput, match="searched"):
        photos.read(other, ReadOptions(cache=cache), quiet=True)
    assert len(searched) == 1
    assert not list(cache.glob("work-*"))


@needs_pycolmap
def test_many_photos_are_compared_with_their_neighbours_only(solved, monkeypatch, tmp_path):
    folder, true, _, _ = solved
    monkeypatch.setattr(sfm_process, "ALL_PAIRS", 4)
    views = photos.read(folder, ReadOptions(cache=tmp_path), quiet=True)
    assert "Generating sequential image pairs" in (tmp_path / "sfm.log").read_text()
    assert position_errors(views, true[:, :3, 3]).max() < 0.005


@needs_pycolmap
def test_the_same_photos_give_the_same_cameras(solved, tmp_path):
    folder, _, views, _ = solved
    again = photos.read(folder, ReadOptions(cache=tmp_path / "cache"), quiet=True)
    assert torch.allclose(again.camera.pose, views.camera.pose, atol=1e-4)


@needs_pycolmap
def test_nothing_in_common_is_said_plainly(tmp_path):
    for i in range(4):
        Image.fromarray(corner.wallpaper(10 + i, 240)).save(tmp_path / f"{i}.png")
    with pytest.raises(BadInput, match=r"4 photos cannot be found: no two photos show the same"):
        photos.read(tmp_path, ReadOptions(), quiet=True)


@needs_pycolmap
def test_a_camera_that_only_turned_is_said_plainly(tmp_path):
    """Five narrow photos fit a flat scene as well, with another focal length: nothing in them tells the two apart."""
    corner.write_panorama(tmp_path)
    assert any("only turned" in note for note in photos.read(tmp_path, ReadOptions(), quiet=True).notes)


@needs_pycolmap
def test_blank_photos_are_said_plainly(tmp_path):
    for i in range(4):
        Image.new("RGB", (200, 150), (100, 100 + i, 90)).save(tmp_path / f"{i}.png")
    with pytest.raises(BadInput, match="too little detail"):
        photos.read(tmp_path, ReadOptions(), quiet=True)


@needs_pycolmap
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import os; os.abort()", "stopped with an error"),
        ("raise RuntimeError('inside')", "stopped with an error"),
        ('print(\'@fieldscape {"failure": "the reason"}\')', "the reason"),
    ],
)
def test_a_crash_of_native_code_is_a_sentence(tmp_path, monkeypatch, script, message):
    program = tmp_path / "crash.py"
    program.write_text(f"import sys; sys.stdin.readline(); {script}")
    monkeypatch.setattr(sfm_caller, "COMMAND", [sys.executable, str(program)])
    with pytest.raises(BadInput, match=message):
        photos.run({"names": ["a.png"]}, tmp_path / "log", quiet=True)


@needs_pycolmap
def test_too_few_or_identical_photos(tmp_path):
    for folder, count in (("one", 1), ("copies", 5)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.fromarray(corner.wallpaper(1, 64)).save(tmp_path / folder / f"{i}.png")
    with pytest.raises(BadInput, match="1 photo without poses"):
        photos.read(tmp_path / "one", ReadOptions(), quiet=True)
    with pytest.raises(BadInput, match="copies of one picture"):
        photos.read(tmp_path / "copies", ReadOptions(), quiet=True)


def test_the_process_loads_nothing_that_pycolmap_cannot_bear():
    """Pillow and pycolmap in one process corrupt memory: saving a PNG then aborts."""
    check = "import sys, fieldscape.data.sfm_process; print(sorted({'PIL', 'torch', 'cv2', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "[]\n"


def test_progress_lines_of_both_stages():
    lines = [
        "Processed file [2/9]\n",
        f'{sfm_process.EVENT}{{"stage": "matches", "total": 9}}\n',
        "Processing block [2/3, 1/3]",
    ]
    record = io.StringIO()
    assert sfm_caller._follow([*lines, f'{sfm_process.EVENT}{{"result": 1}}'], record.write, True) == {"result": 1}
    assert record.getvalue() == lines[0] + lines[2]


def test_without_pycolmap_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(photos.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'fieldscape\[sfm\]'"):
        photos.read(tmp_path, ReadOptions())


def test_old_pycolmap_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(photos.importlib.util, "find_spec", lambda name: "found")
    monkeypatch.setattr(photos.importlib.metadata, "version", lambda name: "3.11.1")
    with pytest.raises(BadInput, match=r"pycolmap 3\.11\.1 is too old"):
        photos.read(tmp_path, ReadOptions())


def found(**changed):
    usual = {
        "placed": ["a", "b"], "points": 3912, "error": 0.424, "parallax": 9.0, "agreed": 0.998, "groups": 1,
        "repairs": 0, "flat": False,
        "effort": sfm_process.USUAL.words, "tries": 1, "left_out": [], "seconds": 12.3,
    }  # fmt: skip
    return {**usual, **changed}


def test_reports_are_plain():
    assert photos.report(found(), 2) == [
        "placed 2 of 2 photos; mean reprojection error 0.42 px; 3,912 points; 99.8% of all matches agree; found in 12 s"
    ]
    said = photos.report(
        found(left_out=list("cdefghi"), repairs=1, flat=True, parallax=1.25, groups=2, effort=sfm_process.LAX.words), 9
    )
    expected = ("left out: c, d, e, f, g and 2 more", "tried again", "mended", "1.2 degrees", "only turned", "2 groups")
    for words in expected:
        assert any(words in line for line in said)


def test_real_photos_agree_with_laser_scanned_cameras(real_data, tmp_path):
    """Eleven photos of a fountain: all are placed, within 0.5 % of the path's extent."""
    if importlib.util.find_spec("pycolmap") is None:
        pytest.skip("pip install 'fieldscape[sfm]'")
    views = photos.read(real_data / "fountain" / "images", ReadOptions(cache=tmp_path), quiet=True)
    truth = json.loads((real_data / "fountain" / "cameras.json").read_text())
    assert len(views) == 11
    assert position_errors(views, torch.tensor([truth[name]["C_world"] for name in views.names])).max() < 0.005
