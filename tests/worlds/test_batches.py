"""Batches: all or nothing, the same whatever the workers, resumed where they stopped, refused where they differ."""

import json
import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from fieldscape.errors import BadInput
from fieldscape.worlds import batches
from fieldscape.worlds.batches import Batch, write_batch


def number(base: int, folder: Path, index: int) -> None:
    (folder / "numbers").mkdir()
    (folder / "numbers" / f"{index}.txt").write_text(str(base + index))


def total(folder: Path) -> None:
    values = [int(path.read_text()) for path in (folder / "numbers").iterdir()]
    (folder / "total.txt").write_text(str(sum(values)))


def broken(folder: Path, index: int) -> None:
    if index == 3:
        raise OSError(28, "No space left on device")
    number(0, folder, index)


def batch(count: int = 6, **settings: object) -> Batch:
    return Batch("numbers", count, "number", {"base": 10, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_one_worker_and_two_make_the_same_folder(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        assert write_batch(tmp_path / name, batch(), partial(number, 10), total, workers, quiet=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert (tmp_path / "one" / "total.txt").read_text() == "75"
    about = json.loads((tmp_path / "one" / "world.json").read_text())
    assert (about["kind"], about["count"], about["settings"]) == ("numbers", 6, {"base": 10})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


def stopping_after(made: list[int], last: int, folder: Path, index: int) -> None:
    number(10, folder, index)
    made.append(index)
    if index == last:
        os.kill(os.getpid(), signal.SIGTERM)


def test_what_was_stopped_goes_on_without_doing_anything_twice(tmp_path, capsys):
    assert threading.current_thread() is threading.main_thread()
    out, made = tmp_path / "out", list[int]()
    assert not write_batch(out, batch(), partial(stopping_after, made, 2), total, 1)
    assert not out.exists()
    said = capsys.readouterr().err
    assert "3 of 6" in said
    assert "SIGTERM" in said
    assert write_batch(out, batch(), partial(stopping_after, made, -1), total, 1, quiet=True)
    assert made == [0, 1, 2, 3, 4, 5]
    write_batch(tmp_path / "whole", batch(), partial(number, 10), total, 1, quiet=True)
    assert contents(out) == contents(tmp_path / "whole")


def test_an_item_that_was_torn_is_made_again(tmp_path):
    out, partial_out = tmp_path / "out", tmp_path / "out.partial"
    with pytest.raises(BadInput, match="No space"):
        write_batch(out, batch(), broken, None, 1, quiet=True)
    assert (partial_out / ".item-3").exists()
    (partial_out / ".item-3" / "torn.txt").write_text("half")
    assert write_batch(out, batch(), partial(number, 0), None, 1, quiet=True)
    assert sorted(contents(out)) == [f"numbers/{i}.txt" for i in range(6)] + ["world.json"]


def test_going_on_with_other_settings_is_refused_and_both_are_named(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(BadInput, match="No space"):
        write_batch(out, batch(), broken, None, 1, quiet=True)
    before = contents(tmp_path / "out.partial")
    with pytest.raises(BadInput, match="base 10 then, 11 now") as refusal:
        write_batch(out, Batch("numbers", 7, "number", {"base": 11}), broken, None, 1, quiet=True)
    assert "count 6 then, 7 now" in str(refusal.value)
    assert contents(tmp_path / "out.partial") == before


def test_what_is_there_is_not_touched(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match="not empty"):
        write_batch(tmp_path / "full", batch(), partial(number, 0), None, 1, quiet=True)
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match="is not empty"):
        write_batch(tmp_path / "new", batch(), partial(number, 0), None, 1, quiet=True)
    with pytest.raises(BadInput, match="Cannot write"):
        write_batch(tmp_path / "full" / "mine.txt" / "deep", batch(), partial(number, 0), None, 1, quiet=True)
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"
    (tmp_path / "empty").mkdir()
    assert write_batch(tmp_path / "empty", batch(), partial(number, 0), None, 1, quiet=True)


def test_a_fault_in_a_worker_reaches_the_caller(tmp_path):
    with pytest.raises(BadInput, match="No space"):
        write_batch(tmp_path / "out", batch(), broken, None, 2, quiet=True)
    assert batches.cores() >= 1
