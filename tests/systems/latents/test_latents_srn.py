"""Reading the SRN layout: what is written comes back, packs are whole or not there, and bad data are named."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.systems.latents import packing
from fieldscape.systems.latents.layout import prepared, read_intrinsics
from fieldscape.systems.latents.objects import Objects, ObjectSettings
from fieldscape.systems.latents.srn import find_objects, read_objects
from fieldscape.worlds.cars.srn import FOCAL, intrinsics, poses

PLAIN = ObjectSettings(size=None, held_out="fifth")


def write_objects(root: Path, count: int = 3, views: int = 6, size: int = 16, seed: int = 0) -> dict[str, np.ndarray]:
    """Objects of random pixels in the SRN layout; their photos by name."""
    photos = {}
    for i in range(count):
        folder, chance = root / f"car-{i:02d}", np.random.default_rng(seed + i)
        photos[folder.name] = chance.integers(0, 256, (views, size, size, 3), np.uint8)
        (folder / "rgb").mkdir(parents=True)
        (folder / "pose").mkdir()
        (folder / "intrinsics.txt").write_text(intrinsics(size))
        for j, pose in enumerate(poses(views, "auto", random.Random(i))):
            Image.fromarray(photos[folder.name][j]).save(folder / "rgb" / f"{j:06d}.png")
            (folder / "pose" / f"{j:06d}.txt").write_text(" ".join(f"{v:.8g}" for v in pose.flatten().tolist()))
    return photos


def same(a: Objects, b: Objects) -> bool:
    return a.fingerprint == b.fingerprint and a.names == b.names and (a.images == b.images).all()


def test_objects_come_back(tmp_path: Path) -> None:
    photos = write_objects(tmp_path)
    objects = read_objects(tmp_path, PLAIN)
    assert objects.names == ("car-00", "car-01", "car-02")
    assert objects.first.tolist() == [0, 6, 12, 18]
    np.testing.assert_array_equal(objects.images, np.concatenate(list(photos.values())))
    wanted = poses(6, "auto", random.Random(1))
    np.testing.assert_allclose(objects.poses[6:12], wanted.numpy(), atol=1e-6)
    np.testing.assert_allclose(objects.focal, FOCAL * 16)
    np.testing.assert_allclose(objects.center, 8)
    views = objects.views(1)
    assert views.names[:2] == ("car-01/000000", "car-01/000001")
    assert (views.held_out, views.split) == ((0,), "the first fifth of the views by name is held out")


def test_objects_may_lie_deeper_or_be_one(tmp_path: Path) -> None:
    write_objects(tmp_path / "cars_train")
    (tmp_path / "notes").mkdir()
    assert same(read_objects(tmp_path, PLAIN), read_objects(tmp_path / "cars_train", PLAIN))
    assert list(find_objects(tmp_path / "cars_train" / "car-01")) == ["car-01"]
    shutil.copytree(tmp_path / "cars_train" / "car-01", tmp_path / "cars_test" / "car-01")
    with pytest.raises(BadInput, match="of the same name"):
        find_objects(tmp_path)
    with pytest.raises(BadInput, match="holds no objects"):
        find_objects(tmp_path / "notes")
    with pytest.raises(BadInput, match="no folder"):
        find_objects(tmp_path / "nothing")


def test_photos_are_reduced_by_the_mean_of_areas_and_the_lens_with_them(tmp_path: Path) -> None:
    photos = write_objects(tmp_path, 1)
    objects = read_objects(tmp_path, ObjectSettings(8, held_out="none"))
    means = photos["car-00"].reshape(6, 8, 2, 8, 2, 3).mean((2, 4))
    assert np.abs(objects.images - means).max() <= 0.5
    np.testing.assert_allclose(objects.focal, FOCAL * 8)
    np.testing.assert_allclose(objects.center, 4)
    with pytest.raises(BadInput, match="fewer than --size 32"):
        read_objects(tmp_path, ObjectSettings(32, held_out="none"))


def test_the_middle_of_photos_that_are_not_square(tmp_path: Path) -> None:
    write_objects(tmp_path, 1)
    wide = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
    for path in (tmp_path / "car-00" / "rgb").iterdir():
        Image.fromarray(wide).save(path)
    (tmp_path / "car-00" / "intrinsics.txt").write_text("30 11 6 0.\n0 0 0\n1.\n12 20\n")
    objects = read_objects(tmp_path, ObjectSettings(12, held_out="none"))
    np.testing.assert_array_equal(objects.images[0], wide[:, 4:16])
    np.testing.assert_allclose(objects.focal[0], [30, 30])
    np.testing.assert_allclose(objects.center[0], [7, 6])


def test_transparent_photos_lie_on_white() -> None:
    image = torch.tensor([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], dtype=torch.uint8)
    assert prepared(image, None).tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]
    grey = torch.tensor([[[7]]], dtype=torch.uint8)
    assert prepared(grey, None).tolist() == [[[7, 7, 7]]]


@pytest.mark.parametrize(
    ("text", "focal"),
    [
        (intrinsics(128), FOCAL),
        ("525 256 256 0.\n0. 0. 0.\n1.\n512 512\n", FOCAL),
        ("525 256 256 0.\n0. 0. 0.\n1.\n", FOCAL),
        ("525.000000 256.000000 256.000000 0.", FOCAL),
        ("  525 256 256\n\n 0 0 0\n\n", FOCAL),
    ],
)
def test_the_lens_is_in_units_of_its_own_size(tmp_path: Path, text: str, focal: float) -> None:
    (tmp_path / "intrinsics.txt").write_text(text)
    lens = read_intrinsics(tmp_path / "intrinsics.txt")
    assert lens.focal == pytest.approx((focal, focal))
    assert lens.center == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    "text",
    ["", "525 256", "a b c 0", "nan 256 256 0", "-525 256 256 0", "525 256 256 0\n0 0 0\n1\n128 128", "525 0 0 0",
     "525 256 256 0\n512 inf", "\ufeff525 256 256 0", "9" * 70_000],
)  # fmt: skip
def test_bad_lenses_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "intrinsics.txt").write_text(text)
    with pytest.raises(BadInput, match=r"intrinsics\.txt"):
        read_intrinsics(tmp_path / "intrinsics.txt")


def test_views_from_below_are_left_out(tmp_path: Path) -> None:
    write_objects(tmp_path, 2, views=20)
    every = read_objects(tmp_path, PLAIN)
    some = read_objects(tmp_path, ObjectSettings(None, above=-0.5, held_out="fifth"))
    high = every.poses[:, 2, 3] > -0.5
    assert 0 < high.sum() < 40
    np.testing.assert_array_equal(some.images, every.images[high])
    assert some.view_names is not None
    assert every.view_names is not None
    assert list(some.view_names) == list(every.view_names[high])
    with pytest.raises(BadInput, match=r"no camera is higher than 1\.5"):
        read_objects(tmp_path, ObjectSettings(None, above=1.5))


Spoil = Callable[[Path], object]


def pose_of(values: str) -> Spoil:
    return lambda folder: (folder / "pose" / "000002.txt").write_text(values)


SPOILS: list[tuple[Spoil, str]] = [
    (lambda folder: (folder / "rgb" / "000003.png").unlink(), "5 photos and 6 poses .* '000003' has no photo"),
    (lambda folder: (folder / "pose" / "000003.txt").unlink(), "6 photos and 5 poses .* '000003' has no pose"),
    (lambda folder: shutil.rmtree(folder / "rgb"), "holds no photos"),
    (lambda folder: shutil.rmtree(folder / "pose"), "6 photos and 0 poses"),
    (lambda folder: (folder / "rgb" / "000003.png").write_bytes(b"\x89PNG"), r"000003\.png"),
    (lambda folder: (folder / "rgb" / "000003.png").write_bytes(b""), "empty"),
    (lambda folder: Image.new("RGB", (8, 16)).save(folder / "rgb" / "000003.png"), "mixes sizes: .* 16 x 16 .* 8 x 16"),
    (lambda folder: Image.new("RGB", (16, 16)).save(folder / "rgb" / "000003.jpg"), "two files for one view"),
    (lambda folder: (folder / "intrinsics.txt").unlink(), r"no file .*intrinsics\.txt"),
    (pose_of("1 0 0 0 0 1 0 0 0 0 1 0"), "12 numbers; a pose has 16"),
    (pose_of("1 0 0 0 0 1 0 0 0 0 nan 0 0 0 0 1"), "NaN"),
    (pose_of("-1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"), "is a reflection"),
    (pose_of("2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1"), "not a rotation"),
    (pose_of("1 0.1 0 0 0 1 0 0 0 0 1 0 0 0 0 1"), "not a rotation"),
    (pose_of("1 0 0 0 0 1 0 0 0 0 1 0 3 4 5 1"), "last row of a pose is 0 0 0 1, not 3 4 5 1"),
    (pose_of("one 0 0 0"), "not a number: 'one 0 0 0'"),
]


@pytest.mark.parametrize(("spoil", "why"), SPOILS)
def test_bad_objects_are_named_or_left_out(tmp_path: Path, spoil: Spoil, why: str) -> None:
    write_objects(tmp_path / "cars")
    spoil(tmp_path / "cars" / "car-01")
    with pytest.raises(BadInput, match=rf"(?s)1 of 3 objects cannot be used \(--skip-bad.* car-01: .*{why}"):
        read_objects(tmp_path / "cars", PLAIN)
    skipping = ObjectSettings(None, held_out="fifth", skip_bad=True)
    for cache in (None, tmp_path / "cache"):
        objects = read_objects(tmp_path / "cars", skipping, cache)
        assert objects.names == ("car-00", "car-02")
        assert "1 of 3 objects are left out: car-01" in objects.notes[0]


def test_too_few_views_for_the_split(tmp_path: Path) -> None:
    write_objects(tmp_path / "cars")
    with pytest.raises(BadInput, match=r"None of the 3 objects .* of its 6 views none is left to learn from"):
        read_objects(tmp_path / "cars")
    read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache")
    with pytest.raises(BadInput, match="none is left to learn from"):  # the pack is there, and serves another split
        read_objects(tmp_path / "cars", ObjectSettings(None), tmp_path / "cache")


def test_objects_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    write_objects(tmp_path / "a", 1)
    write_objects(tmp_path / "b", 1, size=32)
    (tmp_path / "b" / "car-00").rename(tmp_path / "a" / "car-99")
    with pytest.raises(BadInput, match="car-00 has photos of 16 x 16 pixels, car-99 of 32 x 32"):
        read_objects(tmp_path / "a", PLAIN)
    assert read_objects(tmp_path / "a", ObjectSettings(16, held_out="fifth")).images.shape == (12, 16, 16, 3)


def test_memory_without_a_cache_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_objects(tmp_path)
    monkeypatch.setattr("fieldscape.systems.latents.decoding.IN_MEMORY", 6 * 16 * 16 * 3)
    with pytest.raises(BadInput, match="give a folder with --cache"):
        read_objects(tmp_path, PLAIN)


# --- packs ---


def test_a_pack_is_made_once_and_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_objects(tmp_path / "cars")
    direct = read_objects(tmp_path / "cars", PLAIN)
    assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"), direct)
    monkeypatch.setattr(packing, "read_good", lambda *_: pytest.fail("it was read again"))
    packed = read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache")
    assert same(packed, direct)
    assert isinstance(packed.images, np.memmap)
    assert isinstance(packed.select(range(1, 3)).images, np.memmap)
    other = read_objects(tmp_path / "cars", ObjectSettings(None, held_out="every5"), tmp_path / "cache")
    assert other.views(0).held_out == (0, 5)


def test_a_part_is_packed_alone(tmp_path: Path) -> None:
    write_objects(tmp_path / "cars", 5)
    whole = read_objects(tmp_path / "cars", PLAIN)
    part = read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache", span=(1, 3))
    assert same(part, whole.select(range(1, 3)))
    assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache", ["car-04", "car-00"]), whole.select([4, 0]))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: Image.new("RGB", (16, 16)).save(folder / "rgb" / "000001.png"),
        lambda folder: (folder / "pose" / "000001.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"),
        lambda folder: (folder / "intrinsics.txt").write_text("20 8 8 0"),
        lambda folder: [(folder / part).unlink() for part in ("rgb/000001.png", "pose/000001.txt")],
    ],
)
def test_a_stale_pack_is_made_again(tmp_path: Path, change: Spoil) -> None:
    write_objects(tmp_path / "cars")
    before = read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache")
    change(tmp_path / "cars" / "car-01")
    after = read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache")
    assert same(after, read_objects(tmp_path / "cars", PLAIN))
    assert after.fingerprint != before.fingerprint
    assert before.images.shape[0] == 18  # who still has the old pack goes on with it
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("name", ["images.npy", "poses.npy", "pack.json"])
def test_a_damaged_pack_is_made_again(tmp_path: Path, name: str) -> None:
    write_objects(tmp_path / "cars")
    direct = read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob(f"*/{name}")
    os.truncate(path, path.stat().st_size // 2)
    assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"), read_objects(tmp_path / "cars", PLAIN))
    path.unlink()
    assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"), read_objects(tmp_path / "cars", PLAIN))
    assert direct.names


def in_child(work: Callable[[], object]) -> int:
    """The process number of a copy of this process that does the work and ends."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def test_packing_that_is_killed_leaves_nothing_that_passes_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_objects(tmp_path / "cars")

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_json", die)  # all photos are written, the pack is not whole
        child = in_child(lambda: read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"))
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert list((tmp_path / "cache").glob("*.tmp/images.npy"))
    assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"), read_objects(tmp_path / "cars", PLAIN))
    assert not list((tmp_path / "cache").glob("*.tmp"))


def test_processes_that_want_the_same_pack_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_objects(tmp_path / "cars")
    made, right = packing._make, read_objects(tmp_path / "cars", PLAIN)

    def slowly(*arguments: Any) -> None:
        with (tmp_path / "made").open("a") as file:
            file.write("x")
        time.sleep(0.2)
        made(*arguments)

    def work() -> None:
        assert same(read_objects(tmp_path / "cars", PLAIN, tmp_path / "cache"), right)

    monkeypatch.setattr(packing, "_make", slowly)
    children = [in_child(work) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert (tmp_path / "made").read_text() == "x"


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    write_objects(tmp_path / "cars", 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Choose another --cache"):
        read_objects(tmp_path / "cars", PLAIN, tmp_path / "file")
