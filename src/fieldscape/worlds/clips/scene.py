"""The nouns of a filmed scene: what stands, what moves and how, the light, and where it is filmed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fieldscape.meshes import split_creases
from fieldscape.worlds.clips.motions import Motion, Stand
from fieldscape.worlds.lights import Lights
from fieldscape.worlds.shading import Part


@dataclass(frozen=True)
class Mover:
    """A rigid thing that moves: its parts in its own frame, its motion, and the phase of the motion at the start."""

    name: str
    parts: tuple[Part, ...]
    motion: Motion
    start: float


@dataclass(frozen=True)
class Scene:
    """What a clip shows. Lengths are metres, z is up."""

    still: tuple[Part, ...]
    movers: tuple[Mover, ...]
    lights: Lights
    stand: Stand


def ready(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with a normal at each vertex worked out once, for scenes that are drawn many times."""
    return tuple(piece if piece.normals is not None else _with_normals(piece) for piece in parts)


def _with_normals(piece: Part) -> Part:
    mesh, normals = split_creases(piece.mesh)
    return replace(piece, mesh=mesh, normals=normals)
