"""Objects in the SRN layout (see ``layout``): finding them, and reading them, packed once or straight into memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.files import reason
from fieldscape.systems.latents.decoding import judged, read_all
from fieldscape.systems.latents.manifest import chosen_names
from fieldscape.systems.latents.objects import SPLITS, Objects, ObjectSettings, held_out_views
from fieldscape.systems.latents.packing import packed_objects

MOST_OBJECTS = 1_000_000


def find_objects(folder: Path | str) -> dict[str, Path]:
    """The objects in a folder by name, names in order: its own, or those of the folders in it; or the folder itself.

    Raises BadInput: no such folder, no objects in it, or two of the same name.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInput(f"There is no folder {root}.")
    if _is_object(root):
        return {root.resolve().name: root}
    found = dict[str, Path]()
    for place in _folders(root):
        for item in [place] if _is_object(place) else [inner for inner in _folders(place) if _is_object(inner)]:
            other = found.setdefault(item.name, item)
            if other != item:
                raise BadInput(f"{other} and {item} are objects of the same name; give the folder of one group.")
            if len(found) > MOST_OBJECTS:
                raise BadInput(f"{root} holds over {MOST_OBJECTS:,} objects; give a folder with fewer.")
    if not found:
        raise BadInput(
            f"{root} holds no objects: folders with rgb/, pose/ and intrinsics.txt were expected in it, or one folder "
            "deeper. 'fieldscape make cars' writes such."
        )
    return {name: found[name] for name in sorted(found)}


def read_objects(
    folder: Path | str,
    settings: ObjectSettings | None = None,
    cache: Path | str | None = None,
    names: Sequence[str] | None = None,
    span: tuple[int, int | None] | None = None,
    quiet: bool = True,
) -> Objects:
    """The objects in a folder of the SRN layout, in the order of their names.

    cache: a folder where they are packed once and mapped from then on; None: they are read into memory.  names: only
    these, in this order.  span: only the objects from the first number to before the second, of all in order of name.

    Raises BadInput: see ``layout``; a name that is not there, an empty range or one beyond the last object; objects of
    different sizes where they are not resized; too many for the memory without a cache; no room in the cache.
    """
    settings = settings or ObjectSettings()
    if settings.size is not None and not 8 <= settings.size <= 4096:
        raise BadInput(f"--size is {settings.size}; photos are 8 to 4096 pixels a side.")
    found = find_objects(folder)
    wanted = chosen_names(tuple(found), names, span, str(folder))
    places = {name: found[name] for name in wanted}
    if cache is None:
        packed = read_all(places, settings, quiet)
    else:
        packed = packed_objects(places, settings, Path(cache), quiet)
    return _split(packed, settings)


def _split(packed: Objects, settings: ObjectSettings) -> Objects:
    """The objects with views held out of each, which a pack does not say: it serves every split."""
    flags, bad = list[np.ndarray](), list[tuple[str, str]]()
    for name, count in zip(packed.names, np.diff(packed.first).tolist(), strict=True):
        try:
            flags.append(held_out_views(count, settings.held_out))
        except BadInput as error:
            bad.append((name, str(error)))
    judged(bad, len(packed), settings)
    return replace(packed, held_out=np.concatenate(flags), split=SPLITS[settings.held_out])


def _is_object(folder: Path) -> bool:
    return (folder / "rgb").is_dir() or (folder / "pose").is_dir()


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as items:
            names = sorted(item.name for item in items if item.is_dir() and not item.name.startswith("."))
    except OSError as error:
        raise BadInput(f"Cannot read the folder {folder}: {reason(error)}.") from error
    return [folder / name for name in names]
