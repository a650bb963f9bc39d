"""Colours fetched through a mesh: the kernel against its twin, closed forms, and true pictures of a made stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_tracks import Stage, held, look, made_tracks

from fieldscape.cameras import project
from fieldscape.metrics import psnr
from fieldscape.raster import rasterize
from fieldscape.systems.tracks.fetching import cut_out, fetch, look_up, look_up_plain, stretches
from fieldscape.systems.tracks.mesh_settings import MeshSettings
from fieldscape.systems.tracks.sheets import Sheet, sheets_of
from fieldscape.types import Camera


def square(uv_size: float, turned: bool = False) -> tuple[torch.Tensor, Sheet, Camera]:
    """A square at depth 2 that fills a 32 x 32 picture, textured with a square of a source of the size given."""
    local = torch.tensor([[-1.0, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]]).double()
    corner = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    none = torch.zeros(0, dtype=torch.long)
    sheet = Sheet(
        0, 0, none, local.float(), torch.full((4,), -1), uv_size * corner, faces, torch.zeros(2, dtype=torch.bool)
    )
    return local, sheet, Camera(torch.eye(4), torch.tensor([32.0, 32.0]), torch.tensor([16.0, 16.0]), 32, 32)


def random_call(seed: int) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    local = torch.rand(40, 3, generator=generator) * 4 - 2
    local[:, 2] += 3.5
    camera = Camera(torch.eye(4), torch.tensor([24.0, 24.0]), torch.tensor([16.0, 12.0]), 32, 24)
    faces = torch.randint(0, 40, (30, 3), generator=generator)
    raster = rasterize(local, faces, camera)
    z = 1 + torch.rand(40, 1, generator=generator).double()
    uv = torch.rand(40, 2, generator=generator).double() * 30 - 4  # some beyond the frame
    frame = torch.randint(0, 256, (20, 22, 3), generator=generator, dtype=torch.uint8)
    cut = torch.randint(0, 256, (20, 22), generator=generator, dtype=torch.uint8)
    quality, far = torch.rand(30, generator=generator), torch.rand(30, generator=generator) > 0.5
    return raster, faces, torch.cat([uv * z, z], 1), quality, far, frame, cut


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_is_its_twin(seed: int) -> None:
    call = random_call(seed)
    assert int(call[0].hit.sum()) > 100
    for ours, plain in zip(look_up(*call), look_up_plain(*call)):
        assert torch.allclose(ours.float(), plain.float(), atol=1e-5)


def test_colours_stay_within_bounds_and_never_wrap_around() -> None:
    """A cubic overshoots at the border of black and white; what it gives must be clamped before it becomes bytes."""
    local, sheet, camera = square(16)
    frame = torch.zeros(16, 16, 3, dtype=torch.uint8)
    frame[:, 8:] = 255
    raster = rasterize(local, sheet.faces, camera)
    texture = torch.cat([2 * sheet.uv.double(), torch.full((4, 1), 2.0).double()], 1)
    full = torch.full((16, 16), 255, dtype=torch.uint8)
    color = look_up(raster, sheet.faces, texture, torch.ones(2), sheet.far, frame, full)[0]
    assert float(color.min()) == 0
    assert float(color.max()) == 1
    steps = color[16, 1:, 0] - color[16, :-1, 0]
    assert float(steps.min()) > -1e-6  # from black to white without speckles
    assert torch.equal((color * 255).round().to(torch.uint8), (color.clamp(0, 1) * 255).round().to(torch.uint8))


def test_a_frame_seen_by_its_own_camera_is_itself() -> None:
    stage = Stage(card=True)
    tracked = made_tracks(stage)
    sheet = sheets_of(tracked, MeshSettings())[2][0]
    fetched = fetch(tracked, sheet, tracked.camera[2], 0.2)
    assert torch.allclose(fetched.color, tracked.clip.color(2), atol=2e-3)
    grid = torch.stack(torch.meshgrid(torch.arange(64) + 0.5, torch.arange(48) + 0.5, indexing="xy"), -1)
    assert torch.allclose(fetched.uv, grid, atol=1e-2)
    assert float((fetched.stretch - 1).abs().max()) < 1e-2
    assert float(fetched.alpha.min()) > 0.999
    assert not bool(fetched.far.any())  # the pieces cover all of the source view


@pytest.mark.parametrize("source", [1, 4])
def test_a_slanted_wall_is_seen_right_from_elsewhere(source: int) -> None:
    tracked = made_tracks(Stage(), count=30)  # few points: large triangles, where perspective matters
    sheet = sheets_of(tracked, MeshSettings())[source][0]
    camera, truth, _ = held(Stage(), tracked, 0.25)
    fetched = fetch(tracked, sheet, camera, 0.25)
    inside = fetched.alpha > 0.99
    assert float(inside.float().mean()) > 0.85
    error = (fetched.color - truth)[inside].square().mean()
    assert -10 * float(error.log10()) > 40
    truth_depth = look(Stage(), camera, 0.25)[1]
    assert torch.allclose(fetched.depth[inside], truth_depth[inside].float(), rtol=2e-2)


def test_uv_is_where_the_source_camera_sees_the_same_place() -> None:
    tracked = made_tracks(Stage())
    sheet = sheets_of(tracked, MeshSettings())[1][0]
    camera, _, _ = held(Stage(), tracked, 0.25)
    fetched = fetch(tracked, sheet, camera, 0.25)
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    flat = torch.stack([(x - camera.center[0]) / camera.focal[0], (y - camera.center[1]) / camera.focal[1]], -1)
    depth = fetched.depth.double()[..., None]
    world = torch.cat([flat * depth, depth], -1) + camera.pose[:3, 3]
    uv, _ = project(tracked.camera[1], world)
    assert torch.allclose(fetched.uv, uv.float(), atol=1e-3)


def test_the_near_hides_the_far() -> None:
    stage = Stage(card=True)
    tracked = made_tracks(stage)
    sheet = sheets_of(tracked, MeshSettings())[0][0]
    camera, truth, surface = held(stage, tracked, 0.25)
    fetched = fetch(tracked, sheet, camera, 0.25)
    card = surface == 1
    assert float((fetched.depth[card] - 2).abs().median()) < 1e-3
    assert float(psnr(fetched.color[card][None], truth[card][None])) > 24


def test_movers_and_background_are_cut_out_by_the_mask() -> None:
    stage = Stage(mover=True)
    tracked = made_tracks(stage)
    assert tracked.clip.layers is not None
    background, mover = sheets_of(tracked, MeshSettings())[2]
    mask = tracked.clip.layers[2] == 1
    behind, front = (fetch(tracked, sheet, tracked.camera[2], 0.2) for sheet in (background, mover))
    assert float(front.alpha[mask].min()) > 0.99
    assert float(front.alpha[~mask].max()) < 0.01
    assert float(behind.alpha[mask].max()) < 0.01  # no mover in the background
    assert float(behind.alpha.max()) == 1
    # Seen at another time the mover is where it truly is then.
    camera, truth, surface = held(stage, tracked, 0.25)
    seen = fetch(tracked, mover, camera, 0.25)
    truly = surface == 2
    assert float(((seen.alpha > 0.5) ^ truly).float().mean()) < 0.01
    sure = truly & (seen.alpha > 0.99)
    assert -10 * float((seen.color - truth)[sure].square().mean().log10()) > 35


def test_soft_borders() -> None:
    tracked = made_tracks(Stage(mover=True))
    cut = cut_out(tracked, 2, 0)
    assert cut.dtype == torch.uint8
    assert 0 < int(((cut > 0) & (cut < 255)).sum()) < 200
    shifted = replace(tracked.camera[2], center=tracked.camera[2].center + torch.tensor([10.25, 0.0]))
    fetched = fetch(tracked, sheets_of(tracked, MeshSettings())[2][0], shifted, 0.2)
    row = fetched.alpha[5, 6:16]
    assert float(row[0]) == 0
    assert float(row[-1]) == 1
    assert 0 < float(row[(row > 0) & (row < 1)].min()) < 1


def test_the_far_layer_is_seen_only_where_nothing_else_is() -> None:
    stage = Stage(card=True)
    tracked = made_tracks(stage)
    sheet = sheets_of(tracked, MeshSettings())[0][0]
    assert bool(sheet.far.any())
    apart = fetch(tracked, sheet, tracked.camera[5], 0.5)
    assert 0 < float(apart.far.float().mean()) < 0.2  # the gap beside the card
    assert bool(apart.depth[:, 12:-12].isfinite().all())
    assert torch.equal(apart.far, sheet.far[apart.face.clamp(min=0)] & (apart.face >= 0))
    without = replace(sheet, faces=sheet.faces[~sheet.far], far=sheet.far[~sheet.far])
    alone = fetch(tracked, without, tracked.camera[5], 0.5)
    assert torch.equal(alone.depth.isfinite(), (apart.face >= 0) & ~apart.far)
    assert torch.equal(alone.color[~apart.far], apart.color[~apart.far])


def test_stretch_is_source_pixels_for_a_target_pixel() -> None:
    for size, expected in ((32, 1.0), (64, 2.0), (8, 0.25)):
        local, sheet, camera = square(size)
        assert stretches(local, sheet, camera).tolist() == pytest.approx([expected] * 2)
    local, sheet, camera = square(32)
    wide = local.clone()
    wide[:, 0] *= 4  # magnified along x alone
    assert stretches(wide, sheet, camera).tolist() == pytest.approx([0.25] * 2)
    behind = local.clone()
    behind[0, 2] = -1
    assert stretches(behind, sheet, camera).tolist() == [0.0, 0.0]


def test_offsets_move_vertices() -> None:
    tracked = made_tracks(Stage())
    sheet = sheets_of(tracked, MeshSettings())[2][0]
    back = torch.zeros(len(sheet.uv), 3)
    back[:, 2] = 1.0
    plain, moved = (fetch(tracked, sheet, tracked.camera[2], 0.2, offsets) for offsets in (None, back))
    assert torch.allclose(moved.depth[20:28, 28:36], plain.depth[20:28, 28:36] + 1, atol=0.2)


def test_the_number_of_threads_changes_nothing() -> None:
    call = random_call(9)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = look_up(*call)
        torch.set_num_threads(3)
        three = look_up(*call)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, three))
