"""Vertices go where their points go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_tracks import Stage, made_tracks, moving

from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.placing import vertices_at
from fieldscape.systems.tracks.sheets import sheets_of
from fieldscape.systems.tracks.timeline import between


def test_at_its_own_time_a_sheet_is_where_it_was_made() -> None:
    tracked = made_tracks(Stage(card=True, mover=True))
    for sheets in sheets_of(tracked, MeshSettings(step=0)):
        for sheet in sheets:
            own = torch.cat([tracked.world[sheet.frame, sheet.points], sheet.added])
            assert torch.equal(vertices_at(tracked, sheet, float(tracked.clip.seconds[sheet.frame])), own.double())


@pytest.mark.parametrize("when", [0.05, 0.33, 0.5])
def test_what_stands_stays_and_what_moves_moves_along(when: float) -> None:
    stage = Stage(mover=True)
    tracked = made_tracks(stage)
    background, mover = sheets_of(tracked, MeshSettings())[2]
    home = float(tracked.clip.seconds[2])
    assert torch.allclose(vertices_at(tracked, background, when), vertices_at(tracked, background, home))
    shift = vertices_at(tracked, mover, when) - vertices_at(tracked, mover, home)
    expected = torch.tensor([moving(stage, when) - moving(stage, home), 0.0, 0.0]).double()
    assert torch.allclose(shift, expected.expand_as(shift), atol=1e-6)


def test_points_follow_the_timeline_and_added_ones_their_own_point() -> None:
    tracked = made_tracks(Stage())
    generator = torch.Generator().manual_seed(0)
    shaken = replace(tracked, world=tracked.world + 0.01 * torch.randn(tracked.world.shape, generator=generator))
    sheet = sheets_of(shaken, MeshSettings())[1][0]
    now, k = vertices_at(shaken, sheet, 0.27), len(sheet.points)
    expected = between(shaken.world, shaken.clip.seconds, 0.27)[sheet.points]
    assert torch.equal(now[:k], expected)
    moved = (expected - shaken.world[1, sheet.points])[sheet.follows]
    assert torch.allclose(now[k:] - sheet.added, moved)
    lost = replace(sheet, follows=torch.full_like(sheet.follows, -1))
    assert torch.equal(vertices_at(shaken, lost, 0.27)[k:], sheet.added.double())
