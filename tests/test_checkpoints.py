"""Whatever happens to the program or the disk, the last checkpoint or the one before comes back, whole."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from fieldscape import checkpoints
from fieldscape.checkpoints import STATE, TENSORS, latest_checkpoint, save_checkpoint
from fieldscape.errors import BadInput

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked copy of this process")


def tensors_of(step: int, size: int = 50) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((size,), float(step)), "step": torch.tensor(step)}


def save(folder: Path, step: int, size: int = 50) -> None:
    save_checkpoint(folder, step, tensors_of(step, size), {"seconds": step / 3})


def is_whole(checkpoint, step: int) -> bool:
    weight = checkpoint.tensors["weight"]
    same = bool((weight == float(step)).all()) and len(weight) > 0 and int(checkpoint.tensors["step"]) == step
    return checkpoint.step == step and same and checkpoint.state == {"seconds": step / 3}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept(tmp_path):
    folder = tmp_path / "checkpoint"
    assert latest_checkpoint(folder) is None
    for step in (1, 2, 3):
        save(folder, step)
        assert is_whole(latest_checkpoint(folder), step)
        assert latest_checkpoint(folder).notes == ()
    assert names(folder) == ["step-00000002", "step-00000003"]


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (99_999_999, 100_000_000):
        save(tmp_path / "c", step)
    assert latest_checkpoint(tmp_path / "c").step == 100_000_000


def test_any_tensor_and_any_number_comes_back(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "base": base,
        "transposed": base.T,
        "row": base[1],
        "same": base,
        "expanded": torch.ones(3, 1).expand(3, 5),
        "parameter": torch.nn.Parameter(torch.tensor([1e-45, math.inf])),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "half": torch.tensor([0.1]).bfloat16(),
        "mask": torch.tensor([True, False]),
        "bytes": torch.arange(5, dtype=torch.uint8),
    }
    state = {"best": -math.inf, "third": 1 / 3, "tiny": 5e-324, "list": [1, None, "x", True], "nested": {"a": {}}}
    save_checkpoint(tmp_path / "c", 5, tensors, state)
    found = latest_checkpoint(tmp_path / "c")
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor), name
    assert found.state == state
    mode = {path.stat().st_mode for path in (tmp_path / "c" / "step-00000005").iterdir()}
    assert len(mode) == 1, "the tensors are as readable as the rest"


def test_what_cannot_come_back_is_refused_before_anything_is_written(tmp_path):
    for state in ({"a": {1, 2}}, {"a": torch.zeros(1)}, {"a": {1: 2}}):
        with pytest.raises(TypeError):
            save_checkpoint(tmp_path / "c", 1, {}, state)
    assert not (tmp_path / "c").exists()
    with pytest.raises(TypeError, match="the tensor grid is"):
        save_checkpoint(tmp_path / "c", 1, {"grid": torch.eye(3).to_sparse()}, {})
    assert names(tmp_path / "c") == []


@pytest.mark.parametrize("file", [TENSORS, STATE])
@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "gone", "longer"])
def test_damage_falls_back_to_the_one_before_and_says_so(tmp_path, file, damage):
    for step in (1, 2):
        save(tmp_path, step)
    path = tmp_path / "step-00000002" / file
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-20] ^= 1  # in the state, that is within the seal; in the tensors, within the weights
    path.write_bytes({"cut": content[:-3], "empty": b"", "longer": content + b"}"}.get(damage, content))
    if damage == "gone":
        path.unlink()
    found = latest_checkpoint(tmp_path)
    assert is_whole(found, 1)
    assert "step-00000002 is damaged" in found.notes[0]
    assert file in found.notes[0]
    assert found.notes[-1] == "Continuing from the one before, of step 1."


def test_every_bit_of_the_state_counts(tmp_path):
    """Whichever bit flips, the state read is the state written, or the checkpoint is passed over."""
    save(tmp_path, 1)
    path = tmp_path / "step-00000001" / STATE
    content = path.read_bytes()
    for place in range(0, len(content) * 8, 13):  # 13 and 8 share no divisor: every bit of a byte gets its turn
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found = latest_checkpoint(tmp_path)
        except BadInput:
            continue
        assert is_whole(found, 1)  # only white space was hit


def test_all_damaged_is_bad_input(tmp_path):
    for step in (1, 2):
        save(tmp_path, step)
        (tmp_path / f"step-0000000{step}" / TENSORS).unlink()
    with pytest.raises(BadInput, match=r"step-00000002 is damaged.*step-00000001 is damaged.*No good one is left"):
        latest_checkpoint(tmp_path)


def test_a_sealed_state_of_another_shape_is_damage_too(tmp_path):
    save(tmp_path, 1)
    for content in ({}, {"step": "1", "state": {}, "tensors": {"bytes": 1}}, {"step": 1, "state": {}, "tensors": 3}):
        sealed = {**content, "sha256": checkpoints._seal(content)}
        (tmp_path / "step-00000001" / STATE).write_text(json.dumps(sealed))
        with pytest.raises(BadInput, match="not the state of a checkpoint"):
            latest_checkpoint(tmp_path)


def test_going_on_from_before_a_damaged_one_replaces_it(tmp_path):
    for step in (1, 2):
        save(tmp_path, step)
    (tmp_path / "step-00000002" / TENSORS).write_bytes(b"")
    save(tmp_path, 2)
    assert is_whole(latest_checkpoint(tmp_path), 2)
    assert latest_checkpoint(tmp_path).notes == ()
    assert names(tmp_path) == ["step-00000001", "step-00000002-2"]
    save(tmp_path, 3)
    save(tmp_path, 4)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def forked(work) -> int:
    """The wait status of a forked copy of this process that does ``work`` and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return os.waitpid(child, 0)[1]


