"""The scene bank: what was acknowledged is there, byte for byte, whatever happened to the writer or to the files."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_banks import content, filled, segment

from fieldscape.errors import BadInput
from fieldscape.systems.latents.bank import Bank


def test_scenes_come_back_with_their_records_in_order(tmp_path: Path) -> None:
    scenes = filled(tmp_path / "bank", segment_bytes=1000)
    assert len(list((tmp_path / "bank").glob("*.scenes"))) > 1
    with Bank.open(tmp_path / "bank", "bundle") as bank:
        assert bank.names() == list(scenes)
        assert len(bank) == len(scenes)
        assert bank.notes == ()
        entry = bank.read("car 005")
        assert (entry.payload, entry.record) == (scenes["car 005"], {"psnr": 30.5, "bytes": len(scenes["car 005"])})
        assert "car 005" in bank
        assert "car 999" not in bank
        with pytest.raises(BadInput, match="no scene 'car 999'"):
            bank.read("car 999")


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_bank_is_a_dictionary(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Random histories of all operations, against a dict; names are any text."""
    folder = tmp_path_factory.mktemp("twin") / "bank"
    names = data.draw(st.lists(st.text(min_size=1, max_size=8).filter(str.isprintable), min_size=1, max_size=5))
    twin: dict[str, bytes] = {}
    bank = Bank.create(folder, "b", "close", segment_bytes=300)
    for _ in range(data.draw(st.integers(1, 20))):
        name, what = data.draw(st.sampled_from(names)), data.draw(st.sampled_from("aaaarrddcok"))
        payload = data.draw(st.binary(max_size=40))
        if what == "a" and name not in twin:
            bank.append(name, payload)
            twin[name] = payload
        elif what == "r":
            bank.append(name, payload, replace=True)
            twin.pop(name, None)
            twin[name] = payload
        elif what == "d" and name in twin:
            bank.delete(name)
            del twin[name]
        elif what == "c":
            bank.compact()
        elif what == "o":
            bank.close()
            bank = Bank.open(folder, write=True, sync="close", segment_bytes=300)
        elif what == "k":  # killed: neither closed nor its index written
            os.close(bank._lock or 0)
            bank._lock = None
            bank = Bank.open(folder, write=True, sync="close", segment_bytes=300)
    assert (len(bank), bank.names()) == (len(twin), list(twin))
    assert {name: bank.read(name).payload for name in twin} == twin
    assert bank.verify().sound
    assert content(folder) == twin
    bank.close()
    for path in folder.glob("*.index"):
        path.unlink()
    assert content(folder) == twin


def test_a_replaced_scene_is_the_last(tmp_path: Path) -> None:
    with Bank.create(tmp_path / "bank", "b", "close") as bank:
        for name in ("one", "two", "one"):
            bank.append(name, b"", replace=True)
        assert bank.names() == ["two", "one"]
    assert list(content(tmp_path / "bank")) == ["two", "one"]


def test_names_are_never_paths(tmp_path: Path) -> None:
    odd = ["../../etc/passwd", "/", "a/b", ".", "\n", "ä" * 512, "bank.json", " "]
    with Bank.create(tmp_path / "bank", "b") as bank:
        for name in odd:
            bank.append(name, name.encode())
    assert content(tmp_path / "bank") == {name: name.encode() for name in odd}
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "000001-000000.scenes", "000001.index", "bank", "bank.copy.json", "bank.json", "lock",
    ]  # fmt: skip


def test_what_is_not_a_scene_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Bank.create(tmp_path / "bank", "b") as bank:
        bank.append("one", b"1")
        for name, record, why in [
            ("", {}, "1 to 1,024 bytes"),
            ("x" * 1025, {}, "1 to 1,024 bytes"),
            ("\ud800", {}, "not valid text"),
            ("two", {"text": "x" * 70_000}, "bytes of JSON"),
            ("one", {}, "already holds a scene 'one'"),
        ]:
            with pytest.raises(BadInput, match=why):
                bank.append(name, b"2", record)
        with pytest.raises(BadInput, match="no scene 'two' to delete"):
            bank.delete("two")
        assert bank.names() == ["one"]
    assert content(tmp_path / "bank") == {"one": b"1"}


def test_a_bank_belongs_to_its_bundle(tmp_path: Path) -> None:
    filled(tmp_path / "bank")
    with pytest.raises(BadInput, match="made for other shared parts"):
        Bank.open(tmp_path / "bank", "another")
    with pytest.raises(BadInput, match="is not a bank"):
        Bank.open(tmp_path)
    with pytest.raises(BadInput, match="not empty"):
        Bank.create(tmp_path / "bank", "bundle")


