"""Starting ``sfm_process``, showing how far it is, and turning however it ends into a result or one sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from fieldscape.data import sfm_process
from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.progress import progress as progress_bar

COMMAND = [sys.executable, "-P", "-m", "fieldscape.data.sfm_process"]
"""-P: a folder that happens to be called fieldscape must not be taken for the package."""


def run(job: dict[str, Any], log: Path, quiet: bool) -> dict[str, Any]:
    """Runs ``sfm_process`` on ``job`` and returns its result; pycolmap's log goes to the file ``log``.

    Raises BadInput: it says why it failed, or it crashed.
    """
    # In a session of its own, so that Ctrl-C reaches this process only, which then ends the other.
    with (
        log.open("w", encoding="utf-8") as record,
        subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            encoding="utf-8", errors="replace",
        ) as process,
    ):  # fmt: skip
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("no pipes to the process")
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            outcome = _follow(process.stdout, record.write, quiet)
        finally:
            process.kill()  # it closes with its input anyway; this also covers being in the middle of native code
    if "result" in outcome:
        return dict(outcome["result"])
    if "failure" in outcome:
        raise BadInput(f"The cameras of the {len(job['names'])} photos cannot be found: {outcome['failure']}.")
    raise BadInput(
        f"Structure from motion stopped with an error of pycolmap's own; its last words are in {log}. Try fewer or"
        " smaller photos, or another version of pycolmap."
    )


FEATURES = re.compile(r"Processed file \[(\d+)/")
MATCHES = re.compile(r"Processing (?:block|image) \[(\d+)/(\d+)(?:, (\d+)/(\d+))?\]")


def _follow(lines: Iterable[str], record: Callable[[str], object], quiet: bool) -> dict[str, Any]:
    """Shows the progress that the process tells of, a bar a stage, until its result or its end."""
    outcome: dict[str, Any] = {}
    bar: Bar | None = None
    total = 0
    with ExitStack() as shown:
        for line in lines:
            if not line.startswith(sfm_process.EVENT):
                record(line)
                done = photos_done(line, total)
                if bar is not None and done is not None:
                    bar.update(done)
                continue
            event = json.loads(line[len(sfm_process.EVENT) :])
            if "stage" in event:
                shown.close()
                total = int(event["total"])
                bar = shown.enter_context(progress_bar(total, f"finding {event['stage']}", quiet, unit="photo"))
            elif "done" in event and bar is not None:
                bar.update(event["done"])
            else:
                outcome = event
    return outcome


def photos_done(line: str, total: int) -> float | None:
    """How many of ``total`` photos a line of pycolmap's log says are done, if it says so.

    >>> photos_done("I2026 feature_extraction.cc:270] Processed file [3/11]", 11)
    3.0
    >>> photos_done("I2026 pairing.cc:214] Processing block [2/3, 1/3]", 90)  # 3 blocks of 9 lie behind it
    30.0
    """
    if step := FEATURES.search(line):
        return float(step[1])
    if step := MATCHES.search(line):
        row, rows, column, columns = (int(number or 1) for number in step.groups())
        return total * ((row - 1) * columns + column - 1) / max(1, rows * columns)
    return None
