"""The objects of a fit by name: what a robot could read, and their meshes for files and pictures.

objects.json: ``frame`` (name and number of the depth map), ``axes``, ``camera`` {focal, center, width, height, pose},
``camera_to_model`` 4x4, ``prototypes``, and ``objects``, a list of

    number (from 1), existence (0..1), weights (one a prototype), size [3]: of the upright box that holds it, along its
    own axes, metres; scale: root mean square radius, metres; position [3], yaw, pitch, roll (radians), all in the model
    frame (origin on the ground below the camera, y up, z ahead, x to the left); to_model, to_camera, to_world: 4x4 from
    the object's own axes (metres), the last one only where the data know the camera's pose; pixels: how many show it;
    mesh: a file beside this one, in the model frame.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor

from fieldscape import raster
from fieldscape.colors import to_linear
from fieldscape.data.depth.record import DepthMap
from fieldscape.files import write_atomic, write_json
from fieldscape.nearest import nearest_distance_in_groups
from fieldscape.systems.slots.codec import Slots, decode, rotation
from fieldscape.systems.slots.points import Observed
from fieldscape.systems.slots.prototypes import Prototypes, exported, sampled
from fieldscape.systems.slots.targets import inverse
from fieldscape.types import Camera

FINE = 3
"""Level of the sphere in files and pictures: 642 vertices an object."""

SLIVER = 0.1
"""An object of which less than this share shows is none."""

COLORS = (
    (0.90, 0.35, 0.28), (0.25, 0.55, 0.90), (0.98, 0.75, 0.20), (0.35, 0.72, 0.42), (0.66, 0.42, 0.86),
    (0.98, 0.55, 0.16), (0.20, 0.75, 0.76), (0.93, 0.48, 0.70), (0.60, 0.66, 0.20), (0.50, 0.38, 0.30),
    (0.45, 0.50, 0.95), (0.62, 0.62, 0.62),
)  # fmt: skip
"""Of objects, in turn; sRGB."""


@dataclass(frozen=True)
class Objects:
    """The objects of one depth map, nearest first: k of them, each v vertices with the same faces, model frame.

    pixels: the object that each pixel shows, from 1 on; 0: none, by the surface nearest to the point seen there.
    """

    slots: Slots
    weights: Float[Tensor, "k p"]
    vertices: Float[Tensor, "k v 3"]
    faces: Int[Tensor, "f 3"]
    pixels: Int[Tensor, "h w"]

    def __len__(self) -> int:
        return len(self.vertices)

    def color(self, number: int) -> tuple[float, float, float]:
        """Of object ``number``, counted from 0."""
        return COLORS[number % len(COLORS)]


@torch.no_grad()
def objects_of(vecta: Float[Tensor, "k d"], prototypes: Prototypes, observed: Observed) -> Objects:
    """The objects that slots stand for, the nearest to the camera first."""
    order = vecta[:, 1:4].sub(observed.from_camera[:3, 3]).norm(dim=-1).argsort(stable=True, dim=0)
    slots = decode(vecta[order])
    vertices, faces = exported(prototypes.surfaces(slots), prototypes.level, max(FINE, prototypes.level))
    return Objects(slots, slots.logits.softmax(-1), vertices, faces, assigned(vertices, faces, observed))


@torch.no_grad()
def without_slivers(objects: Objects, observed: Observed, least: float = SLIVER) -> Objects:
    """Only the objects of whose outline at least the share ``least`` shows them.

    Of what hardly shows (the seam of a counter, the rim of something behind) a slot makes a large thing that hides
    behind all else, where nothing speaks against it. Pixels that showed such a thing show none afterwards.
    """
    to_camera = inverse(observed.from_camera)
    local = objects.vertices @ to_camera[:3, :3].T + to_camera[:3, 3]
    camera = observed.depth_map.camera
    outline = torch.stack([raster.rasterize(one, objects.faces, camera).hit.sum() for one in local.unbind(0)])
    shown = torch.bincount(objects.pixels.flatten(), minlength=len(objects) + 1)[1:]
    kept = shown >= least * outline
    numbers = torch.cat([torch.zeros(1, dtype=torch.long), kept.long().cumsum(0) * kept])
    slots = Slots(*(getattr(objects.slots, each.name)[kept] for each in fields(Slots)))
    return Objects(slots, objects.weights[kept], objects.vertices[kept], objects.faces, numbers[objects.pixels])


def assigned(vertices: Float[Tensor, "k v 3"], faces: Int[Tensor, "f 3"], observed: Observed) -> Int[Tensor, "h w"]:
    """For each pixel that shows a thing, the number, from 1 on, of the surface nearest to what it shows; else 0."""
    return nearest_of(sampled(vertices, faces)[0], observed)


def nearest_of(samples: Float[Tensor, "k m 3"], observed: Observed) -> Int[Tensor, "h w"]:
    """``assigned`` for surfaces given by points on them, in the model frame."""
    labels = torch.zeros(observed.smooth.shape, dtype=torch.long)
    row, column = observed.things.nonzero().unbind(-1)
    if len(samples) and len(row):
        points = seen_points(observed, row, column)
        labels[row, column] = 1 + nearest_distance_in_groups(points, samples).argmin(-1)
    return labels


def seen_points(observed: Observed, row: Int[Tensor, "n"], column: Int[Tensor, "n"]) -> Float[Tensor, "n 3"]:
    """What pixels show, in the model frame."""
    camera, z = observed.depth_map.camera, observed.smooth[row, column]
    centres = torch.stack([column, row], -1) + 0.5
    local = torch.cat([(centres - camera.center) / camera.focal * z[:, None], z[:, None]], -1)
    return local @ observed.from_camera[:3, :3].T + observed.from_camera[:3, 3]


def drawn(objects: Objects, camera: Camera, to_camera: Float[Tensor, "4 4"]) -> tuple[Tensor, raster.Raster]:
    """All objects as ``camera`` sees them: the number of the object at each pixel [h, w] from 1 on, 0 none; the raster,
    whose faces are numbered through all objects in turn. to_camera: model frame to camera axes."""
    flat = objects.vertices.flatten(0, 1) @ to_camera[:3, :3].T + to_camera[:3, 3]
    starts = torch.arange(len(objects))[:, None, None] * objects.vertices.shape[1]
    seen = raster.rasterize(flat, (objects.faces + starts).reshape(-1, 3), camera)
    return torch.where(seen.hit, seen.face // len(objects.faces) + 1, 0), seen


def describe(
    objects: Objects, prototypes: Prototypes, from_camera: Float[Tensor, "4 4"], depth_map: DepthMap, frame: int
) -> dict[str, Any]:
    """The content of objects.json. from_camera: camera axes to model frame."""
    camera, slots = depth_map.camera, objects.slots
    turns, to_camera = rotation(slots.angles), inverse(from_camera)
    listed = []
    for k in range(len(objects)):
        to_model = torch.eye(4)
        to_model[:3, :3], to_model[:3, 3] = turns[k], slots.position[k]
        own = (objects.vertices[k] - slots.position[k]) @ turns[k]
        size = own.amax(0) - own.amin(0)
        yaw, pitch, roll = slots.angles[k].tolist()
        there = to_camera @ to_model
        listed.append(
            {
                "number": k + 1,
                "existence": float(torch.sigmoid(slots.existence[k, 0])),
                "weights": _short(objects.weights[k]),
                "scale": round(float(slots.scale[k, 0]), 4),
                "size": _short(size),
                "position": _short(slots.position[k]),
                "yaw": round(yaw, 4),
                "pitch": round(pitch, 4),
                "roll": round(roll, 4),
                "to_model": _short(to_model),
                "to_camera": _short(there),
                "to_world": _short(camera.pose @ there) if depth_map.posed else None,
                "pixels": int((objects.pixels == k + 1).sum()),
                "mesh": f"meshes/object-{k + 1}.glb",
            }
        )
    lens = {"focal": camera.focal.tolist(), "center": camera.center.tolist(), "width": camera.width}
    lens |= {"height": camera.height, "pose": _short(camera.pose) if depth_map.posed else None}
    return {
        "frame": {"name": depth_map.name, "number": frame},
        "axes": {"model": "x left, y up, z ahead; origin on the ground below the camera; metres",
                 "camera": "x right, y down, z forward; metres"},
        "camera": lens,
        "camera_to_model": _short(from_camera),
        "prototypes": [f"meshes/prototype-{k + 1}.glb" for k in range(len(prototypes))],
        "objects": listed,
    }  # fmt: skip


def write_objects(
    folder: Path,
    objects: Objects,
    prototypes: Prototypes,
    from_camera: Float[Tensor, "4 4"],
    depth_map: DepthMap,
    frame: int,
) -> None:
    """Write objects.json and the meshes: each object, all of them, and each prototype. Raises BadInput if it cannot."""
    (folder / "meshes").mkdir(exist_ok=True)
    write_json(folder / "objects.json", describe(objects, prototypes, from_camera, depth_map, frame))
    whole = trimesh.Scene()
    for k in range(len(objects)):
        mesh = solid(objects.vertices[k], objects.faces, objects.color(k))
        whole.add_geometry(mesh, node_name=f"object-{k + 1}", geom_name=f"object-{k + 1}")
        _write_glb(folder / "meshes" / f"object-{k + 1}.glb", mesh)
    if len(objects):
        _write_glb(folder / "objects.glb", whole)
    shapes, faces = exported(prototypes.shapes().detach(), prototypes.level, max(FINE, prototypes.level))
    for k, shape in enumerate(shapes):
        _write_glb(folder / "meshes" / f"prototype-{k + 1}.glb", solid(shape, faces, (0.75, 0.75, 0.75)))


def solid(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], color: tuple[float, float, float]
) -> trimesh.Trimesh:
    """A mesh of one colour, for glTF: y up, as the model frame. Its base colour is linear light."""
    linear = to_linear(torch.tensor(color)).tolist()
    material = trimesh.visual.material.PBRMaterial(
        baseColorFactor=[*linear, 1.0], metallicFactor=0.0, roughnessFactor=0.9
    )
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    mesh.visual = trimesh.visual.TextureVisuals(material=material)
    return mesh


def _write_glb(path: Path, thing: trimesh.Trimesh | trimesh.Scene) -> None:
    content = thing.export(file_type="glb")
    if not isinstance(content, bytes):
        raise TypeError("glTF is made of bytes")
    write_atomic(path, lambda file: file.write(content))


def _short(values: Tensor) -> list[Any]:
    """Numbers for a file, to a tenth of a millimetre or of a thousandth."""

    def rounded(value: Any) -> Any:
        return [rounded(item) for item in value] if isinstance(value, list) else round(value, 5)

    return rounded(values.tolist())