@contextlib.contextmanager
def at_every_line(function):
    """Call ``function(count)`` before each line that the code which writes checkpoints executes in the block."""
    ours = ("checkpoints.py", "files.py", "shutil.py", "pathlib.py")
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if not frame.f_code.co_filename.endswith(ours):
            return None
        if event == "line":
            count += 1
            function(count)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def on_disk(folder: str) -> dict[str, int]:
    """Every file and folder in ``folder``, with the sizes of the files."""
    found = {}
    for place, _, inside in os.walk(folder):
        found[place] = 0
        found |= {f"{place}/{name}": os.stat(f"{place}/{name}").st_size for name in inside}
    return found


@needs_fork
@pytest.mark.parametrize("damaged", [False, True])
def test_kill_9_at_every_point_of_saving(tmp_path, damaged):
    """A process killed at any line of the writing: step 2 or step 3 is there, whole, never anything else.

    A first, undisturbed save notes at which lines the disk has just changed; killed at any other line, the process
    leaves what it leaves at one of those. With ``damaged``, step 3 had been there and its disk failed, so that the new
    one takes its place.
    """
    start, folder = tmp_path / "start", tmp_path / "now"
    for step in (1, 2, 3) if damaged else (1, 2):
        save(start, step)
    if damaged:
        (start / "step-00000003" / TENSORS).write_bytes(b"lost")

    def afresh():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)

    afresh()
    states: list[tuple[int, dict[str, int]]] = [(1, {})]

    def look(line):
        now = on_disk(str(folder))
        if now != states[-1][1]:
            states.append((line, now))

    with at_every_line(look):
        save(folder, 3)
    assert len(states) > 6, "the writing was watched"

    steps = []
    for line, _ in states:
        afresh()

        def work(line=line):
            with at_every_line(lambda count: count == line and os.kill(os.getpid(), signal.SIGKILL)):
                save(folder, 3)

        assert os.WIFSIGNALED(forked(work))
        found = latest_checkpoint(folder)
        assert is_whole(found, found.step)
        assert found.step == 2 or found.notes == ()
        steps.append(found.step)
        save(folder, 4)  # tidies up what the killed one left
        assert len(names(folder)) == 2
        assert is_whole(latest_checkpoint(folder), 4)
    assert steps == sorted(steps), "first the one before, then the new one"
    assert set(steps) == {2, 3}


@needs_fork
def test_kill_9_at_any_time_of_writing_much(tmp_path):
    """16 MB checkpoints, written again and again by a process that is killed at a random moment."""
    chance = random.Random(0)
    begun = 0
    for _ in range(8):
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            for step in range(begun + 1, begun + 1000):
                save(tmp_path, step, size=4_000_000)
                os.write(tell, b"x")
        os.close(tell)
        os.read(ready, 1)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        saved = begun + 1 + len(os.read(ready, 1000))  # it said so after each; now the pipe is at its end
        os.close(ready)
        found = latest_checkpoint(tmp_path)
        assert found.notes == ()
        assert found.step in (saved, saved + 1)
        assert is_whole(found, found.step)
        begun = found.step


def test_nothing_gets_its_name_before_it_is_on_the_disk_and_nothing_goes_before_that(tmp_path, monkeypatch):
    """The order that makes a power failure harmless: sync the files, sync their folder, rename, sync, delete."""
    for step in (1, 2):
        save(tmp_path, step)
    events = []

    def note(module, name, label):
        original = getattr(module, name)

        def noted(path, *arguments, **options):
            events.append((label, Path(path).suffix or Path(path).name[:13]))
            return original(path, *arguments, **options)

        monkeypatch.setattr(module, name, noted)

    note(checkpoints, "sync_file", "sync")
    note(checkpoints, "sync_folder", "sync")
    note(checkpoints, "_delete", "delete")
    note(Path, "rename", "rename")
    save(tmp_path, 3)
    assert events[1:] == [
        ("sync", ".safetensors"),
        ("sync", ".json"),
        ("sync", ".tmp"),
        ("rename", ".tmp"),
        ("sync", tmp_path.name[:13]),
        ("delete", "step-00000001"),
        ("rename", "step-00000001"),
    ]


@pytest.mark.parametrize("failing", ["sync_file", "save_file", "sync_folder"])
def test_a_full_disk_says_which_checkpoint_is_good(tmp_path, monkeypatch, failing):
    folder = tmp_path / "checkpoint"

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(checkpoints, failing, full)
        with pytest.raises(BadInput) as caught:
            save(folder, 1)
    assert "step 1" in str(caught.value)
    assert "No space left on device. There is no earlier one." in str(caught.value)
    save(folder, 1)
    with monkeypatch.context() as context:
        context.setattr(checkpoints, failing, full)
        with pytest.raises(BadInput) as caught:
            save(folder, 2)
    assert "Cannot write the checkpoint of step 2" in str(caught.value)
    assert "No space left on device. The checkpoint of step 1 is intact" in str(caught.value)
    assert names(folder) == ["step-00000001"]


@needs_fork
def test_a_disk_that_really_takes_no_more(tmp_path):
    """The system itself refuses the bytes: a limit on the size of files stands in for a full disk."""
    save(tmp_path, 1)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(BadInput, match="The checkpoint of step 1 is intact"):
            save(tmp_path, 2, size=100_000)

    assert forked(work) == 0
    assert names(tmp_path) == ["step-00000001"]
    assert is_whole(latest_checkpoint(tmp_path), 1)


def test_ctrl_c_while_saving_leaves_no_litter(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "sync_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001"]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(BadInput, match="Cannot write the checkpoint of step 1"):
        save(tmp_path / "checkpoint", 1)
