"""Photos without poses: all containers give the same set, odd ones are turned right, bad ones are counted."""

import io
import tarfile
import zipfile

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.data import photo_sets
from fieldscape.data.photo_sets import read_photo_set, square
from fieldscape.errors import BadInput

COUNT = 20


def photo(seed: int, width: int = 40, height: int = 32) -> Image.Image:
    """Smooth noise: something that a reduction does not turn into one colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("photos")
    for index in range(COUNT):
        (out / f"{index:03d}.png").write_bytes(encoded(photo(index)))
    return out


@pytest.fixture
def places(folder, tmp_path):
    """The same photos in every container."""
    files = sorted(folder.iterdir())
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in files:
            archive.write(path, f"../odd/{path.name}")
        archive.writestr("read.me", "no photo")
        archive.writestr("__MACOSX/._000.png", "no photo either")
    with tarfile.open(tmp_path / "photos.tar.gz", "w:gz") as archive:
        for path in files:
            archive.add(path, path.name)
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with lmdb.open(str(tmp_path / "rooms_lmdb"), map_size=2**24) as environment, environment.begin(write=True) as put:
        for index, path in enumerate(files):
            put.put(f"{index:040x}".encode(), path.read_bytes())
    return {"zip": tmp_path / "photos.zip", "tar": tmp_path / "photos.tar.gz", "lmdb": tmp_path / "rooms_lmdb"}


def test_every_container_gives_the_same_set(folder, places):
    there = read_photo_set(folder, 16)
    assert (len(there), there.size, there.skipped, there.notes) == (COUNT, 16, (), ())
    for kind, path in places.items():
        found = read_photo_set(path, 16)
        assert np.array_equal(found.images, there.images), kind
    assert np.array_equal(read_photo_set(places["lmdb"] / "data.mdb", 16).images, there.images)


def test_the_middle_is_cut_out_and_averaged():
    wide = torch.zeros(8, 16, 3, dtype=torch.uint8)
    wide[:, 4:12] = 200
    wide[:4, 4:8] = 100
    small = square(wide, 2)
    assert small[..., 0].tolist() == [[100, 200], [200, 200]]


def test_modes_of_all_kinds_are_read_as_what_they_show(tmp_path):
    base = photo(1)
    for index in range(16):
        (tmp_path / f"a{index}.png").write_bytes(encoded(photo(index)))
    (tmp_path / "cmyk.jpg").write_bytes(encoded(base.convert("CMYK"), "JPEG", quality=95))
    deep = np.array(base.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    (tmp_path / "palette.png").write_bytes(encoded(base.quantize(64)))
    base.save(tmp_path / "moving.gif", save_all=True, append_images=[photo(2)])
    clear = base.convert("RGBA")
    clear.putalpha(0)
    (tmp_path / "clear.png").write_bytes(encoded(clear))
    turned = Image.Exif()
    turned[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(base.rotate(90, expand=True), "JPEG", exif=turned, quality=95))
    found = read_photo_set(tmp_path, 16)
    assert found.skipped == ()
    shown = dict(zip(found.names, found.images.astype(float)))
    plain = square(torch.from_numpy(np.array(base)), 16).numpy().astype(float)
    gray = np.array(Image.fromarray(plain.astype(np.uint8)).convert("L")).astype(float)
    for name, near in (("cmyk.jpg", 12), ("palette.png", 14), ("moving.gif", 20), ("turned.jpg", 6)):
        assert np.abs(shown[name] - plain).mean() < near, name
    assert np.abs(shown["deep.png"][..., 0] - gray).mean() < 3
    assert shown["clear.png"].min() == 255


def test_a_subset_is_always_the_same_and_smaller_ones_lie_in_larger_ones(folder):
    names = [set(read_photo_set(folder, 8, most=n).names) for n in (16, 18)]
    assert len(names[0]) == 16
    assert names[0] < names[1]
    assert read_photo_set(folder, 8, most=16).names == read_photo_set(folder, 8, most=16).names


def test_bad_photos_are_counted_and_named(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "000.png").read_bytes()
    (tmp_path / "000.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "tiny.png").write_bytes(encoded(photo(3, 4, 4)))
    (tmp_path / "text.png").write_text("no image")
    found = read_photo_set(tmp_path, 8)
    assert len(found) == COUNT - 1
    assert {name for name, _ in found.skipped} == {"000.png", "tiny.png", "text.png"}
    assert "3 of 22 photos cannot be used" in found.notes[0]


@pytest.mark.parametrize("kind", ["three", "gray", "copies", "nothing", "text"])
def test_sets_that_teach_nothing_are_refused(kind, tmp_path):
    if kind == "three":
        images, said = [photo(i) for i in range(3)], "holds 3 photos"
    elif kind == "gray":
        images, said = [Image.new("RGB", (32, 32), (90 + i, 90, 90)) for i in range(COUNT)], "one colour each"
    elif kind == "copies":
        images, said = [photo(0)] * COUNT, "show only 1 different"
    else:
        images, said = [], "holds 0 photos" if kind == "nothing" else "no folder, zip or tar"
    place = tmp_path
    if kind == "text":
        place = tmp_path / "photos.txt"
        place.write_text("hello")
    for index, image in enumerate(images):
        (tmp_path / f"{index:03d}.png").write_bytes(encoded(image))
    with pytest.raises(BadInput, match=said):
        read_photo_set(place, 8)


def test_some_copies_are_only_mentioned(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for index in range(5):
        (tmp_path / f"copy{index}.png").write_bytes((folder / "000.png").read_bytes())
    assert read_photo_set(tmp_path, 8).notes == ("5 of 25 photos are copies of others",)


def test_containers_cut_short_are_refused(places):
    for kind, path in places.items():
        file = path / "data.mdb" if kind == "lmdb" else path
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(BadInput, match=r"cut short|damaged|no folder, zip"):
            read_photo_set(path, 8)


def test_an_entry_too_large_is_skipped(folder, monkeypatch, places):
    sizes = sorted(path.stat().st_size for path in folder.iterdir())
    monkeypatch.setattr(photo_sets, "LARGEST_ENTRY", sizes[-2])
    assert len(read_photo_set(places["zip"], 8).skipped) == 1


def test_depth_maps_are_cut_like_their_photos_and_unknown_stays_unknown(folder, tmp_path):
    for index in range(COUNT):
        millimetres = np.full((32, 40), 1000 + index, np.uint16)
        millimetres[:, :4] = 0  # cut away
        millimetres[:16, 4:20] = 0
        Image.fromarray(millimetres).save(tmp_path / f"{index:03d}.png")
    found = read_photo_set(folder, 2, depth=tmp_path)
    assert found.depths is not None
    np.testing.assert_allclose(found.depths[3], [[0, 1.003], [1.003, 1.003]], atol=1e-5)
    (tmp_path / "004.png").unlink()
    assert "no depth map" in read_photo_set(folder, 2, depth=tmp_path).skipped[0][1]


def test_a_large_set_is_mapped_from_a_file(folder, monkeypatch):
    there = read_photo_set(folder, 8)
    monkeypatch.setattr(photo_sets, "IN_MEMORY", 100)
    mapped = read_photo_set(folder, 8)
    assert isinstance(mapped.images.base, np.memmap) or isinstance(mapped.images, np.memmap)
    assert np.array_equal(mapped.images, there.images)
