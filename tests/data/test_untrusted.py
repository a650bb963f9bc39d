"""Files from strangers: nothing is allocated, executed or left behind that their headers merely claim."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fieldscape.data.untrusted import finite, inside, read_npy, read_npz
from fieldscape.errors import BadInput


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def npz(path, **members: bytes):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


CLAIMS = {
    "a tera-element": ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }", "GiB"),
    "overflowing": ("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4294967296), }", "GiB"),
    "negative": ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }", "impossible shape"),
    "objects": ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "plain numbers"),
    "records": ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "plain numbers"),
    "short": ("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }", "not a readable"),
    "no dictionary": ("__import__('os').system('true')", "not a readable"),
    "odd keys": ("{1: 2, 'descr': '<f4'}", "a\\.np"),
    "nested": ("(" * 5000, "a\\.np"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_headers_are_judged_before_memory_is_taken(tmp_path, claim):
    header, says = CLAIMS[claim]
    content = npy_bytes(header, b"\0" * 8)
    (tmp_path / "a.npy").write_bytes(content)
    npz(tmp_path / "a.npz", images=content)
    tracemalloc.start()
    for read, name in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(BadInput, match=says) as caught:
            read(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_pickles_are_never_opened(tmp_path):
    trap = tmp_path / "executed"
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Trap(str(trap))))
    array = np.empty(1, dtype=object)
    array[0] = Trap(str(trap))
    np.savez(tmp_path / "b.npz", images=array)
    np.save(tmp_path / "c.npy", array)
    for read, name in ((read_npz, "a.npz"), (read_npz, "b.npz"), (read_npy, "c.npy")):
        with pytest.raises(BadInput, match=name[0]):
            read(tmp_path / name)
    assert not trap.exists()


def test_damaged_archives(tmp_path):
    good = io.BytesIO()
    np.savez_compressed(good, images=np.random.default_rng(0).random((5, 5)))
    whole = good.getvalue()
    for content in (b"", b"PK", whole[:-30], whole[: len(whole) // 2], whole[:60] + b"\xff" * 40 + whole[100:]):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(BadInput, match=r"a\.npz"):
            read_npz(tmp_path / "a.npz")
    with pytest.raises(BadInput, match="no arrays"):
        read_npz(npz(tmp_path / "b.npz"))
    with pytest.raises(BadInput, match="missing"):
        read_npz(tmp_path / "missing.npz")
    with pytest.raises(BadInput, match="missing"):
        read_npy(tmp_path / "missing.npy")


def test_a_bomb_is_bounded_over_all_arrays(tmp_path):
    """A megabyte of zeros packs into a kilobyte; a thousand of them are refused together."""
    content = npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000,), }", b"\0" * 1_000_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(20):
            archive.writestr(f"a{i}.npy", content)
    with pytest.raises(BadInput, match="GiB"):
        read_npz(tmp_path / "a.npz", max_bytes=10_000_000)
    assert len(read_npz(tmp_path / "a.npz", max_bytes=20_000_000)) == 20


def test_arrays_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array("text"), "c": np.zeros((0, 3), np.uint8)}
    np.savez(tmp_path / "a.npz", **arrays)
    for name, array in read_npz(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    "name",
    ["../x.png", "a/../../x.png", "/etc/passwd", "C:\\x.png", "C:x.png", "\\\\host\\x.png", "..\\x.png", "link/x.png",
     "", ".", "./", "a\0b", "\ud800", "..", "/"],
)  # fmt: skip
def test_paths_that_lead_out_are_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "x.png").touch()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="list, frame 3"):
        inside(folder, name, "list, frame 3")


def test_a_link_to_itself_is_refused_or_missing(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    try:
        path = inside(tmp_path, "loop", "list")
    except BadInput:
        return
    assert not os.path.isfile(path)


def test_links_within_the_folder_are_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path, "link/a.png", "list") == tmp_path / "link/a.png"
    assert inside(tmp_path, "sub\\a..b.png", "list") == tmp_path / "sub/a..b.png"
    assert inside(tmp_path, "a/../b.png", "list").resolve() == tmp_path / "b.png"


@given(name=st.text(max_size=40) | st.text("./\\ab~\0:", max_size=12))
@example(name="x" * 300)
@example(name="a\\..")
@settings(deadline=None)
def test_any_name_is_inside_or_refused(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    try:
        path = inside(folder, name, "list")
    except BadInput as error:
        refused = str(error).encode().decode()
        if "\n" in refused:
            pytest.fail("more than one line")
        return
    assert folder.resolve() in path.resolve().parents


@given(content=st.binary(max_size=300), cut=st.integers(0, 300))
@settings(deadline=None)
def test_any_bytes_are_an_array_or_refused(tmp_path_factory, content, cut):
    path = tmp_path_factory.getbasetemp() / "any"
    whole = io.BytesIO()
    np.savez(whole, a=np.arange(3))
    patched = whole.getvalue()[:cut] + content + whole.getvalue()[cut + 5 :]
    for data in (content, b"\x93NUMPY\x01\x00" + content, patched):
        path.write_bytes(data)
        for read in (read_npy, read_npz):
            try:
                read(path, max_bytes=10_000)
            except BadInput:
                continue


def test_finite_says_where():
    finite(np.ones((2, 2)), "poses", "a.npz")
    with pytest.raises(BadInput, match=r"a\.npz: poses is not a finite number at index \[1, 0\]; 1 such"):
        finite(np.array([[1.0, 2.0], [np.nan, 3.0]]), "poses", "a.npz")
