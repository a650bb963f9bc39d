"""Captions of street videos: each clause held against the geometry, by measures of its own."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldscape.worlds.street.cameras import Viewpoint
from fieldscape.worlds.street.captions import DIRECTIONS, RELATIONS, VOCABULARY, captions
from fieldscape.worlds.street.make import settings_of
from fieldscape.worlds.street.motions import Rest, Straight
from fieldscape.worlds.street.objects import build
from fieldscape.worlds.street.options import MakeStreetOptions
from fieldscape.worlds.street.scenes import Actor, Scene, draw_scene

BASE = MakeStreetOptions(Path("unused"), videos=1, frames=12, color=False)
MOVES = ("moves", "drives", "walks")


def scenes(**changes):
    settings = settings_of(replace(BASE, **changes)).scenes
    for index in range(12):
        scene = draw_scene(settings, index)
        yield scene, captions(scene, np.full((len(scene.times), len(scene.actors)), 100))


def in_camera(scene, k, frame):
    """The middle of a thing in a frame's camera: right, down, ahead."""
    pose = scene.view.poses(scene.times)[frame]
    middle = scene.travels()[k].place[frame] + [0, 0, scene.actors[k].thing.size[2] / 2]
    return np.linalg.inv(pose) @ [*middle, 1]


@pytest.mark.parametrize("motion", ["mixed", "coupled", "cycles", "junction", "ballistic", "accelerating", "turning"])
def test_every_clause_is_true(motion):
    told = 0
    for scene, found in scenes(motion=motion, objects_min=3):
        last = len(scene.times) - 1
        for caption in found:
            k = caption["thing"] - 1
            actor, go = scene.actors[k], scene.travels()[k]
            words = caption["text"].split()
            assert set(words) <= set(VOCABULARY)
            assert actor.thing.color in words
            assert actor.thing.shape in words
            gone = go.place[last] - go.place[0]
            speed = np.linalg.norm(go.velocity[:, :2], axis=1)
            verb = caption["verb"]
            if verb == "stands still":
                np.testing.assert_allclose(go.place, go.place[:1].repeat(last + 1, 0), atol=0.05)
            elif verb in MOVES:
                assert np.linalg.norm(np.ptp(go.place, axis=0)) > 0.05
            elif verb == "speeds up":
                assert speed[last] > speed[0] + 0.05
            elif verb == "slows down":
                assert speed[last] < speed[0] - 0.05
            elif verb in ("turns left", "turns right"):
                assert (go.heading[last] > go.heading[0]) == verb.endswith("left")
                assert abs(go.heading[last] - go.heading[0]) > 0.2
            elif verb.startswith("goes straight and then turns"):
                assert (go.heading[last] > go.heading[0]) == verb.endswith("left")
                np.testing.assert_allclose(go.heading[:3], go.heading[0])
            elif verb in ("flies", "bounces"):
                fine = scene.travels(np.linspace(scene.times[0], scene.times[-1], 4000))[k]
                up = np.diff(fine.velocity[:, 2])
                assert (up > 0.02).any() == (verb == "bounces")
            elif verb in ("pulses", "spins"):
                assert actor.thing.shape == {"pulses": "blob", "spins": "propeller"}[verb]
            if caption["partner"] is not None:
                assert_coupled(scene, k, caption["partner"] - 1, verb)
            if caption["direction"] is not None:
                assert_direction(scene, gone, caption["direction"])
            if caption["manner"] is not None:
                way = np.linalg.norm(np.diff(go.place[:, :2], axis=0), axis=1).sum() / np.ptp(scene.times)
                assert way > 1.7 if caption["manner"] == "fast" else way < 0.8
            if caption["size"] is not None:
                longest = max(actor.thing.size)
                assert longest > 1.5 if caption["size"] == "big" else longest < 0.9
            if caption["relation"] is not None:
                other = scene.actors[caption["other"] - 1].thing
                assert caption["text"].endswith(
                    f"{caption['relation']} {article(other.color)} {other.color} {other.shape}"
                )
                assert_relation(scene, k, caption["other"] - 1, caption["relation"])
            told += 1
    assert told > 20


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def assert_direction(scene, gone, direction):
    pose = scene.view.poses(scene.times)[0]
    right, _, ahead = pose[:3, :3].T @ [gone[0], gone[1], 0.0]
    value = {"left": -right, "right": right, "away": ahead, "towards the camera": -ahead}[direction]
    assert value > 0.05
    assert value > (abs(ahead) if direction in ("left", "right") else abs(right))


