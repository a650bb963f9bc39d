"""A run folder says what it is, takes what happens, and refuses what it cannot be read as."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import fieldscape
from fieldscape.errors import BadInput
from fieldscape.runs import FORMAT, Run, fresh_path, peak_memory_mb


@dataclass(frozen=True)
class Config:
    steps: int = 10
    size: tuple[int, int] = (4, 3)


DATA = {"path": Path("photos"), "fingerprint": "ab12", "reader": "folder", "photos": 60}


def create(path: Path) -> Run:
    return Run.create(path, "nerf", Config(steps=7), 3, DATA, "cpu")


def test_what_is_created_is_what_is_opened(tmp_path):
    made = create(tmp_path / "runs" / "lego")
    opened = Run.open(tmp_path / "runs" / "lego")
    assert opened == made
    assert opened.record == json.loads((tmp_path / "runs" / "lego" / "run.json").read_text())
    created = opened.record.pop("created")
    assert created.endswith("+00:00")
    assert opened.record == {
        "format": FORMAT,
        "fieldscape": fieldscape.__version__,
        "system": "nerf",
        "config": {"steps": 7, "size": [4, 3]},
        "seed": 3,
        "data": {"path": "photos", "fingerprint": "ab12", "reader": "folder", "photos": 60},
        "device": "cpu",
    }
    assert opened.config(Config) == Config(steps=7)


def test_a_config_that_does_not_fit_names_the_file(tmp_path):
    @dataclass(frozen=True)
    class Other:
        steps: int = 1

    with pytest.raises(BadInput, match=r"run\.json: config: .*unknown size"):
        create(tmp_path / "a").config(Other)


def test_creating_where_something_is(tmp_path):
    create(tmp_path / "a")
    with pytest.raises(BadInput, match=r"already holds a run: add --resume .* or choose another --out"):
        create(tmp_path / "a")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_text("")
    with pytest.raises(BadInput, match="not empty, and not a run"):
        create(tmp_path / "photos")
    assert os.listdir(tmp_path / "photos") == ["1.jpg"]
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match="a file is in its way"):
            create(path)
    for path in ("/proc/nowhere/run", "a\0b", "/" + "x" * 300):
        with pytest.raises(BadInput, match="Cannot make the folder"):
            Run.create(path, "nerf", Config(), 3, DATA, "cpu")


def test_an_empty_folder_will_do_and_so_will_what_a_cut_short_start_left(tmp_path):
    (tmp_path / ".run.json.0123abcd.tmp").write_text('{"form')
    assert create(tmp_path).path == tmp_path


def test_a_config_must_be_a_dataclass_and_data_json(tmp_path):
    for config in (Config, {"steps": 1}):
        with pytest.raises(TypeError, match="dataclass instance"):
            Run.create(tmp_path / "a", "nerf", config, 3, DATA, "cpu")
    with pytest.raises(TypeError, match="no JSON form"):
        Run.create(tmp_path / "a", "nerf", Config(), 3, {"x": {1}}, "cpu")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not valid JSON"),
        ('{"format": 1, "sys', "may be truncated"),
        ("[" * 100_000, "too deeply"),
        ("[]", "no format number"),
        ("{}", "no format number"),
        ('{"format": "1"}', "no format number"),
        ('{"format": true}', "no format number"),
        ('{"format": 0}', "no format number"),
        ('{"format": 7}', r"made by a newer fieldscape \(format 7; this one reads up to 1\): upgrade"),
        ('{"format": 1}', "'system' is missing"),
        ('{"format": 1, "system": "nerf", "config": []}', "'config' is missing or not of type dict"),
        ('{"format": 1, "system": "nerf", "config": {}, "seed": true}', "'seed' is missing or not of type int"),
    ],
)
def test_opening_what_is_no_run(tmp_path, content, says):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(BadInput, match=says) as caught:
        Run.open(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_opening_nothing(tmp_path):
    with pytest.raises(BadInput, match="There is no run folder"):
        Run.open(tmp_path / "missing")
    with pytest.raises(BadInput, match=r"it has no run\.json"):
        Run.open(tmp_path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(BadInput, match="is not a file"):
        Run.open(tmp_path)


def test_the_log_has_a_line_a_call_at_once(tmp_path):
    run = create(tmp_path)
    assert run.metrics() == []
    run.log(1, loss=0.5, psnr=float("inf"))
    run.log(2, loss=0.25, note="ümlaut")
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()] == [
        {"step": 1, "loss": 0.5, "psnr": "inf"},
        {"step": 2, "loss": 0.25, "note": "ümlaut"},
    ]
    assert run.metrics()[1]["loss"] == 0.25


TAILS = [b"", b'{"step": 31, "lo', b'{"step": 31}garbage\n', b"\xff\xfe\n", b"\0" * 100, b"3\n"]


@pytest.mark.parametrize("tail", TAILS)
def test_a_resumed_log_repeats_nothing(tmp_path, tail):
    """Whatever a crash left at the end, going on from step 20 gives each step once."""
    run = create(tmp_path)
    for step in range(0, 31, 5):
        run.log(step, loss=1 / (step + 1))
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(tail)
    run.truncate_log(20)
    for step in range(25, 41, 5):
        run.log(step, loss=1 / (step + 1))
    assert [line["step"] for line in run.metrics()] == list(range(0, 41, 5))
    assert run.metrics() == [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss"] == 1 / (line["step"] + 1) for line in run.metrics())


def test_truncating_a_log_that_is_not_there(tmp_path):
    run = create(tmp_path)
    run.truncate_log(0)
    assert run.metrics() == []


def test_a_log_that_cannot_be_written_or_read(tmp_path):
    run = create(tmp_path)
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(BadInput, match=r"Cannot write .*metrics\.jsonl"):
        run.log(1)
    with pytest.raises(BadInput, match=r"Cannot read .*metrics\.jsonl"):
        run.metrics()


def test_checkpoints_are_in_the_run(tmp_path):
    run = create(tmp_path)
    assert run.latest() is None
    for step in (100, 200, 300):
        run.save(step, {"weight": torch.full((3,), float(step))}, {"seconds": 1.5})
    assert sorted(os.listdir(tmp_path / "checkpoint")) == ["step-00000200", "step-00000300"]
    found = Run.open(tmp_path).latest()
    assert (found.step, found.state, found.notes) == (300, {"seconds": 1.5}, ())
    assert torch.equal(found.tensors["weight"], torch.full((3,), 300.0))


def test_the_report_has_the_figures_and_the_peak_memory(tmp_path):
    run = create(tmp_path)
    run.report(psnr=24.5, views=6, device="cpu", split="every 8th")
    report = json.loads((tmp_path / "report.json").read_text())
    memory = report.pop("peak_memory_mb")
    assert report == {"psnr": 24.5, "views": 6, "device": "cpu", "split": "every 8th"}
    assert memory > 50


def test_peak_memory_is_this_process_s_own_and_a_peak():
    """A child that takes 200 MB and gives them back reports those, and nothing of its bigger parent."""
    source = Path(fieldscape.__file__).parent.parent
    program = (
        "from fieldscape.runs import peak_memory_mb\n"
        "before = peak_memory_mb()\n"
        "block = bytearray(200_000_000); del block\n"
        "print(before, peak_memory_mb())"
    )
    ballast = torch.ones(125_000_000)  # 500 MB
    environment = os.environ | {"PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    before, after = map(float, done.stdout.split())
    assert before < peak_memory_mb() - 300
    assert 150 < after - before < 250
    del ballast


def test_previews_stay_in_their_folder(tmp_path):
    run = create(tmp_path)
    path = run.preview_path("00100.png")
    assert path == tmp_path / "previews" / "00100.png"
    assert path.parent.is_dir()
    for name in ("../x.png", "a/b.png", "/etc/x", "", "."):
        with pytest.raises(ValueError, match="plain file name"):
            run.preview_path(name)


def test_fresh_paths_count_up(tmp_path):
    base = tmp_path / "runs" / "lego"
    found = []
    for _ in range(3):
        path = fresh_path(base)
        create(path)
        found.append(path.name)
    assert found == ["lego", "lego-2", "lego-3"]
    (tmp_path / "runs" / "lego-4").mkdir()
    assert fresh_path(base).name == "lego-4"
    (tmp_path / "file").write_text("")
    assert fresh_path(tmp_path / "file").name == "file-2"
