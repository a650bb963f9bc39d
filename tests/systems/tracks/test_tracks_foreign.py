"""Tracks of others: each format, written here as its own program writes it, gives the tracks that it was made from."""

from __future__ import annotations

import contextlib
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fieldscape.cameras import look_at, project
from fieldscape.errors import BadInput
from fieldscape.systems.tracks.foreign import read_any
from fieldscape.systems.tracks.foreign_given import read_cameras, read_depths
from fieldscape.systems.tracks.foreign_lens import bent_pixels, straight_places, straightened
from fieldscape.systems.tracks.foreign_space import filled, layer_of, seen_from
from fieldscape.systems.tracks.nouns import Clip, Tracked
from fieldscape.systems.tracks.options import ForeignSettings
from fieldscape.types import Camera

T, N, WIDTH, HEIGHT = 6, 40, 64, 48
SETTINGS = ForeignSettings()


@dataclass(frozen=True)
class World:
    """A plane of points that a camera passes; the last five points move. All in double precision."""

    clip: Clip
    camera: Camera
    points: Tensor
    pixels: Tensor
    seen: Tensor
    layer: Tensor


@pytest.fixture(scope="module")
def world() -> World:
    chance = torch.Generator().manual_seed(3)
    eye = torch.stack([torch.linspace(-1, 1, T), torch.zeros(T), torch.full((T,), -4.0)], -1).double()
    pose = look_at(eye, torch.zeros(3).double(), torch.tensor([0.0, -1.0, 0.0]).double())
    focal = torch.full((T, 2), 60.0, dtype=torch.float64)
    camera = Camera(pose, focal, torch.tensor([WIDTH / 2, HEIGHT / 2]).double().repeat(T, 1), WIDTH, HEIGHT)
    points = (torch.rand(N, 3, generator=chance).double() - 0.5) * torch.tensor([3.2, 2.4, 1.0])
    points = points.repeat(T, 1, 1)
    points[:, -5:, 0] += 0.1 * torch.arange(T)[:, None]
    pixels, depth = seen_from(camera, points)
    inside = (pixels > 0).all(-1) & (pixels < torch.tensor([WIDTH, HEIGHT])).all(-1) & (depth > 0)
    seen = inside & (torch.rand(T, N, generator=chance) < 0.8)
    layer = torch.zeros(N, dtype=torch.long)
    layer[-5:] = 1
    layers = torch.zeros(T, HEIGHT, WIDTH, dtype=torch.uint8)
    for t in range(T):
        x, y = pixels[t, -5:].long().unbind(-1)
        layers[t, y.clamp(0, HEIGHT - 1), x.clamp(0, WIDTH - 1)] = 1
    frames = torch.randint(0, 256, (T, HEIGHT, WIDTH, 3), generator=chance, dtype=torch.uint8)
    clip = Clip(frames, torch.arange(T) / 10, layers, tuple(range(T)), "plane")
    return World(clip, camera, points, pixels, seen, layer)


def intrinsics(world: World, half: float) -> np.ndarray:
    """Of cameras whose first pixel's centre is (0, 0) if ``half`` is 0.5."""
    k = np.tile(np.eye(3), (T, 1, 1))
    k[:, 0, 0], k[:, 1, 1] = world.camera.focal.numpy().T
    k[:, :2, 2] = world.camera.center.numpy() - half
    return k


def spatial_tracker(world: World) -> dict[str, Tensor]:
    local = (world.points - world.camera.position[:, None]) @ world.camera.pose[:, :3, :3]
    return {
        "track2d_pred": torch.cat([world.pixels - 0.5, local[..., 2:]], -1).float(),
        "track3d_pred": torch.cat([local, torch.zeros_like(local)], -1).float(),
        "vis_pred": world.seen[..., None].float(),
        "conf_pred": torch.full((T, N, 1), 0.9),
        "c2w_traj": world.camera.pose.float(),
        "intrs": torch.from_numpy(intrinsics(world, 0.5)).float(),
        "video": world.clip.frames.permute(0, 3, 1, 2).float(),
    }


def tapip3d(world: World) -> dict[str, np.ndarray]:
    return {
        "coords": world.points.float().numpy(),
        "visibs": world.seen.numpy(),
        "extrinsics": torch.linalg.inv(world.camera.pose).float().numpy(),
        "intrinsics": intrinsics(world, 0.5).astype(np.float32),
        "video": (world.clip.frames.permute(0, 3, 1, 2).float() / 255).numpy(),
        "depths": np.ones((T, HEIGHT, WIDTH), np.float32),
    }


