"""The command line as a user meets it: what it prints, what it refuses, and with which status."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape import cli
from fieldscape.errors import BadInput
from fieldscape.systems.nerf.config import MLP_PRESETS, VoxelConfig
from fieldscape.systems.nerf.options import FitOptions, NerfConfig, resolve, resumed
from fieldscape.systems.opening import open_scene
from fieldscape.video import video_info
from fieldscape.worlds.rooms.room import RoomSettings, write_room


@pytest.fixture(scope="session")
def room(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("worlds") / "room"
    write_room(folder, RoomSettings(14, 2, 40, 30), workers=1)
    return folder


@pytest.fixture(scope="session")
def fitted(room, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.run(["nerf", "fit", str(room), "--out", str(out), *QUICK]) == 0
    return out


QUICK = ["--iters", "60", "--n-rand", "4096", "--resolution", "32", "--quiet"]


def refused(capsys, *arguments: str) -> str:
    """What the command says on refusing; checks the status, and that there is one sentence and no traceback."""
    assert cli.run(list(arguments)) == 2
    said = capsys.readouterr().err
    assert said.startswith("fieldscape: ")
    assert "Traceback" not in said
    assert said.count("\n") <= 2
    return said


def test_a_fit_leaves_a_whole_run(fitted) -> None:
    report = json.loads((fitted / "report.json").read_text())
    assert {"psnr", "ssim", "views", "train_seconds", "peak_memory_mb", "device", "seed", "split"} <= set(report)
    assert report["views"] == 2
    assert report["psnr"] > 15
    assert report["depth_error"] < 0.6
    for name in ("run.json", "metrics.jsonl", "scene.json", "scene.safetensors", "sheet.png"):
        assert (fitted / name).exists()


def test_a_scene_needs_its_folder_alone(fitted, room, tmp_path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("scene.json", "scene.safetensors"):
        (moved / name).write_bytes((fitted / name).read_bytes())
    scene = open_scene(moved)
    seen = scene.render(scene.start)
    assert seen.color.shape == (30, 40, 3)
    again = open_scene(fitted).render(scene.start)
    assert torch.equal(seen.color, again.color)


def test_eval_agrees_with_the_report(fitted, room, capsys) -> None:
    before = json.loads((fitted / "report.json").read_text())
    assert cli.run(["eval", str(fitted), str(room), "--quiet"]) == 0
    assert f"PSNR {before['psnr']:.2f} dB" in capsys.readouterr().out
    after = json.loads((fitted / "report.json").read_text())
    assert after["psnr"] == pytest.approx(before["psnr"], abs=1e-4)
    assert after["train_seconds"] == before["train_seconds"]


@pytest.mark.parametrize("path", ["walk", "orbit", "turntable", "spiral", "dolly", "zoom", "interpolate"])
def test_every_path_renders(fitted, tmp_path, path) -> None:
    out = tmp_path / "film.mp4"
    assert cli.run(["render", str(fitted), "--path", path, "--out", str(out), "--frames", "3", "--quiet"]) == 0
    assert video_info(out).frames == 3


def test_a_still_with_depth_renders_at_the_size_asked_for(fitted, tmp_path) -> None:
    out = tmp_path / "still.png"
    arguments = ["--path", "still", "--width", "64", "--depth", "--out", str(out)]
    assert cli.run(["render", str(fitted), *arguments]) == 0
    assert Image.open(out).size == (128, 48)


def test_info_tells_runs_and_data_apart(fitted, room, tmp_path, capsys) -> None:
    assert cli.run(["info", str(fitted)]) == 0
    assert "a run of nerf" in capsys.readouterr().out
    drawn = tmp_path / "cameras.png"
    assert cli.run(["info", str(room), "--out", str(drawn)]) == 0
    said = capsys.readouterr().out
    assert "views: 16 of 40 x 30" in said
    assert Image.open(drawn).size[0] > 200


def test_the_mlp_fits_evaluates_and_renders(room, tmp_path) -> None:
    out = tmp_path / "run"
    tiny = ["--preset", "small", "--iters", "12", "--n-rand", "64", "--n-samples", "8", "--width", "16", "--depth", "2"]
    assert cli.run(["nerf", "fit", str(room), "--field", "mlp", "--out", str(out), *tiny, "--quiet"]) == 0
    assert json.loads((out / "report.json").read_text())["steps"] == 12
    assert cli.run(["render", str(out), "--path", "still", "--quiet"]) == 0


def test_the_familiar_flags_keep_working(room, tmp_path) -> None:
    out = tmp_path / "run"
    flags = ["--iters", "6", "--n-rand", "64", "--n-samples", "8", "--preview-every", "3", "--eval-every", "2"]
    assert cli.run(["nerf", "fit", str(room), "--field", "mlp", "--out", str(out), *flags, "--quiet"]) == 0
    assert sorted(p.name for p in (out / "previews").iterdir()) == ["step-000003.png", "step-000006.png"]


def test_mended_poses_stay_with_the_run(room, tmp_path) -> None:
    out = tmp_path / "run"
    assert cli.run(["nerf", "fit", str(room), "--out", str(out), *QUICK, "--refine-poses"]) == 0
    first = json.loads((out / "report.json").read_text())
    assert "fitted to the scene" in first["split"]
    assert cli.run(["eval", str(out), str(room), "--quiet"]) == 0
    again = json.loads((out / "report.json").read_text())
    assert again["psnr"] == pytest.approx(first["psnr"], abs=1e-3)
    assert again["split"] == first["split"]


def test_a_quality_sets_the_time_and_nothing_else_may() -> None:
    config = resolve(FitOptions(Path("x"), quality="draft")).voxels
    assert config is not None
    assert config.seconds == 10
    with pytest.raises(BadInput, match="--quality"):
        resolve(FitOptions(Path("x"), quality="draft", seconds=3.0))


def test_further_channels_end_in_the_scene(room, tmp_path) -> None:
    data = tmp_path / "room"
    data.mkdir()
    for name in ("images", "depth"):
        (data / name).mkdir()
        for path in (room / name).iterdir():
            (data / name / path.name).write_bytes(path.read_bytes())
    (data / "transforms.json").write_bytes((room / "transforms.json").read_bytes())
    (data / "maps").mkdir()
    for path in (data / "images").iterdir():
        color = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
        np.save(data / "maps" / f"{path.stem}.npy", 1 - color[..., :2])
    out = tmp_path / "run"
    assert cli.run(["nerf", "fit", str(data), "--channels", "2", "--out", str(out), *QUICK]) == 0
    scene = open_scene(out)
    seen = scene.render(scene.start)
    assert seen.extra is not None
    assert seen.extra.shape == (30, 40, 2)
    assert float((seen.extra - (1 - seen.color[..., :2])).abs().mean()) < 0.2


# --- Stopping and resuming ---


@pytest.mark.parametrize("field", ["voxels", "mlp"])
def test_sigterm_and_resume_equal_an_uninterrupted_run(room, tmp_path, field) -> None:
    small = ["--width", "32", "--depth", "3", "--n-samples", "16"] if field == "mlp" else ["--resolution", "24"]
    flags = ["--field", field, "--iters", "90", "--n-rand", "256", "--checkpoint-every", "20", "--quiet", *small]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(out: Path, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "fieldscape", "nerf", "fit", str(room), "--out", str(out), *flags, *more]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    whole, part = start(tmp_path / "whole"), start(tmp_path / "part")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "part").glob("checkpoint/step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    part.send_signal(signal.SIGTERM)
    said, errors = part.communicate(timeout=120)
    assert part.returncode == 0, errors
    assert whole.wait(timeout=120) == 0
    if "Stopped at step" in said:  # else it was done before the signal came: then there is nothing to go on with
        assert "--resume" in said
        rest = start(tmp_path / "part", "--resume")
        _, errors = rest.communicate(timeout=120)
        assert rest.returncode == 0, errors
    first, second = (safetensors.torch.load_file(tmp_path / name / "scene.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_resuming_with_other_options_is_refused(fitted, room, capsys) -> None:
    said = refused(capsys, "nerf", "fit", str(room), "--out", str(fitted), "--resume", "--resolution", "64")
    assert "resolution" in said
    assert "32" in said


def test_resuming_with_other_data_is_refused(fitted, tmp_path, capsys) -> None:
    write_room(tmp_path / "other", RoomSettings(6, 1, 40, 30, seed=3), workers=1)
    assert "is not what" in refused(capsys, "nerf", "fit", str(tmp_path / "other"), "--out", str(fitted), "--resume")


def test_a_finished_run_can_be_trained_longer(room, tmp_path) -> None:
    out = tmp_path / "run"
    assert cli.run(["nerf", "fit", str(room), "--out", str(out), *QUICK]) == 0
    assert cli.run(["nerf", "fit", str(room), "--out", str(out), "--resume", "--iters", "80", "--quiet"]) == 0
    assert json.loads((out / "report.json").read_text())["steps"] == 80


# --- Bad input ---


def test_nonsense_is_refused(capsys, fitted, room, tmp_path) -> None:
    assert "no command" in refused(capsys, "paint")
    assert "no folder or file" in refused(capsys, "nerf", "fit", str(tmp_path / "nothing"))
    assert "already holds a run" in refused(capsys, "nerf", "fit", str(room), "--out", str(fitted))
    assert "--n-samples belongs to --field mlp" in refused(capsys, "nerf", "fit", str(room), "--n-samples", "4")
    assert "--device" in refused(capsys, "nerf", "fit", str(room), "--device", "toaster")
    assert "--frames" in refused(capsys, "render", str(fitted), "--frames", "0")
    assert "--width" in refused(capsys, "render", str(fitted), "--width", "0")
    assert "run folder" in refused(capsys, "render", str(tmp_path / "nothing"))
    assert "holds no data" in refused(capsys, "info", str(tmp_path))
    assert "not empty" in refused(capsys, "make", "rooms", "--out", str(room))
    assert "--out" in refused(capsys, "nerf", "fit", str(room), "--resume")


def test_unknown_flags_exit_with_status_2(room) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.run(["nerf", "fit", str(room), "--no-such-flag"])
    assert caught.value.code == 2


def test_a_scene_of_a_newer_format_is_refused(fitted, tmp_path, capsys) -> None:
    for name in ("scene.json", "scene.safetensors"):
        (tmp_path / name).write_bytes((fitted / name).read_bytes())
    record = json.loads((tmp_path / "scene.json").read_text())
    (tmp_path / "scene.json").write_text(json.dumps({**record, "format": 99}))
    assert "newer" in refused(capsys, "render", str(tmp_path), "--path", "still")
    (tmp_path / "scene.json").write_text(json.dumps({**record, "details": {}}))
    assert "fit again" in refused(capsys, "render", str(tmp_path), "--path", "still").lower()
    (tmp_path / "scene.safetensors").write_bytes(b"\x00" * 40)
    assert "Cannot read" in refused(capsys, "render", str(tmp_path), "--path", "still")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"iters": 0, "field": "mlp"}, "--iters"),
        ({"seconds": float("nan")}, "--seconds"),
        ({"seconds": -1.0}, "--seconds"),
        ({"n_rand": -1}, "--n-rand"),
        ({"resolution": 5000}, "--resolution"),
        ({"preset": "tiny"}, "--preset"),
    ],
)
def test_bad_numbers_are_named(flags, said) -> None:
    with pytest.raises(BadInput, match=said):
        resolve(FitOptions(Path("x"), **flags))


def test_options_set_what_they_say() -> None:
    config = resolve(FitOptions(Path("x"), field="mlp", preset="nerf", iters=7, n_rand=9))
    assert config.mlp is not None
    assert (config.mlp.iters, config.mlp.n_rand) == (7, 9)
    assert config.mlp.n_importance == MLP_PRESETS["nerf"].n_importance
    assert resolve(FitOptions(Path("x"))).voxels == VoxelConfig()


def test_a_resumed_config_is_the_saved_one_with_a_new_end() -> None:
    saved = resolve(FitOptions(Path("x"), resolution=50, iters=10))
    assert isinstance(saved, NerfConfig)
    again = resumed(FitOptions(Path("x"), iters=20), saved, 0)
    assert again.voxels is not None
    assert (again.voxels.resolution, again.voxels.iters) == (50, 20)
    with pytest.raises(BadInput, match="seed"):
        resumed(FitOptions(Path("x"), seed=3), saved, 0)
