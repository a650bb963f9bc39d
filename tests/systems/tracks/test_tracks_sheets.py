"""Sheets hold what is seen, cover the picture, lie at the right depth and do not bridge what is apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_tracks import Stage, look, made_tracks

from fieldscape.cameras import project
from fieldscape.progress import Bar
from fieldscape.systems.tracks.fetching import drawn
from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.placing import planar_at_own, vertices_at
from fieldscape.systems.tracks.sheets import Sheet, sheets_of

SETTINGS = MeshSettings()


def canonical(sheet: Sheet) -> set[tuple[int, ...]]:
    """The faces between tracked points alone, by the points' own numbers."""
    k = len(sheet.points)
    faces = sheet.faces[(sheet.faces < k).all(1)]
    return {tuple(sorted(face)) for face in sheet.points[faces].tolist()}


def drawn_at_home(tracked: Tracked, sheet: Sheet) -> torch.Tensor:
    """The depth of a sheet in the camera of its own frame."""
    camera = tracked.camera[sheet.frame]
    local = (vertices_at(tracked, sheet, float(tracked.clip.seconds[sheet.frame])) - camera.position) @ camera.pose[
        :3, :3
    ]
    return drawn(local, sheet, camera).depth


@pytest.fixture(scope="module")
def full() -> Tracked:
    return made_tracks(Stage(card=True, mover=True))


@pytest.fixture(scope="module")
def sheets(full: Tracked) -> tuple[tuple[Sheet, ...], ...]:
    return sheets_of(full, SETTINGS)


def few(tracked: Tracked) -> Tracked:
    """The first two frames alone."""
    points = replace(
        tracked.points, places=tracked.points.places[:2], seen=tracked.points.seen[:2], sure=tracked.points.sure[:2]
    )
    return replace(
        tracked, clip=tracked.clip.at([0, 1]), camera=tracked.camera[:2], points=points, world=tracked.world[:2]
    )


def test_vertices_are_the_points_seen_and_lie_on_their_places(
    full: Tracked, sheets: tuple[tuple[Sheet, ...], ...]
) -> None:
    for frame, of_frame in enumerate(sheets):
        assert [sheet.layer for sheet in of_frame] == [0, 1]
        for sheet in of_frame:
            k, m = len(sheet.points), len(sheet.added)
            assert sheet.frame == frame
            assert k > 20
            assert bool(full.points.seen[frame, sheet.points].all())
            assert bool((full.points.layer[sheet.points] == sheet.layer).all())
            assert sheet.uv.shape == (k + m, 2)
            assert torch.allclose(sheet.uv[:k], full.points.places[frame, sheet.points], atol=1e-3)
            assert 0 <= int(sheet.follows.min()) <= int(sheet.follows.max()) < k
            assert torch.equal(sheet.faces.unique(), torch.arange(k + m))
            uv, z = project(full.camera[frame], torch.cat([full.world[frame, sheet.points], sheet.added]).double())
            assert torch.allclose(uv.float(), sheet.uv, atol=1e-3)
            assert torch.allclose(z, planar_at_own(full, sheet))


def test_the_background_covers_its_frame_and_movers_their_masks(
    full: Tracked, sheets: tuple[tuple[Sheet, ...], ...]
) -> None:
    assert full.clip.layers is not None
    for background, mover in sheets:
        assert bool(drawn_at_home(full, background).isfinite().all())
        mask = full.clip.layers[mover.frame] == 1
        assert bool(drawn_at_home(full, mover)[mask].isfinite().all())


def test_depth_is_true_nearly_everywhere_and_jumps_are_found() -> None:
    stage = Stage(card=True)
    tracked = made_tracks(stage, width=96, height=64, count=60)
    _, truth, _ = look(stage, tracked.camera[2], 0.2)
    off = {}
    for name, settings in (("plain", replace(SETTINGS, step=0.0, jump=1e9)), ("full", SETTINGS)):
        depth = drawn_at_home(tracked, sheets_of(tracked, settings)[2][0])
        off[name] = float(((depth / truth).log().abs() > 0.05).double().mean())
    assert off["full"] < 0.13
    assert off["full"] < 0.7 * off["plain"]


def test_a_single_plane_needs_no_inserted_vertices_and_is_not_torn() -> None:
    tracked = made_tracks(Stage())
    for (sheet,) in sheets_of(tracked, SETTINGS):
        assert len(sheet.added) == 4 * SETTINGS.ring
        assert not bool(sheet.far.any())


