"""Places and cameras moved so that frames predict each other better, by the colours fetched through the meshes.

A frame is predicted from the two around it, blended by time; the loss goes back through the place in the source frame
that each pixel looks up, which moves with the mesh (``raster``). What moves: a step of each background point for the
whole clip, a small one of its own in each frame, and a small turn and shift of each camera. Kept together by: the
tracks where they were seen, neighbours on a mesh moving alike (as rigid as possible, without the turn: the steps are
small), and each frame's own steps being like those of the frames beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample
from torch.nn.functional import interpolate as resized

from fieldscape.cameras import resize
from fieldscape.raster import interpolate
from fieldscape.rotations import from_vector
from fieldscape.systems.tracks.config import RefineSettings
from fieldscape.systems.tracks.fetching import cut_out, drawn
from fieldscape.systems.tracks.footage import Footage
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.placing import planar_at_own, vertices_at
from fieldscape.systems.tracks.sheets import Sheet
from fieldscape.types import Camera

SMOOTH = 0.02
"""Differences of colour below this count by their square, above it as they are."""


class Moves(nn.Module):
    """Steps of points, of one frame's points, and of cameras, in pixels as seen: all zero at first.

    whole [n, 3], single [t, n, 3]: times ``unit`` [n], the length that is a pixel wide at the point's distance.  poses
    [t, 6]: a turn, then a shift, each such that 1 is about a pixel.
    """

    unit: Tensor

    def __init__(self, tracked: Tracked, settings: RefineSettings) -> None:
        super().__init__()
        frames, count = tracked.world.shape[:2]
        self.whole = nn.Parameter(torch.zeros(count, 3), requires_grad=settings.vertices)
        self.single = nn.Parameter(torch.zeros(frames, count, 3), requires_grad=settings.vertices)
        self.poses = nn.Parameter(torch.zeros(frames, 6), requires_grad=settings.poses)
        z = planar(tracked)
        self.register_buffer("unit", (z.median(0).values / tracked.camera.focal.mean()).float())
        self.focal = float(tracked.camera.focal.mean())

    def places(self, tracked: Tracked, frame: int) -> Float[Tensor, "n 3"]:
        """Where the points of the background are in a frame, moved; movers stay."""
        still = (tracked.points.layer == 0)[:, None]
        step = (self.whole + self.single[frame]) * self.unit[:, None]
        return tracked.world[frame].double() + torch.where(still, step, 0.0).double()

    def pose(self, tracked: Tracked, frame: int) -> Float[Tensor, "4 4"]:
        """The pose of a frame's camera, moved. A turn of 1 shifts the picture's middle by a pixel."""
        turn, shift = self.poses[frame].double().split(3)
        pose = tracked.camera.pose[frame].double()
        turned = pose[:3, :3] @ from_vector(turn / self.focal)
        place = pose[:3, 3] + pose[:3, :3] @ (shift * self.unit.median().double())
        upper = torch.cat([turned, place[:, None]], 1)
        return torch.cat([upper, pose.new_tensor([[0, 0, 0, 1]])])


def planar(tracked: Tracked) -> Float[Tensor, "t n"]:
    """The depth of every point in every frame's camera, at least a little."""
    pose = tracked.camera.pose.double()
    z = ((tracked.world.double() - pose[:, None, :3, 3]) * pose[:, None, :3, 2]).sum(-1)
    return z.clamp(min=1e-6)


def refined(footage: Footage, moves: Moves) -> Footage:
    """The footage with points and cameras moved; its meshes keep their faces, and their places in their own frames."""
    tracked = footage.tracked
    with torch.no_grad():
        frames = range(len(tracked.clip))
        world = torch.stack([moves.places(tracked, i) for i in frames]).to(tracked.world)
        pose = torch.stack([moves.pose(tracked, i) for i in frames]).to(tracked.camera.pose)
    return replace(footage, tracked=replace(tracked, world=world, camera=replace(tracked.camera, pose=pose)))


