"""How methods are judged: perfect answers, known errors, whole segments, rows of a table."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fieldscape.systems.slots import evaluate
from fieldscape.systems.slots.clusters import ellipsoid_points
from fieldscape.systems.slots.codec import Slots, encode
from fieldscape.systems.slots.evaluate import Found, by_segment, from_clusters, from_slots, judge
from fieldscape.systems.slots.objects import nearest_of
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.scenes import Example, draw_example


@pytest.fixture(scope="module")
def scene() -> tuple[Example, Observed]:
    example = draw_example("iso", 1000, 0)
    return example, prepare(example.depth_map, PointSettings(points=384, far=14.0))


def perfect(example: Example, observed: Observed) -> Found:
    """The truth itself, as a method would give it."""
    truth, turn, shift = example.truth, observed.from_camera[:3, :3], observed.from_camera[:3, 3]
    surfaces = truth.surfaces @ turn.T + shift
    assert example.depth_map.instances is not None
    yaws = torch.atan2(*(truth.poses[:, :3, 2] @ turn.T)[:, [0, 2]].unbind(1))
    return Found(
        example.depth_map.instances,
        nearest_of(surfaces, observed),
        surfaces,
        truth.centers @ turn.T + shift,
        truth.scales,
        yaws,
    )


def test_the_truth_itself_is_faultless(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    row = evaluate.row([judge(perfect(example, observed), example.truth, observed)])
    assert row["ari"] == 1
    assert row["count"] == 0
    assert row["size_ratio"] == pytest.approx(1)
    assert row["ari_mesh"] > 0.95
    assert row["x_to_p"] < 0.05
    assert row["p_to_truth"] < 1e-3
    assert row["truth_to_p"] < 1e-3
    assert row["violation"] < 0.02
    assert max(row["center"], row["scale"]) < 1e-5
    assert not row["yaw"] > 0.1
    assert math.isnan(row["purity"]), "nothing was blended"


def test_known_errors_are_found_out(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    found = perfect(example, observed)
    up = torch.tensor([0.0, 0.7, 0.0])
    lifted = replace(found, surfaces=found.surfaces + up, centers=found.centers + up, scales=1.5 * found.scales)
    lifted = replace(lifted, pixels=torch.where(found.pixels == 1, 2, found.pixels))
    row = evaluate.row([judge(lifted, example.truth, observed)])
    assert row["center"] == pytest.approx(0.7, abs=1e-4)
    assert row["scale"] == pytest.approx(0.5, abs=1e-4)
    assert row["size_ratio"] == pytest.approx(1.5, abs=1e-4)
    assert row["ari"] < 1
    assert row["count"] == 1
    assert row["violation"] > 0.1
    assert row["x_to_p"] > 0.1


def test_headings_are_those_of_the_longest_way_and_round_things_have_none() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(1, 4000, 3, generator=generator) * torch.tensor([0.3, 0.5, 1.0])
    for degrees, apart in ((0.0, 0.0), (20.0, 20.0), (-35.0, 35.0), (90.0, 90.0), (170.0, 10.0)):
        angle = math.radians(degrees)
        cos, sin = math.cos(angle), math.sin(angle)
        turned = cloud @ torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T
        assert float(evaluate.headings_apart(turned, cloud)) == pytest.approx(apart, abs=0.01)
    assert math.isnan(float(evaluate.headings_apart(cloud, cloud / torch.tensor([0.3, 1.0, 1.0]))))


def test_a_whole_segment_goes_to_the_slot_that_most_of_it_shows() -> None:
    pixels = torch.tensor([[1, 1, 2, 2, 0], [1, 2, 2, 3, 3]])
    segments = torch.tensor([[1, 1, 1, 2, 0], [1, 1, 2, 2, 0]])
    assert by_segment(pixels, segments).tolist() == [[1, 1, 1, 2, 0], [1, 1, 2, 2, 3]]
    hardly = torch.tensor([[0, 0, 0, 0, 0], [0, 4, 1, 0, 0]])
    assert by_segment(hardly, segments).tolist() == [[4, 4, 4, 1, 0], [4, 4, 1, 1, 0]]
    nothing = torch.zeros_like(pixels)
    assert torch.equal(by_segment(nothing, segments), nothing)


def test_slots_and_clusters_are_judged_alike_on_the_same_surface(scene: tuple[Example, Observed]) -> None:
    """A ball-shaped slot in the place of each cluster's ellipsoid made round has the same figures, up to sampling."""
    example, observed = scene
    assert example.depth_map.instances is not None
    clusters = from_clusters(observed, example.depth_map.instances)
    count = len(clusters.centers)
    ball = Prototypes(1, 2, torch.Generator().manual_seed(0))
    slots = Slots(
        clusters.scales[:, None],
        clusters.centers,
        torch.zeros(count, 3),
        torch.zeros(count, 1),
        torch.ones(count, 1),
        torch.zeros(count, 3),
    )
    round_ = [evaluate.clusters.Ellipsoid(c, torch.eye(3) * s) for c, s in zip(clusters.centers, clusters.scales)]
    one = judge(from_slots(encode(slots), ball, observed), example.truth, observed)
    surfaces = torch.stack([ellipsoid_points(each, evaluate.SURFACE) for each in round_])
    two = judge(replace(clusters, surfaces=surfaces), example.truth, observed)
    for name in ("x_to_p", "p_to_truth", "truth_to_p", "violation"):
        assert one.numbers[name] == pytest.approx(two.numbers[name], rel=0.1, abs=0.01), name
    assert torch.allclose(one.center, two.center)
    assert torch.allclose(one.scale, two.scale)


