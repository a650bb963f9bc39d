"""A whole fit of a small clip: figures, going on bit for bit, stopping."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_footage import made_tracked

from fieldscape.errors import BadInput
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.tracks.config import BlendSettings, FieldSettings, FillSettings, RefineSettings, TracksConfig
from fieldscape.systems.tracks.judged import APART, TRACKED
from fieldscape.systems.tracks.lessons import cuts
from fieldscape.systems.tracks.train import fit_tracked, parted

CPU = torch.device("cpu")
QUICK = TracksConfig(
    held_out=4, blend=BlendSettings(width=8, steps=30), fill=FillSettings(side=8, steps=10, batch=256),
    field=FieldSettings(steps=40, batch=512, original_steps=3, original_batch=64),
    refine=RefineSettings(steps=10),
)  # fmt: skip


def run_of(folder: Path, config: TracksConfig = QUICK) -> Run:
    return Run.create(folder, "tracks", config, 0, {}, "cpu")


class AfterSteps(Stop):
    """Asks to stop when it was asked about so often."""

    def __init__(self, count: int) -> None:
        super().__init__(None)
        self.left = count

    @property
    def requested(self) -> str | None:
        self.left -= 1
        return "enough" if self.left < 0 else None


def figures(run: Run) -> dict:
    return json.loads((run.path / "report.json").read_text())


def test_report_tells_figures_and_protocol(tmp_path):
    run = run_of(tmp_path / "run")
    assert fit_tracked(made_tracked(9, mover=True), QUICK, 0, run, Stop(None), True, CPU) is None
    told = figures(run)
    assert told["protocol"] == TRACKED
    assert told["held_out"] == 2
    assert told["frames"] == 7
    assert told["psnr"] > 26
    assert told["psnr"] > told["copy_psnr"] + 5
    assert {"ssim", "psnr_still", "psnr_moving", "homography_psnr", "mesh_warp_ssim", "unseen"} <= set(told)
    assert {"seconds", "peak_memory_mb", "device", "seed"} <= set(told)
    assert (run.path / "held-out.png").exists()
    assert (run.path / "previews" / "middle.png").exists()
    assert {line["stage"] for line in run.metrics()} == {"fill", "blend"}


def test_going_on_gives_bit_for_bit_what_going_at_once_gives(tmp_path):
    tracked = made_tracked(6)
    config = replace(QUICK, held_out=0, refine=replace(QUICK.refine, vertices=True, poses=True, steps=4))
    whole = run_of(tmp_path / "whole", config)
    fit_tracked(tracked, config, 0, whole, Stop(None), True, CPU)
    parts = run_of(tmp_path / "parts", config)
    for count in (2, 9, 25):  # in the first stage, the second, the third
        stop = AfterSteps(count)
        assert fit_tracked(tracked, config, 0, parts, stop, True, CPU) == "enough"
    fit_tracked(tracked, config, 0, parts, Stop(None), True, CPU)
    assert (whole.path / "scene.safetensors").read_bytes() == (parts.path / "scene.safetensors").read_bytes()
    mine, theirs = ([line["step"] for line in run.metrics()] for run in (whole, parts))
    assert mine == theirs


def test_another_seed_gives_another_network(tmp_path):
    for seed in (0, 1):
        fit_tracked(made_tracked(5), QUICK, seed, run_of(tmp_path / str(seed)), Stop(None), True, CPU)
    one, other = ((tmp_path / str(seed) / "scene.safetensors").read_bytes() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("preset", ["neural", "original"])
def test_the_other_presets_learn_too(tmp_path, preset):
    config = replace(QUICK, preset=preset)
    run = run_of(tmp_path / "run", config)
    fit_tracked(made_tracked(6, mover=True), config, 0, run, Stop(None), True, CPU)
    assert figures(run)["preset"] == preset
    assert figures(run)["psnr"] > 5
    losses = [line["loss"] for line in run.metrics() if line["stage"] == preset]
    assert losses
    assert all(loss < 1 for loss in losses)


def test_frames_kept_apart_by_the_file_are_the_ones():
    tracked = made_tracked(9)
    less, protocol = parted(tracked, 4)
    assert protocol == TRACKED
    assert less.held is not None
    assert less.held.numbers == (2, 6)
    assert less.world.shape[0] == len(less.camera) == len(less.clip) == 7
    assert parted(less, 3) == (less, APART)
    assert parted(tracked, 0)[0] is tracked


def test_one_frame_is_refused(tmp_path):
    tracked = made_tracked(2)
    one = replace(
        tracked, clip=tracked.clip.at([0]), world=tracked.world[:1], camera=tracked.camera[:1],
        points=replace(
            tracked.points, places=tracked.points.places[:1], seen=tracked.points.seen[:1], sure=tracked.points.sure[:1]
        ),
    )  # fmt: skip
    with pytest.raises(BadInput, match="one frame"):
        fit_tracked(one, QUICK, 0, run_of(tmp_path / "run"), Stop(None), True, CPU)


def test_two_frames_are_enough(tmp_path):
    run = run_of(tmp_path / "run")
    fit_tracked(made_tracked(2), QUICK, 0, run, Stop(None), True, CPU)
    assert figures(run)["protocol"] == "no frame was held out"


def test_cuts_cover_small_frames_and_lie_within_large_ones():
    chance, settings = torch.Generator().manual_seed(0), BlendSettings(cut=16, cuts=3)
    assert cuts(20, 30, settings, chance) == [((0, 20), (0, 30))]
    places = cuts(100, 200, settings, chance)
    assert len(places) == 3
    for (top, bottom), (left, right) in places:
        assert 0 <= top < bottom <= 100
        assert 0 <= left < right <= 200
        assert bottom - top == right - left == 16
