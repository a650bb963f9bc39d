"""The learned teacher: what its network is shown, what it is taught, what it gives, and how it is kept."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.kernels.patches import fit_patches, judge_pairs
from fieldscape.stopping import Stop
from fieldscape.systems.slots import figures, scenes, teacher
from fieldscape.systems.slots.affinity import (
    CHANNELS,
    MARGIN,
    OFFSETS,
    AffinityNet,
    affinities_of,
    inputs_of,
    mirrored,
    pair_cues,
    paired,
)
from fieldscape.systems.slots.grouping import GroupingSettings
from fieldscape.systems.slots.points import PointSettings, prepare, ray_grid
from fieldscape.systems.slots.reducing import thinned
from fieldscape.systems.slots.teacher import Teacher, TeacherConfig, affinity_loss

STREET = PointSettings(far=14.0)
SMALL = TeacherConfig(
    splits=("contact",), noisy=0.0, scenes=1, width=4, steps=3, batch=2, trials=("contact",), trial_scenes=1
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stirred(net: AffinityNet) -> AffinityNet:
    """The last layer starts at zero: with other weights answers can differ."""
    torch.nn.init.normal_(net.last.weight, generator=seeded(1))
    return net


def street(split: str = "contact", index: int = 0, times: int = 1) -> DepthMap:
    return scenes.draw_example(split, 1003, index, 128 * times, 96 * times, samples=0).depth_map


@pytest.fixture(scope="module")
def lesson() -> teacher.Lesson:
    return teacher.draw_lesson(SMALL, 0)


# --------------------------------------------------------------------------------------------------- pairs and network


@pytest.mark.parametrize("size", [(9, 12), (3, 5), (1, 1)])
def test_pairs_are_those_at_the_offset(size):
    values = torch.arange(size[0] * size[1]).reshape(size)
    for dx, dy in OFFSETS:
        expected = [
            (int(values[y, x]), int(values[y + dy, x + dx]))
            for y, x in itertools.product(*map(range, size))
            if 0 <= x + dx < size[1] and y + dy < size[0]
        ]
        one, other = paired(values, (dx, dy))
        assert list(zip(one.flatten().tolist(), other.flatten().tolist(), strict=True)) == expected


@pytest.mark.parametrize("size", [(96, 128), (33, 50), (1, 3)])
def test_the_network_takes_any_size_and_is_small(size):
    net = AffinityNet(16, seeded())
    assert net(torch.randn(2, CHANNELS, *size, generator=seeded())).shape == (2, len(OFFSETS), *size)
    assert 200_000 < sum(each.numel() for each in net.parameters()) < 300_000


def test_the_same_generator_gives_the_same_network_and_no_other_is_touched():
    before = torch.get_rng_state()
    one, other = AffinityNet(4, seeded()), AffinityNet(4, seeded())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(AffinityNet(4, seeded(5)).down[0].first.weight, one.down[0].first.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_answer_does_not_depend_on_the_other_end_of_the_picture_nor_on_its_size():
    net = stirred(AffinityNet(4, seeded()))
    picture = torch.randn(1, CHANNELS, 16, 256, generator=seeded())
    changed = picture.clone()
    changed[..., 200:] = 3.0
    torch.testing.assert_close(net(picture)[..., :100], net(changed)[..., :100])
    torch.testing.assert_close(net(picture[..., :200])[..., :100], net(picture)[..., :100], atol=1e-5, rtol=1e-4)


# -------------------------------------------------------------------------------------------------------------- inputs


def test_inputs_are_finite_bounded_and_nothing_where_nothing_is_known():
    observed = prepare(street("contact-noise"), STREET)
    inputs = inputs_of(observed)
    assert inputs.shape == (CHANNELS, 96, 128)
    assert inputs.abs().max() <= 3
    unknown = observed.smooth == 0
    assert unknown.any()
    assert not inputs[:, unknown].any()
    # Standing things: above the ground, and marked as things.
    things = observed.things
    assert (inputs[6][things] > 0).float().mean() > 0.95
    assert (inputs[8][things] == 0.5).all()
    # The ground's normal is up.
    assert inputs[4][observed.ground].median() > 0.95


def test_hollow_folds_are_told_from_ridges_and_steps_are_measured():
    ray_x, ray_y = (np.arange(20) - 9.5) / 30, (np.arange(10) - 4.5) / 30
    known = np.ones((10, 20), bool)
    bend = 0.006 * np.abs(np.arange(20) - 9.5)[None] + np.zeros((10, 1))
    valley = pair_cues(fit_patches(1 / (0.4 + bend), 1, 0.0), known, ray_x, ray_y)
    ridge = pair_cues(fit_patches(1 / (0.4 - bend), 1, 0.0), known, ray_x, ray_y)
    assert (valley[0][:, 9] > 0.2).all()
    assert (ridge[0][:, 9] < -0.2).all()
    assert np.abs(valley[0][:, 1:8]).max() < 1e-6
    assert np.abs(valley[2]).max() < 1e-6
    step = np.where(np.arange(20) < 10, 0.4, 0.36)[None] + np.zeros((10, 1))
    cues = pair_cues(fit_patches(1 / step, 1, 0.0), known, ray_x, ray_y)
    np.testing.assert_allclose(cues[1][:, 9], 20 * 0.04 / 0.36, rtol=1e-6)
    assert np.abs(cues[1][:, 10:]).max() < 1e-6
    upright = pair_cues(fit_patches(1 / (0.4 + bend.T[:10, :10]), 1, 0.0), known[:, :10], ray_x[:10], ray_y)
    assert upright[2].shape == (10, 10)


def test_the_cues_see_the_cuts_of_convexity():
    observed = prepare(street(), STREET)
    inside = observed.things.numpy()
    ray_x, ray_y = ray_grid(observed.depth_map)
    slopes = observed.slopes.double().numpy()
    cuts = judge_pairs(slopes, inside, ray_x, ray_y, 1.0, (0.02, 0.05), 15.0)
    cues = pair_cues(slopes, observed.smooth.numpy() > 0, ray_x, ray_y)
    for cut, hollow, step in zip(cuts, cues[::2], cues[1::2], strict=True):
        assert (cut == 2).sum() > 5
        assert (step[cut == 2] > 20 * 0.02 * 0.99).all()
        assert (hollow[cut == 1] > 0).mean() > 0.9


def test_only_the_surroundings_of_things_are_looked_at():
    observed = prepare(street(), STREET)
    rows, columns = slice(20, 80), slice(10, 121)
    whole, part = inputs_of(observed)[:, rows, columns], inputs_of(observed, rows, columns)
    # All but the means over squares, within the rims that pairs reach over.
    alike = [0, *range(3, CHANNELS)]
    torch.testing.assert_close(whole[alike, :-1, :-1], part[alike, :-1, :-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(whole[:, 8:-8, 8:-8], part[:, 8:-8, 8:-8], atol=1e-4, rtol=1e-4)
    net = stirred(AffinityNet(4, seeded()))
    found = affinities_of(net, observed)
    down, across = torch.nonzero(observed.things).T
    near = torch.zeros(96, 128, dtype=torch.bool)
    near[max(int(down.min()) - MARGIN, 0) : int(down.max()) + 1 + MARGIN] = True
    near[:, : max(int(across.min()) - MARGIN, 0)] = False
    near[:, int(across.max()) + 1 + MARGIN :] = False
    assert torch.equal((found > 0).all(0), near)
    assert 0 < near.float().mean() < 1
    empty = replace(observed, ground=torch.ones_like(observed.ground))
    assert not affinities_of(net, empty).any()


def test_the_mirror_shows_what_is_seen_of_the_mirrored_depth():
    depth_map = street()
    turned = replace(
        depth_map, depth=depth_map.depth.flip(-1), valid=depth_map.valid.flip(-1), sky=depth_map.sky.flip(-1)
    )
    one, other = mirrored(inputs_of(prepare(depth_map, STREET))), inputs_of(prepare(turned, STREET))
    # Ground planes are found by chance, and ties between windows go to the first.
    alike = ((one - other).abs() < 0.02).float().mean((-1, -2))
    assert (alike > 0.97).all(), alike
    assert torch.equal(mirrored(mirrored(one))[:11], one[:11])


# ------------------------------------------------------------------------------------------------------------ learning


def test_the_loss_in_closed_form():
    votes = torch.randint(1, 3, (2, 3, 20, 24), generator=seeded(), dtype=torch.uint8)
    inside = torch.rand(2, 20, 24, generator=seeded()) < 0.9
    nothing = torch.zeros(2, len(OFFSETS), 20, 24)
    assert float(affinity_loss(nothing, votes, inside)) == pytest.approx(math.log(2), rel=1e-5)
    assert float(affinity_loss(nothing, votes, torch.zeros_like(inside))) == 0
    alike = votes[:, :1].expand(-1, 3, -1, -1).contiguous()
    right = torch.zeros_like(nothing)
    for k, offset in enumerate(OFFSETS):
        one, other = paired(alike[:, 0], offset)
        paired(right[:, k], offset)[0][:] = torch.where(one == other, 20.0, -20.0)
    assert float(affinity_loss(right, alike, inside)) < 1e-6
    assert float(affinity_loss(-right, alike, inside)) > 10
    # Where the votes differ, no answer is free, and the share of votes is the best one.
    split = torch.ones(1, 3, 1, 9, dtype=torch.uint8)
    split[:, 0, :, 0] = 2
    costs = [
        float(affinity_loss(torch.full((1, len(OFFSETS), 1, 9), math.log(p / (1 - p))), split, torch.ones(1, 1, 9) > 0))
        for p in (0.7, 0.95)
    ]
    assert all(cost > 0.05 for cost in costs)


def test_lessons_show_the_coarse_picture_of_what_the_fine_one_taught(lesson):
    clean, rough = lesson, teacher.draw_lesson(replace(SMALL, noisy=1.0), 0)
    assert torch.equal(clean.votes, rough.votes)
    assert clean.votes.shape == (3, 96, 128)
    assert not torch.equal(clean.inputs, rough.inputs)
    truth = scenes.draw_example("contact", teacher.FIRST_LESSON, 0, samples=0).depth_map.instances
    assert truth is not None
    for votes in clean.votes.long():
        assert figures.adjusted_rand(votes[clean.inside], truth[clean.inside]) > 0.8
    assert (clean.votes[:, clean.inside] > 0).all()


def test_learning_learns(lesson):
    net = teacher.learn([lesson], replace(SMALL, steps=30, piece=(24, 32)), seeded())
    assert net is not None
    with torch.inference_mode():
        after = affinity_loss(net(lesson.inputs[None].float()), lesson.votes[None], lesson.inside[None])
    assert after < 0.9 * math.log(2)


def test_learning_is_the_same_every_time(lesson):
    nets = [teacher.learn([lesson], SMALL, seeded(seed)) for seed in (0, 0, 1)]
    weights = [net.last.weight for net in nets if net is not None]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_trained_teacher_outlives_the_process_as_plain_tensors(monkeypatch):
    monkeypatch.setattr(teacher, "STRONG", (0.3,))
    made = teacher.train_teacher(SMALL, seeded())
    assert made is not None
    tensors, settings = made.state()
    read = Teacher.from_state(tensors, json.loads(json.dumps(settings)))
    assert read.grouping == made.grouping
    assert read.grouping.strong in teacher.STRONG
    assert set(read.figures) == {"contact"}
    depth_map = street("contact-noise")
    observed = prepare(depth_map, STREET)
    labels = made.segment(depth_map, observed)
    assert torch.equal(labels, read.segment(depth_map, observed))
    assert torch.equal(labels > 0, observed.things)


def test_a_request_to_stop_is_heard(lesson):
    stop = Stop(1e-9)
    assert teacher.train_teacher(SMALL, seeded(), stop) is None
    assert teacher.learn([lesson], SMALL, seeded(), stop) is None
    assert teacher.choose(AffinityNet(4, seeded()), SMALL, stop) is None
    empty = teacher.Lesson(lesson.inputs, lesson.votes, torch.zeros_like(lesson.inside))
    with pytest.raises(BadInput, match="no thing"):
        teacher.learn([empty], SMALL, seeded())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"width": 10**9}, "width"),
        ({"width": True}, "width"),
        ({"width": 8}, "weights"),
        ({"grouping": {}}, "grouping"),
        ({"grouping": None}, "grouping"),
        ({"figures": {"iso": "good"}}, "figures"),
    ],
)
def test_damaged_teachers_are_refused(change, said):
    tensors, settings = Teacher(AffinityNet(4, seeded()), GroupingSettings(), {}).state()
    Teacher.from_state(tensors, settings)
    with pytest.raises(BadInput, match=said):
        Teacher.from_state(tensors, {**settings, **change})
    with pytest.raises(BadInput, match="weights"):
        Teacher.from_state({**tensors, "last.bias": torch.full((len(OFFSETS),), math.nan)}, settings)
    with pytest.raises(BadInput, match="strong"):
        Teacher.from_state(tensors, {**settings, "grouping": {**settings["grouping"], "strong": math.nan}})


# --------------------------------------------------------------------------------------------------------------- sizes


def test_every_third_pixel_is_what_a_camera_of_a_third_would_see():
    coarse, drawn = thinned(street(times=3), 3), street()
    assert torch.equal(coarse.depth, drawn.depth)
    assert torch.equal(coarse.valid, drawn.valid)
    torch.testing.assert_close(coarse.camera.focal, drawn.camera.focal)
    torch.testing.assert_close(coarse.camera.center, drawn.camera.center)
    # An even step: the ray of a kept pixel stays the same.
    fine, half = street(), thinned(street(), 2)
    kept = torch.tensor([2 * 10 + 1.5, 2 * 7 + 1.5])
    middle = torch.tensor([10.5, 7.5])
    torch.testing.assert_close(
        (kept - fine.camera.center) / fine.camera.focal, (middle - half.camera.center) / half.camera.focal
    )


def test_what_is_labelled_is_what_shows_things_and_of_one_map():
    net = Teacher(stirred(AffinityNet(4, seeded())), GroupingSettings(), {})
    depth_map = street()
    observed = prepare(depth_map, STREET)
    labels = net.segment(depth_map, observed)
    assert torch.equal(labels > 0, observed.things)
    with pytest.raises(ValueError, match="pixels"):
        net.segment(street(times=3), observed)
