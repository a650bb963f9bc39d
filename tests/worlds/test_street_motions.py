"""Motions of the street: closed forms against small steps, and the laws that each kind obeys."""

import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fieldscape.worlds.street.cameras import draw_viewpoint
from fieldscape.worlds.street.chances import draw_coupling, draw_motion
from fieldscape.worlds.street.make import settings_of
from fieldscape.worlds.street.motions import (
    GRAVITY,
    RESTITUTION,
    Coupling,
    Flight,
    Junction,
    Rest,
    Shuttle,
    Straight,
    Turn,
    bounces,
    follow,
    travel,
)
from fieldscape.worlds.street.objects import build
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.posing import joint_phase, piece_matrices, thing_poses
from fieldscape.worlds.street.scenes import draw_scene

START = (0.3, 4.0, 0.0)
GROUND = [
    Straight(START, 0.7, 1.4),
    Straight(START, 0.7, 0.4, 0.9),
    Straight(START, 0.7, 1.5, -0.8),
    Shuttle(START, -2.0, 1.1, 1.7),
    Turn(START, 0.7, 1.4, 0.6),
    Turn(START, 0.7, 1.4, -1.1),
    Junction(START, 0.7, 1.4, 1.0, 1, 0.8),
    Junction(START, 0.7, 1.4, 1.0, -1, 0.8),
]


@pytest.mark.parametrize("motion", [Rest(START, 0.7), *GROUND, Flight((0.3, 4.0, 1.0), 0.2, (1.0, -0.5, 2.0))])
def test_velocity_is_the_slope_of_the_place(motion):
    times = np.random.default_rng(1).uniform(0.05, 3.0, 200)
    step = 1e-6
    before, here, after = (travel(motion, times + shift) for shift in (-step, 0.0, step))
    slope = (after.place - before.place) / (2 * step)
    wrong = np.abs(slope - here.velocity).max(1) > 1e-4
    assert wrong.mean() < 0.02  # only at the few instants at which a velocity jumps
    turning = (after.heading - before.heading) / (2 * step)
    assert (np.abs(turning - here.rate) > 1e-4).mean() < 0.02
    way = (after.distance - before.distance) / (2 * step)
    ahead = (here.velocity[:, :2] * np.stack([np.cos(here.heading), np.sin(here.heading)], -1)).sum(1)
    if not isinstance(motion, Flight):
        assert (np.abs(way - ahead) > 1e-4).mean() < 0.02


@pytest.mark.parametrize("motion", [*GROUND, Flight((0.3, 4.0, 1.0), 0.2, (1.0, -0.5, 2.0))])
def test_places_do_not_jump_and_do_not_depend_on_the_other_times(motion):
    times = np.linspace(0, 4, 4001)
    found = travel(motion, times)
    assert np.abs(np.diff(found.place, axis=0)).max() < 0.02
    for k in (0, 777, 4000):
        np.testing.assert_array_equal(travel(motion, times[k : k + 1]).place[0], found.place[k])
    np.testing.assert_allclose(found.place[0, :2], [0.3, 4.0])


def divided(place, times):
    """The third divided difference of each four that follow each other: 0 on any parabola."""
    total = np.zeros_like(place[:-3])
    for i in range(4):
        others = [j for j in range(4) if j != i]
        scale = np.prod([times[i : len(times) - 3 + i] - times[j : len(times) - 3 + j] for j in others], axis=0)
        total += place[i : len(place) - 3 + i] / scale[:, None]
    return total


@pytest.mark.parametrize("direction", [1, -1])
def test_the_third_divided_difference_of_a_flight_is_zero_between_bounces(direction):
    motion = Flight((0.0, 5.0, 1.2), 0.0, (0.8, -0.4, 1.5))
    edges = [0.0, *bounces(motion, 2.4)]
    assert len(edges) >= 4
    random_times = np.random.default_rng(2)
    for begin, end in pairwise(edges):
        times = np.sort(random_times.uniform(begin + 0.01, end - 0.01, 8))[::direction]
        assert np.diff(times).__abs__().min() > 1e-4
        place = travel(motion, times).place
        scale = np.abs(np.diff(times)).min() ** -2
        assert np.abs(divided(place, times)).max() < 1e-9 * scale
    # Across a bounce it is not.
    times = np.linspace(edges[1] - 0.1, edges[1] + 0.1, 8)
    assert np.abs(divided(travel(motion, times).place, times)).max() > 1.0


