"""A damaged scene bank: one scene is lost for one fault, it is named, and the others are read."""

import os
import random
from pathlib import Path

import pytest
from made_banks import content, filled, segment

from fieldscape.errors import BadInput
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.bank_files import Contents
from fieldscape.systems.latents.bank_records import Head, decode_head, encode


def places(folder: Path) -> dict[str, tuple[int, int]]:
    """(first byte, length) of each scene in a bank of one segment."""
    with Bank.open(folder) as bank:
        return {name: (place.offset, place.length) for name, place in bank._asked(Contents.places).items()}


def test_a_write_cut_at_any_byte_is_as_if_it_had_not_begun(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    with Bank.create(folder, "b") as bank:
        bank.append("one", b"first")
    before = segment(folder).read_bytes()
    data = encode(1, "two", {"a": 1}, b"second", 0, len(before), decode_seed(folder))
    for cut in range(0, len(data), 3):
        segment(folder).write_bytes(before + data[:cut])
        assert content(folder) == {"one": b"first"}
        with Bank.open(folder, write=True, sync="close") as bank:
            assert bool(bank.notes) == (cut > 0)
            assert segment(folder).stat().st_size == len(before)
            bank.append("three", b"third")
        assert content(folder) == {"one": b"first", "three": b"third"}
        (folder / "000001.index").unlink()
        assert content(folder) == {"one": b"first", "three": b"third"}
    segment(folder).write_bytes(before + data)
    assert content(folder) == {"one": b"first", "two": b"second"}


def decode_seed(folder: Path) -> int:
    with Bank.open(folder) as bank:
        return bank._contents.seed


@pytest.mark.parametrize("with_index", [True, False])
def test_a_flipped_bit_costs_one_scene_and_is_named(tmp_path: Path, with_index: bool) -> None:
    scenes = filled(tmp_path / "bank", 4)
    whole, where = segment(tmp_path / "bank").read_bytes(), places(tmp_path / "bank")
    if not with_index:
        (tmp_path / "bank" / "000001.index").unlink()
    offset, length = where["car 001"]
    for at in [*range(offset, offset + 45, 3), *range(offset + 45, offset + length, 17)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        segment(tmp_path / "bank").write_bytes(damaged)
        with Bank.open(tmp_path / "bank") as bank:
            for name in ("car 000", "car 002", "car 003"):
                assert bank.read(name).payload == scenes[name]
            with pytest.raises(BadInput, match="'car 001'"):
                bank.read("car 001")
            health = bank.verify()
            assert (health.scenes, len(health.faults)) == (3, 1)
            in_head = at < offset + 36 + len("car 001")
            # Without the index, the name is not known where the head that holds it is damaged.
            assert health.faults[0].name == ("car 001" if with_index or not in_head else None)


def test_a_bank_with_damage_goes_on(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    offset, length = places(folder)["car 004"]
    damaged = bytearray(segment(folder).read_bytes())
    damaged[offset + length - 1] ^= 4
    segment(folder).write_bytes(damaged)
    with Bank.open(folder, write=True) as bank:
        with pytest.raises(BadInput, match=r"is damaged \('car 004'\)"):
            bank.compact()
        assert bank.verify().damaged() == ["car 004"]
        bank.append("car 004", b"fitted again", replace=True)
        assert bank.verify().sound
        bank.compact()
        assert bank.verify().live_bytes == bank.stored_bytes
    assert content(folder) == scenes | {"car 004": b"fitted again"}


@pytest.mark.parametrize("write", [False, True])
def test_a_bank_cut_short_names_what_is_lost(tmp_path: Path, write: bool) -> None:
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    where = places(folder)
    with segment(folder).open("r+b") as file:
        file.truncate(where["car 010"][0] + where["car 010"][1] // 2)
    kept = {name: payload for name, payload in scenes.items() if name < "car 010"}
    with Bank.open(folder, write=write) as bank:
        assert "2 scenes are lost ('car 010', 'car 011')" in bank.notes[0]
        assert (bank.names(), bank.lost()) == (list(kept), ["car 010", "car 011"])
        assert bank.verify().damaged() == ["car 010", "car 011"]
        with pytest.raises(BadInput, match=r"'car 010' .* is lost"):
            bank.read("car 010")
        assert bank.read("car 009").payload == kept["car 009"]
        assert len(bank) == 10
        if write:
            assert "car 011" not in bank
            bank.append("car 011", b"fitted again")
    if write:
        with Bank.open(folder) as bank:
            assert (bank.lost(), bank.notes) == (["car 010"], ())
        (folder / "000001.index").unlink()
        with Bank.open(folder, write=True) as bank:  # it is remembered without the index too
            assert bank.lost() == ["car 010"]
            bank.delete("car 010")
            assert bank.verify().sound
        assert content(folder) == kept | {"car 011": b"fitted again"}


def test_a_cut_bank_that_grew_again_is_not_told_by_its_old_index(tmp_path: Path) -> None:
    """Its writer dies without writing an index; the old one knows of bytes that are other scenes' by now."""
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    os.truncate(segment(folder), places(folder)["car 008"][0] + 5)
    bank = Bank.open(folder, write=True, sync="close")
    added = {f"new {i}": bytes([i]) * 150 for i in range(20)}
    for name, payload in added.items():
        bank.append(name, payload)
    os.close(bank._lock or 0)  # killed: nothing is written any more
    with Bank.open(folder) as reader:
        assert reader.lost() == ["car 008", "car 009", "car 010", "car 011"]
        assert reader.verify().damaged() == reader.lost()
    assert content(folder) == {name: payload for name, payload in scenes.items() if name < "car 008"} | added


def test_damage_without_a_name_is_not_compacted_away(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank", 3), tmp_path / "bank"
    damaged = bytearray(segment(folder).read_bytes())
    damaged[places(folder)["car 001"][0] + 1] ^= 1
    segment(folder).write_bytes(damaged)
    (folder / "000001.index").unlink()
    with Bank.open(folder, write=True) as bank:
        assert "are damaged" in bank.notes[0]
        with pytest.raises(BadInput, match=r"bytes .* of segment 0 are damaged"):
            bank.compact()
        bank.compact(drop_damaged=True)
        assert bank.verify().sound
    assert content(folder) == {name: scenes[name] for name in ("car 000", "car 002")}


def test_what_was_deleted_does_not_come_back_when_the_end_is_cut(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    with Bank.create(folder, "b") as bank:
        bank.append("one", b"1")
        bank.append("two", b"2")
        before = bank.stored_bytes
        bank.delete("two")
    os.truncate(segment(folder), before)  # the record of the deletion is gone, the index knows
    assert content(folder) == {"one": b"1"}
    with Bank.open(folder, write=True) as bank:
        bank.append("three", b"3")
    assert content(folder) == {"one": b"1", "three": b"3"}


def test_a_missing_segment_costs_its_scenes(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank", segment_bytes=800), tmp_path / "bank"
    (folder / "000001-000000.scenes").unlink()
    with Bank.open(folder, write=True, segment_bytes=800) as bank:
        lost = bank.lost()
        assert 0 < len(lost) < len(scenes)
        for name in scenes.keys() - set(lost):
            assert bank.read(name).payload == scenes[name]
        for name in lost:
            bank.append(name, scenes[name])
    assert content(folder) == scenes


def test_a_damaged_index_is_not_believed(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank", 200), tmp_path / "bank"
    index = (folder / "000001.index").read_bytes()
    chance = random.Random(0)
    for _ in range(20):
        damaged = bytearray(index)
        damaged[chance.randrange(len(index))] ^= 1 << chance.randrange(8)
        (folder / "000001.index").write_bytes(damaged)
        with Bank.open(folder) as bank:
            for name in chance.sample(list(scenes), 5):
                assert bank.read(name).payload == scenes[name]
            assert bank.names() == list(scenes)
    (folder / "000001.index").write_bytes(index[: len(index) // 2])
    assert content(folder) == scenes


def test_the_bank_survives_a_bit_in_its_description(tmp_path: Path) -> None:
    scenes, folder = filled(tmp_path / "bank"), tmp_path / "bank"
    whole = (folder / "bank.json").read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "bank.json").write_bytes(damaged)
        with Bank.open(folder, "bundle") as bank:
            assert bank.read("car 000").payload == scenes["car 000"]
    (folder / "bank.copy.json").write_text("{}")
    (folder / "bank.json").write_text('{"format": 2}')
    with pytest.raises(BadInput, match="are damaged"):
        Bank.open(folder)
    (folder / "bank.copy.json").write_text('{"format": 2}')
    with pytest.raises(BadInput, match="format 2; this fieldscape reads format 1"):
        Bank.open(folder)


def test_a_record_is_known_only_at_its_place() -> None:
    data = encode(1, "car", {}, b"payload", 3, 100, 7)
    head = decode_head(data, 3, 100, 7)
    assert isinstance(head, Head)
    assert (head.name, head.place.length) == ("car", len(data))
    assert decode_head(data, 3, 101, 7) is None
    assert decode_head(data, 2, 100, 7) is None
    assert decode_head(data, 3, 100, 8) is None


def test_a_payload_that_looks_like_a_record_is_not_one(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    inner = encode(1, "ghost", {}, b"boo", 0, 0, 0)
    with Bank.create(folder, "b") as bank:
        bank.append("one", inner * 20)
        bank.append("two", b"2")
    damaged = bytearray(segment(folder).read_bytes())
    damaged[2] ^= 1
    segment(folder).write_bytes(damaged)
    (folder / "000001.index").unlink()
    assert content(folder) == {"two": b"2"}
