"""``tracks extract`` from frames to files: what is held out is seen by nothing, and nothing is left half-written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_tracks import Stage, made_tracks
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.progress import Bar
from fieldscape.systems.tracks import extract as extraction
from fieldscape.systems.tracks.bundle import read_bundle
from fieldscape.systems.tracks.clip_settings import ClipSettings
from fieldscape.systems.tracks.extract import extract
from fieldscape.systems.tracks.foreign_space import on_ray
from fieldscape.systems.tracks.nouns import Clip, Points, Tracked
from fieldscape.systems.tracks.options import TracksExtractOptions
from fieldscape.systems.tracks.solve_settings import SolveSettings
from fieldscape.systems.tracks.summary import described
from fieldscape.types import Camera

WIDTH, HEIGHT, T = 96, 64, 9


class Solver:
    """Stands in for the search for cameras: a plane at the distance 2, and what it was given is kept."""

    def __init__(self) -> None:
        self.clip: Clip | None = None
        self.given: Camera | None = None
        self.depths: Tensor | None = None
        self.stop = False

    def __call__(
        self,
        clip: Clip,
        points: Points,
        settings: SolveSettings,
        given: Camera | None,
        depths: Tensor | None,
        work: Path,
        bar: Bar,
    ) -> Tracked:
        if self.stop:
            raise KeyboardInterrupt
        assert work.is_dir()
        self.clip, self.given, self.depths = clip, given, depths
        t = len(clip)
        middle = torch.tensor([[WIDTH / 2, HEIGHT / 2]]).repeat(t, 1)
        camera = given or Camera(torch.eye(4).repeat(t, 1, 1), torch.full((t, 2), 90.0), middle, *clip.size)
        world = on_ray(camera, points.places, torch.full(points.seen.shape, 2.0))
        return Tracked(clip, None, points, camera, "tripod", world, torch.zeros(len(points)).bool(), ("flat",))


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> Solver:
    made = Solver()
    monkeypatch.setattr(extraction, "solve", made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames of a camera that glides along a painted wall, with masks of a patch of it."""
    chance = np.random.default_rng(0)
    wall = cv2.resize(chance.integers(0, 256, (24, 48, 3), dtype=np.uint8), (192, 96), interpolation=cv2.INTER_CUBIC)
    for name in ("images", "masks"):
        (tmp_path / "clip" / name).mkdir(parents=True)
    for t in range(T):
        frame = wall[4 : 4 + HEIGHT, 2 * t : 2 * t + WIDTH].copy()
        mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
        mask[20:40, 30:50] = 255
        write_image(tmp_path / "clip" / "images" / f"{t:05}.png", torch.from_numpy(frame))
        write_image(tmp_path / "clip" / "masks" / f"{t:05}.png", mask)
    return tmp_path / "clip"


def options(folder: Path, name: str = "tracks.npz") -> TracksExtractOptions:
    return TracksExtractOptions(folder, folder.parent / name, hold_out=4, quiet=True)


def test_the_file_the_figures_and_the_film(folder: Path, solver: Solver, capsys: pytest.CaptureFixture[str]) -> None:
    extract(options(folder))
    tracked = read_bundle(folder.parent / "tracks.npz")
    assert tracked.clip.numbers == (0, 1, 3, 4, 5, 7, 8)
    assert tracked.held is not None
    assert tracked.held.numbers == (2, 6)
    assert tracked.clip.layers is not None
    assert int(tracked.points.layer.max()) == 1
    record = json.loads((folder.parent / "tracks.json").read_text())
    assert record["frames"] == 7
    assert record["points"] == len(tracked.points)
    assert {"reading", "following", "cameras", "refollowing", "writing"} <= set(record["seconds"])
    assert record["followed_frames_per_second"] > 0
    assert record["peak_megabytes"] > 10
    assert (folder.parent / "tracks.overlay.mp4").stat().st_size > 1000
    said = capsys.readouterr().out
    for part in (
        "7 frames of 96 x 64, 2 more held out",
        "stood still",
        "layer 1",
        "assumed",
        "tracks.npz",
        "flat",
        "once more",
    ):
        assert part in said


def test_points_are_not_followed_once_more_if_not_asked(folder: Path, solver: Solver) -> None:
    extract(replace(options(folder), overlay=False, refollow=False))
    record = json.loads((folder.parent / "tracks.json").read_text())
    assert "refollowing" not in record["seconds"]
    assert record["notes"][-1] == "flat"


def test_the_camera_is_described_once() -> None:
    tracked = made_tracks(Stage(), 3, 32, 24, 20)
    lines = described(replace(tracked, notes=("The camera turned on the spot.", "flat")))
    assert [line for line in lines if "camera" in line] == ["camera: The camera turned on the spot."]
    assert "note: flat" in lines
    assert "camera: cameras came with the data" in described(tracked)


