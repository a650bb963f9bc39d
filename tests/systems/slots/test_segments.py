"""Segmentation by convexity: its kernels against dumb twins, its rules on made shapes, its quality on streets."""

import itertools
import math
import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from fieldscape.data.depth.record import DepthMap
from fieldscape.kernels.patches import fit_patches, judge_pairs
from fieldscape.kernels.regions import label_regions
from fieldscape.systems.slots import figures, scenes
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.joining import ENOUGH, JoiningSettings, join_borders, join_parts, renumbered
from fieldscape.systems.slots.points import PointSettings, prepare
from fieldscape.types import Camera
from fieldscape.worlds.street.objects import matrix
from fieldscape.worlds.street.render import Solids, draw, noisy

STREET = PointSettings(far=14.0)
FOCAL, WIDTH, HEIGHT = 90.0, 128, 96


def street(
    *solids: tuple[str, tuple[float, float, float], tuple[float, float, float], float], noise: float = 0.0
) -> DepthMap:
    """Solids (kind, half sizes, place in the world with z up, turn in degrees) before a camera that looks along y from
    1.6 m, tilted down by 12 degrees."""
    down = math.radians(12)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1] = (1, 0, 0), (0, -math.sin(down), -math.cos(down))
    pose[:3, 2], pose[:3, 3] = (0, math.cos(down), -math.sin(down)), (0, 0, 1.6)

    def placed(size, place, turn):
        c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        return matrix(size, place, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]]))

    what = Solids(
        tuple(each[0] for each in solids),
        (0.0,) * len(solids),
        tuple(range(1, len(solids) + 1)),
        (3,) * len(solids),
    )
    matrices = np.stack([placed(*each[1:]) for each in solids])
    drawn = draw(what, matrices, pose, FOCAL, WIDTH, HEIGHT, len(solids))
    depth = noisy(drawn.depth, np.random.default_rng(0), noise) if noise else drawn.depth
    known = np.isfinite(depth)
    camera = Camera(torch.eye(4), torch.full((2,), FOCAL), torch.tensor([WIDTH / 2, HEIGHT / 2]), WIDTH, HEIGHT)
    return DepthMap(
        "made",
        torch.from_numpy(np.where(known, depth, 0)).float(),
        torch.from_numpy(known),
        torch.from_numpy(np.isposinf(depth)),
        camera,
        False,
        0.0,
        torch.from_numpy(drawn.instance.astype(np.int64)),
    )


def found(depth_map: DepthMap, settings: ConvexitySettings | None = None) -> tuple[torch.Tensor, float]:
    labels = segment(depth_map, prepare(depth_map, STREET), settings or ConvexitySettings())
    return labels, figures.foreground_ari(labels, depth_map.instances, depth_map.valid)


BOXES = ("box", (0.5, 0.5, 0.6), (-0.5, 5.0, 0.6), 0.0), ("box", (0.4, 0.4, 0.4), (0.4, 4.6, 0.4), 0.0)
"""Two boxes side by side that touch: a face of the second lies on one of the first."""


@pytest.mark.parametrize(("noise", "least"), [(0.0, 0.97), (0.01, 0.85)])
def test_touching_boxes_are_two(noise, least):
    depth_map = street(*BOXES, noise=noise)
    labels, ari = found(depth_map)
    assert figures.count_of(labels) == 2
    assert ari > least


def test_one_box_is_one_thing_though_it_has_three_faces():
    labels, _ = found(street(("box", (0.5, 0.5, 0.5), (0.0, 4.5, 0.5), 30.0)))
    assert figures.count_of(labels, 1) == 1


def test_a_ball_before_another_is_two_by_depth_alone():
    depth_map = street(("ball", (0.6,) * 3, (0.0, 4.0, 0.6), 0.0), ("ball", (0.6,) * 3, (0.5, 6.0, 0.6), 0.0))
    labels, ari = found(depth_map)
    assert figures.count_of(labels) == 2
    assert ari > 0.97


def test_what_stands_on_a_thing_is_part_of_it_and_without_joining_it_is_not():
    cabin = ("box", (0.9, 0.45, 0.35), (0.0, 3.0, 0.35), 20.0), ("box", (0.4, 0.3, 0.3), (0.0, 3.0, 1.0), 20.0)
    labels, _ = found(street(*cabin))
    assert figures.count_of(labels) == 1
    apart, _ = found(street(*cabin), ConvexitySettings(parts=False))
    assert figures.count_of(apart) == 2


def test_nothing_is_found_on_bare_ground():
    far = street(("box", (0.5, 0.5, 0.5), (0.0, 40.0, 0.5), 0.0))
    assert not found(far)[0].any()


def test_labels_cover_the_things_and_are_the_same_every_time():
    depth_map = scenes.draw_example("contact-noise", 1003, 2, samples=0).depth_map
    observed = prepare(depth_map, STREET)
    one, again = (segment(depth_map, observed, ConvexitySettings()) for _ in range(2))
    assert torch.equal(one, again)
    assert torch.equal(one > 0, observed.things)
    assert torch.unique(one).tolist() == list(range(int(one.max()) + 1))


