"""Clips: motions and camera paths against closed forms, frames against ray hits, folders as the readers see them."""

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.cameras import flip_yz
from fieldscape.data import ReadOptions, read
from fieldscape.errors import BadInput
from fieldscape.images import read_image
from fieldscape.video import read_video
from fieldscape.worlds.clips.clip import STILL, ClipSettings, clip_of, farthest, world_at
from fieldscape.worlds.clips.make import clip_job, depth_unit, make_clip
from fieldscape.worlds.clips.motions import Drive, Hop, Hover, Roll, Stand, Swing, camera_poses
from fieldscape.worlds.clips.options import MakeClipOptions
from fieldscape.worlds.clips.queries import object_map
from fieldscape.worlds.clips.tracks import read_tracks

SMALL = MakeClipOptions(
    Path("unused"),
    frames=9,
    width=64,
    height=36,
    fps=12.0,
    tracks=60,
    objects=2,
    scene="tabletop",
    workers=1,
    quiet=True,
)
SETTINGS = ClipSettings(9, 64, 36, 2, "arc", "tabletop", 0, 12.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("clips") / "clip"
    make_clip(replace(SMALL, out=out))
    return out


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# ------------------------------------------------------------------------------------------------ motion

MOTIONS = [
    Drive((0.1, 0.2, 0.0), (2.0, 1.0)),
    Roll((-1.0, 0.0, 0.2), (2.0, 1.0, 0.2), 0.2),
    Hop((-1.0, 0.0, 0.2), (2.0, 0.0, 0.2), 0.5, 3, (0.3, 1.0, 0.0)),
    Swing((0.0, 0.0, 2.0), (0.0, 1.0, 0.0), 20.0),
    Hover((0.0, 0.0, 2.0), 0.1),
]


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: type(motion).__name__)
def test_motions_are_rigid_smooth_and_come_round(motion):
    phase = torch.linspace(0.003, 1.003, 4001, dtype=torch.float64)
    pose = motion(phase)
    turn = pose[:, :3, :3]
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand_as(turn))
    assert float((torch.linalg.det(turn) - 1).abs().max()) < 1e-12
    assert float(pose.diff(dim=0).abs().max()) < 0.03
    torch.testing.assert_close(pose[0], pose[-1])


def test_a_rolling_ball_touches_the_ground_with_a_point_at_rest():
    roll = Roll((-1.0, 0.5, 0.2), (2.0, 1.0, 0.2), 0.2)
    step = 1e-6
    one, two = roll(torch.tensor(0.13, dtype=torch.float64)), roll(torch.tensor(0.13 + step, dtype=torch.float64))
    contact = one[:3, :3].T @ torch.tensor([0.0, 0.0, -0.2], dtype=torch.float64)
    speed = ((two - one)[:3, :3] @ contact + (two - one)[:3, 3]) / step
    assert float((two - one)[:3, 3].norm() / step) > 1.0
    assert float(speed.norm()) < 1e-3


def test_a_car_looks_where_it_drives():
    phase = torch.linspace(0, 1, 50, dtype=torch.float64)
    drive = Drive((0.0, 0.0, 0.0), (2.0, 1.0))
    moved = (drive(phase + 1e-6) - drive(phase))[:, :3, 3]
    ahead = torch.nn.functional.normalize(moved, dim=-1)
    torch.testing.assert_close(drive(phase)[:, :3, 0], ahead, atol=1e-4, rtol=0)


def test_camera_paths_do_what_their_names_say():
    stand = Stand((0.0, -4.0, 1.5), (0.0, 0.5, 0.5), 50.0, 15.0, 0.5)
    share = torch.linspace(0, 1, 21, dtype=torch.float64)
    paths = {name: camera_poses(name, stand, share, share, 3) for name in ("arc", "dolly", "handheld", "pan", "still")}
    for pose in paths.values():
        turn = pose[:, :3, :3]
        torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand_as(turn))
        assert float(pose.diff(dim=0).abs().max()) < 0.2
        assert bool((pose[:, 2, 1] < -0.5).all())  # down is down
    place = {name: pose[:, :3, 3] for name, pose in paths.items()}
    target = torch.tensor(stand.target, dtype=torch.float64)
    radius = (place["arc"] - target).norm(dim=-1)
    torch.testing.assert_close(radius, radius[:1].expand_as(radius))
    first, last = (place["arc"][k, :2] - target[:2] for k in (0, -1))
    angle = math.degrees(math.acos(float((first * last).sum() / first.norm() / last.norm())))
    assert angle == pytest.approx(30.0)
    for name in ("pan", "still"):
        assert torch.equal(place[name], place[name][:1].expand_as(place[name]))
    assert float((paths["pan"][0] - paths["pan"][-1]).abs().max()) > 0.1
    assert torch.equal(paths["still"], paths["still"][:1].expand_as(paths["still"]))
    assert float(paths["dolly"].diff(dim=0)[:, :3, :3].abs().max()) < 1e-12
    assert float(place["handheld"].diff(n=2, dim=0).norm(dim=-1).max()) > 1e-4
    assert not torch.equal(paths["handheld"], camera_poses("handheld", stand, share, share, 4))


