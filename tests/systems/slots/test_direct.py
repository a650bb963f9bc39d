"""Fits of synthetic scenes without a network: what the losses are for, merges, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh

from fieldscape.cli import run
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.systems.opening import open_scene
from fieldscape.systems.slots import direct, seeds
from fieldscape.systems.slots.codec import decode
from fieldscape.systems.slots.config import FitConfig, LossWeights
from fieldscape.systems.slots.fit import measured, seen
from fieldscape.systems.slots.literal import fit_literally
from fieldscape.systems.slots.merging import proposals
from fieldscape.systems.slots.objects import objects_of
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.scenes import Example, draw_example
from fieldscape.systems.slots.targets import Targets, targets_of

QUICK = FitConfig(steps=25, merge_rounds=0, final_steps=0, points=384)


def shapes() -> Prototypes:
    return Prototypes(6, 2, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def scene() -> tuple[Example, Observed]:
    """Four things that stand apart."""
    example = draw_example("iso", 1000, 0, samples=0)
    return example, prepare(example.depth_map, PointSettings(points=384))


def truth_of(example: Example) -> torch.Tensor:
    assert example.depth_map.instances is not None
    return example.depth_map.instances


def test_the_literal_loss_is_degenerate_and_the_full_one_is_not(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    true = example.truth.scales[example.truth.visible >= 20].mean()
    literal = fit_literally(observed, shapes(), 8, 40, torch.Generator().manual_seed(0), count=384)
    assert float(literal[:, 0].mean() / true) > 3
    fitted = direct.fit([observed], [truth_of(example)], shapes(), QUICK)
    alive = fitted.vecta[0, fitted.alive[0]]
    assert len(alive) == len(example.truth.scales)
    assert 0.8 < float(alive[:, 0].mean() / true) < 1.3
    figures = measured(objects_of(alive, shapes(), observed), observed)
    assert float(figures["scene_to_mesh"] or 9) < 0.05
    assert float(figures["free_space_violation"] or 0) < 0.06
    floating = measured(objects_of(literal, shapes(), observed), observed)["free_space_violation"]
    assert float(floating or 0) > 0.15


def test_the_same_depth_map_gives_the_same_slots_alone_and_in_a_batch(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    labels, few = truth_of(example), replace(QUICK, steps=3)
    alone = direct.fit([observed], [labels], shapes(), few)
    again = direct.fit([observed], [labels], shapes(), few)
    assert torch.equal(alone.vecta, again.vecta)
    both = direct.fit([observed, observed], [labels, labels], shapes(), few)
    assert torch.allclose(both.vecta[1], alone.vecta[0], atol=1e-4)


def test_two_halves_of_a_thing_become_one_and_two_things_do_not(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    labels = truth_of(example).clone()
    biggest = int(labels[labels > 0].mode().values)
    columns = (labels == biggest).nonzero()[:, 1]
    halved = labels.clone()
    halved[:, int(columns.median()) :][labels[:, int(columns.median()) :] == biggest] = int(labels.max()) + 1
    config = replace(QUICK, steps=12, merge_rounds=1, merge_steps=12)
    whole = direct.fit([observed], [labels], shapes(), config)
    merged = direct.fit([observed], [halved], shapes(), config)
    assert whole.merged == (0,)
    assert merged.merged == (1,)
    assert int(merged.alive.sum()) == int(whole.alive.sum())


def test_only_slots_that_nothing_empty_parts_are_tried_as_one() -> None:
    # Two clouds 0.3 m apart before a camera that sees past them, or does not know what is between.
    side = torch.linspace(0, 0.5, 6)
    y, x = torch.meshgrid(side + 0.5, side, indexing="ij")
    cloud = torch.stack([x, y, torch.full_like(x, 4.0)], -1).reshape(-1, 3)
    points = torch.cat([cloud + torch.tensor([0.15, 0, 0]), cloud - torch.tensor([0.65, 0, 0])])
    eye = torch.tensor([0.0, 1.0, 0.0])
    rows = torch.stack([seeds.from_points(points[:36], 2, eye), seeds.from_points(points[36:], 2, eye)])[None]
    owner = torch.tensor([0] * 36 + [1] * 36)[None]
    to_camera = torch.diag(torch.tensor([-1.0, -1, 1, 1]))
    to_camera[1, 3] = 1.0
    for empty, expected in ((9.0, [-1, -1]), (0.0, [0, 1])):
        targets = Targets(
            points[None], torch.full((1, 72), 1 / 72), torch.full((1, 40, 40), empty), to_camera[None],
            torch.tensor([[40.0, 40.0]]), torch.tensor([[20.0, 20.0]]), torch.tensor([True]),
        )  # fmt: skip
        tried, which = proposals(rows, owner, targets, 0.4, [set()])
        assert which.tolist() == [expected]
        assert int((decode(tried).existence > 0).sum()) == (1 if expected[0] == 0 else 2)
        assert proposals(rows, owner, targets, 0.2, [set()])[1].tolist() == [[-1, -1]]
        assert proposals(rows, owner, targets, 0.4, [{(0, 1)}])[1].tolist() == [[-1, -1]]


def test_a_guess_finds_the_turn_and_the_size_of_a_box() -> None:
    # The two sides and the top that a camera sees of a box of 1 x 0.6 x 0.5, turned by 0.4.
    grid = torch.rand(3, 400, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    grid[0, :, 2], grid[1, :, 0], grid[2, :, 1] = -0.5, -0.5, 0.5
    box = grid.reshape(-1, 3) * torch.tensor([1.0, 0.5, 0.6]) + torch.tensor([0, 0.25, 0])
    cos, sin = np.cos(0.4), np.sin(0.4)
    turn = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=torch.float32)
    guess = decode(seeds.from_points(box @ turn.T + torch.tensor([1.0, 0, 4.0]), 3, torch.tensor([0.0, 1.5, 0.0])))
    assert abs(float(guess.angles[0]) - 0.4) < 0.06
    assert torch.allclose(guess.position, torch.tensor([1.0, 0.25, 4.0]), atol=0.05)
    extents = guess.aspect.exp() / guess.aspect.exp()[1]
    assert torch.allclose(extents, torch.tensor([2.0, 1.0, 1.2]), atol=0.15)


def test_segments_without_a_slot_are_counted(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    fitted = direct.fit([observed], [truth_of(example)], shapes(), replace(QUICK, slots=2, steps=1))
    assert fitted.vecta.shape[1] == 2
    assert fitted.crowded == (len(example.truth.scales) - 2,)


def test_a_loss_that_is_switched_off_is_not_there(scene: tuple[Example, Observed]) -> None:
    example, observed = scene
    targets = targets_of([observed], 384)
    guess = direct.first_guess(targets, 0, observed, truth_of(example), QUICK)
    vecta = guess.vecta[None, :4]
    off = LossWeights(free=0, sparsity=0, parsimony=0, size=0, overlap=0, support=0, use=0)
    costs = direct.total(vecta, targets, shapes(), replace(QUICK, weights=off))
    assert set(costs) == {"coverage", "total"}
    assert torch.equal(costs["coverage"], costs["total"])
    full = direct.total(vecta, targets, shapes(), QUICK, guess.owner[None])
    assert "belonging" in full
    named = {name: getattr(QUICK.weights, name) * cost for name, cost in full.items() if name != "total"}
    assert torch.allclose(torch.stack(list(named.values())).sum(0), full["total"])


def test_points_far_from_one_another_stand_in_for_segments() -> None:
    points = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [5.0, 0, 0], [5.1, 0, 0], [0, 0, 9.0]])
    labels = seeds.furthest(points, 3)
    assert labels[0] == labels[1]
    assert labels[2] == labels[3]
    assert len(labels.unique()) == 3


def street(folder: Path, *options: str) -> Path:
    made = ["make", "street", "--out", str(folder), "--videos", "1", "--frames", "1", "--motion", "static", "--quiet"]
    assert run([*made, "--no-color", "--seed", "1000", "--workers", "1", *options]) == 0
    return folder


def test_the_command_writes_what_a_robot_and_a_person_can_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data, out = street(tmp_path / "street"), tmp_path / "run"
    quick = ["--steps", "15", "--merge-rounds", "1", "--final-steps", "5", "--weights.overlap", "0", "--quiet"]
    assert run(["slots", "fit", str(data), "--frame", "0", "--out", str(out), *quick]) == 0
    assert "objects in" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert report["scene_to_mesh"] < 0.08
    assert report["free_space_violation"] < 0.15
    assert report["seconds"] > 0
    assert "loss_coverage" in report
    assert "loss_overlap" not in report
    record = json.loads((out / "objects.json").read_text())
    things = record["objects"]
    assert report["objects"] == len(things) >= 2
    truth = json.loads((data / "videos" / "000000" / "video.json").read_text())
    pose = np.array(truth["camera"]["poses"][0])
    for thing in things:
        assert abs(sum(thing["weights"]) - 1) < 1e-3
        assert len(thing["size"]) == 3
        assert thing["pixels"] >= 0
        # The three matrices say the same, and one of the true things is near to where they say.
        to_camera = np.array(thing["to_camera"])
        assert np.allclose(np.array(record["camera_to_model"]) @ to_camera, thing["to_model"], atol=1e-3)
        assert np.allclose(pose @ to_camera, thing["to_world"], atol=1e-3)
        place = np.array(thing["to_world"])[:3, 3]
        assert min(np.linalg.norm(place - np.array(true["center"][0])) for true in truth["things"]) < 0.6
        mesh = trimesh.load(out / thing["mesh"], force="mesh")
        assert np.allclose(mesh.centroid, thing["position"], atol=0.05)
        assert mesh.is_watertight
    whole = trimesh.load(out / "objects.glb")
    assert len(whole.geometry) == len(things)
    assert len(list((out / "meshes").glob("prototype-*.glb"))) == 6
    assert all((out / name).exists() for name in ("sheet.png", "depth.png", "instances.png"))
    built = open_scene(out)
    shown, hidden = built.render(built.start), built.render(built.start, ground=0, object_1=0)
    assert shown.color.shape == (96, 128, 3)
    bare = built.render(built.start, ground=0, **{f"object_{k + 1}": 0.0 for k in range(len(things))})
    assert float(bare.alpha.sum()) == 0 < float(hidden.alpha.sum()) < float(shown.alpha.sum())


def test_millimetres_read_as_metres_are_said_to_be_why(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "depth").mkdir()
    rows = 1500 * 110 / (np.arange(96)[:, None] - 20).clip(20)
    assert cv2.imwrite(str(tmp_path / "depth" / "000.png"), np.broadcast_to(rows, (96, 128)).astype(np.uint16))
    known = ["--intrinsics", "110", "110", "64", "48", "--depth-scale", "1"]
    assert run(["slots", "fit", str(tmp_path / "depth"), "--out", str(tmp_path / "out"), *known]) == 2
    said = capsys.readouterr().err
    assert "nothing stands above the ground" in said
    assert "if it is a millimetre" in said


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = street(tmp_path / "street")
    for arguments, expected in (
        (["--frame", "7"], "has the frames 0"),
        (["--frame", "-1"], "--frame is -1"),
        (["--slots", "0"], "--slots is 0"),
        (["--far", "1"], "nothing stands above the ground within 1 m"),
        (["--weights.free", "-2"], "--weights.free is -2"),
    ):
        assert run(["slots", "fit", str(data), "--out", str(tmp_path / "out"), "--quiet", *arguments]) == 2
        said = capsys.readouterr().err
        assert expected in said
        assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def blank(depth: float, valid: bool, sky: bool) -> DepthMap:
    example = draw_example("iso", 1000, 0, samples=0).depth_map
    shape = example.depth.shape
    return replace(
        example,
        name="blank",
        depth=torch.full(shape, depth),
        valid=torch.full(shape, valid),
        sky=torch.full(shape, sky),
    )


def test_a_map_of_sky_or_of_nothing_is_said_to_be_that() -> None:
    with pytest.raises(BadInput, match="only sky"):
        seen(blank(0.0, False, True), QUICK, 0)
    with pytest.raises(BadInput, match="no pixel has a known depth"):
        seen(blank(0.0, False, False), QUICK, 0)