@pytest.mark.parametrize(("split", "least"), [("iso", 0.85), ("contact", 0.83), ("contact-noise", 0.7)])
def test_quality_on_streets(split, least):
    scores = [found(scenes.draw_example(split, 1000, k, samples=0).depth_map)[1] for k in range(6)]
    assert sum(scores) / len(scores) > least


def test_time_of_joining_grows_with_the_regions_and_not_with_their_square():
    """The same pixels in 36 regions, and in sixteen times as many, as noise leaves them; nearly all become one."""
    generator = np.random.default_rng(2)
    right, below = (generator.integers(0, 2, (192, 192)).astype(np.uint8) for _ in range(2))
    spent = []
    for across in (6, 24):
        side = 192 // across
        labels = np.kron(np.arange(1, across**2 + 1).reshape(across, across), np.ones((side, side), np.int64))
        times = []
        for _ in range(3):
            start = time.process_time()
            assert join_borders(labels, across**2, right, below, 0.2)[1] < 10
            times.append(time.process_time() - start)
        spent.append(min(times))
    assert spent[1] < 40 * spent[0]


# ------------------------------------------------------------------------------------------------------------- kernels


def test_plane_of_a_window_is_least_squares_of_inverse_depth():
    generator = np.random.default_rng(0)
    depth = 1 / (0.2 + 0.001 * np.arange(12)[None] + 0.002 * np.arange(9)[:, None])
    slopes = fit_patches(depth, 2, 0.0)
    np.testing.assert_allclose(slopes[..., 0], 1 / depth, rtol=1e-6)
    np.testing.assert_allclose(slopes[..., 1], 0.001, rtol=1e-3)
    np.testing.assert_allclose(slopes[..., 2], 0.002, rtol=1e-3)
    rough = depth * (1 + 0.01 * generator.standard_normal(depth.shape))
    # A picture that is one window: every pixel may only choose windows that the twin below also fits.
    w = 1 / rough
    chosen = fit_patches(rough, 20, 0.01)
    y, x = np.mgrid[:9, :12]
    design = np.column_stack([np.ones(108), x.ravel(), y.ravel()])
    flat = np.linalg.lstsq(design, w.ravel(), rcond=None)[0]
    np.testing.assert_allclose(chosen[..., 0], (design @ flat).reshape(9, 12), rtol=0.02)
    np.testing.assert_allclose(chosen[..., 1], flat[1], atol=3e-4)


def test_a_crease_stays_sharp_and_the_unknown_stays_unknown():
    w = 0.2 + 0.004 * np.abs(np.arange(21) - 10)[None] + np.zeros((15, 1))
    depth = 1 / w
    depth[3:5, 3:5] = 0
    slopes = fit_patches(depth, 1, 0.0)
    assert (slopes[3:5, 3:5] == 0).all()
    clear = depth[:, :10] > 0
    np.testing.assert_allclose(slopes[:, :10, 1][clear], -0.004, rtol=0.02)
    np.testing.assert_allclose(slopes[:, 11:, 1], 0.004, rtol=0.02)


def test_hollow_and_ridge_are_told_apart():
    """Two planes that meet in the middle column: a valley is cut, a ridge is not, and a step is a gap."""
    ray_x, ray_y = (np.arange(20) - 9.5) / 30, (np.arange(10) - 4.5) / 30
    ridge = 0.4 - 0.006 * np.abs(np.arange(20) - 9.5)[None] + np.zeros((10, 1))
    valley = 0.4 + 0.006 * np.abs(np.arange(20) - 9.5)[None] + np.zeros((10, 1))
    step = np.where(np.arange(20) < 10, 0.4, 0.3)[None] + np.zeros((10, 1))
    expected = {"ridge": (ridge, 0), "valley": (valley, 1), "step": (step, 2)}
    for name, (w, kind) in expected.items():
        slopes = fit_patches(1 / w, 1, 0.0)
        right, below = judge_pairs(slopes, np.ones((10, 20), bool), ray_x, ray_y, 1.0, (0.02, 0.05), 15.0)
        assert (right[:, 9] == kind).all(), name
        assert not right[:, 1:8].any(), name
        assert not below[:9].any(), name
        assert (below[9] == 3).all()
        assert (right[:, 19] == 3).all()
    with pytest.raises(ValueError, match="not of"):
        judge_pairs(slopes, np.ones((9, 20), bool), ray_x, ray_y, 1.0, (0.02, 0.05), 15.0)


