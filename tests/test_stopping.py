"""Being asked to stop sets a flag, once, and only while somebody looks at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import fieldscape
from fieldscape.errors import BadInput
from fieldscape.stopping import graceful_stop


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """A job started in the background ignores Ctrl-C, and these tests may well be such a job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize(("number", "reason"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_is_a_request(number, reason):
    before = signal.getsignal(number)
    with graceful_stop() as stop:
        assert stop.requested is None
        send(number)
        assert stop.requested == reason
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_means_now():
    with pytest.raises(KeyboardInterrupt), graceful_stop():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_sigterm_changes_nothing():
    with graceful_stop() as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert stop.requested == "SIGTERM"


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), graceful_stop():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with graceful_stop() as stop:
            send(signal.SIGINT)
            assert stop.requested is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("minutes", "words"), [(1, "1 minute is over"), (10, "10 minutes are over"), (0.5, "0.5 minutes are over")]
)
def test_the_time_limit(monkeypatch, minutes, words):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with graceful_stop(minutes) as stop:
        now[0] += minutes * 60 - 0.01
        assert stop.requested is None
        now[0] += 0.02
        assert stop.requested == words


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_that_is_none(minutes):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(BadInput, match="above 0"), graceful_stop(minutes):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_only_the_clock_works():
    found = []

    def work():
        with graceful_stop(0.0001) as stop:
            time.sleep(0.02)
            found.append(stop.requested)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["0.0001 minutes are over"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "says"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_real_process_finishes_its_step_and_ends_well(number, says):
    """Signalled in the middle of a step, the program completes it and exits with status 0."""
    program = textwrap.dedent(
        """
        import time
        from fieldscape.stopping import graceful_stop
        with graceful_stop() as stop:
            for step in range(1000):
                print("begin", step, flush=True)
                time.sleep(0.05)
                print("end", step, flush=True)
                if stop.requested:
                    break
        print("saved after", stop.requested)
        """
    )
    environment = os.environ | {"PYTHONPATH": str(Path(fieldscape.__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # even in a background job
    )
    assert process.stdout.readline() == "begin 0\n"
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    lines = out.splitlines()
    assert lines[-1] == f"saved after {says}"
    assert lines[-2].startswith("end ")
    assert int(lines[-2].split()[1]) < 100
    assert ("Ctrl-C once more stops at once" in error) == (number == signal.SIGINT)