def test_unseen_points_are_no_vertices(full: Tracked, sheets: tuple[tuple[Sheet, ...], ...]) -> None:
    blind = few(replace(full, points=replace(full.points, seen=torch.ones_like(full.points.seen))))
    seeing, seeming = sheets[1][0], sheets_of(blind, SETTINGS)[1][0]
    _, truth, surface = look(Stage(card=True, mover=True), full.camera[1], 0.1)
    card = surface == 1  # in front of wall points that the blind mesh takes in
    wrong = [(drawn_at_home(full, sheet)[card] / truth[card]).log().abs().mean() for sheet in (seeing, seeming)]
    assert float(wrong[0]) < 0.3 * float(wrong[1])


def test_faces_persist() -> None:
    lasting_ones = sheets_of(made_tracks(Stage(), frames=4), replace(SETTINGS, slack=20.0))
    strict = sheets_of(made_tracks(Stage(), frames=4), replace(SETTINGS, slack=0.0))
    for one, other, next_ in zip(lasting_ones, lasting_ones[1:], strict[1:]):
        both = set(one[0].points.tolist()) & set(other[0].points.tolist())
        lasting = {face for face in canonical(one[0]) if set(face) <= both}
        kept = len(lasting & canonical(other[0])) / len(lasting)
        plainly = len(lasting & canonical(next_[0])) / len(lasting)
        assert kept > 0.85
        assert kept >= plainly


def test_a_point_that_swims_away_is_cut_off() -> None:
    tracked = made_tracks(Stage())
    seen = tracked.points.seen.all(0).nonzero().flatten()
    one = int(seen[(tracked.points.places[2, seen] - torch.tensor([32.0, 24.0])).norm(dim=-1).argmin()])
    world = tracked.world.clone()
    world[:, one] += torch.linspace(-1, 1, len(world))[:, None] * torch.tensor([0.0, 0.0, 0.5])
    sheet = sheets_of(replace(tracked, world=world), SETTINGS)[2][0]
    assert bool(sheet.far.any())
    assert one in sheet.points[sheet.faces[sheet.far][sheet.faces[sheet.far] < len(sheet.points)]].tolist()


def test_a_mover_whose_points_are_hidden_still_has_a_sheet(full: Tracked) -> None:
    seen = full.points.seen.clone()
    seen[1, full.points.layer == 1] = False
    hidden = few(replace(full, points=replace(full.points, seen=seen)))
    mover = sheets_of(hidden, SETTINGS)[1][1]
    assert full.clip.layers is not None
    depth = drawn_at_home(hidden, mover)[full.clip.layers[1] == 1]
    assert torch.allclose(depth, torch.tensor(2.5, dtype=depth.dtype), atol=0.01)


def test_no_mask_no_mover(full: Tracked) -> None:
    short = few(full)
    bare = replace(short, clip=replace(short.clip, layers=None))
    assert [[sheet.layer for sheet in of_frame] for of_frame in sheets_of(bare, SETTINGS)] == [[0], [0]]


def test_a_point_twice_at_one_place_is_one_vertex(full: Tracked, sheets: tuple[tuple[Sheet, ...], ...]) -> None:
    doubled = torch.arange(len(full.points)).repeat(2)
    twice = replace(full, points=full.points.of(doubled), world=full.world[:, doubled], deep=full.deep[doubled])
    assert len(sheets_of(few(twice), SETTINGS)[0][0].points) == len(sheets[0][0].points)


def test_the_bar_is_told(full: Tracked) -> None:
    steps: list[float] = []

    class Told(Bar):
        def update(self, step: float, **figures: float) -> None:
            steps.append(step)

    sheets_of(few(full), replace(SETTINGS, step=0.0), Told(2, "meshes", 0, "frame", None))
    assert steps == [1, 2]


def test_sheets_are_the_same_every_time(full: Tracked) -> None:
    short = few(full)
    for one, other in zip(sheets_of(short, SETTINGS), sheets_of(short, SETTINGS)):
        for a, b in zip(one, other):
            assert torch.equal(a.faces, b.faces)
            assert torch.equal(a.added, b.added)


def test_no_parallax_no_tears() -> None:
    """On a tripod all lies at depth 1: nothing is inserted and nothing torn."""
    tracked = made_tracks(Stage(card=True))
    pose = torch.eye(4, dtype=torch.float64).repeat(len(tracked.clip), 1, 1)
    tracked = replace(tracked, points=replace(tracked.points, places=tracked.points.places[:1].expand(6, -1, 2)))
    flat = (tracked.points.places.double() - tracked.camera.center[0]) / tracked.camera.focal[0]
    world = torch.cat([flat, torch.ones_like(flat[..., :1])], -1)
    still = replace(tracked, camera=replace(tracked.camera, pose=pose), world=world, kind="tripod")
    for (sheet,) in sheets_of(still, SETTINGS):
        assert len(sheet.added) == 4 * SETTINGS.ring
        assert np.allclose(planar_at_own(still, sheet), 1)