def cuts_drawn(share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(4)
    inside = generator.random((30, 40)) < 0.8
    right, below = (np.where(generator.random((30, 40)) < share, 1, 0).astype(np.uint8) for _ in range(2))
    right[:, :-1][~(inside[:, :-1] & inside[:, 1:])], right[:, -1] = 3, 3
    below[:-1][~(inside[:-1] & inside[1:])], below[-1] = 3, 3
    right[~inside], below[~inside] = 3, 3
    return right, below, inside


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
def test_regions_without_a_margin_are_what_uncut_pairs_connect(share):
    right, below, inside = cuts_drawn(share)
    labels, count = label_regions(right, below, inside, 0)
    # The twin: pixels and open pairs drawn on a grid of twice the size.
    grid = np.zeros((60, 80), bool)
    grid[::2, ::2], grid[::2, 1::2], grid[1::2, ::2] = inside, right == 0, below == 0
    twin, number = ndimage.label(grid)
    assert count == number
    assert figures.adjusted_rand(torch.from_numpy(labels[inside]), torch.from_numpy(twin[::2, ::2][inside])) == 1
    assert (labels[~inside] == 0).all()
    assert (labels[inside] > 0).all()


def test_a_hole_in_a_line_of_cuts_joins_only_without_a_margin():
    right, below = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    right[:, 9] = 1
    right[10, 9] = 0
    right[:, -1], below[-1] = 3, 3
    inside = np.ones((20, 20), bool)
    assert label_regions(right, below, inside, 0)[1] == 1
    labels, count = label_regions(right, below, inside, 2)
    assert count == 2
    # The border between them is cut but for one pair: it stays.
    joined, left = join_borders(labels, count, right, below, 0.3)
    assert left == 2
    assert join_borders(labels, count, right, below, 0.04)[1] == 1
    assert (joined[:, :9] == joined[0, 0]).all()


def joined_one_by_one(labels: np.ndarray, right: np.ndarray, below: np.ndarray, share: float) -> np.ndarray:
    """The twin: after each pair that is joined, every border is measured anew."""
    labels = labels.copy()
    while True:
        best, pair = share, (0, 0)
        for i, j in itertools.combinations(range(1, labels.max() + 1), 2):
            opened = length = 0
            for one, other, cuts in (
                (labels[:, :-1], labels[:, 1:], right[:, :-1]),
                (labels[:-1], labels[1:], below[:-1]),
            ):
                common = ((one == i) & (other == j)) | ((one == j) & (other == i))
                length += int(common.sum())
                opened += int((common & (cuts == 0)).sum())
            if length and opened / length > best:
                best, pair = opened / length, (i, j)
        if best == share:
            return labels
        labels[labels == pair[1]] = pair[0]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6])
def test_borders_are_joined_as_if_each_were_measured_anew(share):
    generator = np.random.default_rng(1)
    labels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((4, 5), np.int64))
    labels[9:11, 3:6] = 0
    right, below = (generator.integers(0, 2, labels.shape).astype(np.uint8) for _ in range(2))
    joined, count = join_borders(labels, 16, right, below, share)
    twin, number = renumbered(joined_one_by_one(labels, right, below, share))
    assert count == number
    assert 1 <= count <= 16
    assert (joined == twin).all()


def test_parts_are_joined_alike_in_a_picture_of_many_more_pixels():
    """A post on a slab, a slab beside them, and an arm: a picture so large that only some of its points are judged."""
    points = np.zeros((24, 40, 3))
    points[..., 0], points[..., 1] = np.arange(40) * 0.1, np.arange(24)[::-1, None] * 0.1
    points[..., 2] = 5 + 0.3 * (np.add.outer(np.arange(24), np.arange(40)) % 3)
    points[16, 28:34, 2] = 5
    labels = np.zeros((24, 40), np.int64)
    labels[12:, 2:14], labels[4:12, 6:10], labels[12:, 14:28], labels[16, 28:34] = 1, 2, 3, 4
    small = join_parts(labels, points, JoiningSettings())
    assert small[14, 4] == small[6, 8] != small[14, 20] == small[16, 30]
    times = 8
    fine = points.repeat(times, 0).repeat(times, 1)
    large = join_parts(np.kron(labels, np.ones((times, times), np.int64)), fine, JoiningSettings())
    assert (large > 0).sum() > ENOUGH
    assert (large[::times, ::times] == small).all()


def test_thin_parts_go_to_what_they_touch_and_lonely_ones_stay():
    points = np.zeros((30, 30, 3))
    points[..., 0], points[..., 1] = np.arange(30) * 0.05, np.arange(30)[:, None] * 0.05
    labels = np.zeros((30, 30), np.int64)
    labels[:20, :14], labels[20:, 5:7], labels[:, 25:27] = 1, 2, 3
    joined = join_parts(labels, points, JoiningSettings(footprint=2.0))
    assert joined[25, 5] == joined[5, 5] != 0
    assert joined[5, 25] not in (0, joined[5, 5])
    kept = join_parts(labels, points, JoiningSettings(footprint=2.0, thin=0.0, least=1))
    assert len(np.unique(kept)) == 4
    assert not join_parts(np.zeros_like(labels), points, JoiningSettings()).any()


def test_renumbering():
    labels, count = renumbered(np.array([[0, 7, 7], [3, 0, 9]]))
    assert labels.tolist() == [[0, 2, 2], [1, 0, 3]]
    assert count == 3
    assert renumbered(np.array([[4, 4], [6, 4]]))[0].tolist() == [[1, 1], [2, 1]]
