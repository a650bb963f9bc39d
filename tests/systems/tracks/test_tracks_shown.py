"""What a run shows of itself."""

import torch
from made_footage import made_footage

from fieldscape.runs import Run
from fieldscape.systems.tracks.config import TracksConfig
from fieldscape.systems.tracks.shown import EDGE, HIGH, loss_curves, write_extras
from fieldscape.video import read_video


def test_losses_fall_in_the_picture_as_they_do_in_the_log():
    lines = [{"step": 50 * (i + 1), "stage": "blend", "loss": 1.0 - 0.2 * i} for i in range(5)]
    dark = (loss_curves(lines)[EDGE + 4 : HIGH - EDGE - 4].int().sum(-1) < 420).nonzero()
    left, right = dark[dark[:, 1] < 160], dark[dark[:, 1] > 480]
    assert len(left)
    assert float(left[:, 0].float().mean()) < float(right[:, 0].float().mean()) - 50


def test_nothing_logged_and_nothing_finite_are_plain_pictures():
    assert torch.equal(loss_curves([]), loss_curves([{"step": 1, "stage": "blend", "loss": float("nan")}]))


def test_a_run_has_a_film_of_its_meshes_and_the_losses(tmp_path):
    run = Run.create(tmp_path / "run", "tracks", TracksConfig(), 0, {}, "cpu")
    footage = made_footage(3, mover=True)
    write_extras(run, footage)
    assert (run.path / "loss.png").exists()
    assert len(list(read_video(run.path / "mesh.mp4"))) == 3