def refine_loss(
    footage: Footage, moves: Moves, settings: RefineSettings
) -> Callable[[torch.Generator], Float[Tensor, ""]]:
    """The loss of a frame drawn at random, predicted from the frames before and after it."""
    tracked = footage.tracked
    wide, high = tracked.clip.size
    scale = min(1.0, settings.side / max(wide, high))
    size = (max(2, round(wide * scale)), max(2, round(high * scale)))
    pictures = [_smaller(tracked.clip.color(i).movedim(-1, 0), size) for i in range(len(tracked.clip))]
    cuts = [_smaller(cut_out(tracked, i, 0)[None].float() / 255, size) for i in range(len(tracked.clip))]

    def loss(chance: torch.Generator) -> Tensor:
        frame = 1 + int(torch.randint(len(tracked.clip) - 2, (), generator=chance))
        camera = replace(resize(tracked.camera[frame], *size), pose=moves.pose(tracked, frame))
        seconds = tracked.clip.seconds
        share = float((seconds[frame] - seconds[frame - 1]) / (seconds[frame + 1] - seconds[frame - 1]))
        total, weights = torch.zeros(3, size[1], size[0]), torch.zeros(size[1], size[0])
        for source, weight in ((frame - 1, 1 - share), (frame + 1, share)):
            for sheet in footage.sheets[source]:
                if sheet.layer == 0:
                    color, alpha = _seen(tracked, moves, sheet, camera, frame, pictures[source], cuts[source])
                    total, weights = total + weight * alpha * color, weights + weight * alpha
        color = total / weights.clamp(min=1e-6)
        miss = (color - pictures[frame]).abs().mean(0)
        robust = torch.where(miss < SMOOTH, 0.5 * miss**2 / SMOOTH, miss - 0.5 * SMOOTH)
        counts = ((weights > 0.5) * cuts[frame][0]).detach()
        return (robust * counts).sum() / counts.sum().clamp(min=1) + 0.01 * _held(footage, moves, settings, frame)

    return loss


def _seen(
    tracked: Tracked, moves: Moves, sheet: Sheet, camera: Camera, frame: int, picture: Tensor, cut: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour [3, h, w] and share [h, w] of a source as a camera sees it, with gradients to what moves."""
    now, own = moves.places(tracked, frame)[sheet.points], moves.places(tracked, sheet.frame)[sheet.points]
    base = vertices_at(tracked, sheet, float(tracked.clip.seconds[frame]))
    before = tracked.world[frame, sheet.points].double()
    steps = torch.cat([now - before, now.new_zeros(1, 3)])  # what an added vertex follows moves it too
    vertices = base + torch.cat([steps[:-1], steps[sheet.follows]])
    local = (vertices - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    seen = drawn(local, sheet, camera)
    # The depth in its own frame, by which looking up is right in perspective, moves with its points and camera.
    z = planar_at_own(tracked, sheet)
    step = torch.cat([own - tracked.world[sheet.frame, sheet.points].double(), now.new_zeros(1, 3)])
    z = z + torch.cat([step[:-1], step[sheet.follows]]) @ tracked.camera.pose[sheet.frame, :3, 2].double()
    texture = torch.cat([sheet.uv.double() * z[:, None], z[:, None]], 1).float()
    found = interpolate(seen, sheet.faces, texture)
    hit = seen.hit
    place = found[..., :2] / torch.where(hit, found[..., 2], 1.0)[..., None]
    wide, high = tracked.clip.size
    grid = 2 * place / torch.tensor([wide, high]) - 1
    inside = hit & (grid.abs() <= 1).all(-1)
    color = grid_sample(picture[None], grid[None], "bilinear", "border", align_corners=False)[0]
    with torch.no_grad():
        alpha = grid_sample(cut[None], grid[None], "bilinear", "border", align_corners=False)[0, 0] * inside
    return color, alpha


def _held(footage: Footage, moves: Moves, settings: RefineSettings, frame: int) -> Tensor:
    """How far the steps are from what the tracks, a stiff world and an even motion would have, pixels squared."""
    tracked = footage.tracked
    seen = tracked.points.sure[frame] * (tracked.points.layer == 0)
    camera = replace(tracked.camera[frame], pose=moves.pose(tracked, frame)).map(lambda x: x.double())
    local = (moves.places(tracked, frame) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    pixels = local[:, :2] / local[:, 2:].clamp(min=1e-6) * camera.focal + camera.center
    miss = (pixels - tracked.points.places[frame].double()).square().sum(-1).clamp(max=25)
    total = settings.tracks * (miss * seen).sum() / seen.sum().clamp(min=1)
    steps = moves.whole + moves.single[frame]
    for sheet in footage.sheets[frame]:
        if sheet.layer == 0:
            inner = sheet.faces[(sheet.faces < len(sheet.points)).all(-1)]
            one, other = sheet.points[inner], sheet.points[inner.roll(1, -1)]
            apart = (steps[one] - steps[other]).square().sum(-1)
            total = total + settings.rigid * apart.mean() if apart.numel() else total
    beside = (moves.single[frame - 1] + moves.single[frame + 1]) / 2
    uneven = (moves.single[frame] - beside).square().sum(-1).mean() + moves.single[frame].square().sum(-1).mean()
    posed = (moves.poses[frame] - (moves.poses[frame - 1] + moves.poses[frame + 1]) / 2).square().mean()
    return total + settings.smooth * (uneven + 0.1 * posed)


def _smaller(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture [c, h, w] reduced to (width, height), each pixel a mean."""
    if picture.shape[1:] == (size[1], size[0]):
        return picture
    return resized(picture[None], (size[1], size[0]), mode="area")[0]
