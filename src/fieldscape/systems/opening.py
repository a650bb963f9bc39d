"""From a run folder back to the Scene it holds, whichever system made it.

Each system is imported only when a run of its kind is opened.
"""

from __future__ import annotations

from pathlib import Path

import torch

from fieldscape.errors import BadInput
from fieldscape.scenes import Scene, read_scene


def open_scene(folder: Path | str, device: torch.device | str = "cpu") -> Scene:
    """The scene of a run folder, needing nothing but the folder. Raises BadInput if it holds none that can be read."""
    files = read_scene(Path(folder))
    if files.system == "nerf":
        from fieldscape.systems.nerf import scene

        return scene.rebuild(files, torch.device(device))
    if files.system == "gan" and files.details.get("kind") == "generator":
        from fieldscape.systems.gan import scene as gan_scene

        return gan_scene.rebuild(files, torch.device(device))
    if files.system == "gan" and files.details.get("kind") == "photo":
        from fieldscape.systems.gan.photo import scene as photo_scene

        return photo_scene.rebuild(files, torch.device(device))
    if files.system == "gan" and files.details.get("kind") == "inversion":
        from fieldscape.systems.gan.invert import scene as inverted_scene

        return inverted_scene.rebuild(files, torch.device(device))
    if files.system == "slots" and files.details.get("kind") == "objects":
        from fieldscape.systems.slots import scene as objects_scene

        return objects_scene.rebuild(files, torch.device(device))
    if files.system == "latents":
        from fieldscape.systems.latents import scene as latents_scene

        return latents_scene.rebuild(files, Path(folder))
    if files.system == "tracks":
        from fieldscape.systems.tracks import scene as clip_scene

        return clip_scene.rebuild(files, torch.device(device))
    raise BadInput(f"{folder} holds a scene of the system {files.system!r}, which this version does not have: upgrade.")
