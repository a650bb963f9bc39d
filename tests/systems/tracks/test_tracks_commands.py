"""The commands of all systems on a clip's files: info, eval and render, and what they refuse."""

import json
from pathlib import Path

import pytest
from made_footage import made_tracked

from fieldscape import cli
from fieldscape.systems.tracks.bundle import write_bundle
from fieldscape.video import video_info


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A folder with a tracks file and a run of it, held out by the fit."""
    folder = tmp_path_factory.mktemp("fitted")
    write_bundle(folder / "clip.npz", made_tracked(7))
    command = ["tracks", "fit", str(folder / "clip.npz"), "--out", str(folder / "run"), "--steps", "2"]
    assert cli.run([*command, "--held-out", "3", "--quiet"]) == 0
    return folder


def test_info_tells_what_a_tracks_file_holds(fitted, capsys) -> None:
    assert cli.run(["info", str(fitted / "clip.npz")]) == 0
    said = capsys.readouterr().out
    assert "7 frames of" in said
    assert "fieldscape tracks fit" in said
    assert cli.run(["info", str(fitted / "run")]) == 0
    assert "--set time=" in capsys.readouterr().out


def test_eval_finds_what_the_fit_reported(fitted, tmp_path) -> None:
    before = json.loads((fitted / "run" / "report.json").read_text())
    arguments = [str(fitted / "run"), str(fitted / "clip.npz"), "--out", str(tmp_path / "seen"), "--quiet"]
    assert cli.run(["eval", *arguments]) == 0
    after = json.loads((fitted / "run" / "report.json").read_text())
    assert after == before
    assert len(list((tmp_path / "seen").glob("*.png"))) == before["held_out"] == 2


def test_eval_refuses_another_tracks_file(fitted, tmp_path, capsys) -> None:
    write_bundle(tmp_path / "other.npz", made_tracked(5))
    assert cli.run(["eval", str(fitted / "run"), str(tmp_path / "other.npz")]) == 2
    assert "was not made from" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["auto", "freeze", "stabilise", "orbit"])
def test_a_clip_renders_along_its_ways(fitted, tmp_path, path) -> None:
    out = tmp_path / "film.mp4"
    assert cli.run(["render", str(fitted / "run"), "--path", path, "--frames", "3", "--out", str(out), "--quiet"]) == 0
    assert video_info(out).frames == 3
