"""The commands from end to end, on a few small cars: what a run holds, what goes on, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fieldscape import cli
from fieldscape.images import read_image
from fieldscape.runs import Run
from fieldscape.systems.latents import methods, scene
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.voxel import stage
from fieldscape.systems.latents.voxel.learning import LearningSettings
from fieldscape.systems.opening import open_scene

QUICK = ["--rays", "20000", "--held-out", "fifth", "--quiet"]


@pytest.fixture(autouse=True, scope="module")
def _little_learning() -> Iterator[None]:
    """What a class shares is learned in a second instead of a minute; it need not be good here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "LEARNING", LearningSettings(target_rays=20_000, rows=500, steps=100))
        yield


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "cars"
    flags = ["--objects", "6", "--views", "15", "--size", "32", "--workers", "1", "--quiet"]
    assert cli.run(["make", "cars", "--out", str(folder), *flags]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(cars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    assert cli.run(["latents", "train", str(cars), "--out", str(run), "--objects", "4", *QUICK]) == 0
    return run


def copy(run: Path, place: Path) -> Path:
    """A run of a test's own: banks have one writer."""
    return Path(shutil.copytree(run, place / "run"))


def test_a_run_holds_its_objects_and_says_how_good_they_are(trained: Path) -> None:
    told = json.loads((trained / "report.json").read_text())
    assert told["objects"] == 4
    assert told["psnr"] > 20
    assert 200 < told["bytes"] < 30_000
    look = open_scene(trained)
    assert [control.name for control in look.controls] == ["object", "toward", "share"]
    first, last, between = (
        look.render(look.start, **values).color for values in ({}, {"object": 3}, {"toward": 3, "share": 0.5})
    )
    assert not torch.equal(first, last)
    assert not torch.equal(between, first)
    assert float((1 - between).abs().max()) > 0.2  # something is there
    assert read_image(trained / "bank.png").shape[0] > 100


def test_what_is_shared_comes_back_as_it_was(trained: Path) -> None:
    shared, _ = scene.read_shared(trained)
    again = methods.shared_of(shared.tensors(), methods.described(shared), "here")
    assert methods.fingerprint(again) == methods.fingerprint(shared)
    with Bank.open(trained / "bank") as bank:
        assert bank.bundle == methods.fingerprint(shared)


def test_new_objects_leave_the_old_as_they_are(cars: Path, trained: Path, tmp_path: Path) -> None:
    run = copy(trained, tmp_path)
    before = open_scene(run)
    seen = [before.render(before.start, object=number).color for number in range(4)]
    assert cli.run(["latents", "exploit", str(run), str(cars), "--objects", "4:6", "--quiet"]) == 0
    after = open_scene(run)
    assert after.controls[0].high == 5
    for number in range(4):
        assert torch.equal(after.render(after.start, object=number).color, seen[number])
    # Again: all is there, and nothing is done anew.
    size = (run / "bank").stat().st_mtime_ns
    assert cli.run(["latents", "exploit", str(run), str(cars), "--objects", "4:6", "--quiet"]) == 0
    assert size == (run / "bank").stat().st_mtime_ns or open_scene(run).controls[0].high == 5


def test_new_objects_go_to_a_run_of_their_own(cars: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "added"
    command = ["latents", "exploit", str(trained), str(cars), "--objects", "4:6", "--out", str(out), "--quiet"]
    assert cli.run(command) == 0
    assert open_scene(out).controls[0].high == 1
    assert json.loads((out / "report.json").read_text())["objects"] == 2
    assert cli.run(["eval", str(out), str(cars), "--quiet"]) == 0
    told = json.loads((out / "eval-cars.json").read_text())
    report = json.loads((out / "report.json").read_text())
    assert told["psnr"] == pytest.approx(report["psnr"], abs=1e-6)
    assert list(told["objects"]) == ["car_0004", "car_0005"] or len(told["objects"]) == 2


def test_a_run_of_new_objects_that_was_cut_short_is_completed(cars: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "added"
    command = ["latents", "exploit", str(trained), str(cars), "--objects", "4:5", "--out", str(out), "--quiet"]
    assert cli.run(command) == 0
    # As if it had been killed before all that is shared was there.
    for name in ("scene.json", "manifest.json"):
        (out / name).unlink()
    assert cli.run(command) == 0
    assert open_scene(out).controls[0].high == 0


def test_a_stopped_run_goes_on_to_the_same(cars: Path, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = ["latents", "train", str(cars), "--out", str(run), "--objects", "4"]
    assert cli.run([*command, *QUICK, "--minutes", "0.001"]) == 0
    assert not (run / "report.json").exists()
    assert cli.run([*command, "--resume", "--quiet"]) == 0
    with Bank.open(run / "bank") as mine, Bank.open(trained / "bank") as theirs:
        assert mine.names() == theirs.names()
        assert [entry.payload for entry in mine] == [entry.payload for entry in theirs]


def test_objects_that_were_learned_from_cannot_be_added(
    cars: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["latents", "exploit", str(trained), str(cars), "--objects", "3:6", "--quiet"]) == 2
    assert "1 of the 3 objects to add were learned from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--side", "16"], "--side is for tri-planes"),
        (["--method", "rgb", "--rays", "5"], "--rays is for --method voxel"),
        (["--objects", "9:12"], "goes beyond the 6 objects"),
        (["--held-out", "none", "--size", "4"], "--size is 4"),
        (["--resume"], "--resume goes on with the run in --out"),
    ],
)
def test_what_cannot_be_is_said(
    cars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    out = [] if flags == ["--resume"] else ["--out", str(tmp_path / "run")]
    assert cli.run(["latents", "train", str(cars), *out, *flags, "--quiet"]) == 2
    assert said in capsys.readouterr().err


def test_costs_of_a_run_and_of_the_paper(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["latents", "cost", str(trained), "--n", "100"]) == 0
    assert "voxel" in capsys.readouterr().out
    assert cli.run(["latents", "cost", "--profile", "paper", "--n", "1000"]) == 0
    assert "44.02 %" in capsys.readouterr().out
    assert cli.run(["latents", "cost"]) == 2


def test_info_knows_objects_and_their_runs(cars: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["info", str(cars)]) == 0
    assert "6 objects in the SRN layout" in capsys.readouterr().out
    assert cli.run(["info", str(trained)]) == 0
    assert "--set object=0 (0 to 3)" in capsys.readouterr().out


def test_tri_planes_go_the_same_way(cars: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--method", "rgb-shared", "--steps", "4", "0", "--added-steps", "3", "0", "--side", "8", "--objects", "2"]
    assert cli.run(["latents", "train", str(cars), "--out", str(run), *flags, "--held-out", "fifth", "--quiet"]) == 0
    assert Run.open(run).record["config"]["method"] == "rgb-shared"
    assert cli.run(["latents", "exploit", str(run), str(cars), "--objects", "4:5", "--quiet"]) == 0
    assert open_scene(run).controls[0].high == 2
