"""Showing how long work goes: a bar on a terminal, plain lines in a log, nothing when asked to be quiet.

It all goes to standard error, so that the results on standard output can be piped on. A reader that goes away (a closed
pipe, a lost terminal) silences the display and never ends the work.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

Figure = float | int | str

LINE_SECONDS = 5.0
"""Between two plain lines."""
REFRESH_SECONDS = 0.1
"""Between two states of the bar."""
PACE_SECONDS = 20.0
"""The speed is that of this last while, so that it follows a change and yet is calm."""


class Bar:
    """What ``progress`` yields: tell it how far the work is, it decides what is worth showing."""

    def __init__(
        self, total: float | int | None, description: str, start: float | int, unit: str, output: _Output | None
    ) -> None:
        self._total, self._description, self._unit, self._output = total, description, unit, output
        self._step, self._figures = start, dict[str, Figure]()
        self._history = deque([(time.monotonic(), start)])
        self._shown_at, self._shown_step = -float("inf"), -float("inf")
        self._live: Progress | None = None
        if output is not None and output.isatty() and os.environ.get("TERM") != "dumb":
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[figures]}", markup=False),
            )
            self._live = Progress(
                *columns,
                console=Console(file=cast(TextIO, output)),
                auto_refresh=False,
                redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            )
            self._live.add_task(description, total=total, figures="")
            self._live.start()

    def update(self, step: float | int, **figures: Figure) -> None:
        """The work is at ``step``. ``figures`` (loss=0.01, psnr=24.3) are shown until newer ones of their name come."""
        self._step = step
        self._figures |= figures
        now = time.monotonic()
        if now - self._shown_at >= (REFRESH_SECONDS if self._live else LINE_SECONDS):
            self._show(now)

    def say(self, text: str) -> None:
        """Print ``text`` above the bar, or as a line of its own."""
        if self._live:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
        elif self._output is not None:
            self._output.write(f"{text}\n")
            self._output.flush()

    def close(self) -> None:
        """Show the last state, whenever the one before was shown, and let go of the terminal."""
        if self._shown_step != self._step:
            self._show(time.monotonic())
        if self._live:
            self._live.stop()

    def _show(self, now: float) -> None:
        if self._output is None:
            return
        self._history.append((now, self._step))
        while now - self._history[0][0] > PACE_SECONDS and len(self._history) > 2:
            self._history.popleft()
        self._shown_at, self._shown_step = now, self._step
        if self._live:
            self._live.update(self._live.task_ids[0], completed=self._step, figures=self._line())
            self._live.refresh()
        else:
            self.say(f"{self._description}  {self._line()}")

    def _line(self) -> str:
        (began, first), (now, last) = self._history[0], self._history[-1]
        pace = (last - first) / (now - began) if now > began else 0.0
        seconds = self._unit == "s"
        parts = [f"{self._step:.4g} {self._unit}" if seconds else f"{self._step:g}"]
        if self._total is not None:
            parts = [f"{self._step:.0f}/{self._total:.0f}" + (" s" if seconds else "")]
            parts += [f"{100 * self._step / self._total:.0f}%"] if self._total > 0 else []
        parts += [f"{name} {_number(value)}" for name, value in self._figures.items()]
        if pace > 0:
            if not seconds:  # a second takes a second
                parts.append(f"{_number(pace)} {self._unit}/s" if pace >= 1 else f"{_number(1 / pace)} s/{self._unit}")
            if self._total is not None and self._step < self._total:
                parts.append(f"{_clock((self._total - self._step) / pace)} left")
        return "  ".join(parts)


@contextlib.contextmanager
def progress(
    total: float | int | None, description: str, quiet: bool = False, start: float | int = 0, unit: str = "step"
) -> Iterator[Bar]:
    """Show the progress of the work in the block, which calls ``bar.update(step, loss=...)`` as often as it likes.

    total: where the work ends, None if that is unknown.  start: where it begins, when it was resumed.
    unit: what is counted; ``"s"`` for work that is given a number of seconds.
    """
    bar = Bar(total, description, start, unit, None if quiet or sys.stderr is None else _Output(sys.stderr))
    try:
        yield bar
    finally:
        bar.close()


class _Output:
    """A text stream that goes silent, for good, when nobody can read it any more."""

    def __init__(self, stream: Any) -> None:  # notebooks and test runners put all kinds of objects there
        self._stream = stream
        self._lost = False

    @property
    def encoding(self) -> str:
        return self._stream.encoding or "utf-8"  # streams in memory have none

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        if not self._lost:
            try:
                self._stream.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except (OSError, ValueError):
                self._lose()
        return len(text)

    def flush(self) -> None:
        if not self._lost:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._lose()

    def _lose(self) -> None:
        """Python flushes its streams once more at exit and would complain there: what is left goes nowhere."""
        self._lost = True
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def _number(value: Figure) -> str:
    """Four digits, and no exponent where people read none.

    >>> _number(24.3187), _number(0.00012345), _number(1234567.0), _number(12), _number("bf16")
    ('24.32', '0.0001234', '1234567', '12', 'bf16')
    """
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _clock(seconds: float | int) -> str:
    """Minutes and seconds, or hours and minutes.

    >>> _clock(65.2), _clock(7260)
    ('1:05', '2h01')
    """
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}" if whole < 3600 else f"{whole // 3600}h{whole % 3600 // 60:02}"
