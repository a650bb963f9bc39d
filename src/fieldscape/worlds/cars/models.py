"""Readers of meshes that people have: OBJ, GLB, glTF, STL, PLY, and JSON with vertices and faces.

What is read is turned upright, z up, and to face +y where its format says where its front is: glTF has y up and faces
+z, JSON (as in collections of cars) has y down and faces z; OBJ is taken to have y up and to face -z, as
ShapeNet's files; STL and PLY are taken as they are. Files are not trusted: they are bounded in size, nothing is
fetched, and what they refer to is read only from inside the folder that was given.
"""

from __future__ import annotations

import io
import json
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from fieldscape.colors import to_linear
from fieldscape.errors import BadInput
from fieldscape.files import read_bytes, read_json
from fieldscape.images import FORMATS

ENDINGS = (".obj", ".glb", ".gltf", ".stl", ".ply", ".json")
MAX_BYTES = 200 * 2**20
MAX_FACES = 5_000_000
MAX_TEXTURE = 2048
"""Larger textures are read at a smaller size: no picture shows more of them."""
MAX_TEXTURE_PIXELS = 64_000_000
SUFFICES = 3 * MAX_FACES
"""Most vertices of a file."""

UPRIGHT = {
    ".obj": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    ".glb": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    ".gltf": ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    ".json": ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
    ".stl": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ".ply": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
"""The turn from a format's axes to z up and facing +y, row by row."""


@dataclass(frozen=True)
class Piece:
    """Triangles of one material, in double precision: a mesh may lie far from its origin.

    colors: linear RGB at the vertices, if they are painted.  uv, image: a texture (sRGB bytes, the first row at v = 1)
    and where in it each vertex lies, repeating beyond 0..1.  color: a linear colour of all, if one is given; it
    multiplies the texture.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "v 3"] | None = None
    uv: Float[Tensor, "v 2"] | None = None
    image: UInt8[Tensor, "h w 3"] | None = None
    color: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Model:
    """A mesh that was read: its pieces, upright; and the files it asked for that were not there or not to be read."""

    pieces: tuple[Piece, ...]
    missing: tuple[str, ...] = ()


class Neighbours:
    """Files that a mesh may refer to: those inside ``root``, named from the folder ``home`` of the mesh.

    Its methods are those that trimesh asks of a resolver.
    """

    def __init__(self, home: Path, root: Path) -> None:
        self.home, self.root = home.resolve(), root.resolve()
        self.missing: list[str] = []

    def get(self, name: str) -> bytes:
        """The content of the file ``name``. Raises FileNotFoundError where it is not inside ``root``, or too large."""
        try:
            for written in (name.strip(), unquote(name.strip())):
                path = (
                    self.home / written.replace("\\", "/")
                ).resolve()  # follows links, so that they lead nowhere else
                if path.is_relative_to(self.root) and path.is_file():
                    return read_bytes(path, MAX_BYTES)
        except (BadInput, OSError, ValueError):  # ValueError: a null byte in the name
            pass
        self.missing.append(name[:200])
        raise FileNotFoundError(name)

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)


def find(folder: Path) -> list[Path]:
    """All mesh files in ``folder`` and below, in order of their names. Raises BadInput if there are none."""
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.")
    root = folder.resolve()
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file() and path.resolve().is_relative_to(root)
    ]
    if not found:
        raise BadInput(f"{folder} holds no mesh: files ending in {', '.join(ENDINGS)} are read.")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def names(paths: list[Path]) -> list[str]:
    """A name for each file that can be a folder's: its stem, numbered where stems repeat.

    >>> names([Path("a/car.obj"), Path("b/car.obj"), Path("b/my car.glb")])
    ['car', 'car-2', 'my_car']
    """
    used: set[str] = set()
    result = []
    for path in paths:
        stem = (
            "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in path.stem).strip(".")[:100] or "mesh"
        )
        name, number = stem, 1
        while name.lower() in used:
            number += 1
            name = f"{stem}-{number}"
        used.add(name.lower())
        result.append(name)
    return result


def read(path: Path, root: Path | None = None) -> Model:
    """The mesh in a file; what it refers to may lie anywhere inside ``root`` (None: the file's own folder).

    Raises:
        BadInput: the file is missing, damaged, empty or too large; the message says which, without the file's name.
    """
    ending = path.suffix.lower()
    neighbours = Neighbours(path.parent, root or path.parent)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"larger than {MAX_BYTES // 2**20} MiB")
        if ending == ".json":
            pieces = [_read_json(path)]
        else:
            pieces = list(_read_trimesh(path, ending, neighbours))
    except BadInput:
        raise
    except FileNotFoundError as error:
        raise BadInput(f"it needs {error}, which is not there or lies outside the folder") from error
    except RecursionError as error:
        raise BadInput("it nests too deeply") from error
    except MemoryError as error:
        raise BadInput("it asks for more memory than there is") from error
    except Exception as error:  # a damaged file makes the parsers fail in every way there is
        raise BadInput(f"damaged, or not what its name says ({type(error).__name__})") from error
    turn = torch.tensor(UPRIGHT[ending], dtype=torch.float64)
    upright = tuple(checked for piece in pieces if (checked := _checked(piece, turn)) is not None)
    if not upright:
        raise BadInput("no triangles in it")
    if sum(len(piece.faces) for piece in upright) > MAX_FACES:
        raise BadInput(f"more than {MAX_FACES:,} faces")
    points = torch.cat([piece.vertices for piece in upright])
    if float((points.amax(0) - points.amin(0)).norm()) <= 0:
        raise BadInput("all its points are one")
    return Model(upright, tuple(sorted(set(neighbours.missing))))


def _checked(piece: Piece, turn: Tensor) -> Piece | None:
    """The piece turned upright, without faces that have no area or lead nowhere; None if none are left."""
    if not len(piece.faces):
        return None
    if int(piece.faces.min()) < 0 or int(piece.faces.max()) >= len(piece.vertices):
        raise BadInput("a face names a vertex that is not there")
    if len(piece.faces) > MAX_FACES:
        raise BadInput(f"more than {MAX_FACES:,} faces")
    used, faces = torch.unique(piece.faces, return_inverse=True)
    vertices = piece.vertices[used]
    if not bool(vertices.isfinite().all()) or float(vertices.abs().max()) > 1e12:
        raise BadInput("a vertex that is not a place")
    a, b, c = vertices[faces].unbind(1)
    size = float((vertices.amax(0) - vertices.amin(0)).norm())
    kept = torch.linalg.cross(b - a, c - a).norm(dim=-1) > 1e-12 * size**2
    if not bool(kept.any()):
        return None
    colors = None if piece.colors is None else piece.colors[used]
    uv = None if piece.uv is None else piece.uv[used].nan_to_num(0.0, 0.0, 0.0)
    return Piece(vertices @ turn.T, faces[kept], colors, uv, piece.image, piece.color)


def _read_json(path: Path) -> Piece:
    try:
        content = read_json(path)
    except BadInput as error:
        raise BadInput("not valid JSON, or larger than is read of such files") from error
    if not isinstance(content, dict) or not {"vertices", "faces"} <= set(content):
        raise BadInput('no "vertices" and "faces" in it')
    vertices = np.asarray(content["vertices"], dtype=np.float64)
    faces = np.asarray(content["faces"], dtype=np.int64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise BadInput('"vertices" and "faces" are not rows of three numbers')
    # Such files count vertices from 1; one that names vertex 0 counts from 0.
    return Piece(torch.from_numpy(vertices), torch.from_numpy(faces - int(faces.min() > 0)))


def _read_trimesh(path: Path, ending: str, neighbours: Neighbours) -> Iterator[Piece]:
    content = read_bytes(path, MAX_BYTES)
    if ending in (".glb", ".gltf"):
        _check_gltf(content, ending)
    logger = logging.getLogger("trimesh")
    before, logger.disabled = logger.disabled, True  # the reasons are told in our own words
    try:
        asked: Any = neighbours  # trimesh wants the methods, whatever the class
        scene: Any = trimesh.load(
            io.BytesIO(content), file_type=ending[1:], resolver=asked, force="scene", process=False
        )
        total = 0
        for node in scene.graph.nodes_geometry:
            matrix, name = scene.graph[node]
            mesh = scene.geometry[name]
            if not isinstance(mesh, trimesh.Trimesh):
                continue
            total += len(mesh.faces)
            if total > MAX_FACES:
                raise BadInput(f"more than {MAX_FACES:,} faces")
            yield _piece(mesh, np.asarray(matrix, dtype=np.float64), ending)
    finally:
        logger.disabled = before


def _piece(mesh: trimesh.Trimesh, matrix: np.ndarray, ending: str) -> Piece:
    vertices = np.asarray(mesh.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    faces = np.asarray(mesh.faces, dtype=np.int64)
    points, corners = torch.from_numpy(vertices), torch.from_numpy(faces.copy())
    if float(np.linalg.det(matrix[:3, :3])) < 0:
        corners = corners.flip(-1)
    visual: Any = mesh.visual
    kind = visual.kind
    if kind == "vertex":
        return Piece(points, corners, _linear(visual.vertex_colors, ending))
    if kind == "face":  # one colour a face: each face gets vertices of its own
        colors = _linear(visual.face_colors, ending).repeat_interleave(3, 0)
        return Piece(points[corners.flatten()], torch.arange(3 * len(corners)).reshape(-1, 3), colors)
    if kind != "texture":
        return Piece(points, corners)
    material = visual.material
    pbr = hasattr(material, "baseColorFactor")
    image = _picture(material.baseColorTexture if pbr else material.image)
    uv = None if visual.uv is None or len(visual.uv) != len(points) else torch.from_numpy(np.asarray(visual.uv)).float()
    given = material.baseColorFactor if pbr else (material.diffuse if (material.kwargs or {}).get("kd") else None)
    color = None
    if given is not None:
        linear = _linear(np.asarray(given, dtype=np.float64).reshape(1, -1), ending)[0].tolist()
        color = (linear[0], linear[1], linear[2])
    if image is None or uv is None:
        return Piece(points, corners, color=color)
    return Piece(points, corners, None, uv[:, :2], image, color)


def _linear(colors: np.ndarray, ending: str) -> Float[Tensor, "n 3"]:
    """Colours 0..255 as linear light; glTF states linear numbers, all others mean what a screen shows."""
    shown = torch.from_numpy(np.asarray(colors, dtype=np.float64)[:, :3]).float() / 255
    return shown.clamp(0, 1) if ending in (".glb", ".gltf") else to_linear(shown.clamp(0, 1))


def _picture(image: Image.Image | None) -> UInt8[Tensor, "h w 3"] | None:
    """The pixels of a texture; None for what is no plain picture, or an immense one."""
    if image is None or image.format not in FORMATS or image.width * image.height > MAX_TEXTURE_PIXELS:
        return None
    try:
        image.draft("RGB", (MAX_TEXTURE, MAX_TEXTURE))
        picture = image.convert("RGB")
    except Exception:  # a damaged picture: the mesh is shown without
        return None
    if max(picture.size) > MAX_TEXTURE:
        picture.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
    return torch.from_numpy(np.asarray(picture).copy())


def _check_gltf(content: bytes, ending: str) -> None:
    """Refuses a glTF that claims more numbers than any honest file of the largest size holds."""
    if ending == ".glb":
        if len(content) < 20 or content[:4] != b"glTF":
            raise BadInput("not a GLB file")
        length = struct.unpack("<I", content[12:16])[0]
        content = content[20 : 20 + length]
    header = json.loads(content.decode("utf-8-sig"))
    claims = [accessor.get("count", 0) for accessor in header.get("accessors", [])]
    if any(not isinstance(count, int) or count < 0 for count in claims) or max(claims, default=0) > SUFFICES:
        raise BadInput(f"more than {MAX_FACES:,} faces")


@lru_cache(maxsize=2)
def listing(folder: Path) -> tuple[tuple[Path, str], ...]:
    """The files of ``find`` with their ``names``, looked up once."""
    paths = find(folder)
    return tuple(zip(paths, names(paths)))
