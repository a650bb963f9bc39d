"""The tracks file: what is read equals what was written, and whatever is wrong with a file is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.rotations import to_matrix
from fieldscape.systems.tracks.bundle import read_bundle, write_bundle
from fieldscape.systems.tracks.nouns import Clip, Points, Tracked, apart
from fieldscape.types import Camera


def made_up(masks: bool = True, every: int = 4, double: bool = False) -> Tracked:
    """Ten frames of noise with seven points, of which ``apart`` keeps every ``every``-th."""
    chance = torch.Generator().manual_seed(5)
    frames = torch.randint(0, 256, (10, 6, 9, 3), generator=chance, dtype=torch.uint8)
    layers = torch.randint(0, 3, (10, 6, 9), generator=chance, dtype=torch.uint8) if masks else None
    seconds = torch.cumsum(torch.rand(10, generator=chance) + 0.01, 0)
    whole = Clip(frames, seconds, layers, tuple(range(3, 23, 2)), "a clip", ("read at 30 frames a second", "größer"))
    clip, held = apart(whole, every)
    t, n = len(clip), 7
    kind = torch.float64 if double else torch.float32
    pose = torch.eye(4, dtype=kind).repeat(t, 1, 1)
    pose[:, :3, :3] = to_matrix(torch.randn(t, 4, generator=chance, dtype=torch.float64)).to(kind)
    pose[:, :3, 3] = torch.randn(t, 3, generator=chance)
    seen = torch.rand(t, n, generator=chance) < 0.6
    sure = torch.rand(t, n, generator=chance) * seen
    layer = torch.tensor([0, 0, 1, 2, 0, 1, 0])
    points = Points(torch.randn(t, n, 2, generator=chance) * 4 + 4, seen, sure, layer)
    focal = torch.rand(t, 2, generator=chance, dtype=kind) + 5
    camera = Camera(pose, focal, torch.rand(t, 2, generator=chance, dtype=kind) + 4, 9, 6)
    world = torch.randn(t, n, 3, generator=chance)
    return Tracked(clip, held, points, camera, "low", world, layer == 0, ("the focal length was bounded",))


def require_same(one: Clip | None, other: Clip | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert (one.numbers, one.name, one.notes) == (other.numbers, other.name, other.notes)
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.seconds, other.seconds)
        assert (one.layers is None) == (other.layers is None)
        assert one.layers is None or (other.layers is not None and torch.equal(one.layers, other.layers))


@pytest.mark.parametrize(("masks", "every", "double"), [(True, 4, False), (False, 0, True), (True, 0, False)])
def test_what_is_read_equals_what_was_written(tmp_path: Path, masks: bool, every: int, double: bool) -> None:
    there = made_up(masks, every, double)
    write_bundle(tmp_path / "tracks.npz", there)
    back = read_bundle(tmp_path / "tracks.npz")
    require_same(there.clip, back.clip)
    require_same(there.held, back.held)
    assert (back.kind, back.notes) == (there.kind, there.notes)
    pairs = [(getattr(there.points, name), getattr(back.points, name)) for name in ("places", "seen", "sure", "layer")]
    pairs += [(getattr(there.camera, name), getattr(back.camera, name)) for name in ("pose", "focal", "center")]
    for one, other in [*pairs, (there.world, back.world), (there.deep, back.deep)]:
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_the_same_tracks_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_bundle(tmp_path / f"{name}.npz", made_up())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def _nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.reshape(-1)[-1] = np.nan
    return array


def _mirrored(array: np.ndarray) -> np.ndarray:
    return array * np.array([[1, 1, -1, 1]] * 3 + [[1, 1, 1, 1]], dtype=array.dtype)


def _skewed(array: np.ndarray) -> np.ndarray:
    return array + np.array([[0, 1e-3, 0], [0, 0, 0], [0, 0, 0]], dtype=array.dtype)


DAMAGE = {
    "places": [_nan, lambda a: a[:, :, :1], lambda a: a[:-1], lambda a: a.astype("U9"), lambda a: a * 1e12],
    "world": [_nan, lambda a: a[None], lambda a: a.astype(np.int64)],
    "sure": [lambda a: a + 2, lambda a: a - 1, lambda a: np.ones_like(a)],
    "seen": [lambda a: a.astype(np.uint8), lambda a: a[:, 1:]],
    "layer": [lambda a: a - 1, lambda a: a + 999, lambda a: a.astype(float)],
    "seconds": [lambda a: a[::-1], lambda a: a * 0, _nan, lambda a: a[:4]],
    "numbers": [lambda a: a[::-1], lambda a: a - 1000, lambda a: a[:-1]],
    "held_numbers": [lambda a: a + 2],
    "camera_poses": [_mirrored, lambda a: a * 2, _nan, lambda a: np.zeros_like(a)],
    "intrinsics": [lambda a: -a, _skewed, lambda a: a * 0],
    "kind": [lambda a: np.array("flying"), lambda a: np.array(3)],
    "size": [lambda a: a * 0, lambda a: a[::-1], lambda a: a * 10**6, lambda a: a[:1]],
    "frames": [lambda a: a[:-1], lambda a: a // 2, lambda a: a.astype(np.uint16)],
    "frame_ends": [lambda a: a[::-1], lambda a: a - 5, lambda a: a + 5, lambda a: a[:-1]],
    "layers": [lambda a: a[:0]],
    "deep": [lambda a: a[:-1]],
    "notes": [lambda a: np.zeros(2), lambda a: a[None]],
    "format": [lambda a: np.array([1, 1]), lambda a: np.array(0), lambda a: np.array("1")],
}
CASES = [(name, i) for name, ways in DAMAGE.items() for i in range(len(ways))]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tracks") / "tracks.npz"
    write_bundle(path, made_up())
    return path


@pytest.mark.parametrize(("name", "way"), CASES)
def test_damage_is_named(written: Path, tmp_path: Path, name: str, way: int) -> None:
    with np.load(written, allow_pickle=False) as archive:
        arrays = dict(archive)
    arrays[name] = DAMAGE[name][way](arrays[name])
    path = tmp_path / "tracks.npz"
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match=str(path)) as raised:
        read_bundle(path)
    short = {"held_numbers": "kept apart", "format": "format", "frames": "frame", "layers": "layer_ends"}
    assert short.get(name, name) in str(raised.value)


def test_every_array_is_needed(written: Path, tmp_path: Path) -> None:
    with np.load(written, allow_pickle=False) as archive:
        arrays = dict(archive)
    for name in arrays:
        np.savez(tmp_path / "less.npz", **{other: array for other, array in arrays.items() if other != name})
        with pytest.raises(BadInput, match="format number" if name == "format" else f"{name} is missing"):
            read_bundle(tmp_path / "less.npz")


def test_a_newer_format_asks_for_an_upgrade(written: Path, tmp_path: Path) -> None:
    with np.load(written, allow_pickle=False) as archive:
        arrays = {**archive, "format": np.array(2)}
    np.savez(tmp_path / "new.npz", **arrays)
    with pytest.raises(BadInput, match="upgrade fieldscape"):
        read_bundle(tmp_path / "new.npz")


def test_objects_and_rubbish_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", format=np.array([{"a": 1}], dtype=object))
    (tmp_path / "rubbish.npz").write_bytes(b"no archive")
    for name in ("objects.npz", "rubbish.npz", "absent.npz"):
        with pytest.raises(BadInput):
            read_bundle(tmp_path / name)


def test_flipped_bytes_never_end_in_a_traceback(written: Path, tmp_path: Path) -> None:
    content, chance = written.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in chance.integers(0, len(content), 3):
            damaged[place] ^= int(chance.integers(1, 256))
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            read_bundle(tmp_path / "damaged.npz")
        except BadInput:
            continue


def test_unsound_tracks_are_not_written(tmp_path: Path) -> None:
    there = made_up()
    broken = replace(there, world=there.world * torch.nan)
    with pytest.raises(BadInput, match="world"):
        write_bundle(tmp_path / "tracks.npz", broken)
    assert not list(tmp_path.iterdir())
