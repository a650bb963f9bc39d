"""Structure from motion in its own process: a true path from tracks, and no harm from failures."""

import json
import sys
from pathlib import Path

import made_surveys as made
import numpy as np
import pytest
import torch

from fieldscape.cameras import similarity
from fieldscape.systems.tracks import mapping
from fieldscape.systems.tracks.solve_settings import SolveSettings

SETTINGS = SolveSettings(wide_pairs=False, seconds=30.0)


def test_a_path_is_found_from_tracks(tmp_path: Path) -> None:
    truth = made.survey(7, 180, step=0.15, turn=0.02)
    points, clip = made.points_of(truth, noise=0.1), made.clip_of(7)
    found = mapping.mapped(clip, points, np.arange(180), list(range(7)), 280.0, SETTINGS, tmp_path)
    assert found is not None, (tmp_path / "mapping.log").read_text()[-2000:]
    assert found.placed.all()
    assert len(found.features) == 0
    scale, turn, shift = similarity(torch.from_numpy(found.place), torch.from_numpy(truth.place))
    path = scale * found.place @ turn.numpy().T + shift.numpy()
    extent = np.linalg.norm(truth.place[-1])
    assert np.abs(path - truth.place).max() < 0.02 * extent
    assert found.focal == pytest.approx(300, rel=0.05)


def test_too_few_shared_points_find_nothing_and_start_nothing(tmp_path: Path) -> None:
    truth = made.survey(4, 20)
    found = mapping.mapped(
        made.clip_of(4), made.points_of(truth), np.arange(20), [0, 1, 2, 3], 280.0, SETTINGS, tmp_path
    )
    assert found is None
    assert not (tmp_path / "mapping.log").exists()


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "import os; os.abort()", "while True: pass"])
def test_a_process_that_fails_or_hangs_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(mapping, "COMMAND", [sys.executable, "-c", program])
    monkeypatch.setattr(mapping, "PATIENCE", 0.02)
    truth = made.survey(4, 60)
    found = mapping.mapped(
        made.clip_of(4), made.points_of(truth), np.arange(60), [0, 1, 2, 3], 280.0, SETTINGS, tmp_path
    )
    assert found is None


def test_the_process_gets_the_tracks_that_both_frames_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each match joins the two sightings of one point, whatever the numbering within the frames."""
    monkeypatch.setattr(mapping, "COMMAND", [sys.executable, "-c", "pass"])
    truth = made.survey(4, 60)
    points = made.points_of(truth)
    points.seen[0, :20] = False
    points.seen[2, 40:50] = False
    mapping.mapped(made.clip_of(4), points, np.arange(60), [0, 1, 2, 3], 280.0, SETTINGS, tmp_path)
    with np.load(tmp_path / "job.npz", allow_pickle=False) as job:
        starts, place = np.cumsum(job["counts"]) - job["counts"], job["keypoints"]
        ends = np.cumsum(job["matched"])
        assert len(job["pairs"]) >= 4
        for (a, b), end, count in zip(job["pairs"], ends, job["matched"]):
            both = (points.seen[a] & points.seen[b]).numpy()
            assert count == both.sum()
            own = job["matches"][end - count : end]
            np.testing.assert_allclose(place[starts[a] + own[:, 0]], points.places[a, both], atol=1e-5)
            np.testing.assert_allclose(place[starts[b] + own[:, 1]], points.places[b, both], atol=1e-5)


def test_the_process_imports_nothing_that_pycolmap_cannot_live_with() -> None:
    import subprocess

    program = (
        "import sys, json; import fieldscape.systems.tracks.mapping_process;"
        "print(json.dumps([m for m in ('torch', 'PIL', 'cv2') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
