"""The display tells where the work is, on a terminal and in a log, and never ends the work."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import fieldscape
from fieldscape.progress import progress

SOURCE = str(Path(fieldscape.__file__).parent.parent)


class Clock:
    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def log(capsys):
    """What was written so far since the last time of asking."""
    return lambda: capsys.readouterr().err


def test_a_log_gets_a_line_every_few_seconds_and_the_last(clock, log):
    with progress(1000, "fit lego") as bar:
        for step in range(1, 988):
            clock.now += 1 / 64
            bar.update(step, loss=0.5, psnr=20.25)
    lines = log().splitlines()
    assert [line.split()[2] for line in lines] == ["1/1000", "321/1000", "641/1000", "961/1000", "987/1000"]
    assert lines[1] == "fit lego  321/1000  32%  loss 0.5  psnr 20.25  64 step/s  0:11 left"


def test_a_resumed_bar_measures_from_where_it_started(clock, log):
    with progress(10_000, "fit", start=9_000) as bar:
        clock.now += 10
        bar.update(9_100)
    assert log() == "fit  9100/10000  91%  10 step/s  1:30 left\n"


def test_slow_work_is_told_in_seconds_a_step(clock, log):
    with progress(10, "photos", unit="photo") as bar:
        clock.now += 5
        bar.update(2)
    assert log() == "photos  2/10  20%  2.5 s/photo  0:20 left\n"


def test_work_by_time_has_no_speed(clock, log):
    with progress(120, "fit", unit="s") as bar:
        clock.now += 30
        bar.update(30.4, psnr=25.0)
    assert log() == "fit  30/120 s  25%  psnr 25  1:28 left\n"


def test_an_unknown_total(clock, log):
    with progress(None, "frames", unit="frame") as bar:
        clock.now += 2
        bar.update(100)
    assert log() == "frames  100  50 frame/s\n"


def test_odd_totals_and_figures_do_no_harm(clock, log):
    with progress(0, "nothing") as bar:
        bar.update(0, loss=float("nan"), best=float("-inf"), field="[red]mlp[/red]")
    assert log() == "nothing  0/0  loss nan  best -inf  field [red]mlp[/red]\n"


def test_figures_stay_until_newer_ones_come(clock, log):
    with progress(4, "fit") as bar:
        bar.update(1, loss=1.0, psnr=20.0)
        clock.now += 10
        bar.update(2, loss=0.5)
    assert "loss 0.5  psnr 20" in log().splitlines()[1]


def test_saying_something(clock, log):
    with progress(4, "fit") as bar:
        bar.say("step 2 of 4 [bold]")
    assert log() == "step 2 of 4 [bold]\nfit  0/4  0%\n"


def test_quiet_is_quiet(clock, capfd):
    with progress(4, "fit", quiet=True) as bar:
        bar.update(1, loss=1.0)
        bar.say("something")
    assert capfd.readouterr() == ("", "")


def test_the_last_state_is_shown_when_the_work_fails(clock, log):
    with pytest.raises(ZeroDivisionError), progress(4, "fit") as bar:  # noqa: PT012
        bar.update(1)
        bar.update(3)
        _ = 1 / 0
    assert [line.split()[1] for line in log().splitlines()] == ["1/4", "3/4"]


def test_streams_that_cannot_take_it(monkeypatch, clock):
    reading, writing = os.pipe()
    os.close(reading)
    broken = os.fdopen(writing, "w", buffering=1)
    closed = io.StringIO()
    closed.close()
    for stream in (broken, closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress(4, "fit") as bar:
            for step in range(5):
                bar.update(step)
                bar.say("hello")
    broken.close()  # without a complaint about what was left to write
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", narrow)
    with progress(4, "Möbel") as bar:
        bar.update(1)
    narrow.flush()
    assert narrow.buffer.getvalue().startswith(b"M?bel  1/4")


WORK = textwrap.dedent(
    """
    import sys, time
    import fieldscape.progress
    fieldscape.progress.LINE_SECONDS = 0
    with fieldscape.progress.progress(200, "fit") as bar:
        for step in range(1, 201):
            bar.update(step, loss=1 / step)
            if step == 100:
                bar.say("half of it")
                print("printed")
            time.sleep(0.002)
    print("done")
    """
)


def test_a_reader_that_goes_away_does_not_end_the_work(tmp_path):
    """As in ``fieldscape ... 2>&1 >result | head -1``."""
    result = tmp_path / "result"
    with result.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", WORK], stdout=out, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": SOURCE}
        )
        assert process.stderr.readline().startswith(b"fit  1/200")
        process.stderr.close()
        assert process.wait(timeout=60) == 0
    assert result.read_text() == "printed\ndone\n"


@pytest.mark.parametrize("closing", ["2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_no_streams_at_all(closing, tmp_path):
    end = f"open({str(tmp_path / 'end')!r}, 'w').close()"
    work = WORK.replace('print("printed")', "").replace('print("done")', end)
    environment = os.environ | {"PYTHONPATH": SOURCE, "WORK": work}
    done = subprocess.run(f'{sys.executable} -c "$WORK" {closing}', shell=True, env=environment, timeout=60)
    assert done.returncode == 0
    assert (tmp_path / "end").exists()


def test_on_a_terminal_it_is_one_bar_and_results_can_be_piped_on():
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": SOURCE, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    seen = bytearray()

    def read():
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:
                return
            if not chunk:
                return
            seen.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    out, _ = process.communicate(timeout=60)
    reader.join(10)
    os.close(ours)
    shown = seen.decode()
    assert process.returncode == 0
    assert out == b"printed\ndone\n"
    assert "half of it" in shown
    assert "200/200" in shown
    assert "100%" in shown
    assert "━" in shown
    assert shown.count("\n") <= 4, "the bar stays in its line"
    assert "printed" not in shown
