"""What the pictures show: points where they are, tails where they came from, nothing where nothing was seen."""

from __future__ import annotations

from pathlib import Path

import torch

from fieldscape.systems.tracks.nouns import Clip, Points
from fieldscape.systems.tracks.overlays import (
    LEAST,
    frame_rate,
    layer_color,
    mesh_overlay,
    track_overlay,
    write_track_film,
)
from fieldscape.video import read_video


def clip_with_points(unseen: bool = False) -> tuple[Clip, Points]:
    t, size = 6, 640
    clip = Clip(
        torch.full((t, 64, size, 3), 100, dtype=torch.uint8), torch.arange(t) / 12.5, None, tuple(range(t)), "c"
    )
    places = torch.stack([torch.stack([40.5 + 60.0 * torch.arange(t), torch.full((t,), 20.5)], -1),
                          torch.stack([600.5 - 60.0 * torch.arange(t), torch.full((t,), 44.5)], -1)], 1)  # fmt: skip
    seen = torch.ones(t, 2, dtype=torch.bool)
    if unseen:
        seen[3, 0], seen[5, 1] = False, False
    return clip, Points(places, seen, seen.float(), torch.tensor([0, 1]))


def changed(picture: torch.Tensor, x: int, y: int) -> bool:
    return bool((picture[y, x].int() - picture[2, 2].int()).abs().max() > 25)


def test_points_are_drawn_where_they_are_in_the_colour_of_their_layer() -> None:
    clip, points = clip_with_points()
    picture = track_overlay(clip, points, 5)
    assert picture.shape == (64, 640, 3)
    assert picture[20, 340].tolist() == list(layer_color(0))
    assert picture[44, 300].tolist() == list(layer_color(1))


def test_tails_reach_back_as_far_as_asked() -> None:
    clip, points = clip_with_points()
    picture = track_overlay(clip, points, 5, tail=2)
    assert changed(picture, 310, 20)
    assert changed(picture, 250, 20)
    assert not changed(picture, 190, 20)
    assert changed(track_overlay(clip, points, 5), 70, 20)


def test_what_was_not_seen_is_not_drawn() -> None:
    clip, points = clip_with_points(unseen=True)
    picture = track_overlay(clip, points, 5)
    assert changed(picture, 340, 20)
    assert not changed(picture, 250, 20)  # between frames 3 and 4
    assert not changed(picture, 190, 20)
    assert changed(picture, 130, 20)
    assert not changed(picture, 300, 44)  # unseen in this frame: neither the point nor its tail
    assert not changed(picture, 330, 44)


def test_small_frames_are_enlarged_and_places_with_them() -> None:
    clip = Clip(torch.full((2, 20, 40, 3), 100, dtype=torch.uint8), torch.arange(2.0), None, (0, 1), "small")
    seen = torch.ones(2, 1, dtype=torch.bool)
    points = Points(torch.tensor([[[10.0, 5.0]], [[10.0, 5.0]]]), seen, seen.float(), torch.tensor([0]))
    picture = track_overlay(clip, points, 1)
    scale = LEAST // 40
    assert picture.shape == (20 * scale, LEAST, 3)
    assert picture[5 * scale, 10 * scale].tolist() == list(layer_color(0))


def test_edges_of_triangles_are_drawn_once_and_not_beyond_infinity() -> None:
    frame = torch.full((64, 640, 3), 100, dtype=torch.uint8)
    vertices = torch.tensor([[100.5, 10.5], [300.5, 10.5], [100.5, 50.5], [torch.nan, 0.0], [1e30, 50.5]])
    faces = torch.tensor([[0, 1, 2], [1, 2, 3], [2, 1, 4]])
    picture = mesh_overlay(frame, [vertices], [faces[:2]], [4])
    assert (picture[10, 200].int() - torch.tensor(layer_color(4))).abs().max() < 20
    assert changed(picture, 200, 30)
    assert not changed(picture, 150, 20)  # inside the triangle
    mesh_overlay(frame, [vertices], [faces])  # far off is no crash
    assert mesh_overlay(frame, [], []).shape == frame.shape


def test_the_film_has_the_clips_frames_and_speed(tmp_path: Path) -> None:
    clip, points = clip_with_points()
    assert frame_rate(clip) == 12.5
    write_track_film(tmp_path / "film.mp4", clip, points)
    assert len(list(read_video(tmp_path / "film.mp4"))) == 6
