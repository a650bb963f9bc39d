"""The objects of a run as a Scene: which of them is a control, and so is the way from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from fieldscape.cameras import look_at
from fieldscape.errors import BadInput
from fieldscape.framing import Framing
from fieldscape.scenes import Control, Scene, SceneFiles, read_scene, write_scene
from fieldscape.systems.latents import methods
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.config import SYSTEM
from fieldscape.systems.latents.methods import Shared
from fieldscape.systems.latents.nouns import Draw
from fieldscape.types import Camera, Rendered

BANK = "bank"
"""The folder in a run that holds its objects."""

FROM = (0.62, 0.68, 0.39)
"""Where the first look is from, a unit vector."""

OPEN = 32
"""Objects kept ready to be drawn."""


def write(folder: Path, shared: Shared, cameras: Camera) -> None:
    """Write what is shared into a run folder; cameras: of one object, to look from. Raises BadInput if it cannot."""
    low, high = methods.box(shared)
    away = cameras.position.norm(dim=-1)
    reach = float((high - low).norm()) / 2
    near, far = max(1e-3, float(away.min()) - reach), float(away.max()) + reach
    framing = Framing((low + high) / 2, low, high, near, far, torch.tensor([0.0, 0.0, 1.0]), unbounded=False)
    write_scene(folder, SYSTEM, shared.tensors(), methods.described(shared), cameras, start(cameras, framing), framing)


def start(cameras: Camera, framing: Framing) -> Camera:
    """A view from the side and a little above, as far away as the cameras are: photos may well be from below."""
    away = float((cameras.position - framing.center).norm(dim=-1).median())
    eye = framing.center + away * torch.tensor(FROM)
    pose = look_at(eye, framing.center, framing.up)
    return replace(cameras[0], pose=pose)


def read_shared(folder: Path) -> tuple[Shared, SceneFiles]:
    """What the objects of a run share. Raises BadInput for a folder that is no run of latents, or not finished."""
    files = read_scene(folder)
    if files.system != SYSTEM:
        raise BadInput(f"{folder} is a run of the system {files.system!r}: give a run of latents train.")
    return methods.shared_of(files.tensors, files.details, str(folder / "scene.json")), files


def rebuild(files: SceneFiles, folder: Path) -> Scene:
    """The Scene of what ``write`` wrote and the bank beside it; it draws on the CPU.

    Raises BadInput where they do not fit each other.
    """
    shared = methods.shared_of(files.tensors, files.details, str(folder / "scene.json"))
    bank = Bank.open(folder / BANK, methods.fingerprint(shared))
    names = bank.names()
    if not names:
        raise BadInput(f"{folder} holds no objects yet: add some with fieldscape latents exploit {folder} DATA.")

    @lru_cache(OPEN)
    def ready(number: int) -> Draw:
        return methods.opened(shared, bank.read(names[number]).payload, names[number])

    @lru_cache(OPEN)
    def blended(first: int, second: int, share: float) -> Draw:
        return methods.between(shared, bank.read(names[first]).payload, bank.read(names[second]).payload, share)

    def look(camera: Camera, controls: Mapping[str, float]) -> Rendered:
        first, second, share = round(controls["object"]), round(controls["toward"]), controls["share"]
        if share == 0 or first == second:
            return ready(first)(camera)
        return blended(first, second, share)(camera)

    last = float(len(names) - 1)
    listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    controls = (
        Control("object", 0, last, 0, f"which of the {len(names)} objects: {listed}"),
        Control("toward", 0, last, 0, "another object to change into"),
        Control("share", 0, 1, 0, "how far on the way to it"),
    )
    return Scene(SYSTEM, look, files.start, files.cameras, files.framing, controls)