def test_nothing_found_is_no_crash_and_no_praise(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    empty = from_clusters(observed, torch.zeros_like(observed.things, dtype=torch.long))
    none = from_slots(torch.zeros(0, 17), Prototypes(6, 2, torch.Generator().manual_seed(0)), observed)
    for found in (empty, none):
        row = evaluate.row([judge(found, example.truth, observed)])
        assert row["ari"] == pytest.approx(0, abs=1e-9)
        assert math.isnan(row["x_to_p"])
        assert math.isnan(row["center"])
        assert row["count"] == int((example.truth.visible >= 20).sum())


def test_rows_are_means_over_scenes_and_medians_over_things(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    one = judge(perfect(example, observed), example.truth, observed)
    first = replace(one, numbers=one.numbers | {"count": 1.0}, center=torch.tensor([0.1, 0.2, 0.2, 0.4]))
    numbers = one.numbers | {"count": 4.0, "ari": math.nan}
    second = replace(one, numbers=numbers, center=torch.tensor([0.9, 0.1, 0.1, 0.9]))
    row = evaluate.row([first, second])
    assert row["count"] == 2.5
    assert row["ari"] == 1
    assert row["center"] == pytest.approx(0.2)
    over = evaluate.over_seeds([row, row | {"count": 0.5}])
    assert over["count"] == [1.5, 0.5, 2.5]
    assert tuple(over) == evaluate.COLUMNS


def test_prototypes_that_name_shapes_have_information_and_mixed_ones_have_none() -> None:
    blends = torch.eye(2)[torch.tensor([0, 0, 1, 1])]
    shape = ("ball", "ball", "box", "box")
    nothing = torch.zeros(4)
    numbers = dict.fromkeys(("ari", "count"), 1.0)
    told = evaluate.Judged(numbers, nothing, nothing, nothing, blends.argmax(1), shape, blends)
    row = evaluate.row([told])
    assert row["purity"] == 1
    assert row["nmi"] == pytest.approx(1)
    assert row["prototypes"] == pytest.approx(2)
    mixed = replace(told, prototype=torch.tensor([0, 1, 0, 1]))
    assert evaluate.row([mixed])["nmi"] == pytest.approx(0, abs=1e-9)