def assert_relation(scene, k, other, relation):
    for frame in range(len(scene.times)):
        (x, _, z, _), (x2, _, z2, _) = in_camera(scene, k, frame), in_camera(scene, other, frame)
        columns = scene.view.focal * np.array([x / z, x2 / z2])
        assert {
            "behind": z > z2 and abs(columns[0] - columns[1]) < 0.13 * scene.view.focal,
            "in front of": z < z2 and abs(columns[0] - columns[1]) < 0.13 * scene.view.focal,
            "left of": columns[0] < columns[1] - 5,
            "right of": columns[0] > columns[1] + 5,
        }[relation]


def assert_coupled(scene, k, partner, verb):
    """The distance between the two is constant for a while, or always where they touch."""
    fine = np.linspace(0, scene.times[-1], 400)
    travels = scene.travels(fine)
    away = np.linalg.norm(travels[k].place - travels[partner].place, axis=1)
    constant = np.abs(np.diff(away)) < 1e-9
    assert constant.all() if verb == "touches" else 0.2 < constant.mean() < 0.95
    borne, bearer = (partner, k) if verb in ("carries", "pushes") else (k, partner)
    coupling = scene.actors[borne].coupling
    assert coupling is not None
    assert coupling.carrier == bearer
    kind = {"carries": "carry", "is carried by": "carry", "pushes": "push", "is pushed by": "push", "rides on": "ride"}
    assert coupling.kind == kind.get(verb, "touch")


def test_the_vocabulary_has_about_sixty_words():
    assert 55 <= len(VOCABULARY) <= 75
    assert len(set(VOCABULARY)) == len(VOCABULARY)


def test_touching_things_are_told_of():
    verbs = [
        caption["verb"] for _, found in scenes(split="contact", motion="static", objects_min=2) for caption in found
    ]
    assert verbs.count("touches") >= 12


def test_what_is_hardly_seen_is_not_told_of():
    scene = draw_scene(settings_of(replace(BASE, objects_min=3)).scenes, 0)
    visible = np.full((12, len(scene.actors)), 100)
    visible[:7, 1] = 3
    found = captions(scene, visible)
    assert 2 not in {caption["thing"] for caption in found}
    assert 2 not in {caption["other"] for caption in found} | {caption["partner"] for caption in found}


def test_a_red_box_moves_left_behind_a_green_cylinder():
    """A scene set by hand, and the sentence that a person would say."""
    rng = random.Random(3)
    view = Viewpoint("still", (0.0, 0.0, 1.6), np.pi / 2, 0.2, (0.0, 0.0, 0.0), 0.0, 100.0, 128, 96)
    box = Actor(build("box", "red", rng), "constant", Straight((0.5, 8.0, 0.0), np.pi, 0.3))
    cylinder = Actor(build("cylinder", "green", rng), "static", Rest((0.0, 5.0, 0.0), 0.0))
    scene = Scene(0, "iso", (box, cylinder), view, np.linspace(0, 3, 10), ())
    found = captions(scene, np.full((10, 2), 100))
    text = found[0]["text"].replace("big ", "").replace("small ", "")
    assert text == "a red box moves left slowly behind a green cylinder"
    assert found[1]["text"].endswith("green cylinder stands still in front of a red box")


def test_directions_and_relations_occur():
    directions, relations = set(), set()
    for motion in ("constant", "accelerating"):
        for _, found in scenes(motion=motion, objects_min=4):
            directions |= {caption["direction"] for caption in found}
            relations |= {caption["relation"] for caption in found}
    assert set(DIRECTIONS) <= directions
    assert set(RELATIONS) <= relations
