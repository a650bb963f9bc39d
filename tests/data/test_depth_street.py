"""What ``fieldscape make street`` writes in five layouts is read back as it was drawn: depth, cameras, labels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldscape.cli import run
from fieldscape.data.depth.agreement import disagreement
from fieldscape.data.depth.opening import open_depth, recognise
from fieldscape.errors import BadInput
from fieldscape.worlds.layouts.clip import DOWN
from fieldscape.worlds.street.make import frames as drawn
from fieldscape.worlds.street.make import settings_of
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.record import clip_of
from fieldscape.worlds.street.scenes import draw_scene

QUANTUM = {
    "fieldscape": 0.001,
    "synthia-seqs": 0.01,
    "synthia-sf": 1000 / (2**24 - 1),
    "synthia-al": 5000 / (2**24 - 1),
    "vkitti2": 0.01,
}
POSED = ("fieldscape", "synthia-seqs", "vkitti2")
WIDTH, HEIGHT, COUNT = 64, 48, 3


def options(layout: str, out: Path) -> MakeStreetOptions:
    # A split with noise, so that missing pixels are there too.
    split = "noise" if layout == "fieldscape" else "contact"
    return MakeStreetOptions(
        out=out, videos=2, frames=COUNT, width=WIDTH, height=HEIGHT, split=split, camera="dolly", walls=True, seed=3,
        layout=layout, color=False, shapes="simple",
    )  # fmt: skip


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    home = tmp_path_factory.mktemp("street")

    @cache
    def made(layout: str) -> Path:
        asked = options(layout, home / layout)
        words = ["make", "street", "--out", str(asked.out), "--videos", "2", "--frames", str(COUNT), "--walls"]
        words += ["--width", str(WIDTH), "--height", str(HEIGHT), "--split", asked.split, "--camera", "dolly"]
        assert (
            run(
                [
                    *words,
                    "--seed",
                    "3",
                    "--layout",
                    layout,
                    "--workers",
                    "1",
                    "--shapes",
                    "simple",
                    "--quiet",
                    *([] if asked.color else ["--no-color"]),
                ]
            )
            == 0
        )
        return asked.out

    return made


@cache
def truth(layout: str, index: int):
    settings = settings_of(options(layout, Path("unused")))
    scene = draw_scene(settings.scenes, index)
    return clip_of(scene, False), list(drawn(scene, settings))


@pytest.mark.parametrize("layout", QUANTUM)
def test_depth_camera_and_labels_are_those_drawn(layout, worlds) -> None:
    frames = open_depth(worlds(layout))
    assert (frames.layout, len(frames), len(frames.sequences)) == (layout, 2 * COUNT, 2)
    clip, pictures = truth(layout, 1)
    for k in range(COUNT):
        got, frame = frames[COUNT + k], pictures[k]
        sky, missing = np.isposinf(frame.depth), np.isnan(frame.depth)
        assert (got.sky.numpy() == sky).all()
        assert (got.valid.numpy() == ~(sky | missing)).all()
        assert (got.depth[~got.valid] == 0).all()
        known = got.valid.numpy()
        error = np.abs(got.depth.numpy() - frame.depth)[known]
        # Half a step, and float32's own rounding at tens of metres.
        assert error.max() <= 0.5 * QUANTUM[layout] + 5e-6
        torch.testing.assert_close(got.camera.focal, torch.full((2,), clip.focal).float(), rtol=1e-5, atol=0)
        assert got.camera.center.tolist() == pytest.approx([WIDTH / 2, HEIGHT / 2])
        assert (got.instances.numpy() == frame.instance).all()
        assert got.time == pytest.approx(clip.times[k] - (0 if layout == "fieldscape" else clip.times[0]), abs=1e-6)
        if frame.color is not None:
            assert (got.color.numpy() == frame.color).all()
        assert got.posed == (layout in POSED)


def test_missing_pixels_are_there_and_unknown(worlds) -> None:
    got = open_depth(worlds("fieldscape"))[0]
    assert (~got.valid & ~got.sky).any()


def test_classes_tell_ground_wall_and_sky(worlds) -> None:
    ground = {"fieldscape": 1, "synthia-seqs": 3, "synthia-sf": 1, "synthia-al": 3, "vkitti2": 3}
    for layout, number in ground.items():
        got, (_, pictures) = open_depth(worlds(layout))[COUNT], truth(layout, 1)
        assert ((got.classes == number).numpy() == ((pictures[0].part == 1) & (pictures[0].instance == 0))).all()


@pytest.mark.parametrize("layout", POSED)
def test_poses_are_those_of_the_cameras_in_the_formats_axes(layout, worlds) -> None:
    clip, _ = truth(layout, 1)
    axes = {"fieldscape": np.eye(3), "vkitti2": DOWN, "synthia-seqs": np.diag([1, -1, -1]) @ DOWN}[layout]
    frames = open_depth(worlds(layout))
    for k in range(COUNT):
        expected = torch.from_numpy(axes @ clip.poses[k][:3]).float()
        torch.testing.assert_close(frames[COUNT + k].camera.pose[:3], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", POSED)
def test_still_points_agree_between_frames_(layout, worlds) -> None:
    frames = open_depth(worlds(layout))
    one, other = frames[0], frames[2]
    still = one.instances == 0
    noise = 0.1 if options(layout, Path()).split == "noise" else 0.0
    good = disagreement(one, other, still)
    assert good is not None
    assert float(good.median()) < QUANTUM[layout] + noise


def test_seqs_poses_are_understood_either_way_round(worlds, tmp_path) -> None:
    root = copied(worlds("synthia-seqs"), tmp_path)
    right = open_depth(root)
    before = right[2].camera.pose
    assert "poses taken as camera to world" in right.notes[-1]
    for path in root.glob("*/CameraParams/*/*/*.txt"):
        matrix = np.linalg.inv(np.array(path.read_text().split(), float).reshape(4, 4).T)
        path.write_text(" ".join(f"{value:.17g}" for value in matrix.T.reshape(-1)))
    inverse = open_depth(root)
    assert "poses taken as world to camera" in inverse.notes[-1]
    torch.testing.assert_close(inverse[2].camera.pose, before, rtol=0, atol=1e-5)


def test_seqs_poses_that_fit_neither_way_are_refused(worlds, tmp_path) -> None:
    root = copied(worlds("synthia-seqs"), tmp_path)
    for k, path in enumerate(sorted(root.glob("*/CameraParams/*/*/*.txt"))):
        matrix = np.eye(4)
        matrix[:3, 3] = [0, 2.0 * k, 1.0 * k * k]
        path.write_text(" ".join(map(str, matrix.T.reshape(-1))))
    with pytest.raises(BadInput, match="do not fit its depth"):
        open_depth(root)


def copied(source: Path, home: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, home / "copy"))


@pytest.mark.parametrize("layout", QUANTUM)
def test_one_sequence_alone_is_recognised_as_well(layout, worlds) -> None:
    root = worlds(layout)
    inner = {
        "fieldscape": "videos/000001",
        "synthia-seqs": "SYNTHIA-SEQS-02-SPRING",
        "synthia-sf": "SEQ2",
        "synthia-al": "train/street/01-01-2020_00-01-00",
        "vkitti2": ".",
    }[layout]
    assert recognise(root / inner) == layout
    alone = open_depth(root / inner, color=False)
    torch.testing.assert_close(alone[-1].depth, open_depth(root)[-1].depth)
    assert alone[0].color is None


def test_frames_are_read_when_asked_for_and_by_index(worlds) -> None:
    frames = open_depth(worlds("synthia-sf"))
    assert [one.name for one in (frames[0], frames[-1])] == ["SEQ1/Left/0000000", "SEQ2/Left/0000002"]
    assert frames.neighbours() == [(0, 1), (1, 2), (3, 4), (4, 5)]
    with pytest.raises(IndexError):
        frames[2 * COUNT]
    assert len(list(frames)) == 2 * COUNT


@pytest.mark.parametrize("layout", QUANTUM)
def test_info_tells_what_there_is(layout, worlds, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["info", str(worlds(layout))]) == 0
    said = capsys.readouterr().out
    assert f"layout: {layout}" in said
    assert f"frames: 6 of {WIDTH} x {HEIGHT} pixels, in 2 sequences" in said
    assert "ok      depth is in metres" in said
    assert "ok      it is depth and not disparity" in said
    assert "ok      ground: in 6 of 6 frames" in said
    assert ("ok      poses fit the depth" in said) == (layout in POSED)
    assert "#####" in said


def test_the_ground_is_as_far_below_as_the_camera_is_high(worlds) -> None:
    from fieldscape.data.depth.summary import ground

    clip, _ = truth("vkitti2", 1)
    plane = ground(open_depth(worlds("vkitti2"))[COUNT])
    assert -plane.offset == pytest.approx(clip.poses[0][2, 3], abs=0.02)
    up = torch.from_numpy(clip.poses[0][2, :3]).float()  # the world's z in camera axes
    assert float(plane.normal @ up) > 0.9999


def test_a_video_that_lost_a_frame_or_its_size_is_refused(worlds, tmp_path) -> None:
    root = copied(worlds("fieldscape"), tmp_path)
    (root / "videos/000000/instance/000001.png").unlink()
    assert any("2 instance; those without instance: 000001" in note for note in open_depth(root).notes)
    text = (root / "videos/000000/video.json").read_text()
    (root / "videos/000000/video.json").write_text(text.replace(f'"width": {WIDTH}', f'"width": {2 * WIDTH}'))
    with pytest.raises(BadInput, match="intrinsics do not fit"):
        open_depth(root)
    (root / "videos/000000/video.json").write_text(text)
    (root / "videos/000000/depth/000001.png").unlink()
    with pytest.raises(BadInput, match=r"3 poses and 3 times, but .* holds 2"):
        open_depth(root)


@pytest.mark.parametrize("layout", ["fieldscape", "synthia-seqs", "synthia-al", "vkitti2"])
def test_a_camera_that_the_files_tell_is_not_told_again(layout, worlds) -> None:
    with pytest.raises(BadInput, match="tells its own intrinsics"):
        open_depth(worlds(layout), intrinsics=(80.0, 80.0, 48.0, 36.0))
