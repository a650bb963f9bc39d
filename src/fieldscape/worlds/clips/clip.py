"""A filmed scene at every frame: what stands still, what moves, the camera, and the light, all from a few settings.

A clip is rebuilt from its settings wherever a frame of it is made, and frames do not depend on each other. What stands
is put together once; for a frame only the vertices of what moves are carried to their places. The exposure and the
light that surfaces send on to each other are worked out once for the whole clip, so that nothing flickers; shadows are
those of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape.cameras import focal_from_fov
from fieldscape.meshes import transform
from fieldscape.types import Camera, Mesh
from fieldscape.worlds.clips.garden import garden
from fieldscape.worlds.clips.motions import CameraPath, camera_poses
from fieldscape.worlds.clips.options import ClipScene
from fieldscape.worlds.clips.scene import Scene
from fieldscape.worlds.clips.sky import Clouds
from fieldscape.worlds.clips.tabletop import tabletop
from fieldscape.worlds.daylight import Direct, lit
from fieldscape.worlds.raycast import caster
from fieldscape.worlds.shading import Part, World, one_thread

STILL = -1
"""The number of the object that everything belongs to that does not move."""
SKY = -2
"""The number of what stands where nothing stands."""
ROUND = 6.0
"""Seconds that a motion takes for one round, in clips long enough."""
LEAST_ROUNDS = 0.37
"""Rounds in a short clip: enough for the first object to vanish behind something and come out again."""
PROBES = 3000
DARKER = 0.53
"""Much of a scene's surface lies hidden in the shade of leaves and would have what is seen overexposed."""


@dataclass(frozen=True)
class ClipSettings:
    """What a clip shows: all of it follows from these."""

    frames: int
    width: int
    height: int
    objects: int
    camera: CameraPath
    scene: ClipScene
    seed: int
    fps: float


@dataclass(frozen=True)
class Clip:
    """A scene in time.

    camera: one a frame, in double precision.  names, sizes: of the objects; the size of the box around each, in its
    own frame.  poses: object to world at each frame, in double precision.  vertices, normals: of the whole scene,
    those of an object in its own frame.  object: the number of the object that each vertex belongs to, STILL for none;
    part_object: the same for each part.  base: the lit world of the first frame.
    """

    settings: ClipSettings
    scene: Scene
    camera: Camera
    names: tuple[str, ...]
    sizes: Float[Tensor, "k 3"]
    poses: Float[Tensor, "t k 4 4"]
    vertices: Float[Tensor, "v 3"]
    normals: Float[Tensor, "v 3"]
    object: Int[Tensor, "v"]
    part_object: Int[Tensor, "p"]
    base: World

    def __len__(self) -> int:
        return self.settings.frames


@lru_cache(maxsize=2)
@one_thread()
def clip_of(settings: ClipSettings) -> Clip:
    """The clip of some settings. The last two are kept: building one takes a second or two."""
    makers = {"garden": garden, "tabletop": tabletop}
    scene = makers[settings.scene](settings.seed, settings.objects)
    share = torch.linspace(0, 1, settings.frames, dtype=torch.float64) if settings.frames > 1 else torch.tensor([0.5])
    share = share.double()
    seconds = torch.arange(settings.frames, dtype=torch.float64) / settings.fps
    rounds = max(LEAST_ROUNDS, settings.frames / settings.fps / ROUND)
    poses = torch.zeros(settings.frames, 0, 4, 4, dtype=torch.float64)
    if scene.movers:
        poses = torch.stack([mover.motion(mover.start + rounds * share) for mover in scene.movers], 1)
    focal = focal_from_fov(scene.stand.degrees, settings.width)
    size = torch.tensor([settings.width, settings.height], dtype=torch.float64)
    camera = Camera(
        camera_poses(settings.camera, scene.stand, share, seconds, settings.seed),
        torch.full((settings.frames, 2), focal, dtype=torch.float64),
        (size / 2).expand(settings.frames, 2),
        settings.width,
        settings.height,
    )
    parts = [*scene.still, *(part for mover in scene.movers for part in mover.parts)]
    owner = [STILL] * len(scene.still) + [k for k, mover in enumerate(scene.movers) for _ in mover.parts]
    part_object = torch.tensor(owner)
    counts = torch.tensor([len(part.mesh.vertices) for part in parts])
    vertices, normals = torch.cat([part.mesh.vertices for part in parts]), torch.cat([_normals(part) for part in parts])
    vertex_object = part_object.repeat_interleave(counts)
    boxes = [vertices[vertex_object == k] for k in range(len(scene.movers))]
    sizes = torch.stack([b.amax(0) - b.amin(0) for b in boxes]) if boxes else torch.zeros(0, 3)
    names = tuple(mover.name for mover in scene.movers)
    placed = [_moved(part, poses[0, k]) if k != STILL else part for part, k in zip(parts, owner)]
    base = lit(placed, scene.lights, probes=PROBES)
    base = replace(base, exposure=DARKER * base.exposure, around=Clouds(scene.lights, settings.seed))
    return Clip(settings, scene, camera, names, sizes, poses, vertices, normals, vertex_object, part_object, base)


def world_at(clip: Clip, frame: int) -> World:
    """The lit world of a frame. Faces keep their numbers from frame to frame."""
    vertices, normals = clip.vertices.clone(), clip.normals.clone()
    parts = list(clip.base.parts)
    for k in range(len(clip.names)):
        pose, mine = clip.poses[frame, k], clip.object == k
        vertices[mine] = (clip.vertices[mine].double() @ pose[:3, :3].T + pose[:3, 3]).float()
        normals[mine] = clip.normals[mine] @ pose[:3, :3].T.float()
        # The texture's frame: from the world of this frame to the object, by way of its pose at the first.
        back = (clip.poses[0, k] @ torch.linalg.inv(pose)).float()
        for index in (clip.part_object == k).nonzero().flatten().tolist():
            parts[index] = replace(parts[index], frame=parts[index].frame @ back)
    mesh = Mesh(vertices, clip.base.mesh.faces, clip.base.mesh.colors)
    solid = caster(mesh)
    light = clip.base.light
    assert isinstance(light, Direct)
    return replace(
        clip.base, parts=tuple(parts), mesh=mesh, normals=normals, caster=solid, light=replace(light, solid=solid)
    )


def farthest(clip: Clip) -> float:
    """A bound on the planar depth of all that is seen in the clip, in metres: of the corners of the box around it."""
    still = clip.vertices[clip.object == STILL].double()
    low, high = still.amin(0), still.amax(0)
    corner = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]).double()
    points = low + corner * (high - low)
    depth = ((points[None] - clip.camera.position[:, None]) * clip.camera.forward[:, None]).sum(-1)
    return float(depth.max())


def _moved(part: Part, pose: Float[Tensor, "4 4"]) -> Part:
    """A part carried from its object's frame into the world; its texture goes with it."""
    back = torch.linalg.inv(pose).float()
    mesh, normals = transform(part.mesh, pose.float()), _normals(part) @ pose[:3, :3].T.float()
    return replace(part, mesh=mesh, normals=normals, frame=part.frame @ back)


def _normals(part: Part) -> Float[Tensor, "v 3"]:
    if part.normals is None:
        raise ValueError(f"{part.name} has no normals: a clip takes parts that are ready")
    return part.normals