def depth_pictures(world: World) -> np.ndarray:
    """Depth that is right at the pixels where points are seen, and unknown elsewhere."""
    depths, (_, depth) = np.zeros((T, HEIGHT, WIDTH), np.float32), seen_from(world.camera, world.points)
    for t in range(T):
        for i in np.flatnonzero(world.seen[t].numpy()):
            x, y = world.pixels[t, i].long().tolist()
            depths[t, y, x] = depth[t, i]
    return depths


def cotracker(world: World) -> dict[str, np.ndarray]:
    return {
        "pred_tracks": (world.pixels - 0.5).float().numpy()[None],
        "pred_visibility": world.seen.numpy()[None],
        "depths": depth_pictures(world),
        "intrinsics": intrinsics(world, 0.5)[0],
        "camera_poses": world.camera.pose.numpy(),
    }


def tapir(world: World) -> dict[str, np.ndarray]:
    return {
        "tracks": world.pixels.float().numpy().transpose(1, 0, 2),
        "visibles": world.seen.numpy().T,
        "depths": depth_pictures(world),
        "intrinsics": intrinsics(world, 0.0),
        "extrinsics": torch.linalg.inv(world.camera.pose)[:, :3].numpy(),
    }


def require_agreement(tracked: Tracked, world: World, pixels: float, length: float) -> None:
    """Every point of the world that can be is there, where it was, and on the ray through its place."""
    ever = world.seen.any(0)
    assert tracked.kind == "given"
    assert torch.equal(tracked.points.layer, world.layer[ever])
    assert torch.equal(tracked.points.seen, world.seen[:, ever])
    seen = tracked.points.seen
    assert (tracked.points.places - world.pixels[:, ever].float())[seen].abs().max() < pixels
    assert (tracked.world - world.points[:, ever].float())[seen].abs().max() < length
    shown, _ = seen_from(tracked.camera, tracked.world)
    assert (shown - tracked.points.places)[seen].abs().max() < 2e-4
    assert (tracked.points.sure > 0).equal(seen)
    still = tracked.points.layer == 0
    assert (tracked.world - world.points[:, ever].float())[:, still].abs().max() < length  # where not seen, too


def written(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


def test_spatial_tracker(world: World, tmp_path: Path) -> None:
    torch.save(spatial_tracker(world), tmp_path / "tracks.pt")
    tracked = read_any(tmp_path / "tracks.pt", world.clip, SETTINGS)
    require_agreement(tracked, world, 1e-4, 1e-5)
    assert torch.equal(tracked.clip.frames, world.clip.frames)
    assert float(tracked.points.sure.max()) == pytest.approx(0.9)
    alone = read_any(tmp_path / "tracks.pt", None, SETTINGS)
    assert torch.equal(alone.clip.frames, world.clip.frames)
    assert int(alone.points.layer.max()) == 0


def test_tapip3d(world: World, tmp_path: Path) -> None:
    tracked = read_any(written(tmp_path / "t.npz", tapip3d(world)), world.clip, SETTINGS)
    require_agreement(tracked, world, 1e-3, 1e-4)
    assert torch.equal(tracked.clip.frames, world.clip.frames)


@pytest.mark.parametrize("made", [cotracker, tapir])
def test_flat_trackers(world: World, tmp_path: Path, made: Callable[[World], dict[str, np.ndarray]]) -> None:
    tracked = read_any(written(tmp_path / "t.npz", made(world)), world.clip, SETTINGS)
    # Depth pictures hold one depth a pixel, so points that share one share its depth: nearly all agree.
    ever = world.seen.any(0)
    off = (tracked.world - world.points[:, ever].float())[tracked.points.seen].norm(dim=-1)
    assert float(off.quantile(0.9)) < 1e-4
    assert (tracked.points.places - world.pixels[:, ever].float())[tracked.points.seen].abs().max() < 1e-4


def test_pixels_of_another_size_are_scaled(world: World, tmp_path: Path) -> None:
    arrays = cotracker(world)
    arrays["pred_tracks"] = (2 * world.pixels - 0.5).float().numpy()
    k = arrays["intrinsics"].copy()
    k[:2] *= 2
    k[:2, 2] += 0.5  # the centre of the first pixel is no longer at half a pixel of the small picture
    arrays |= {"intrinsics": k, "size": np.array([2 * WIDTH, 2 * HEIGHT])}
    tracked = read_any(written(tmp_path / "t.npz", arrays), world.clip, SETTINGS)
    places = world.pixels[:, world.seen.any(0)].float()
    assert (tracked.points.places - places)[tracked.points.seen].abs().max() < 1e-4
    assert torch.allclose(tracked.camera.center, world.camera.center.float(), atol=1e-5)


def test_behind_the_camera_and_not_finite_is_unseen(world: World, tmp_path: Path) -> None:
    content = spatial_tracker(world)
    content["track3d_pred"][:, 0, 2] = -1.0  # behind, always
    content["track3d_pred"][0, 1] = torch.nan
    content["track2d_pred"][1, 2] = torch.inf
    content["vis_pred"][:, 3] = 0.4
    torch.save(content, tmp_path / "t.pt")
    tracked = read_any(tmp_path / "t.pt", world.clip, SETTINGS)
    expected = world.seen.clone()
    expected[:, [0, 3]], expected[1, 2] = False, False
    assert torch.equal(tracked.points.seen, expected[:, expected.any(0)])
    assert bool(tracked.world.isfinite().all() & tracked.points.places.isfinite().all())
    assert any("left out" in note for note in tracked.notes)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of a stranger ran",)


def test_a_pickle_with_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"track3d_pred": _Evil()}, tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(_Evil()))
    for name in ("evil.pt", "bare.pt"):
        with pytest.raises(BadInput, match=r"refused|not a readable"):
            read_any(tmp_path / name, None, SETTINGS)
    assert "ran" not in capsys.readouterr().out


