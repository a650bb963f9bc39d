"""Stopping when asked: a training finishes its step, saves, and says how to go on.

The loop asks ``stop.requested`` once a step. Ctrl-C, SIGTERM (what schedulers send) and a time limit all answer there.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from fieldscape.errors import BadInput


class Stop:
    """Whether, and why, the work should end after the current step."""

    def __init__(self, minutes: float | int | None) -> None:
        if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
            raise BadInput(f"The time limit must be a number of minutes above 0, not {minutes}.")
        self._minutes = minutes
        self._began = time.monotonic()
        self._signal: str | None = None

    @property
    def requested(self) -> str | None:
        """The reason in words ("Ctrl-C", "SIGTERM", "10 minutes are over"), or None to carry on."""
        if self._signal is None and self._minutes is not None and time.monotonic() - self._began >= self._minutes * 60:
            return "1 minute is over" if self._minutes == 1 else f"{self._minutes:g} minutes are over"
        return self._signal

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler: note the first request; a second Ctrl-C means *now*."""
        if number == signal.SIGINT:
            if self._signal == "Ctrl-C":
                raise KeyboardInterrupt
            # Not print(): the signal may have arrived in the middle of one, whose lock is held.
            with contextlib.suppress(OSError):
                os.write(2, b"\nFinishing this step, then saving. Ctrl-C once more stops at once.\n")
            self._signal = "Ctrl-C"
        elif self._signal is None:
            self._signal = signal.Signals(number).name


@contextlib.contextmanager
def graceful_stop(minutes: float | int | None = None) -> Iterator[Stop]:
    """Within the block, Ctrl-C and SIGTERM set ``stop.requested`` instead of ending the program.

    ``minutes`` is a time limit counted from here. The earlier handlers come back at the end of the block. Signals can
    only be handled in the main thread, so elsewhere only the time limit works; a signal that was being ignored (as
    Ctrl-C is for jobs in the background of a script) stays ignored.

    Raises:
        BadInput: ``minutes`` is not above 0.
    """
    stop = Stop(minutes)
    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: not Python's, could not come back
                    before[number] = signal.signal(number, stop.on_signal)
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
