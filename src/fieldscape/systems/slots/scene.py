"""The objects of a depth map as a Scene: the ground and each object can be switched on and off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape import cameras, raster
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.paths import orbit
from fieldscape.scenes import Control, Scene, SceneFiles, write_scene
from fieldscape.systems.slots.objects import Objects
from fieldscape.systems.slots.targets import inverse
from fieldscape.types import Camera, Rendered

KIND = "objects"
UP = (0.0, 1.0, 0.0)
SUN = (0.45, 0.8, -0.4)
"""Where the light comes from, in the model frame: from behind the camera, on the left, from above."""
AMBIENT = 0.45
FINER = 3
"""Samples a pixel's side: what is drawn has hard edges."""
GROUND = (0.80, 0.79, 0.76)
GROUND_LINES = (0.70, 0.69, 0.67)
TILE = 1.0
"""Metres between the lines on the ground."""
LINE = 0.03
SKY = (0.93, 0.95, 0.97)
MARGIN = 2.0
"""Metres that the ground goes on around the objects."""
MOST = 512
"""Objects in a scene that is read."""


def write(folder: Path, objects: Objects, camera: Camera, from_camera: Float[Tensor, "4 4"], far: float) -> None:
    """Write the scene into a run folder; its world is the model frame. Raises BadInput if it cannot be written."""
    start = Camera(from_camera, camera.focal, camera.center, camera.width, camera.height)
    points = objects.vertices.reshape(-1, 3)
    low, high = (points.amin(0), points.amax(0)) if len(points) else (torch.zeros(3), torch.ones(3))
    framing = Framing((low + high) / 2, low, high, 0.05, 3 * far, torch.tensor(UP), unbounded=False)
    around = orbit(start, framing.center, framing.up, 5, 30.0)
    colors = torch.tensor([objects.color(k) for k in range(len(objects))]).reshape(-1, 3)
    tensors = {"vertices": objects.vertices, "faces": objects.faces, "colors": colors}
    write_scene(folder, "slots", tensors, {"kind": KIND}, around, start, framing)


def rebuild(files: SceneFiles, device: torch.device) -> Scene:
    """The Scene of what was written; it is drawn on the CPU. Raises BadInput where the files do not fit each other."""
    try:
        vertices, faces, colors = (files.tensors[name] for name in ("vertices", "faces", "colors"))
        if vertices.ndim != 3 or colors.shape != (len(vertices), 3) or len(vertices) > MOST:
            raise ValueError("the objects and their colours differ in number")
        if faces.ndim != 2 or faces.shape[-1] != 3 or faces.is_floating_point():
            raise ValueError("the faces are no triangles")
        if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
            raise ValueError("a face names a vertex that is not there")
    except (KeyError, ValueError) as error:
        raise BadInput(f"the scene's description and its tensors do not fit ({error}): fit again") from error
    names = [f"object_{k + 1}" for k in range(len(vertices))]
    controls = [Control(name, 0, 1, 1, "1: shown, 0: not") for name in names]
    controls.append(Control("ground", 0, 1, 1, "1: shown, 0: not"))
    framing = files.framing

    def look(camera: Camera, values: Mapping[str, float]) -> Rendered:
        shown = [k for k, name in enumerate(names) if values[name] >= 0.5]
        return draw(vertices[shown], faces, colors[shown], framing, camera.to("cpu"), values["ground"] >= 0.5)

    return Scene("slots", look, files.start, files.cameras, framing, tuple(controls))


def draw(
    vertices: Float[Tensor, "k v 3"],
    faces: Int[Tensor, "f 3"],
    colors: Float[Tensor, "k 3"],
    framing: Framing,
    camera: Camera,
    ground: bool,
) -> Rendered:
    """Objects of one colour each, lit, on lined ground; leading dims [height, width]."""
    fine = cameras.resize(camera, camera.width * FINER, camera.height * FINER)
    count, each = vertices.shape[:2]
    all_faces = (faces + torch.arange(count)[:, None, None] * each).reshape(-1, 3)
    points, paint, normals = vertices.reshape(-1, 3), colors.repeat_interleave(each, 0), _normals(vertices, faces)
    if ground:
        floor, floor_faces = _floor(framing, camera)
        all_faces = torch.cat([all_faces, floor_faces + len(points)])
        points = torch.cat([points, floor])
        paint = torch.cat([paint, torch.tensor(GROUND).expand(len(floor), 3)])
        normals = torch.cat([normals, torch.tensor(UP).expand(len(floor), 3)])
    if not len(all_faces):
        return _averaged(
            torch.tensor(SKY).expand(fine.height, fine.width, 3), torch.zeros(fine.height, fine.width), fine
        )
    to_camera = inverse(camera.pose)
    seen = raster.rasterize(points @ to_camera[:3, :3].T + to_camera[:3, 3], all_faces, fine)
    filled = raster.interpolate(seen, all_faces, torch.cat([paint, normals, points], -1))
    color, normal, place = filled.split([3, 3, 3], -1)
    on_floor = seen.face >= count * len(faces)
    lines = ((place[..., [0, 2]] / TILE).frac().abs() - 0.5).abs().amax(-1) > 0.5 - LINE
    color = torch.where((on_floor & lines)[..., None], torch.tensor(GROUND_LINES), color)
    sun = torch.nn.functional.normalize(torch.tensor(SUN), dim=0)
    facing = (torch.nn.functional.normalize(normal, dim=-1) @ sun).clamp_min(0)
    light = torch.where(on_floor, 1.0, AMBIENT + (1 - AMBIENT) * facing)
    color = torch.where(seen.hit[..., None], color * light[..., None], torch.tensor(SKY))
    return _averaged(color, torch.where(seen.hit, seen.depth, 0.0), fine)


def _averaged(color: Tensor, depth: Tensor, fine: Camera) -> Rendered:
    """Pictures from samples; the depth is along the ray, the mean of the samples that hit."""
    hit = (depth > 0).float()
    along = cameras.ray_depth(fine, depth) * hit

    def mean(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(values.movedim(-1, 0)[None], FINER)[0].movedim(0, -1)

    alpha = mean(hit[..., None])
    return Rendered(mean(color), mean(along[..., None]) / alpha.clamp_min(1e-6), alpha)


def _normals(vertices: Float[Tensor, "k v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "n 3"]:
    """Of vertices: those of the faces around them, by area."""
    a, b, c = vertices[:, faces].unbind(-2)
    areas = torch.linalg.cross(b - a, c - a).repeat_interleave(3, 1)
    around = torch.zeros_like(vertices).index_add_(1, faces.flatten(), areas)
    return torch.nn.functional.normalize(around, dim=-1).reshape(-1, 3)


def _floor(framing: Framing, camera: Camera) -> tuple[Float[Tensor, "4 3"], Int[Tensor, "2 3"]]:
    """The ground from below the camera to beyond the objects."""
    eye = camera.pose[:3, 3]
    low = torch.minimum(framing.low, eye)[[0, 2]] - MARGIN
    high = torch.maximum(framing.high, eye)[[0, 2]] + MARGIN
    (left, near), (right, far) = low.tolist(), high.tolist()
    corners = torch.tensor([[left, 0.0, near], [right, 0.0, near], [right, 0.0, far], [left, 0.0, far]])
    return corners, torch.tensor([[0, 2, 1], [0, 3, 2]])
