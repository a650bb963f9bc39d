"""Right poses pass; each mistake that people make with poses is found, and named."""

from __future__ import annotations

from dataclasses import replace

import corner
import posed_world
import pytest
import torch

from fieldscape.cameras import flip_yz, look_at, project
from fieldscape.data import ReadOptions, read
from fieldscape.data.checks import check_poses
from fieldscape.data.checks_photos import against_photos
from fieldscape.data.matching import match_views
from fieldscape.types import Camera, Views

POINTS = posed_world.cloud()


@pytest.fixture(scope="module")
def camera():
    return posed_world.ring()


@pytest.fixture(scope="module")
def matched(camera):
    return posed_world.matches(camera, POINTS)


def posed(camera: Camera, pose: torch.Tensor) -> Camera:
    return replace(camera, pose=pose)


def mirrored(camera: Camera) -> torch.Tensor:
    """What a program with a left-handed world writes: x negated in the world and in the camera, determinant 1."""
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0]))
    return mirror @ camera.pose @ mirror


def with_part(camera: Camera, rotation: torch.Tensor | None = None, position: torch.Tensor | None = None) -> Camera:
    pose = camera.pose.clone()
    if rotation is not None:
        pose[:, :3, :3] = rotation
    if position is not None:
        pose[:, :3, 3] = position
    return posed(camera, pose)


MISTAKES = {
    "OpenGL axes": (lambda c: posed(c, flip_yz(c.pose)), "OpenGL axes"),
    "world-to-camera": (lambda c: posed(c, torch.linalg.inv(c.pose)), "world-to-camera: invert each one before use"),
    "world-to-camera, OpenGL": (
        lambda c: posed(c, torch.linalg.inv(flip_yz(c.pose))),
        "world-to-camera: invert each one; then, the poses have OpenGL axes",
    ),
    "LLFF axes": (lambda c: posed(c, c.pose[:, :, [1, 0, 2, 3]] * torch.tensor([1.0, 1, -1, 1])), "LLFF axes"),
    "photos turned": (
        lambda c: posed(c, c.pose[:, :, [1, 0, 2, 3]] * torch.tensor([-1.0, 1, 1, 1])),
        "turned by 90 degrees",
    ),
    "mirrored": (lambda c: posed(c, mirrored(c)), "mirrored, or the poses left-handed"),
    "negated positions": (lambda c: with_part(c, position=-c.position), "positions have the wrong sign"),
    "t for positions": (
        lambda c: with_part(c, position=torch.linalg.inv(c.pose)[:, :3, 3]),
        "the position is -R t",
    ),
    "transposed rotations": (
        lambda c: with_part(c, rotation=c.pose[:, :3, :3].transpose(1, 2)),
        "rotations are world-to-camera",
    ),
    "focal x4": (lambda c: replace(c, focal=4 * c.focal), "multiply it by about 0.25"),
    "focal / 4": (lambda c: replace(c, focal=c.focal / 4), "multiply it by about 4"),
    "lens of a larger photo": (
        lambda c: replace(c, focal=4 * c.focal, center=4 * c.center),
        "multiply it by about 0.25, and set the principal point to half the image size, (100, 80)",
    ),
    "OpenGL and focal x4": (
        lambda c: replace(posed(c, flip_yz(c.pose)), focal=4 * c.focal),
        "OpenGL axes (x right, y up, z backward): negate the y and z columns. Then, ",
    ),
    "next photo's pose": (lambda c: c[(torch.arange(18) + 1) % 18], "each photo has the pose of the photo after it"),
    "reversed": (lambda c: c[torch.arange(17, -1, -1)], "in reverse order"),
    "sorted as text": (
        lambda c: c[torch.tensor(sorted(range(18), key=lambda i: f"photo_{i}.png"))],
        "in the order 1, 10, 2",
    ),
    "shuffled": (
        lambda c: c[torch.randperm(18, generator=torch.Generator().manual_seed(0))],
        "in another order than the photos",
    ),
    "turned at random": (lambda c: posed_world.turned(c, 5.0), "No usual mistake explains it"),
    "no positions": (lambda c: with_part(c, position=torch.zeros(18, 3)), "The positions are missing"),
}


def test_right_poses_pass(camera, matched):
    findings, mended = against_photos(posed_world.views(camera), matched)
    assert [finding.level for finding in findings] == ["ok"]
    assert not mended
    assert "agree with the poses to 0.0" in findings[0].evidence


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_named(camera, matched, mistake):
    damage, advice = MISTAKES[mistake]
    findings, _ = against_photos(posed_world.views(damage(camera)), matched)
    assert findings[0].level == "warning"
    assert advice in findings[0].advice
    assert "miss the poses by" in findings[0].evidence or "moved" in findings[0].evidence


