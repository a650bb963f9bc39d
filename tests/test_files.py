"""Files from anywhere end in a value or in one sentence; files of ours are there entirely or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldscape import files
from fieldscape.errors import BadInput

finite_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=finite_json)
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_value_or_bad_input(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_bytes(content)
    try:
        json.loads(content.decode("utf-8-sig"))
    except ValueError:
        with pytest.raises(BadInput, match="anything"):
            files.read_json(path)
    else:
        files.read_json(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "line 1"),
        (b'{"a": 1,\n "b": ', "line 2"),
        (b"[" * 200_000, "deeply"),
        (b'{"a":' * 200_000, "deeply"),
        (b"\xff\xfe", "UTF-8"),
        (b"1" * 10_000, "digits"),
        (b"[" + b" " * 2**20 + b"]", "larger than 1 MiB"),
    ],
)
def test_bad_json_is_one_sentence(tmp_path, content, says):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says) as caught:
        files.read_json(path, max_bytes=2**20)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_bom_and_nan_literals_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf[NaN, -Infinity, 1]")
    nan, minus, one = files.read_json(path)
    assert math.isnan(nan)
    assert (minus, one) == (-math.inf, 1)


def test_things_that_are_not_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", Path("/dev/zero"), "a\0b", tmp_path / "x" / "y"):
        with pytest.raises(BadInput):
            files.read_json(path)


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, "old")

    def full(file):
        file.write(b"half of ")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInput, match="No space left on device"):
        files.write_atomic(path, full)

    def wrong(file):
        raise ValueError("a complaint of the writer")

    with pytest.raises(ValueError, match="a complaint of the writer"):
        files.write_atomic(path, wrong)
    assert files.read_json(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_comes_after_the_content_is_on_the_disk(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle):
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noted_replace(path, to):
        events.append("name")
        return replace(path, to)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    files.write_json(tmp_path / "a.json", 1)
    assert events == ["file", "name", "folder"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    files.write_json(tmp_path / "ours", 1)
    (tmp_path / "plain").write_text("1")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="Cannot write"):
        files.write_json(tmp_path / "nowhere" / "a.json", 1)


def test_non_finite_numbers_become_words_and_strangers_are_refused(tmp_path):
    files.write_json(tmp_path / "a.json", {"psnr": math.inf, "loss": math.nan, "size": (1, 2)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"psnr": "inf", "loss": "nan", "size": [1, 2]}
    with pytest.raises(TypeError, match="set has no JSON form"):
        files.jsonable({1, 2})
    with pytest.raises(TypeError, match="keyed by strings"):
        files.jsonable({1: 2})
