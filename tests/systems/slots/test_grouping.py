"""Grouping by affinities: against a dumb twin, with affinities that are known to be right, and at its limits."""

import itertools

import numpy as np
import pytest
import torch

from fieldscape.systems.slots import figures, grouping, scenes
from fieldscape.systems.slots.affinity import OFFSETS, paired
from fieldscape.systems.slots.grouping import GroupingSettings, blended, group, join_means
from fieldscape.systems.slots.points import Observed, PointSettings, prepare

STREET = PointSettings(far=14.0)


def observed(split: str, index: int) -> Observed:
    return prepare(scenes.draw_example(split, 1003, index, samples=0).depth_map, STREET)


def right_ones(numbers: torch.Tensor) -> torch.Tensor:
    """Affinities that know the truth."""
    affinities = torch.zeros(len(OFFSETS), *numbers.shape)
    for scores, offset in zip(affinities, OFFSETS, strict=True):
        one, other = paired(numbers, offset)
        paired(scores, offset)[0][:] = (one == other).float()
    return affinities


def joined_by_hand(labels: np.ndarray, affinities: np.ndarray, join: float, reach: int) -> np.ndarray:
    """The twin: every pair of pixels looked up anew after every join."""
    labels = labels.copy()
    height, width = labels.shape
    while True:
        found: dict[tuple[int, int], list[float]] = {}
        for k, (dx, dy) in enumerate(OFFSETS):
            if max(abs(dx), abs(dy)) > reach:
                continue
            for y, x in itertools.product(range(height), range(width)):
                if 0 <= x + dx < width and y + dy < height:
                    one, other = sorted((labels[y, x], labels[y + dy, x + dx]))
                    if 0 < one < other:
                        found.setdefault((one, other), []).append(affinities[k, y, x])
        means = {pair: sum(values) / len(values) for pair, values in found.items()}
        if not means or max(means.values()) <= join:
            return labels
        one, other = max(means, key=lambda pair: means[pair])
        labels[labels == other] = one


@pytest.mark.parametrize(("join", "reach"), [(0.5, 8), (0.52, 1), (0.9, 8), (0.0, 3)])
def test_joining_is_that_of_the_twin(join, reach):
    generator = np.random.default_rng(3)
    blocks = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((4, 4), int))
    labels = np.where(generator.random(blocks.shape) < 0.9, blocks, 0)
    affinities = generator.random((len(OFFSETS), *labels.shape))
    expected = joined_by_hand(labels, affinities, join, reach)
    got = join_means(labels, 12, affinities, join, reach)
    inside = labels > 0
    assert ((got > 0) == inside).all()
    same = figures.adjusted_rand(torch.from_numpy(got[inside]), torch.from_numpy(expected[inside]))
    assert same == pytest.approx(1)
    assert len(np.unique(got)) == len(np.unique(expected))


def test_only_the_largest_of_very_many_regions_are_joined(monkeypatch):
    monkeypatch.setattr(grouping, "MOST_REGIONS", 2)
    labels = np.repeat([[1, 2, 3]], 6, 0).repeat([1, 4, 5], 1)
    joined = join_means(labels, 3, np.ones((len(OFFSETS), *labels.shape)), 0.5, 8)
    assert joined[0, 2] == joined[0, 8] != joined[0, 0]


@pytest.mark.parametrize("split", ["contact", "contact-noise"])
def test_right_affinities_give_the_things(split):
    for index in range(3):
        seen = observed(split, index)
        truth = seen.depth_map.instances
        assert truth is not None
        known = seen.things & (truth > 0)
        labels = group(seen, right_ones(truth), GroupingSettings(parts=False))
        assert figures.adjusted_rand(labels[known], truth[known]) > 0.97
        assert torch.equal(labels > 0, seen.things)
        assert torch.unique(labels[labels > 0]).tolist() == list(range(1, int(labels.max()) + 1))


def test_a_step_in_depth_parts_whatever_the_affinities_say():
    """Things that stand apart: with the hard cut, no region holds two of them, though every affinity is 1."""
    everything = GroupingSettings(parts=False, reach=1)
    blind = GroupingSettings(parts=False, reach=1, gap=10.0, gap_metres=100.0)
    counts = {everything: 0, blind: 0, None: 0}
    for index in range(6):
        seen = observed("iso", index)
        truth = seen.depth_map.instances
        assert truth is not None
        ones = torch.ones(len(OFFSETS), *truth.shape)
        for settings in (everything, blind):
            counts[settings] += figures.count_of(group(seen, ones, settings))
        counts[None] += figures.count_of(truth)
    assert counts[blind] < counts[None] <= counts[everything] + 1


def test_far_offsets_join_the_parts_of_a_thing_behind_another():
    """A board behind a pole: three columns part it, and pairs three and eight pixels apart reach over them."""
    labels = np.ones((12, 21), np.int64)
    labels[:, 9:12], labels[:, 12:] = 2, 3
    affinities = right_ones(torch.from_numpy(np.where(labels == 3, 1, labels))).double().numpy()
    assert join_means(labels, 3, affinities, 0.5, 8).max() == 2
    assert join_means(labels, 3, affinities, 0.5, 1).max() == 3


def test_blending_is_a_weighted_mean_of_affinities_and_sameness():
    generator = torch.Generator().manual_seed(0)
    affinities = torch.rand(len(OFFSETS), 9, 12, generator=generator)
    labels = torch.randint(3, (9, 12), generator=generator)
    mixed = blended(affinities, labels, 0.25)
    for k, (dx, dy) in enumerate(OFFSETS):
        for y, x in itertools.product(range(9), range(12)):
            if 0 <= x + dx < 12 and y + dy < 9:
                same = float(labels[y, x] == labels[y + dy, x + dx] != 0)
                assert float(mixed[k, y, x]) == pytest.approx(0.75 * float(affinities[k, y, x]) + 0.25 * same)
    assert torch.equal(blended(affinities, labels, 0.0), affinities)


def test_nothing_gives_nothing_and_wrong_sizes_are_said():
    seen = observed("iso", 0)
    with pytest.raises(ValueError, match="are not 10 of"):
        group(seen, torch.zeros(len(OFFSETS), 5, 5), GroupingSettings())
    assert not join_means(np.zeros((4, 4), np.int64), 0, np.ones((len(OFFSETS), 4, 4)), 0.5, 8).any()