def test_what_is_held_out_is_seen_by_nothing(folder: Path, solver: Solver) -> None:
    base = replace(options(folder), overlay=False)
    extract(base)
    noise = torch.randint(0, 256, (HEIGHT, WIDTH, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    write_image(folder / "images" / "00002.png", (noise.float() * 0.02 / 255 + 0.5))
    extract(replace(base, out=folder.parent / "other.npz"))
    one, other = read_bundle(base.out), read_bundle(folder.parent / "other.npz")
    assert one.held is not None
    assert other.held is not None
    assert not torch.equal(one.held.frames, other.held.frames)
    assert torch.equal(one.points.places, other.points.places)
    assert torch.equal(one.world, other.world)


def test_one_mask_is_carried_without_a_look_at_what_is_held_out(folder: Path, solver: Solver) -> None:
    masks = folder / "masks"
    first = folder.parent / "first.png"
    (masks / "00000.png").rename(first)
    for mask in masks.iterdir():
        mask.unlink()
    masks.rmdir()
    base = replace(options(folder), overlay=False, clips=ClipSettings(masks=first))
    extract(base)
    tracked = read_bundle(base.out)
    assert tracked.clip.layers is not None
    assert tracked.held is not None
    assert tracked.held.layers is None
    assert int(tracked.clip.layers[0].sum()) == 400
    assert int((tracked.clip.layers[-1] > 0).sum()) > 50
    write_image(folder / "images" / "00002.png", torch.full((HEIGHT, WIDTH, 3), 0.5))
    extract(replace(base, out=folder.parent / "other.npz"))
    other = read_bundle(folder.parent / "other.npz").clip.layers
    assert other is not None
    assert torch.equal(other, tracked.clip.layers)


def test_the_same_again_bit_for_bit(folder: Path, solver: Solver) -> None:
    for name in ("a.npz", "b.npz"):
        extract(replace(options(folder, name), overlay=False))
    assert (folder.parent / "a.npz").read_bytes() == (folder.parent / "b.npz").read_bytes()


def test_interrupted_leaves_nothing(folder: Path, solver: Solver) -> None:
    before = sorted(folder.parent.rglob("*"))
    solver.stop = True
    with pytest.raises(KeyboardInterrupt):
        extract(options(folder))
    assert sorted(folder.parent.rglob("*")) == before


def test_given_cameras_and_depth_are_those_of_the_frames(folder: Path, solver: Solver) -> None:
    poses = np.tile(np.eye(4), (T, 1, 1))
    poses[:, 0, 3] = np.arange(T)
    lens = np.tile(np.array([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]]), (T, 1, 1))
    np.savez(folder.parent / "cameras.npz", camera_poses=poses, intrinsics=lens, size=np.array([WIDTH, HEIGHT]))
    (folder.parent / "depth").mkdir()
    for t in range(T):
        np.save(folder.parent / "depth" / f"{t}.npy", np.full((HEIGHT, WIDTH), 1.0 + t))
    extract(
        replace(options(folder), overlay=False, cameras=folder.parent / "cameras.npz", depth=folder.parent / "depth")
    )
    assert solver.given is not None
    assert solver.depths is not None
    assert solver.given.position[:, 0].tolist() == [0, 1, 3, 4, 5, 7, 8]
    assert solver.depths[:, 0, 0].tolist() == [1, 2, 4, 5, 6, 8, 9]


def test_tracks_of_others_are_taken(folder: Path, solver: Solver) -> None:
    where = np.stack([np.array([[20.0, 20], [40, 30], [60, 50]]) - [2 * t, 0] for t in range(T)])
    poses = np.tile(np.eye(4), (T, 1, 1))
    poses[:, 0, 3] = np.arange(T) * 2 / 45
    np.savez(
        folder.parent / "cotracker.npz", tracks=where, visibility=where[..., 0] > 0, camera_poses=poses,
        intrinsics=np.array([[90.0, 0, 47.5], [0, 90, 31.5], [0, 0, 1]]), depths=np.full((T, HEIGHT, WIDTH), 2.0),
    )  # fmt: skip
    extract(replace(options(folder), tracks=folder.parent / "cotracker.npz"))
    tracked = read_bundle(folder.parent / "tracks.npz")
    assert solver.clip is None
    assert tracked.kind == "given"
    assert tracked.points.layer.tolist() == [0, 1, 0]
    assert len(tracked.clip) == T  # none held out: they were seen
    assert tracked.held is None
    still = tracked.world[:, 0]
    assert (still - still[0]).abs().max() < 1e-5


def test_bad_options_are_said_before_anything_is_read(folder: Path) -> None:
    good = options(folder)
    for bad, word in [
        (replace(good, out=folder.parent / "tracks.json"), "npz"),
        (replace(good, out=folder.parent / "absent" / "tracks.npz"), "no folder"),
        (replace(good, hold_out=1), "hold-out"),
        (replace(good, hold_out=-8), "hold-out"),
        (replace(good, tracks=folder, depth=folder), "leave out"),
    ]:
        with pytest.raises(BadInput, match=word):
            extract(bad)