def test_a_flight_falls_with_gravity_and_keeps_its_share_of_speed_at_each_bounce():
    motion = Flight((0.0, 5.0, 1.2), 0.0, (0.8, -0.4, 1.5))
    met = bounces(motion, 2.5)
    for at in met[:4]:
        before, after = travel(motion, np.array([at - 1e-7, at + 1e-7])).velocity[:, 2]
        assert before < 0
        assert after == pytest.approx(-RESTITUTION * before, abs=1e-4)
        assert travel(motion, np.array([at])).place[0, 2] == pytest.approx(0, abs=1e-6)
    times = np.array([0.1, 0.2, 0.3])
    height = travel(motion, times).place[:, 2]
    assert (height[0] - 2 * height[1] + height[2]) / 0.01 == pytest.approx(-GRAVITY, rel=1e-6)
    late = travel(motion, np.array([60.0]))
    assert late.place[0].tolist() == pytest.approx([48.0, 5.0 - 24.0, 0.0])
    assert (travel(motion, np.linspace(0, 6, 3000)).place[:, 2] >= 0).all()


def test_a_turn_stays_on_its_circle():
    motion = Turn(START, 0.7, 1.4, 0.6)
    middle = np.array(START[:2]) + 1.4 / 0.6 * np.array([-math.sin(0.7), math.cos(0.7)])
    place = travel(motion, np.linspace(0, 9, 50)).place[:, :2]
    np.testing.assert_allclose(np.linalg.norm(place - middle, axis=1), 1.4 / 0.6, rtol=1e-12)


def test_nothing_before_a_junction_tells_the_side():
    left, right = (Junction(START, 0.7, 1.4, 1.0, side, 0.8) for side in (1, -1))
    early, late = np.linspace(0, 1.0, 20), np.array([2.5])
    np.testing.assert_array_equal(travel(left, early).place, travel(right, early).place)
    assert travel(left, late).heading[0] - travel(right, late).heading[0] == pytest.approx(math.pi)
    sides = [draw_motion(random.Random(k), "junction", START, 0.0, 3.0) for k in range(400)]
    share = sum(isinstance(m, Junction) and m.side == 1 for m in sides) / 400
    assert 0.42 < share < 0.58


def test_one_that_brakes_stops_and_stays():
    found = travel(Straight(START, 0.0, 1.5, -0.75), np.array([1.0, 2.0, 2.5, 9.0]))
    assert found.distance.tolist() == pytest.approx([1.125, 1.5, 1.5, 1.5])
    assert found.velocity[:, 0].tolist() == pytest.approx([0.75, 0, 0, 0])


@pytest.mark.parametrize("kind", ["carry", "push", "ride"])
def test_coupled_things_keep_their_place_in_the_carrier_and_do_not_jump(kind):
    for seed in range(12):
        rng = random.Random(seed)
        carrier, other = build("cart", "red", rng), build("box", "blue", rng)
        motion, coupling = draw_coupling(rng, kind, carrier, other, START, 3.0)
        times = np.linspace(0, 3, 3001)
        lead, found = travel(motion, times), follow(coupling, motion, Rest(START, 0.0), times)
        bound = (times >= coupling.begin) & (times <= coupling.end)
        c, s = np.cos(lead.heading), np.sin(lead.heading)
        away = found.place - lead.place
        local = np.stack([c * away[:, 0] + s * away[:, 1], c * away[:, 1] - s * away[:, 0], away[:, 2]], -1)
        np.testing.assert_allclose(local[bound], np.broadcast_to(coupling.offset, local[bound].shape), atol=1e-12)
        assert np.abs(local[~bound] - coupling.offset).max() > 0.2
        assert np.abs(np.diff(found.place, axis=0)).max() < 0.02
        step = 1e-6
        inner = np.random.default_rng(seed).uniform(0.01, 2.99, 100)
        ahead, behind = (follow(coupling, motion, Rest(START, 0.0), inner + d).place for d in (step, -step))
        slope = (ahead - behind) / (2 * step)
        told = follow(coupling, motion, Rest(START, 0.0), inner).velocity
        assert (np.abs(slope - told).max(1) > 1e-3).mean() < 0.03
        # Without the coupling it stands.
        early = found.velocity[times < coupling.begin - 0.5]
        assert np.abs(early).max() < 1e-9


def test_things_that_touch_go_as_one_body():
    lead = Turn(START, 0.7, 1.4, 0.6)
    times = np.linspace(0, 3, 30)
    coupling = Coupling("touch", 0, 0.0, 3.0, (0.8, 0.1, 0.0), 0.3)
    one, other = travel(lead, times), follow(coupling, lead, Rest(START, 0.0), times)
    np.testing.assert_allclose(np.linalg.norm(one.place - other.place, axis=1), math.hypot(0.8, 0.1))
    np.testing.assert_allclose(other.heading - one.heading, 0.3)


