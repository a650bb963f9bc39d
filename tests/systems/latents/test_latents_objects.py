"""The noun of many objects, its splits and fingerprints, and manifests of what is learned from and what is added."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldscape.errors import BadInput
from fieldscape.systems.latents.manifest import Manifest, chosen_names, read_range, require_disjoint
from fieldscape.systems.latents.objects import Objects, held_out_views


def made(counts: tuple[int, ...] = (3, 1, 4), seed: int = 0) -> Objects:
    """Objects of random pixels."""
    chance, views = np.random.default_rng(seed), sum(counts)
    return Objects(
        tuple(f"car {i}" for i in range(len(counts))),
        chance.integers(0, 256, (views, 4, 6, 3), np.uint8),
        chance.normal(size=(views, 4, 4)).astype(np.float32),
        chance.uniform(5, 6, (views, 2)).astype(np.float32),
        np.full((views, 2), 2, np.float32),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.arange(views) % 3 == 0,
    )


def test_views_are_those_of_the_object() -> None:
    objects = made()
    views = objects.views(2)
    assert len(objects) == 3
    assert (objects.size, views.camera.width, views.camera.height) == ((6, 4), 6, 4)
    np.testing.assert_array_equal(views.images.numpy(), objects.images[4:8])
    np.testing.assert_array_equal(views.camera.pose.numpy(), objects.poses[4:8])
    np.testing.assert_array_equal(views.camera.focal.numpy(), objects.focal[4:8])
    assert views.held_out == (2,)  # row 6
    assert views.background == (1.0, 1.0, 1.0)
    assert views.names == ("car 2/0", "car 2/1", "car 2/2", "car 2/3")
    views.images[0] = 0
    assert objects.images[4].any()  # a copy
    with pytest.raises(IndexError):
        objects.views(3)
    with pytest.raises(IndexError):
        objects.views(-1)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_selected_objects_are_the_same_objects(indices: list[int]) -> None:
    objects = made((3, 1, 4, 2, 2))
    some = objects.select(indices)
    assert some.names == tuple(objects.names[i] for i in indices)
    for new, old in enumerate(indices):
        assert some.digest(new) == objects.digest(old)
        assert some.views(new).held_out == objects.views(old).held_out


def test_a_range_is_not_copied_and_an_empty_one_is_refused() -> None:
    objects = made()
    assert np.shares_memory(objects.select(range(1, 3)).images, objects.images)
    assert objects.select(slice(1, None)).names == ("car 1", "car 2")
    assert not np.shares_memory(objects.select([2, 0]).images, objects.images)
    with pytest.raises(BadInput, match="is empty"):
        objects.select(range(0))
    with pytest.raises(IndexError):
        objects.select([3])


def test_the_fingerprint_tells_everything_apart() -> None:
    objects = made()
    others = [made(seed=1), made((3, 4, 1)), objects.select([0, 1]), objects.select([1, 0, 2])]
    others.append(replace(objects, names=("car 0", "car 1", "bus")))
    others.append(replace(objects, held_out=~objects.held_out))
    poses = objects.poses.copy()
    poses[5, 0, 3] += 1e-6
    others.append(replace(objects, poses=poses))
    assert len({o.fingerprint for o in [objects, *others]}) == len(others) + 1
    stored = replace(objects, digests=tuple(objects.digest(i) for i in range(3)))
    assert stored.fingerprint == objects.fingerprint == made().fingerprint
    assert stored.select([2]).digests == (objects.digest(2),)


def test_every_object_has_a_view() -> None:
    with pytest.raises(ValueError, match="at least one view"):
        made((2, 0, 1))


@pytest.mark.parametrize(("way", "fewest"), [("first10", 11), ("tenth", 2), ("fifth", 2), ("every5", 2), ("none", 1)])
def test_a_split_leaves_views_to_learn_from(way: str, fewest: int) -> None:
    for count in range(fewest, 60):
        kept = held_out_views(count, way)  # type: ignore[arg-type]
        assert count - kept.sum() > 0
        assert kept.any() or way == "none"
    for count in range(1, fewest):
        with pytest.raises(BadInput, match="none is left"):
            held_out_views(count, way)  # type: ignore[arg-type]


# --- manifests ---

NAMES = tuple(f"car {i}" for i in range(10))


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    manifest = Manifest(NAMES, {"train": (0, 6), "exploit": (6, 8)}, "abc")
    manifest.write(tmp_path / "split.json")
    again = Manifest.read(tmp_path / "split.json")
    assert again == manifest
    assert again.part("exploit") == ("car 6", "car 7")
    with pytest.raises(BadInput, match="no range 'test'"):
        again.part("test")


@given(st.tuples(*[st.integers(0, 10)] * 4))
def test_ranges_share_no_object(numbers: tuple[int, int, int, int]) -> None:
    a, b, c, d = numbers
    good = a < b and c < d and not set(range(a, b)) & set(range(c, d))
    if good:
        manifest = Manifest(NAMES, {"train": (a, b), "exploit": (c, d)})
        assert not set(manifest.part("train")) & set(manifest.part("exploit"))
    else:
        with pytest.raises(BadInput, match=r"is empty|do not overlap"):
            Manifest(NAMES, {"train": (a, b), "exploit": (c, d)})


def test_a_range_beyond_the_objects_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'exploit' \(6:11\) goes beyond the 10 objects"):
        Manifest(NAMES, {"exploit": (6, 11)})
    with pytest.raises(BadInput, match="names an object twice"):
        Manifest(("a", "a"), {})


def test_overlap_is_seen_by_name_across_runs() -> None:
    require_disjoint(NAMES[:5], NAMES[5:], "runs/a")
    with pytest.raises(BadInput, match=r"2 of the 4 objects to add were learned from in runs/a \(car 3, car 4\)"):
        require_disjoint(NAMES[:5], NAMES[3:7], "runs/a")


@pytest.mark.parametrize(
    "record",
    [[], {"format": 2}, {"format": 1}, {"names": [1]}, {"ranges": {"train": [0]}}, {"ranges": {"train": [0, 1.0]}},
     {"ranges": {"train": [True, 2]}}, {"fingerprint": 3}],
)  # fmt: skip
def test_damaged_manifests_are_refused(tmp_path: Path, record: dict | list) -> None:
    good = {"format": 1, "names": ["a", "b"], "ranges": {"train": [0, 1]}, "fingerprint": ""}
    bad = record if isinstance(record, list) or len(record) > 1 or record == {"format": 1} else good | record
    (tmp_path / "split.json").write_text(json.dumps(bad))
    with pytest.raises(BadInput, match=r"split\.json"):
        Manifest.read(tmp_path / "split.json")


@pytest.mark.parametrize("text", ["", ":a", "1:2:3", "-1", "1.5", "²", "a", "9" * 20])
def test_what_is_not_a_range_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a range"):
        read_range(text)


def test_objects_are_chosen_by_name_or_range() -> None:
    assert chosen_names(NAMES, None, None, "data") == NAMES
    assert chosen_names(NAMES, ["car 3", "car 1"], None, "data") == ("car 3", "car 1")
    assert chosen_names(NAMES, None, (8, None), "data") == NAMES[8:]
    for names, span, why in [
        (["car 3", "bus"], None, "does not hold 1 of the 2 objects asked for: bus"),
        ([], None, "No object"),
        (["car 1", "car 1"], None, "twice"),
        (None, (10, None), "is empty"),
        (None, (4, 4), "is empty"),
        (None, (0, 11), "goes beyond the 10 objects"),
    ]:
        with pytest.raises(BadInput, match=why):
            chosen_names(NAMES, names, span, "data")
