"""Figures against closed forms and dumb twins."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from fieldscape.data.depth.record import DepthMap
from fieldscape.systems.slots import clusters, figures, scenes
from fieldscape.systems.slots.points import PointSettings, prepare
from fieldscape.types import Camera


def labels_drawn(count: int, groups: int, seed: int) -> torch.Tensor:
    return torch.randint(groups, (count,), generator=torch.Generator().manual_seed(seed))


def rand_by_pairs(one, other) -> float:
    """The index from its definition over all pairs of elements."""
    pairs = list(itertools.combinations(range(len(one)), 2))
    same = [(bool(one[i] == one[j]), bool(other[i] == other[j])) for i, j in pairs]
    both, first, second = (sum(map(f, same)) for f in (all, lambda s: s[0], lambda s: s[1]))
    chance = first * second / len(pairs)
    return (both - chance) / ((first + second) / 2 - chance)


@pytest.mark.parametrize("seed", range(4))
def test_adjusted_rand_equals_the_count_of_pairs(seed):
    one, other = labels_drawn(40, 3 + seed, seed), labels_drawn(40, 4, seed + 10)
    assert figures.adjusted_rand(one, other) == pytest.approx(rand_by_pairs(one, other), abs=1e-12)


def test_laws_of_adjusted_rand():
    one, other = labels_drawn(300, 5, 0), labels_drawn(300, 5, 1)
    assert figures.adjusted_rand(one, one * 7 + 3) == 1
    assert figures.adjusted_rand(one, other) == pytest.approx(figures.adjusted_rand(other, one))
    assert abs(figures.adjusted_rand(one, other)) < 0.05
    assert figures.adjusted_rand(one, torch.zeros_like(one)) == 0
    assert figures.adjusted_rand(torch.zeros(5).long(), torch.ones(5).long()) == 1


def test_foreground_alone_counts_and_what_was_not_found_counts_as_one_group():
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 2, 2]])
    labels = torch.tensor([[5, 6, 3, 3], [7, 8, 4, 4]])
    assert figures.foreground_ari(labels, truth) == 1
    assert figures.foreground_ari(torch.zeros_like(labels), truth) == 0
    unknown = torch.ones(2, 4, dtype=torch.bool)
    worse = labels.clone()
    worse[0, 3] = 4
    assert figures.foreground_ari(worse, truth) < 1
    unknown[0, 3] = False
    assert figures.foreground_ari(worse, truth, unknown) == 1
    assert math.isnan(figures.foreground_ari(labels, torch.zeros_like(truth)))


def test_things_are_counted_with_the_same_floor_on_both_sides():
    labels, truth = torch.zeros(10, 10, dtype=torch.int64), torch.zeros(10, 10, dtype=torch.int64)
    labels[:2], labels[2, :9], truth[:2], truth[3:5, :], truth[9, 9] = 1, 2, 4, 5, 6
    assert (figures.count_of(labels), figures.count_of(truth)) == (1, 2)
    assert figures.count_error(labels, truth) == 1
    assert figures.count_error(labels, truth, least=1) == 1
    assert figures.count_error(labels, truth, least=9) == 0


def test_matching_is_the_best_of_all_permutations():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(4, (12, 12), generator=generator)
    truth = torch.where(torch.rand(12, 12, generator=generator) < 0.7, (labels + 1) % 4, 0)
    pairs, overlaps = figures.match_labels(labels, truth)

    def overlap(i: int, j: int) -> float:
        return float(((labels == i) & (truth == j)).sum() / ((labels == i) | (truth == j)).sum())

    best = max(sum(overlap(i + 1, j) for i, j in enumerate(order)) for order in itertools.permutations((1, 2, 3)))
    assert float(overlaps.sum()) == pytest.approx(best)
    assert [overlap(int(i), int(j)) for i, j in pairs] == pytest.approx(overlaps.tolist())
    assert figures.match_labels(torch.zeros(3, 3).long(), truth[:3, :3])[0].shape == (0, 2)


def test_distances_equal_brute_force_and_their_weights_count():
    generator = torch.Generator().manual_seed(1)
    points, targets = torch.randn(50, 3, generator=generator), torch.randn(70, 3, generator=generator)
    near = torch.cdist(points, targets).amin(1)
    found = figures.distances(points, targets)
    assert found.mean == pytest.approx(float(near.mean()), rel=1e-5)
    assert found.median == pytest.approx(float(near.median()), rel=1e-5)
    weights = torch.zeros(50)
    weights[7], weights[9], weights[11] = 3.0, 1.0, 0.5
    found = figures.scene_to_mesh(points, weights, targets)
    assert found.mean == pytest.approx(float((near * weights).sum() / 4.5), rel=1e-5)
    assert found.median == pytest.approx(float(near[7]), rel=1e-5)
    assert math.isnan(figures.distances(points, targets[:0]).mean)
    assert math.isnan(figures.distances(points, targets, torch.zeros(50)).median)


def test_distance_between_two_balls_is_the_gap_of_their_radii():
    small, large = (
        clusters.ellipsoid_points(clusters.Ellipsoid(torch.zeros(3), r * torch.eye(3)), 4096) for r in (1.0, 1.5)
    )
    assert figures.mesh_to_truth(small, large[None]).mean == pytest.approx(0.5, abs=0.005)
    both = torch.stack([large, large + 50])
    assert figures.truth_to_mesh(both, small, torch.tensor([True, False])).mean == pytest.approx(0.5, abs=0.005)


def wall(depth: float, width: int = 40, height: int = 30) -> DepthMap:
    camera = Camera(torch.eye(4), torch.tensor([30.0, 30.0]), torch.tensor([20.0, 15.0]), width, height)
    known = torch.ones(height, width, dtype=torch.bool)
    return DepthMap("wall", torch.full((height, width), depth), known, ~known, camera, False, 0.0)


def test_only_what_floats_before_the_seen_surface_violates():
    depth_map = wall(4.0)
    z = torch.tensor([3.0, 3.8, 3.9, 4.0, 6.0, 0.2, -1.0])
    points = torch.stack([torch.zeros(7), torch.zeros(7), z], -1)
    assert figures.free_space_violation(points, depth_map) == pytest.approx(2 / 7)
    aside = points + torch.tensor([50.0, 0, 0])
    assert figures.free_space_violation(aside, depth_map) == 0
    assert figures.free_space_violation(points[:0], depth_map) == 0


def test_sky_is_empty_up_to_the_far_cut_and_the_unknown_is_not():
    point = torch.tensor([[0.0, 0.0, 8.0]])
    nothing = torch.zeros(30, 40, dtype=torch.bool)
    sky = replace(wall(0.0), valid=nothing, sky=~nothing)
    assert figures.free_space_violation(point, sky, far=10.0) == 1
    assert figures.free_space_violation(point, sky, far=8.0) == 0
    assert figures.free_space_violation(point, replace(sky, sky=nothing), far=10.0) == 0


def test_at_an_edge_the_nearest_of_the_neighbours_decides():
    depth_map = wall(6.0)
    depth = depth_map.depth.clone()
    depth[:, :20] = 3.0
    edge = replace(depth_map, depth=depth)
    # Columns 20 and 22 at depth 3.5: the first is beside the near surface.
    points = torch.tensor([[(c + 0.5 - 20) / 30 * 3.5, 0.0, 3.5] for c in (20, 22)])
    assert figures.free_space_violation(points, edge) == 0.5


def test_yaw_errors_know_symmetry():
    yaw = torch.deg2rad(torch.tensor([10.0, 190.0, 100.0, 350.0, 77.0]))
    truth = torch.deg2rad(torch.tensor([0.0, 0.0, 0.0, 10.0, 0.0]))
    symmetry = torch.tensor([1, 2, 4, 1, 0])
    found = figures.yaw_error(yaw, truth, symmetry)
    torch.testing.assert_close(found[:4], torch.tensor([10.0, 10.0, 10.0, 20.0]), atol=1e-3, rtol=0)
    assert math.isnan(float(found[4]))
    assert float(figures.yaw_error(yaw[1:2], truth[1:2], torch.tensor([1]))) == pytest.approx(170, abs=1e-3)


def test_one_offset_a_prototype_gives_it_a_front():
    truth = torch.linspace(-3, 3, 20)
    symmetry = torch.tensor([1, 2] * 10)
    offset = figures.best_yaw_offset(truth - 1.0, truth, symmetry)
    assert offset == pytest.approx(1.0, abs=0.01)
    assert figures.best_yaw_offset(truth, truth, torch.zeros(20, dtype=torch.int64)) == 0


def test_poses_are_matched_by_the_least_sum_of_distances():
    centers = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [9.0, 0, 0]])
    true = torch.tensor([[1.2, 0, 0], [0.1, 0, 0]])
    scales, yaws = torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3)
    errors = figures.pose_errors(
        centers, scales, yaws, true, torch.tensor([1.0, 2.0]), torch.zeros(2), torch.ones(2).long()
    )
    assert errors.pairs.tolist() == [[0, 1], [1, 0]]
    torch.testing.assert_close(errors.center, torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(errors.scale, torch.tensor([0.5, 1.0]))
    near = figures.pose_errors(
        centers, scales, yaws, true, torch.ones(2), torch.zeros(2), torch.ones(2).long(), farthest=0.15
    )
    assert near.pairs.tolist() == [[0, 1]]


def test_use_of_prototypes():
    assert figures.effective_prototypes(torch.eye(4)) == pytest.approx(4)
    assert figures.effective_prototypes(torch.eye(4)[[1, 1, 1]]) == pytest.approx(1)
    assert figures.top_share(torch.tensor([[0.5, 0.5], [0.9, 0.1]])) == pytest.approx(0.7)


def test_purity_and_mutual_information():
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    classes = torch.tensor([2, 2, 5, 5, 5, 5])
    assert figures.purity(groups, classes) == pytest.approx(5 / 6)
    assert figures.mutual_information(groups, groups + 4) == pytest.approx(1)
    assert figures.mutual_information(groups, torch.tensor([0, 1, 2, 0, 1, 2])) == pytest.approx(0, abs=1e-12)
    # Entropies of (1/2, 1/2), (1/3, 2/3) and of the pairs (2, 1, 3) / 6.
    joint = -(2 * math.log(2 / 6) + math.log(1 / 6) + 3 * math.log(3 / 6)) / 6
    first, second = math.log(2), -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
    expected = 2 * (first + second - joint) / (first + second)
    assert figures.mutual_information(groups, classes) == pytest.approx(expected)


# --------------------------------------------------------------------------------------------- the rivals, and scenes


def test_clustering_tells_things_apart_that_stand_apart():
    example = scenes.draw_example("iso", 21, 4)
    observed = prepare(example.depth_map, PointSettings(far=14.0))
    truth = example.depth_map.instances
    count = figures.count_of(truth, 1)
    assert figures.foreground_ari(clusters.kmeans_labels(observed, count), truth) > 0.7
    chains = clusters.euclidean_labels(observed, 0.3)
    assert figures.foreground_ari(chains, truth) > 0.7
    assert torch.equal(chains > 0, observed.things)
    assert len(torch.unique(clusters.euclidean_labels(observed, 50.0))) == 2


def test_ellipsoid_of_points_on_an_ellipsoid_is_that_ellipsoid():
    true = clusters.Ellipsoid(torch.tensor([1.0, 0.5, 4.0]), torch.diag(torch.tensor([0.3, 0.4, 0.9])))
    points = clusters.ellipsoid_points(true, 600)
    observed = prepare(wall(4.0), PointSettings(walls=0))
    pixels = torch.stack([torch.arange(600) % 40, torch.arange(600) // 40], -1)
    cover = replace(observed, points=points, weights=torch.ones(600), pixels=pixels, normals=points)
    labels = torch.zeros(30, 40, dtype=torch.int64)
    labels[:15] = 1
    (found,) = clusters.ellipsoids(cover, labels)
    torch.testing.assert_close(found.center, true.center, atol=0.01, rtol=0)
    torch.testing.assert_close(found.axes.norm(dim=0).sort().values, torch.tensor([0.3, 0.4, 0.9]), rtol=0.02, atol=0)
    assert math.sin(found.yaw) == pytest.approx(0, abs=0.05)
    assert found.scale == pytest.approx(true.scale, rel=0.02)


def test_scenes_are_those_of_the_command(tmp_path):
    """The same bytes of depth and numbers as ``make street`` writes."""
    import cv2
    import numpy as np

    from fieldscape.cli import run

    for split in ("contact", "noise"):
        out = tmp_path / split
        words = (
            f"make street --out {out} --videos 2 --frames 1 --split {split} --motion static --camera still --no-color"
        )
        assert run([*words.split(), "--seed", "7", "--workers", "1", "--quiet"]) == 0
        for index in range(2):
            example = scenes.draw_example(split, 7, index, samples=0)
            home = out / "videos" / f"{index:06d}"
            steps = cv2.imread(str(home / "depth" / "000000.png"), cv2.IMREAD_UNCHANGED).astype(np.int64)
            depth_map = example.depth_map
            mine = torch.round(depth_map.depth.double() * 1000).long()
            mine[depth_map.sky] = 65535
            assert np.array_equal(mine.numpy(), steps)
            numbers = cv2.imread(str(home / "instance" / "000000.png"), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(depth_map.instances.numpy(), numbers)


def test_truth_lies_on_what_is_seen():
    example = scenes.draw_example("contact", 7, 2)
    depth_map, truth = example.depth_map, example.truth
    focal, center = depth_map.camera.focal, depth_map.camera.center
    for k, number in enumerate(truth.numbers.tolist()):
        rows, columns = torch.nonzero(depth_map.instances == number).unbind(1)
        assert len(rows) == truth.visible[k]
        if not len(rows):
            continue
        z = depth_map.depth[rows, columns]
        pixels = torch.stack([columns + 0.5, rows + 0.5], -1)
        points = torch.cat([(pixels - center) / focal * z[:, None], z[:, None]], -1)
        assert figures.distances(points, truth.surfaces[k]).mean < 0.06
        spread = truth.surfaces[k] - truth.centers[k]
        assert float(truth.scales[k]) == pytest.approx(float(spread.square().sum(1).mean().sqrt()), rel=1e-3)
        up = depth_map.camera.pose[2, :3]
        torch.testing.assert_close(truth.poses[k, :3, 1], up, atol=1e-5, rtol=0)
        assert float(torch.linalg.det(truth.poses[k, :3, :3])) == pytest.approx(1, abs=1e-5)


def test_the_sensor_of_noise_can_look_at_other_splits():
    clean, noisy = (scenes.draw_example(split, 7, 1, samples=0).depth_map for split in ("contact", "contact-noise"))
    assert torch.equal(clean.instances, noisy.instances)
    lost = clean.valid & ~noisy.valid
    assert float(lost.sum() / clean.valid.sum()) == pytest.approx(0.05, abs=0.01)
    both = clean.valid & noisy.valid
    assert float((noisy.depth / clean.depth - 1)[both].std()) == pytest.approx(0.01, rel=0.1)
    assert torch.equal(noisy.sky & ~clean.sky, torch.zeros_like(clean.sky))