def test_right_poses_pass_in_any_world(camera, matched):
    """Another origin, orientation and unit of the world are nobody's mistake."""
    turn = look_at(torch.tensor([30.0, -20.0, 5.0]), torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
    pose = turn @ camera.pose
    pose[:, :3, 3] *= 1000
    findings, _ = against_photos(posed_world.views(posed(camera, pose)), matched)
    assert [finding.level for finding in findings] == ["ok"]


def test_a_room_seen_from_its_middle_passes():
    """The axes meet behind the cameras, as they do when an object's poses are flipped: only the photos can tell."""
    angle = torch.arange(24) * 0.26
    eye = 0.5 * torch.stack([angle.cos(), angle.sin(), 0.3 * (2 * angle).sin()], -1)
    camera = replace(posed_world.ring(24), pose=look_at(eye, 3 * eye, torch.tensor([0.0, 0.0, 1.0])))
    walls = torch.nn.functional.normalize(posed_world.cloud(800), dim=-1) * 4
    right = against_photos(posed_world.views(camera), posed_world.matches(camera, walls))
    assert [finding.level for finding in right[0]] == ["ok"]
    flipped = posed(camera, flip_yz(camera.pose))
    wrong = against_photos(posed_world.views(flipped), posed_world.matches(camera, walls))
    assert "OpenGL axes" in wrong[0][0].advice


@pytest.mark.parametrize(
    ("noise", "factor", "level", "about"),
    [
        (0.1, 1.0, "ok", "poses against photos"),
        (0.1, 4.0, "warning", "poses against photos"),  # the error less than trebles, but in every pair
        (1.0, 1.0, "unknown", "focal length"),
        (1.0, 4.0, "unknown", "focal length"),
    ],
)
def test_a_focal_length_is_never_confirmed_by_photos_that_cannot_tell(camera, noise, factor, level, about):
    """Of a small object on an exact orbit, even four times the focal length hides in the noise."""
    orbit = posed(camera, look_at(camera.position, torch.zeros(18, 3), torch.tensor([0.0, 0.0, 1.0])))
    found = posed_world.matches(orbit, POINTS, noise=noise, reach=2)
    findings, _ = against_photos(posed_world.views(replace(orbit, focal=factor * orbit.focal)), found)
    assert (findings[-1].level, findings[-1].what) == (level, about)
    if level == "warning":
        assert "multiply it by about 0.25" in findings[0].advice


def test_poses_a_little_off_pass(camera, matched):
    findings, _ = against_photos(posed_world.views(posed_world.turned(camera, 0.1)), matched)
    assert findings[0].level == "ok"


def test_a_camera_that_only_turns_is_told_so():
    eye = torch.tensor([0.0, 0.0, 9.0]) + 1e-5 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    target = torch.stack([torch.linspace(-1, 1, 12), torch.linspace(-0.5, 1, 12), torch.zeros(12)], -1)
    camera = replace(posed_world.ring(12), pose=look_at(eye, target, torch.tensor([0.0, 1.0, 0.0])))
    findings, _ = against_photos(posed_world.views(camera), posed_world.matches(camera, POINTS))
    assert any("parallax" in finding.what + finding.advice for finding in findings if finding.level == "warning")


def test_single_wrong_poses_are_named(camera, matched):
    pose = camera.pose.clone()
    pose[5, :3, 3] += torch.tensor([0.8, -0.5, 0.9])
    findings, _ = against_photos(posed_world.views(posed(camera, pose)), matched)
    assert findings[0].level == "ok"
    assert [(finding.what, finding.level) for finding in findings[1:]] == [("single poses", "warning")]
    assert findings[1].evidence.endswith("photo_5.png")


def test_what_explains_only_the_background_is_not_suggested(camera, matched):
    """A third of the pairs agree with the poses, the rest exactly with flipped ones: neither reading is right."""
    flipped = posed(camera, flip_yz(camera.pose))
    behind = posed_world.matches(flipped, torch.nn.functional.normalize(posed_world.cloud(6000), dim=-1) * 9)
    count = len(behind.pairs) // 2
    mine, other = matched.pair < count, behind.pair < 2 * count
    both = replace(
        matched,
        first=torch.cat([matched.first[mine], behind.first[other]]),
        second=torch.cat([matched.second[mine], behind.second[other]]),
        first_pixels=torch.cat([matched.first_pixels[mine], behind.first_pixels[other]]),
        second_pixels=torch.cat([matched.second_pixels[mine], behind.second_pixels[other]]),
        pair=torch.cat([matched.pair[mine], behind.pair[other] + count]),
        pairs=(*matched.pairs[:count], *behind.pairs[: 2 * count]),
    )
    findings, mended = against_photos(posed_world.views(camera), both)
    assert not mended
    assert findings[0].level == "warning"
    assert "turntable" in findings[0].advice


def test_near_and_far_are_held_against_the_matched_points(camera, matched):
    z = torch.stack([project(camera[i], POINTS)[1] for i in range(18)])
    bounds = torch.stack([z.amin(1), z.amax(1)], -1)
    right, _ = against_photos(posed_world.views(camera, bounds=bounds), matched)
    wrong, _ = against_photos(posed_world.views(camera, bounds=bounds * 10), matched)
    assert [finding.what for finding in right] == ["poses against photos"]
    assert [finding.what for finding in wrong] == ["poses against photos", "near and far"]


def test_the_unit_of_depths_and_points_is_held_against_the_positions(camera, matched):
    depths = torch.full((18, camera.height, camera.width), 4.4)
    for more, warned in (
        ({"depths": depths}, False),
        ({"depths": 1000 * depths}, True),
        ({"depths": 0.1 * depths}, True),
        ({"points": POINTS}, False),
        ({"points": 100 * POINTS}, True),
    ):
        findings, _ = against_photos(posed_world.views(camera, **more), matched)
        assert any(finding.what == "scale" for finding in findings) == warned


def test_millimetres_called_metres_are_found(camera, matched):
    views = posed_world.views(with_part(camera, position=1000 * camera.position), metric=True)
    findings, _ = against_photos(views, matched)
    assert any("metres" in finding.advice for finding in findings)


# --- from the photos themselves ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographed() -> Views:
    """Twelve ray-cast photos of the papered corner of a room."""
    pose = corner.poses(12)
    papers = [corner.wallpaper(axis) for axis in range(3)]
    images = torch.stack([torch.from_numpy(corner.photo(p, papers)[::2, ::2].copy()) for p in pose])
    focal = torch.full((12, 2), corner.FOCAL / 2)
    # Every second pixel is kept: the centre of the first is at a quarter of the new pixel.
    center = torch.tensor([corner.WIDTH / 4 + 0.25, corner.HEIGHT / 4 + 0.25]).expand(12, 2).clone()
    camera = Camera(pose, focal, center, corner.WIDTH // 2, corner.HEIGHT // 2)
    return Views(camera, images, tuple(f"{i:02d}.png" for i in range(12)), (0, 8), "every 8th")


def test_photos_of_a_room_pass_and_their_flip_does_not(photographed):
    findings = check_poses(photographed)
    assert [finding.level for finding in findings] == ["ok", "ok"]
    assert check_poses(photographed) == findings
    flipped = replace(photographed, camera=posed(photographed.camera, flip_yz(photographed.camera.pose)))
    findings = check_poses(flipped)
    assert [finding.level for finding in findings] == ["warning"]
    assert "OpenGL axes" in findings[0].advice


def test_photos_without_texture_cannot_be_asked(photographed):
    blank = replace(photographed, images=torch.full_like(photographed.images, 200))
    findings = check_poses(blank)
    assert findings[0].level == "unknown"
    assert "not enough matches to tell: 0" in findings[0].evidence
    assert [finding.level for finding in findings[1:]] == ["ok"]


# --- the cameras alone -------------------------------------------------------------------------------------------


def test_axes_that_meet_behind_all_cameras_are_suspected_when_photos_cannot_be_asked(camera):
    around = posed_world.views(posed(camera, flip_yz(camera.pose)))
    findings = check_poses(around)
    assert findings[0].level == "unknown"
    assert [finding.what for finding in findings if finding.level == "warning"] == ["viewing directions"]
    assert not any(finding.level == "warning" for finding in check_poses(posed_world.views(camera)))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda c: with_part(c, position=c.position * (1 + 99 * (torch.arange(18) == 7))[:, None]), "single positions"),
        (lambda c: with_part(c, position=torch.ones(18, 3)), "positions"),
        (lambda c: posed(c, c.pose * torch.tensor([-1.0, 1, 1, 1])), "rotations"),
        (lambda c: posed(c, c.pose * 1.1), "rotations"),
        (lambda c: posed(c, torch.full_like(c.pose, torch.nan)), "numbers"),
        (lambda c: replace(c, focal=0 * c.focal), "focal length"),
        (lambda c: replace(c, focal=c.focal / 40), "focal length"),
        (lambda c: replace(c, center=c.center * 4), "principal point"),
    ],
)
def test_impossible_and_stray_cameras_are_found(camera, damage, what):
    findings = check_poses(posed_world.views(damage(camera)))
    assert [finding.what for finding in findings if finding.level == "warning"] == [what]


def test_the_stray_camera_is_named(camera):
    position = camera.position.clone()
    position[7] *= 100
    findings = check_poses(posed_world.views(with_part(camera, position=position)))
    assert "photo_7.png" in next(f.evidence for f in findings if f.what == "single positions")


def test_one_photo_is_no_evidence(camera):
    one = posed_world.views(camera)
    one = replace(one, camera=camera[:1], images=one.images[:1], names=one.names[:1], held_out=())
    assert {finding.level for finding in check_poses(one)} <= {"unknown", "ok"}


# --- real captures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "downscale"), [("tiny_lego", 1), ("fox", 4)])
def test_real_captures_pass_and_their_flip_does_not(real_data, name, downscale):
    views = read(real_data / name, ReadOptions(downscale=downscale))
    matches = match_views(views)
    assert {finding.level for finding in against_photos(views, matches)[0]} == {"ok"}
    flipped = replace(views, camera=posed(views.camera, flip_yz(views.camera.pose)))
    assert "OpenGL axes" in against_photos(flipped, matches)[0][0].advice