# ------------------------------------------------------------------------------------------------ scenes


@pytest.mark.parametrize("scene", ["garden", "tabletop"])
@pytest.mark.parametrize("seed", [0, 5])
def test_nothing_moves_through_what_stands(scene, seed):
    """No vertex of what stands is ever well inside the box around a thing that moves."""
    clip = clip_of(replace(SETTINGS, scene=scene, objects=20, seed=seed, frames=144))
    still = clip.vertices[clip.object == STILL].double()
    for k, name in enumerate(clip.names):
        mine = clip.vertices[clip.object == k].double()
        middle, half = (mine.amax(0) + mine.amin(0)) / 2, (mine.amax(0) - mine.amin(0)) / 2
        if name in ("swing", "bauble"):  # they hang from what stands: judge the lower part
            middle[2], half[2] = middle[2] - half[2] / 2, half[2] / 2
        for pose in clip.poses[::6, k]:
            near = still[((still - pose[:3, 3]).norm(dim=-1)) < float((half + middle.abs()).norm())]
            local = ((near - pose[:3, 3]) @ pose[:3, :3] - middle).abs()
            assert not bool((local < 0.9 * half).all(-1).any()), (name, seed)


@pytest.mark.parametrize("scene", ["garden", "tabletop"])
def test_the_first_object_passes_behind_something_and_is_seen_before_and_after(scene):
    clip = clip_of(replace(SETTINGS, scene=scene, objects=1, width=128, height=72))
    shown = []
    for t in (0, 3, 4, 5, 8):
        shown.append(int((object_map(clip, world_at(clip, t), t) == 0).sum()))
    assert min(shown[0], shown[-1]) > 60
    assert min(shown) < 0.35 * max(shown)


def test_textures_stay_on_their_objects():
    """The colour of an object's own places is the same in all frames."""
    from fieldscape.worlds.shading import albedo

    clip = clip_of(SETTINGS)
    colors = []
    for t in (0, 3, 8):
        world = world_at(clip, t)
        index = ((clip.part_object[world.part] == 0) | (clip.part_object[world.part] == 1)).nonzero().flatten()
        corners = world.mesh.faces[index]
        point, normal = world.mesh.vertices[corners].mean(1), world.normals[corners[:, 0]]
        paint, footprint = torch.ones(len(index), 3), torch.full((len(index),), 0.002)
        colors.append(albedo(world.parts, world.part[index], point, normal, paint, footprint))
    assert float((colors[0] - colors[1]).abs().mean()) < 1e-3
    assert float((colors[0] - colors[2]).abs().mean()) < 1e-3
    assert float(colors[0].std(0).min()) > 0.05


def test_light_does_not_flicker():
    clip = clip_of(SETTINGS)
    one, two = world_at(clip, 0), world_at(clip, 8)
    assert one.exposure == two.exposure
    assert one.ambient == two.ambient
    assert torch.equal(one.light.sent, two.light.sent)
    assert torch.equal(one.part, two.part)
    assert torch.equal(one.mesh.faces, two.mesh.faces)


# ------------------------------------------------------------------------------------------------ folders


def test_the_folder_is_read_as_it_was_made(made):
    clip = clip_of(SETTINGS)
    views = read(made, ReadOptions())
    assert len(views) == 9
    assert views.metric
    assert views.held_out == (4,)
    assert (views.camera.width, views.camera.height) == (64, 36)
    torch.testing.assert_close(views.camera.pose, clip.camera.pose.float())
    torch.testing.assert_close(views.camera.focal, clip.camera.focal.float())
    assert float(views.depths.max()) < farthest(clip) * 1.3
    listing = json.loads((made / "transforms.json").read_text())
    poses = torch.tensor([frame["transform_matrix"] for frame in listing["frames"]], dtype=torch.float64)
    assert torch.equal(flip_yz(poses), clip.camera.pose)
    assert {path.name for path in made.iterdir()} == {
        "images", "masks", "objects", "depth", "clip.mp4", "tracks.npz", "transforms.json", "truth.json", "world.json",
    }  # fmt: skip