def test_a_bank_is_made_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "lock").touch()  # whoever made it was killed before the bank was there
    (tmp_path / "bank" / ".bank.json.01234567.tmp").write_text("{")
    for name in ("one", "two"):
        with Bank.at(tmp_path / "bank", "bundle", "close") as bank:
            bank.append(name, b"1")
    assert content(tmp_path / "bank") == {"one": b"1", "two": b"1"}
    assert not list((tmp_path / "bank").glob("*.tmp"))
    with pytest.raises(BadInput, match="made for other shared parts"):
        Bank.at(tmp_path / "bank", "another")
    with pytest.raises(BadInput, match="holds other things"):
        Bank.at(tmp_path, "bundle")


def test_one_process_writes_and_a_dead_ones_lock_is_none(tmp_path: Path) -> None:
    filled(tmp_path / "bank")
    lock = tmp_path / "bank" / "lock"
    code = (
        "import sys, time, pathlib; from fieldscape.systems.latents.locking import take; "
        "take(pathlib.Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(BadInput, match="Another process is writing"):
        Bank.open(tmp_path / "bank", write=True)
    assert len(content(tmp_path / "bank")) == 12  # readers do not mind
    other.kill()
    other.wait()
    with Bank.open(tmp_path / "bank", write=True) as bank:
        bank.append("new", b"")


def write_until_killed(folder: Path, start: int, told: int) -> None:
    """Appends numbered scenes and says each that was acknowledged; now and then compacts."""
    bank = Bank.open(folder, write=True, segment_bytes=100_000, sync="close")
    for i in range(start, 10**9):
        bank.append(f"scene {i}", random.Random(i).randbytes(i % 5000), {"i": i})
        os.write(told, f"{i}\n".encode())
        if i % 50 == 49:
            bank.compact()


def test_kill_at_any_moment_loses_only_the_scene_in_hand(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    Bank.create(folder, "b").close()
    known, chance = 0, random.Random(1)
    for _ in range(5):
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_until_killed(folder, known, told)
            finally:
                os._exit(1)
        os.close(told)
        with os.fdopen(heard) as lines:
            first = lines.readline()  # it writes by now
            time.sleep(chance.uniform(0, 0.1))
            os.kill(child, signal.SIGKILL)
            acknowledged = [int(line) for line in [first, *lines]]
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        with Bank.open(folder) as bank:
            assert acknowledged[0] == known
            assert len(bank) - acknowledged[-1] in (1, 2)  # the one in hand may have made it
            known = len(bank)
            for i in range(known):
                assert bank.read(f"scene {i}").payload == random.Random(i).randbytes(i % 5000)
            assert bank.verify().sound
    with Bank.open(folder, write=True) as bank:
        bank.append("last", b"x")
    assert len(content(folder)) == known + 1


def test_a_reader_sees_additions_and_outlives_a_compaction(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    with Bank.open(folder) as reader, Bank.open(folder, write=True) as writer:
        writer.append("new", b"new")
        assert "new" not in reader
        reader.refresh()
        assert reader.read("new").payload == b"new"
        early = Bank.open(folder)  # it has not opened any segment yet
        early._contents.close()
        for name in list(scenes)[::2]:
            writer.delete(name)
        gained = writer.compact()
        assert gained > 0
        assert reader.read("car 001").payload == scenes["car 001"]  # from the files it holds, whose names are gone
        assert early.read("car 001").payload == scenes["car 001"]
        reader.refresh()
        assert reader.names() == [*list(scenes)[1::2], "new"]
        early.close()


def test_a_crash_while_compacting_leaves_the_bank_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    (folder / "000002-000000.scenes").write_bytes(b"half a compaction")
    (folder / "000002.index").write_bytes(b"")
    assert content(folder) == scenes
    with Bank.open(folder, write=True) as bank:
        assert not (folder / "000002.index").exists()

        def full(handle: int, data: bytes) -> None:
            os.write(handle, data[:-1])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("fieldscape.systems.latents.bank_writing.write_all", full)
            with pytest.raises(BadInput, match="No space left"):
                bank.compact()
            with pytest.raises(BadInput, match="No space left"):
                bank.append("more", b"x" * 100)
        assert sorted(path.name for path in folder.glob("0*")) == ["000001-000000.scenes", "000001.index"]
        assert segment(folder).stat().st_size == bank.stored_bytes
        bank.append("more", b"x")
        assert bank.verify().sound
    assert content(folder) == scenes | {"more": b"x"}
