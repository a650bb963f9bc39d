"""The command that trains the encoder: exact resuming, reading back, using it, and options that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from fieldscape.cli import run
from fieldscape.errors import BadInput
from fieldscape.progress import progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.slots import train
from fieldscape.systems.slots.affinity import AffinityNet
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.grouping import GroupingSettings
from fieldscape.systems.slots.model import SYSTEM, Model, blank, owner_of, read_model
from fieldscape.systems.slots.points import PointSettings, prepare
from fieldscape.systems.slots.pool import Batch, Held, held_scenes, make_pool
from fieldscape.systems.slots.scenes import draw_example
from fieldscape.systems.slots.teacher import Teacher, TeacherConfig
from fieldscape.systems.slots.train_config import TrainConfig

SMALL = TrainConfig(
    width=8, channels=16, points=96, slots=5, level=1, scenes=4, batch=2, steps=8, held=1, looks=2, rounds=2
)


class Until(Stop):
    """Asks to stop after so many questions."""

    def __init__(self, questions: int) -> None:
        super().__init__(None)
        self.left = questions

    @property
    def requested(self) -> str | None:
        self.left -= 1
        return None if self.left > 0 else "enough"


@pytest.fixture(scope="module")
def pool() -> Batch:
    made = make_pool(SMALL, 0)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def held() -> dict[str, list[Held]]:
    return {"iso": held_scenes(SMALL, "iso")}


def trained(folder: Path, pool: Batch, held: dict[str, list[Held]], questions: int = 10**6) -> train.Learner:
    """A training of eight steps, gone on with if the folder holds one."""
    learner = train.begin(SMALL, 3)
    if folder.exists():
        at = Run.open(folder)
        checkpoint = at.latest()
        assert checkpoint is not None
        learner.restore(checkpoint)
        at.truncate_log(checkpoint.step)
    else:
        at = Run.create(folder, SYSTEM, SMALL, 3, {}, "cpu")
    with progress(None, "training", True) as bar:
        train.learn(learner, pool, held, SMALL, at, Until(questions), bar)
    return learner


def test_going_on_is_bit_for_bit_the_same(tmp_path: Path, pool: Batch, held: dict[str, list[Held]]) -> None:
    whole = trained(tmp_path / "whole", pool, held)
    stopped = trained(tmp_path / "parts", pool, held, 6)
    assert 0 < stopped.step < 8
    later = trained(tmp_path / "parts", pool, held)
    assert later.step == whole.step == 8
    ours, theirs = later.tensors(), whole.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    start = train.begin(SMALL, 3)
    assert not torch.equal(later.prototypes.log_radius, start.prototypes.log_radius)
    logs = [[line["step"] for line in Run.open(tmp_path / name).metrics()] for name in ("whole", "parts")]
    assert logs[0] == logs[1]
    assert len(logs[0]) >= 3


def test_what_was_saved_is_read_back(tmp_path: Path, pool: Batch, held: dict[str, list[Held]]) -> None:
    learner = trained(tmp_path / "run", pool, held)
    model = read_model(tmp_path / "run")
    assert torch.equal(model.prototypes.log_radius, learner.prototypes.log_radius)
    weights = model.encoder.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in learner.encoder.state_dict().items())
    assert model.temperature == learner.temperature == pytest.approx(0.3)


def test_a_learned_teacher_is_kept_with_the_encoder(tmp_path: Path) -> None:
    teacher = Teacher(AffinityNet(4, torch.Generator().manual_seed(5)), GroupingSettings(), {"iso": 0.5})
    learner, at = train.begin(SMALL, 0), Run.create(tmp_path / "run", SYSTEM, SMALL, 0, {}, "cpu")
    learner.teacher = teacher
    at.save(1, learner.tensors(), learner.state())
    model, checkpoint = read_model(tmp_path / "run"), at.latest()
    assert checkpoint is not None
    again = train.begin(SMALL, 1)
    again.restore(checkpoint)
    example = draw_example("iso", 1000, 0, samples=0)
    observed = prepare(example.depth_map, PointSettings(points=96, far=14.0))
    labels = teacher.segment(example.depth_map, observed)
    assert again.teacher is not None
    assert torch.equal(again.teacher.segment(example.depth_map, observed), labels)
    assert torch.equal(model.segment(example.depth_map, observed), labels)


def test_unused_prototypes_are_drawn_anew_and_forgotten(pool: Batch) -> None:
    learner = train.begin(SMALL, 0)
    for parameter in learner.prototypes.parameters():
        parameter.grad = torch.ones_like(parameter)
    learner.adam.step()
    learner.usage = torch.tensor([0.3, 0.3, 0.2, 0.199, 0.0, 0.001])
    before = learner.prototypes.log_radius.detach().clone()
    with progress(None, "training", True) as bar:
        train.renewed(learner, bar)
    changed = (learner.prototypes.log_radius != before).any(-1)
    assert changed.tolist() == [False] * 4 + [True] * 2
    memory = learner.adam.state[learner.prototypes.log_radius]["exp_avg"]
    assert bool(memory[:4].any())
    assert not bool(memory[4:].any())


def test_a_model_finds_things_at_segments(tmp_path: Path) -> None:
    encoder, shapes = blank(replace(SMALL, slots=8), 0)
    model = Model(encoder, shapes, SMALL, 1.0)
    example = draw_example("iso", 1000, 0, samples=0)
    observed = prepare(example.depth_map, PointSettings(points=96, far=14.0))
    labels = segment(example.depth_map, observed, ConvexitySettings())
    encoder.look.to_existence[1].bias.data.fill_(3.0)
    encoded = model.encode([observed], [labels])
    assert encoded.vecta.shape[1] == len(labels[labels > 0].unique())
    owner = owner_of(encoded)
    begun, refined = (model.find([observed], [labels], steps) for steps in (0, 12))
    assert bool((refined.costs["total"] < 0.8 * begun.costs["total"]).all())
    column, row = observed.pixels.unbind(-1)
    same = owner[0][:, None] == owner[0][None]
    together = labels[row, column][:, None] == labels[row, column][None]
    assert float((same == together).float().mean()) > 0.9  # even untrained, attention follows the segments
    assert model.encode([observed]).vecta.shape[1] == SMALL.slots


def test_train_and_go_on_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    brief = partial(TeacherConfig, scenes=2, steps=2, width=4, trials=("iso",), trial_scenes=1)
    monkeypatch.setattr(train, "TeacherConfig", brief)
    out = tmp_path / "run"
    small = [
        "--scenes",
        "3",
        "--batch",
        "2",
        "--points",
        "96",
        "--slots",
        "5",
        "--held",
        "1",
        "--looks",
        "1",
        "--quiet",
    ]
    assert run(["slots", "train", "--out", str(out), "--steps", "2", *small]) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["steps"] == 2
    assert 0 <= report["iso_ari_teacher"] <= 1
    assert read_model(out).teacher is not None
    monkeypatch.setattr(train, "train_teacher", None)  # it is in the checkpoint, and not trained again
    assert run(["slots", "train", "--out", str(out), "--resume", "--steps", "3", "--quiet"]) == 0
    assert json.loads((out / "report.json").read_text())["steps"] == 3


def test_fit_with_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model = tmp_path / "street", tmp_path / "model"
    made = ["--videos", "1", "--frames", "1", "--width", "64", "--height", "48", "--seed", "1000"]
    assert run(["make", "street", "--out", str(data), *made]) == 0
    learner, at = train.begin(SMALL, 0), Run.create(model, SYSTEM, SMALL, 0, {}, "cpu")
    bias = learner.encoder.look.to_existence[1].bias.data
    for step, (sure, status) in enumerate([(3.0, 0), (-9.0, 2)], 1):
        bias.fill_(sure)
        at.save(step, learner.tensors(), learner.state())
        to = tmp_path / f"fit{step}"
        fit = ["slots", "fit", str(data), "--model", str(model), "--final-steps", "2", "--out", str(to), "--quiet"]
        assert run(fit) == status
    assert json.loads((tmp_path / "fit1" / "report.json").read_text())["objects"] >= 1
    assert "finds nothing" in capsys.readouterr().err
    assert run(["slots", "fit", str(data), "--model", str(model), "--merge-rounds", "2"]) == 2
    assert "leave it out with --model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "-1"], "--steps"),
        (["--weights.free", "-1"], "--weights.free"),
        (["--teaching.pose", "nan"], "--teaching.pose"),
        (["--points", "10"], "--points"),
        (["--resume"], "--out"),
        (["--minutes", "0"], "--minutes"),
    ],
)
def test_options_that_cannot_be_used(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["slots", "train", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_runs_that_are_not_trainings(tmp_path: Path) -> None:
    Run.create(tmp_path / "other", "slots", SMALL, 0, {}, "cpu")
    with pytest.raises(BadInput, match="slots train"):
        read_model(tmp_path / "other")
    Run.create(tmp_path / "empty", SYSTEM, SMALL, 0, {}, "cpu")
    with pytest.raises(BadInput, match="no trained encoder"):
        read_model(tmp_path / "empty")
    # A teacher is saved before the first step.
    begun, at = train.begin(SMALL, 0), Run.open(tmp_path / "empty")
    at.save(0, begun.tensors(), begun.state())
    with pytest.raises(BadInput, match="no trained encoder"):
        read_model(tmp_path / "empty")
    with pytest.raises(BadInput, match="only --minutes and --steps"):
        train.planned(train.SlotsTrainOptions(out=tmp_path / "empty", resume=True, points=100))


def test_step_sizes_fade_and_prototypes_settle_last() -> None:
    pace = [train.fading(done / 100) for done in range(101)]
    assert pace[0] == 1
    assert pace[-1] == pytest.approx(train.LAST_RATE)
    assert all(one > other for one, other in pairwise(pace))
    assert train.settling(0.5) == train.fading(0.5)
    assert train.settling(0.9) == train.SETTLING > train.fading(0.9)
    assert train.settling(0.95) == pytest.approx(train.SETTLING / 2)
    assert train.settling(1.0) == train.settling(1.2) == 0