# ---------------------------------------------------------------------------------------------------------- cycles


@pytest.mark.parametrize("motion", [GROUND[0], GROUND[2], GROUND[4], GROUND[6]])
def test_wheels_do_not_slip(motion):
    """The point of a wheel that touches the ground has no speed along the wheel's way."""
    thing = build("car", "red", random.Random(1))
    step, at = 1e-6, np.array([0.8, 1.3, 1.6])
    for shift in at:
        times = np.array([0.0, shift - step, shift + step])
        go = travel(motion, times)
        placed, pose = piece_matrices(thing, go, times), thing_poses(thing, go)
        for k, piece in enumerate(thing.pieces):
            if piece.part != "wheel" or piece.kind != "cylinder":
                continue
            middle = placed[1, k, :3, 3] / 2 + placed[2, k, :3, 3] / 2
            foot = np.array([middle[0], middle[1], 0.0, 1.0])
            turn = placed[2, k] @ np.linalg.inv(placed[1, k])
            slip = ((turn @ foot) - foot)[:3] / (2 * step)
            along = pose[1, :3, 0]
            assert abs(slip @ along) < 1e-4


def test_legs_swing_in_step_with_the_way():
    thing = build("person", "red", random.Random(1))
    legs = [p.joint for p in thing.pieces if p.part == "limb" and p.paint == "dark"]
    assert len(legs) == 2
    motion, times = Straight(START, 0.0, 1.2), np.linspace(0, 3, 301)
    one, other = (joint_phase(joint, travel(motion, times), times) for joint in legs)
    np.testing.assert_allclose(one, -other, atol=1e-12)
    frequency = 1.2 / legs[0].stride
    again = joint_phase(legs[0], travel(motion, times + 1 / frequency), times)
    np.testing.assert_allclose(again, one, atol=1e-9)


def test_blobs_keep_their_volume_and_their_feet_and_propellers_turn_evenly():
    times = np.linspace(0, 2, 41)
    still = travel(Rest(START, 0.4), times)
    blob = build("blob", "red", random.Random(1), beat=1.3)
    placed = piece_matrices(blob, still, times)[:, 0]
    np.testing.assert_allclose(np.linalg.det(placed[:, :3, :3]), np.linalg.det(blob.pieces[0].rest[:3, :3]))
    lowest = placed[:, 2, 3] - np.linalg.norm(placed[:, 2, :3], axis=1)
    np.testing.assert_allclose(lowest, 0, atol=1e-12)
    assert np.ptp(placed[:, 2, 3]) > 0.1
    propeller = build("propeller", "red", random.Random(1), beat=0.9)
    joint = next(p.joint for p in propeller.pieces if p.part == "blade")
    np.testing.assert_allclose(np.diff(joint_phase(joint, still, times)), 2 * math.pi * 0.9 * 0.05)


# ------------------------------------------------------------------------------------------------ times and cameras


def test_times_increase_and_are_real_numbers():
    for times in ("uniform", "jittered", "random"):
        options = MakeStreetOptions(Path("unused"), frames=20, times=times, motion="static", color=False)
        settings = settings_of(options).scenes
        for index in range(4):
            found = draw_scene(settings, index).times
            assert found.dtype == np.float64
            assert (np.diff(found) > 0).all()
            assert found[0] >= 0
            assert found[-1] <= 3.0
    assert len(set(np.diff(found).round(9))) == 19


@pytest.mark.parametrize("kind", ["still", "dolly", "turn"])
def test_the_camera_is_where_a_person_would_hold_it(kind):
    for seed in range(8):
        view = draw_viewpoint(random.Random(seed), kind, 128, 96, 3.0)
        poses = view.poses(np.linspace(0, 3, 5))
        assert 1.2 <= poses[0, 2, 3] <= 2.0
        pitch = np.degrees(np.arcsin(-poses[:, 2, 2]))
        assert (pitch >= 5).all()
        assert (pitch <= 20).all()
        assert 60 <= 2 * math.degrees(math.atan(64 / view.focal)) <= 90
        np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1)
        np.testing.assert_allclose(poses[:, 2, 0], 0, atol=1e-12)  # the horizon is level
        assert (poses[:, 2, 1] < 0).all()
        assert (np.ptp(poses, axis=0).max() > 0.05) == (kind != "still")