def test_masks_objects_and_depth_are_those_of_the_rays(made):
    clip = clip_of(SETTINGS)
    moving = 0
    for t in range(9):
        world = world_at(clip, t)
        owner = object_map(clip, world, t)
        name = f"{t:05d}.png"
        number = read_image(made / "objects" / name)[..., 0]
        mask = read_image(made / "masks" / name)[..., 0]
        assert torch.equal(number.long(), (owner + 1).clamp(min=0))
        assert torch.equal(mask, torch.where(number > 0, 255, 0).to(torch.uint8))
        moving += int((mask > 0).sum())
        steps = torch.from_numpy(np.asarray(Image.open(made / "depth" / name)).astype(np.float64))
        assert steps.shape == (36, 64)
        camera = clip.camera[t].map(lambda tensor: tensor.float())
        from fieldscape.cameras import image_rays, planar_depth

        rays = image_rays(camera).reshape(-1)
        planar = planar_depth(camera, world.caster.first(rays.origins, rays.directions).distance.reshape(36, 64))
        error = (steps * depth_unit(clip) - planar.double()).abs()
        assert float(error.max()) <= 0.5001 * depth_unit(clip)
        assert float((error / planar.clamp(min=0.1)).max()) < 1e-4
    assert moving > 100


def test_the_video_shows_the_frames(made):
    """Each of its pictures is nearest to the image of its own frame, in brightness (colours are kept at half size)."""
    film = torch.stack(list(read_video(made / "clip.mp4"))).float().mean(-1)
    images = torch.stack([read_image(made / "images" / f"{t:05d}.png") for t in range(9)]).float().mean(-1)
    apart = (film[:, None] - images[None]).abs().mean((2, 3))
    assert apart.argmin(1).tolist() == list(range(9))
    assert float(apart.diagonal().max()) < 6
    assert float(apart[0, 8]) > 10


def test_truth_and_tracks_belong_to_the_frames(made):
    clip = clip_of(SETTINGS)
    truth = json.loads((made / "truth.json").read_text())
    assert [thing["name"] for thing in truth["objects"]] == ["toy car", "die"]
    assert [thing["number"] for thing in truth["objects"]] == [1, 2]
    poses = torch.tensor([thing["poses"] for thing in truth["objects"]], dtype=torch.float64)
    assert torch.equal(poses.transpose(0, 1), clip.poses)
    assert truth["objects"][1]["size"] == pytest.approx([0.05] * 3, abs=1e-4)
    tracks, _ = read_tracks(made / "tracks.npz")
    assert tracks.visible.shape == (9, 60)
    for t in range(9):
        number = read_image(made / "objects" / f"{t:05d}.png")[..., 0].long()
        own = tracks.query_frame == t
        x, y = tracks.query_pixel[own].long().unbind(-1)
        assert torch.equal(number[y, x], (tracks.object[own] + 1).clamp(min=0))


TINY = replace(SMALL, frames=3, width=32, height=18, tracks=20)


def test_the_same_settings_give_the_same_bytes_whatever_the_workers(tmp_path):
    make_clip(replace(TINY, out=tmp_path / "one"))
    make_clip(replace(TINY, out=tmp_path / "two", workers=2))
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_another_seed_gives_another_clip(tmp_path):
    make_clip(replace(TINY, out=tmp_path / "one"))
    make_clip(replace(TINY, out=tmp_path / "two", seed=1))
    one, two = digest(tmp_path / "one"), digest(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[name] != two[name] for name in ("images/00000.png", "depth/00000.png", "tracks.npz", "clip.mp4"))


def test_queries_from_a_file_are_followed(tmp_path):
    (tmp_path / "points.csv").write_text("1,16.5,9.5\n0,3,4\n")
    small = replace(SMALL, frames=2, width=32, height=18, objects=0, camera="still")
    make_clip(replace(small, out=tmp_path / "out", queries=str(tmp_path / "points.csv")))
    tracks, _ = read_tracks(tmp_path / "out" / "tracks.npz")
    assert tracks.query_pixel.tolist() == [[16.5, 9.5], [3.0, 4.0]]
    assert tracks.query_frame.tolist() == [1, 0]
    assert bool(tracks.visible.all())
    assert float((tracks.pixels[0] - tracks.pixels[1]).abs().max()) < 1e-5
    assert float(read_image(tmp_path / "out" / "masks" / "00000.png").max()) == 0
    (tmp_path / "points.csv").write_text("2,16.5,9.5\n")
    with pytest.raises(BadInput, match="is not in the clip"):
        make_clip(replace(small, out=tmp_path / "bad", queries=str(tmp_path / "points.csv")))
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 0}, {"frames": 10_001}, {"width": 15}, {"height": 4097}, {"objects": 21}, {"objects": -1},
        {"tracks": -1}, {"tracks": 1_000_001}, {"fps": 0.0}, {"fps": math.nan}, {"workers": 0},
        {"frames": 10_000, "tracks": 3000}, {"queries": "nowhere.csv"}, {"tracks": 64 * 36 * 3 + 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_clip_is_refused(change):
    with pytest.raises(BadInput):
        clip_job(replace(SMALL, **change))


def test_what_is_there_stays(tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        make_clip(replace(SMALL, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]