def test_a_huge_tensor_of_few_bytes_is_refused(tmp_path: Path) -> None:
    torch.save({"track3d_pred": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "huge.pt")
    with pytest.raises(BadInput, match="GiB"):
        read_any(tmp_path / "huge.pt", None, SETTINGS)


BAD: list[tuple[str, Callable[[np.ndarray], np.ndarray], str]] = [
    ("coords", lambda a: a[..., :2], "coords"),
    ("coords", lambda a: a[1:], "coords"),
    ("coords", lambda a: a.astype("U8"), "coords"),
    ("coords", lambda a: a * np.nan, "no point"),
    ("visibs", lambda a: a[:, 1:], "visibs"),
    ("visibs", lambda a: a * 7.0, "0..1"),
    ("extrinsics", lambda a: a * 2, "extrinsics"),
    ("extrinsics", lambda a: a * np.nan, "NaN"),
    ("intrinsics", lambda a: -a, "intrinsics"),
    ("video", lambda a: a[:, 0], "video"),
    ("video", lambda a: a * np.nan, "video"),
    ("video", lambda a: a[:1], "video"),
]


@pytest.mark.parametrize(("name", "broken", "said"), BAD)
def test_bad_arrays_are_named(
    world: World, tmp_path: Path, name: str, broken: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    arrays = tapip3d(world)
    arrays[name] = broken(arrays[name])
    with pytest.raises(BadInput, match=said):
        read_any(written(tmp_path / "t.npz", arrays), None, SETTINGS)


def test_what_is_missing_is_named(world: World, tmp_path: Path) -> None:
    for name in ("camera_poses", "depths", "intrinsics", "pred_visibility"):
        arrays = cotracker(world)
        del arrays[name]
        with pytest.raises(BadInput, match=name if name != "pred_visibility" else "visib"):
            read_any(written(tmp_path / "t.npz", arrays), world.clip, SETTINGS)
    with pytest.raises(BadInput, match="clip"):
        read_any(written(tmp_path / "t.npz", cotracker(world)), None, SETTINGS)
    with pytest.raises(BadInput, match="no known kind"):
        read_any(written(tmp_path / "t.npz", {"a": np.zeros(3)}), None, SETTINGS)
    with pytest.raises(BadInput, match="no COLMAP model"):
        read_any(tmp_path, world.clip, SETTINGS)
    with pytest.raises(BadInput, match="There is no file"):
        read_any(tmp_path / "absent.pt", world.clip, SETTINGS)


def test_overshoot_of_a_resized_video_does_not_wrap_around(world: World, tmp_path: Path) -> None:
    arrays = tapip3d(world)
    video = arrays["video"].copy()
    video[0, :, 0, 0], video[0, :, 0, 1] = 1.05, -0.05
    tracked = read_any(written(tmp_path / "t.npz", arrays | {"video": video}), None, SETTINGS)
    assert tracked.clip.frames[0, 0, 0].tolist() == [255, 255, 255]
    assert tracked.clip.frames[0, 0, 1].tolist() == [0, 0, 0]


def write_model(world: World, folder: Path, model: str, params: str, pixels: Tensor, names: list[str]) -> None:
    """A COLMAP text model with an observation for each sighting, and one of no point in each photo."""
    folder.mkdir()
    (folder / "cameras.txt").write_text(f"# cameras\n1 {model} {WIDTH} {HEIGHT} {params}\n")
    images, sights = [], {i: [] for i in range(N)}
    for t in range(T):
        inverse = torch.linalg.inv(world.camera.pose[t])
        trace = inverse[:3, :3].trace()
        w = float((1 + trace).sqrt() / 2)
        r = inverse[:3, :3]
        q = [w, *(float(v) / (4 * w) for v in (r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]))]
        words = [*q, *inverse[:3, 3].tolist()]
        seen = np.flatnonzero(world.seen[t].numpy()).tolist()
        rows = ["1.0 1.0 -1"] + [f"{pixels[t, i, 0]:.9f} {pixels[t, i, 1]:.9f} {3 * i + 7}" for i in seen]
        for place, i in enumerate(seen):
            sights[i].append(f"{t + 1} {place + 1}")
        images.append(f"{t + 1} {' '.join(f'{v:.12f}' for v in words)} 1 {names[t]}\n{' '.join(rows)}\n")
    (folder / "images.txt").write_text("".join(images))
    lines = []
    for i in range(N):
        if world.layer[i] == 0 and len(sights[i]) >= 2:
            x, y, z = world.points[0, i].tolist()
            lines.append(f"{3 * i + 7} {x:.12f} {y:.12f} {z:.12f} 9 9 9 0.0 {' '.join(sights[i])}\n")
    (folder / "points3D.txt").write_text("".join(lines))


def test_a_colmap_model(world: World, tmp_path: Path) -> None:
    write_model(world, tmp_path / "sparse", "SIMPLE_PINHOLE", "60 32 24", world.pixels, [f"{t}.png" for t in range(T)])
    tracked = read_any(tmp_path, replace(world.clip, layers=None), SETTINGS)
    kept = (world.layer == 0) & (world.seen.sum(0) >= 2)
    assert torch.equal(tracked.points.seen, world.seen[:, kept])
    assert (tracked.world - world.points[:, kept].float()).abs().max() < 1e-5
    assert (tracked.points.places - world.pixels[:, kept].float())[tracked.points.seen].abs().max() < 1e-4


def as_binary(folder: Path) -> None:
    """The text model in ``folder`` as COLMAP's binary files, and the text gone."""
    lines = {name: (folder / f"{name}.txt").read_text().splitlines() for name in ("cameras", "images", "points3D")}
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ3d", 1, 1, 0, WIDTH, HEIGHT, 60, 32, 24))
    images = [struct.pack("<Q", T)]
    for head, row in zip(lines["images"][::2], lines["images"][1::2]):
        words, seen = head.split(), np.array(row.split(), dtype=np.float64).reshape(-1, 3)
        images.append(struct.pack("<I7dI", int(words[0]), *map(float, words[1:8]), 1) + words[9].encode() + b"\0")
        images.append(struct.pack("<Q", len(seen)))
        images += [struct.pack("<ddq", x, y, int(number)) for x, y, number in seen]
    (folder / "images.bin").write_bytes(b"".join(images))
    points = [struct.pack("<Q", len(lines["points3D"]))]
    for line in lines["points3D"]:
        words = line.split()
        points.append(
            struct.pack("<Q3d3BdQ", int(words[0]), *map(float, words[1:4]), 9, 9, 9, 0.0, len(words[8:]) // 2)
        )
        points.append(struct.pack(f"<{len(words[8:])}I", *map(int, words[8:])))
    (folder / "points3D.bin").write_bytes(b"".join(points))
    for name in lines:
        (folder / f"{name}.txt").unlink()


def test_a_binary_model_is_the_same(world: World, tmp_path: Path) -> None:
    write_model(world, tmp_path / "sparse", "SIMPLE_PINHOLE", "60 32 24", world.pixels, [f"{t}.png" for t in range(T)])
    text = read_any(tmp_path, world.clip, SETTINGS)
    as_binary(tmp_path / "sparse")
    binary = read_any(tmp_path, world.clip, SETTINGS)
    assert torch.equal(text.points.places, binary.points.places)
    assert torch.equal(text.world, binary.world)
    for name in ("images.bin", "points3D.bin"):
        content = (tmp_path / "sparse" / name).read_bytes()
        (tmp_path / "sparse" / name).write_bytes(content[:-5])
        with pytest.raises(BadInput, match=name):
            read_any(tmp_path, world.clip, SETTINGS)
        (tmp_path / "sparse" / name).write_bytes(content)


def test_a_model_of_some_frames_is_matched_by_number(world: World, tmp_path: Path) -> None:
    frames = torch.cat([world.clip.frames, world.clip.frames[:2]])
    clip = Clip(frames, torch.arange(T + 2) / 10, None, tuple(range(T + 2)), "longer")
    for first, expected in ((0, range(T)), (3, range(2, T + 2))):  # 3 to 8 of 8: counted from 1
        names = [f"f{t + first}.png" for t in range(T)]
        write_model(world, tmp_path / f"{first}", "SIMPLE_PINHOLE", "60 32 24", world.pixels, names)
        tracked = read_any(tmp_path / f"{first}", clip, SETTINGS)
        assert tracked.clip.numbers == tuple(expected)
        assert any("2 of 8 frames" in note for note in tracked.notes)
    names = [f"f{t + 1}.png" for t in range(T)]
    write_model(world, tmp_path / "1", "SIMPLE_PINHOLE", "60 32 24", world.pixels, names)
    with pytest.raises(BadInput, match="from 0 and from 1"):
        read_any(tmp_path / "1", clip, SETTINGS)
    with pytest.raises(BadInput, match="do not tell"):
        read_any(tmp_path / "1", replace(clip, numbers=tuple(range(50, 50 + T + 2))), SETTINGS)


def test_a_bent_lens_is_straightened(world: World, tmp_path: Path) -> None:
    lens = replace(world.camera, lens="brown", distortion=torch.tensor([0.2, 0.0, 0, 0, 0]).double().repeat(T, 1))
    pixels = torch.stack([project(lens[t], world.points[t])[0] for t in range(T)])
    write_model(world, tmp_path / "sparse", "SIMPLE_RADIAL", "60 32 24 0.2", pixels, [f"{t}.png" for t in range(T)])
    tracked = read_any(tmp_path, replace(world.clip, layers=None), SETTINGS)
    kept = (world.layer == 0) & (world.seen.sum(0) >= 2)
    assert tracked.camera.lens == "pinhole"
    assert (tracked.points.places - world.pixels[:, kept].float())[tracked.points.seen].abs().max() < 1e-3


def test_straightening_puts_each_pixel_where_a_pinhole_shows_it(world: World) -> None:
    bent = replace(world.camera[0], lens="brown", distortion=torch.tensor([0.15, 0.02, 0.01, -0.01, 0]).double())
    bent = bent.map(lambda x: x.float())
    pixels = bent_pixels(bent).reshape(-1, 2)
    back = straight_places(bent, pixels).reshape(HEIGHT, WIDTH, 2)
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    assert (back - torch.stack([x, y], -1)).abs().max() < 1e-2
    # A picture of its own bent coordinates, straightened, shows them at the straight pixels.
    ramp = (torch.arange(WIDTH) * 3).to(torch.uint8)[None, :, None].expand(HEIGHT, WIDTH, 3)
    clip = Clip(ramp.repeat(2, 1, 1, 1), torch.arange(2.0), None, (0, 1), "ramp")
    both = bent.map(lambda x: torch.stack([x, x]))
    straight, _ = straightened(clip, both)
    expected = (3 * (bent_pixels(bent)[..., 0] - 0.5)).clamp(0, 3 * (WIDTH - 1))
    assert (straight.frames[0, ..., 0].float() - expected).abs().max() <= 1.0


def test_filling_in_and_layers_by_brute_force() -> None:
    chance = torch.Generator().manual_seed(1)
    known, times = torch.rand(9, 5, generator=chance) < 0.5, torch.cumsum(torch.rand(9, generator=chance) + 0.1, 0)
    values = torch.randn(9, 5, 2, generator=chance)
    done = filled(values, known, times)
    for i in range(5):
        there = known[:, i].nonzero()[:, 0].tolist()
        for t in range(9 if there else 0):
            before, after = [j for j in there if j <= t], [j for j in there if j >= t]
            if not before or not after:
                expected = values[after[0] if after else before[-1], i]
            elif before[-1] == after[0]:
                expected = values[t, i]
            else:
                share = (times[t] - times[before[-1]]) / (times[after[0]] - times[before[-1]])
                expected = values[before[-1], i] + share * (values[after[0], i] - values[before[-1], i])
            assert torch.allclose(done[t, i].float(), expected, atol=1e-5)
    layers = torch.tensor([[[0, 3]], [[3, 0]], [[0, 3]]], dtype=torch.uint8)
    places = torch.tensor([[[1.5, 0.5]], [[1.5, 0.5]], [[1.9, 0.1]]])
    assert layer_of(places, torch.ones(3, 1, dtype=torch.bool), layers).tolist() == [3]
    assert layer_of(places, torch.tensor([[False], [True], [False]]), layers).tolist() == [0]


def test_given_cameras_and_depth(world: World, tmp_path: Path) -> None:
    arrays = {
        "camera_poses": world.camera.pose.numpy(), "intrinsics": intrinsics(world, 0.0),
        "size": np.array([2 * WIDTH, 2 * HEIGHT]),
    }  # fmt: skip
    part = world.clip.at([1, 4])
    _, camera = read_cameras(written(tmp_path / "c.npz", arrays), part)
    assert torch.equal(camera.pose, world.camera.pose[[1, 4]].float())
    assert torch.allclose(camera.focal, world.camera.focal[[1, 4]].float() / 2)
    arrays["size"] = np.array([WIDTH, 2 * HEIGHT])
    with pytest.raises(BadInput, match="aspect"):
        read_cameras(written(tmp_path / "c.npz", arrays), part)
    depths = np.arange(T)[:, None, None] + np.ones((T, HEIGHT // 2, WIDTH // 2))
    depths[4, 0, 0] = np.nan
    np.save(tmp_path / "d.npy", depths)
    read = read_depths(tmp_path / "d.npy", part)
    assert read[1, 0, :4].tolist() == [0, 0, 5, 5]
    assert float(read[0, 5, 5]) == 2
    (tmp_path / "depth").mkdir()
    with pytest.raises(BadInput, match="no depth"):
        read_depths(tmp_path / "depth", part)
    for t in range(T):
        np.save(tmp_path / "depth" / f"{t:03}.npy", depths[t])
    assert torch.equal(read_depths(tmp_path / "depth", part), read)
    with pytest.raises(BadInput, match="not one for each"):
        read_depths(tmp_path / "depth", replace(part, numbers=(3, 30)))


@pytest.mark.parametrize("kind", ["pt", "npz", "colmap"])
def test_flipped_bytes_never_end_in_a_traceback(world: World, tmp_path: Path, kind: str) -> None:
    small = {name: value[:, :, :8, :8] if name == "video" else value for name, value in spatial_tracker(world).items()}
    if kind == "pt":
        torch.save(small, tmp_path / "t.pt")
        victims, path = [tmp_path / "t.pt"], tmp_path / "t.pt"
    elif kind == "npz":
        victims = [
            written(tmp_path / "t.npz", {k: v for k, v in tapip3d(world).items() if k not in ("video", "depths")})
        ]
        path = victims[0]
    else:
        names = [f"{t}.png" for t in range(T)]
        write_model(world, tmp_path / "sparse", "SIMPLE_PINHOLE", "60 32 24", world.pixels, names)
        as_binary(tmp_path / "sparse")
        victims, path = sorted((tmp_path / "sparse").iterdir()), tmp_path
    chance = np.random.default_rng(0)
    for i in range(60):
        victim = victims[i % len(victims)]
        content = victim.read_bytes()
        damaged = bytearray(content)
        for place in chance.integers(0, min(len(content), 3000), 2):
            damaged[place] ^= int(chance.integers(1, 256))
        victim.write_bytes(damaged if i % 3 else content[: int(chance.integers(len(content)))])
        with contextlib.suppress(BadInput):
            read_any(path, world.clip, SETTINGS)
        victim.write_bytes(content)
