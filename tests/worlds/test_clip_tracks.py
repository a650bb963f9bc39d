"""Point tracks of clips against the pictures' own depth and masks, against geometry, and as files."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.cameras import image_rays, pixel_rays, planar_depth, project
from fieldscape.errors import BadInput
from fieldscape.worlds.clips import tracks as clip_tracks
from fieldscape.worlds.clips.clip import SKY, STILL, ClipSettings, clip_of, world_at
from fieldscape.worlds.clips.queries import Queries, default_queries, object_map, read_queries
from fieldscape.worlds.clips.tracks import follow, read_tracks, write_tracks

FRAMES, WIDTH, HEIGHT = 9, 128, 72


def settings(scene="tabletop", **changes):
    return replace(ClipSettings(FRAMES, WIDTH, HEIGHT, 3, "arc", scene, 0, 12.0), **changes)


@pytest.fixture(scope="module", params=["tabletop", "garden"])
def tracked(request):
    clip = clip_of(settings(request.param))
    return clip, follow(clip, default_queries(clip, 500, True))


@pytest.fixture(scope="module")
def depths(tracked):
    """Planar depth and object at the pixel centres of each frame, from rays of their own."""
    clip, _ = tracked
    maps = []
    for t in range(len(clip)):
        world, camera = world_at(clip, t), clip.camera[t].map(lambda tensor: tensor.float())
        rays = image_rays(camera).reshape(-1)
        hits = world.caster.first(rays.origins, rays.directions)
        maps.append((planar_depth(camera, hits.distance.reshape(HEIGHT, WIDTH)), object_map(clip, world, t)))
    return maps


def test_points_project_to_their_pixels_and_queries_come_back(tracked):
    clip, tracks = tracked
    for t in range(len(clip)):
        pixels, depth = project(clip.camera[t], tracks.points[t])
        ahead = depth > 1e-6
        assert float((pixels - tracks.pixels[t])[ahead].abs().max()) < 1e-6
        own = tracks.query_frame == t
        assert torch.equal(tracks.pixels[t, own], tracks.query_pixel[own])
        assert bool(tracks.visible[t, own].all())
    assert set(tracks.query_frame.tolist()) == {0, 4, 8}


def test_at_its_query_a_point_has_the_depth_and_the_object_of_the_picture(tracked, depths):
    clip, tracks = tracked
    for t in set(tracks.query_frame.tolist()):
        own = tracks.query_frame == t
        x, y = tracks.query_pixel[own].long().unbind(-1)
        planar, owner = depths[t]
        assert torch.equal(owner[y, x], tracks.object[own])
        _, depth = project(clip.camera[t], tracks.points[t, own])
        earthly = tracks.object[own] != SKY
        assert float((depth / planar[y, x] - 1)[earthly].abs().max()) < 2e-5


def test_visible_points_lie_on_what_the_picture_shows_and_hidden_ones_behind_it(tracked):
    """A second look at each point: all hits along its ray are gathered one after another, not only the first."""
    clip, tracks = tracked
    size = torch.tensor([WIDTH, HEIGHT])
    seen = hidden = 0
    for t in range(len(clip)):
        world, camera = world_at(clip, t), clip.camera[t]
        depth = project(camera, tracks.points[t])[1]
        inside = ((tracks.pixels[t] >= 0) & (tracks.pixels[t] < size)).all(-1) & (depth > 0)
        assert not bool((tracks.visible[t] & ~inside).any())
        index = (inside & (tracks.object != SKY)).nonzero().flatten()
        rays = pixel_rays(camera, tracks.pixels[t, index])
        hits = world.caster.first(rays.origins, rays.directions)
        distance = (tracks.points[t, index] - camera.position).norm(dim=-1)
        nearer = hits.distance.double() / distance
        owner = clip.part_object[world.part[hits.face]]
        visible = tracks.visible[t, index]
        on_it = (nearer - 1).abs() < 2e-4
        # An edge that is grazed may hide a point or not: nearly all agree, and none by a wide margin.
        assert float(on_it[visible].double().mean()) > 0.995
        assert float((owner == tracks.object[index])[visible].double().mean()) > 0.99
        assert bool((nearer[~visible] < 1 + 2e-4).all())
        seen, hidden = seen + int(visible.sum()), hidden + int((~visible).sum())
    assert seen > 1000
    assert hidden > 100


def test_hidden_points_are_hidden_by_something_nearer_or_turn_away(tracked):
    clip, tracks = tracked
    anchors = clip_tracks.anchored(clip, Queries(tracks.query_frame, tracks.query_pixel))
    for t in (0, 4):
        world, camera = world_at(clip, t), clip.camera[t]
        pixels, depth = project(camera, tracks.points[t])
        inside = ((pixels >= 0) & (pixels < torch.tensor([WIDTH, HEIGHT]))).all(-1) & (depth > 0)
        index = (inside & ~tracks.visible[t] & (tracks.object != SKY)).nonzero().flatten()
        away = tracks.points[t, index] - camera.position
        distance = away.norm(dim=-1)
        hits = world.caster.first(camera.position.expand_as(away), away / distance[:, None])
        blocked = hits.distance.double() < distance * (1 - clip_tracks.TOLERANCE)
        a, b, c = world.mesh.vertices[world.mesh.faces[anchors.face[index]]].double().unbind(1)
        turned = ((torch.linalg.cross(b - a, c - a) * away).sum(-1) < 0) != anchors.front[index]
        assert bool((blocked | turned).all())
        assert float(blocked.double().mean()) > 0.9


def test_what_turns_away_is_hidden_however_thin_it_is(monkeypatch):
    """With a tolerance as wide as the ball, its back is told from its front by the side that its faces turn."""
    monkeypatch.setattr(clip_tracks, "TOLERANCE", 0.1)
    clip = clip_of(settings())
    world = world_at(clip, 4)
    face = (clip.part_object[world.part] == 2).nonzero().flatten()
    local = clip.vertices[world.mesh.faces[face]].double().mean(1)
    count = len(face)
    queries = Queries(torch.zeros(count, dtype=torch.long), torch.zeros(count, 2, dtype=torch.float64))
    anchors = clip_tracks.Anchors(queries, torch.full((count,), 2), local, face, torch.ones(count, dtype=torch.bool))
    _, points, visible = clip_tracks.seen_at(clip, world, anchors, 4)
    radial, toward = points - clip.poses[4, 2, :3, 3], clip.camera[4].position - points
    cosine = (torch.nn.functional.normalize(radial, dim=-1) * torch.nn.functional.normalize(toward, dim=-1)).sum(-1)
    assert int(visible.sum()) > 0.25 * count
    assert float(cosine[visible].min()) > -0.1  # faces are flat: one may see the camera from just behind the rim


def test_rigid_bodies_stay_rigid_and_what_is_still_stays(tracked):
    clip, tracks = tracked
    still = tracks.points[:, tracks.object == STILL]
    assert torch.equal(still, still[:1].expand_as(still))
    for k in tracks.object[tracks.object >= 0].unique().tolist():
        body = tracks.points[:, tracks.object == k]
        apart = (body[:, :, None] - body[:, None]).norm(dim=-1)
        assert float((apart - apart[0]).abs().max()) < 1e-12 * 1e3
        assert float((body - body[:1]).norm(dim=-1).max()) > 0.02 * float(clip.sizes[k].max())
        # Within the box of the object, in its own frame.
        local = (body[0] - clip.poses[0, k, :3, 3]) @ clip.poses[0, k, :3, :3]
        mine = clip.vertices[clip.object == k]
        assert bool((local >= mine.amin(0) - 1e-5).all())
        assert bool((local <= mine.amax(0) + 1e-5).all())


def test_half_of_the_queries_are_on_what_moves_where_there_is_room(tracked, depths):
    _, tracks = tracked
    for t in (0, 4, 8):
        own = tracks.query_frame == t
        room = int((depths[t][1] >= 0).sum())
        assert int((tracks.object[own] >= 0).sum()) == min(int(own.sum()) // 2, room)
        assert len(tracks.query_pixel[own].unique(dim=0)) == int(own.sum())
    assert len(tracks.object) == 500


def test_one_frame_explains_another_where_both_see_what_stands(tracked, depths):
    """Unproject frame 2, project into frame 6: depths agree where the pixel there shows the same still surface."""
    clip, _ = tracked
    (near, owner), (other, other_owner) = depths[2], depths[6]
    rays = image_rays(clip.camera[2])
    cosine = (rays.directions * clip.camera[2].forward).sum(-1)
    points = rays.origins + (near.double() / cosine)[..., None] * rays.directions
    pixels, depth = project(clip.camera[6], points.reshape(-1, 3))
    inside = ((pixels >= 0.5) & (pixels < torch.tensor([WIDTH, HEIGHT]) - 0.5)).all(-1) & (owner.flatten() == STILL)
    pixels, depth = pixels[inside], depth[inside]
    # Where the point lies on its plane, 1/z is linear between pixel centres.
    corner = (pixels - 0.5).floor().long()
    share = pixels - 0.5 - corner
    around = [(corner[:, 0] + i, corner[:, 1] + j) for i in (0, 1) for j in (0, 1)]
    weights = [(share[:, 0] if i else 1 - share[:, 0]) * (share[:, 1] if j else 1 - share[:, 1])
               for i in (0, 1) for j in (0, 1)]  # fmt: skip
    inverse = sum(w / other[y, x].double() for w, (x, y) in zip(weights, around))
    still = torch.stack([other_owner[y, x] == STILL for x, y in around]).all(0)
    error = (1 / inverse - depth).abs()
    seen = still & (error < 0.05 * depth)
    assert float(seen.double().mean()) > 0.5
    assert float(error[seen].median()) < 1e-4 * float(other.max())


def test_a_point_at_infinity_moves_as_the_camera_turns():
    clip = clip_of(settings("garden", camera="dolly"))
    owner = object_map(clip, world_at(clip, 0), 0)
    y, x = (owner == SKY).nonzero()[0].tolist()
    tracks = follow(clip, Queries(torch.tensor([0]), torch.tensor([[x + 0.5, y + 0.5]], dtype=torch.float64)))
    assert tracks.object.tolist() == [SKY]
    direction = pixel_rays(clip.camera[0], tracks.query_pixel[0]).directions
    for t in range(len(clip)):
        local = clip.camera[t].pose[:3, :3].T @ direction
        pixel = local[:2] / local[2] * clip.camera[t].focal + clip.camera[t].center
        assert float((pixel - tracks.pixels[t, 0]).abs().max()) < 1e-2
    assert bool(tracks.visible[0, 0])


def test_track_files_come_back(tracked, tmp_path):
    clip, tracks = tracked
    write_tracks(tmp_path / "tracks.npz", clip, tracks)
    back, camera = read_tracks(tmp_path / "tracks.npz")
    for name in ("points", "visible", "query_frame", "query_pixel", "object"):
        assert torch.equal(getattr(back, name), getattr(tracks, name)), name
    assert float((back.pixels - tracks.pixels).abs().max()) < 1e-3
    assert back.size == (WIDTH, HEIGHT)
    assert torch.equal(camera.pose, clip.camera.pose)
    assert torch.equal(camera.focal, clip.camera.focal)
    queries, _ = read_queries(tmp_path / "tracks.npz")  # tracks name their queries
    assert torch.equal(queries.frame, tracks.query_frame)
    assert torch.equal(queries.pixel, tracks.query_pixel)
    with np.load(tmp_path / "tracks.npz", allow_pickle=False) as arrays:
        assert arrays["object_names"].tolist() == list(clip.names)


def test_bad_track_files_are_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, format=1, visible=np.zeros((2, 3), bool), pixels=np.zeros((2, 4, 2)))
    with pytest.raises(BadInput, match="was expected"):
        read_tracks(path)
    np.savez(path, visible=np.zeros((2, 3), bool))
    with pytest.raises(BadInput, match="not a track file of format"):
        read_tracks(path)
    np.savez(path, format=1, visible=np.zeros((2, 3), bool))
    with pytest.raises(BadInput, match="pixels"):
        read_tracks(path)


def test_queries_in_files(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("frame, x, y\n0,1.5,2.5\n\n3,10,20.25\n")
    queries, digest = read_queries(path)
    assert queries.frame.tolist() == [0, 3]
    assert queries.pixel.tolist() == [[1.5, 2.5], [10.0, 20.25]]
    path.write_text("0,1.5,2.5\n")
    assert read_queries(path)[1] != digest
    for text, complaint in (
        ("0,1.5\n", "line 1"), ("0,1,2\n1.5,1,2\n", "line 2"), ("0,nan,2\n", "finite"), ("", "0 queries"),
        ("99999999999,1,2\n", "no frame"), ("\xff\x00", "line 1"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(BadInput, match=complaint):
            read_queries(path)
    with pytest.raises(BadInput, match="no list of queries"):
        read_queries(__file__)
    with pytest.raises(BadInput, match="no file"):
        read_queries(tmp_path / "none.csv")
    np.savez(tmp_path / "bad.npz", query_frame=np.zeros(3), query_pixel=np.zeros((3, 2)))
    with pytest.raises(BadInput, match="whole numbers"):
        read_queries(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", frames=np.zeros(3))
    with pytest.raises(BadInput, match="lacks"):
        read_queries(tmp_path / "bad.npz")


def test_queries_outside_the_clip_are_refused():
    clip = clip_of(settings())
    for frame, x, y in ((9, 1.0, 1.0), (-1, 1.0, 1.0), (0, 128.0, 1.0), (0, 1.0, -0.1)):
        with pytest.raises(BadInput, match="is not in the clip"):
            follow(clip, Queries(torch.tensor([frame]), torch.tensor([[x, y]], dtype=torch.float64)))
    with pytest.raises(BadInput, match="one a pixel"):
        default_queries(clip, 3 * WIDTH * HEIGHT + 1, True)


def test_random_queries_are_those_of_the_seed():
    clip = clip_of(settings())
    one, again = default_queries(clip, 60, False), default_queries(clip, 60, False)
    assert torch.equal(one.pixel, again.pixel)
    assert not torch.equal(one.pixel, default_queries(clip, 60, True).pixel)
