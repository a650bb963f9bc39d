"""Many objects, each in a folder of the SRN layout: one car or one mesh an item of the batch."""

from __future__ import annotations

import hashlib
import random
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.worlds.batches import Batch, write_batch
from fieldscape.worlds.cars.car import about, car
from fieldscape.worlds.cars.model_parts import DIAGONAL, model_parts
from fieldscape.worlds.cars.models import listing, read
from fieldscape.worlds.cars.srn import poses, studio, write_object
from fieldscape.worlds.shading import one_thread

OBJECTS = "objects.json"
ASIDE = ".about"
"""Where what is true of each object is kept until all are made."""
CARS = 100
SAID = 3
"""So many unreadable files are named in the last line; ``objects.json`` names all."""


@dataclass(frozen=True)
class ObjectSettings:
    """Photos of each object, their side in pixels, the seed, how cameras are placed, and the meshes, if not cars."""

    views: int
    size: int
    seed: int
    poses: str = "auto"
    meshes: Path | None = None


def write_objects(
    out: Path, count: int | None, settings: ObjectSettings, workers: int | None = None, quiet: bool = False
) -> str | None:
    """Makes the objects; the sentence that says what is where, or None where the work was stopped before its end.

    Raises BadInput as ``write_batch`` does, and for a folder without a single readable mesh.
    """
    told: dict[str, object] = {
        "views": settings.views,
        "size": settings.size,
        "seed": settings.seed,
        "poses": settings.poses,
    }
    if settings.meshes is None:
        total = CARS if count is None else count
        make = partial(make_car, settings)
    else:
        listing.cache_clear()
        files = listing(settings.meshes)
        total = len(files) if count is None else min(count, len(files))
        # A folder that changes between two sittings is another batch.
        seen = "\n".join(f"{path.relative_to(settings.meshes)} {path.stat().st_size}" for path, _ in files)
        told |= {"meshes": str(settings.meshes), "files": hashlib.sha256(seen.encode()).hexdigest()[:16]}
        make = partial(make_model, settings)
    kind = "cars" if settings.meshes is None else "meshes"
    if not write_batch(out, Batch(kind, total, "object", told), make, gather, workers, quiet):
        return None
    result = read_json(out / OBJECTS, 2**30)
    made, skipped = len(result["objects"]), result["skipped"]
    sentence = (
        f"{made} {'car' if kind == 'cars' else 'object'}{'s' * (made != 1)} with {settings.views} views each in {out}"
    )
    if skipped:
        named = [f"{name} ({why})" for name, why in list(skipped.items())[:SAID]]
        more = ", ..." if len(skipped) > SAID else ""
        sentence += f"; {len(skipped)} of {total} files could not be read: {', '.join(named)}{more}"
    wanting = sum(bool(one.get("missing")) for one in result["objects"].values())
    if wanting:
        sentence += f"; {wanting} lack textures or materials that are not there or lie outside {settings.meshes}"
    return sentence


@one_thread()
def make_car(settings: ObjectSettings, folder: Path, index: int) -> None:
    """Writes car ``index`` of the seed into ``folder``."""
    made = car(settings.seed, index)
    name = f"car-{index:06d}"
    views = poses(settings.views, settings.poses, random.Random(f"car views {settings.seed} {index}"))
    write_object(folder / name, studio(made.parts), made.diagonal, views, settings.size)
    _note(folder, index, {"name": name, "about": about(made)})


@one_thread()
def make_model(settings: ObjectSettings, folder: Path, index: int) -> None:
    """Writes the mesh of file ``index`` into ``folder``, or notes why it could not be read."""
    assert settings.meshes is not None
    path, name = listing(settings.meshes)[index]
    file = path.relative_to(settings.meshes).as_posix()
    try:
        model = read(path, settings.meshes)
    except BadInput as error:
        _note(folder, index, {"file": file, "skipped": str(error)})
        return
    parts, colors = model_parts(model, random.Random(f"paint {settings.seed} {name}"))
    views = poses(settings.views, settings.poses, random.Random(f"mesh views {settings.seed} {name}"))
    write_object(folder / name, studio(parts), DIAGONAL, views, settings.size)
    faces = sum(len(part.mesh.faces) for part in parts)
    told = {"file": file, "faces": faces, "colors": colors, "missing": list(model.missing)}
    _note(folder, index, {"name": name, "about": told})


def _note(folder: Path, index: int, content: dict[str, object]) -> None:
    (folder / ASIDE).mkdir(exist_ok=True)
    write_json(folder / ASIDE / f"{index:06d}.json", content)


def gather(folder: Path) -> None:
    """Brings what is true of each object into ``objects.json``. Raises BadInput where no object could be read."""
    notes = folder / ASIDE
    if not (folder / OBJECTS).exists():  # it is there where the work was ended right after it was written
        objects, skipped = {}, {}
        for path in sorted(notes.glob("*.json")):
            note = read_json(path)
            if "skipped" in note:
                skipped[note["file"]] = note["skipped"]
            else:
                objects[note["name"]] = note["about"]
        if not objects:
            shutil.rmtree(folder)  # nothing worth going on from
            named = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:SAID])
            raise BadInput(f"None of the {len(skipped)} mesh files could be read ({named}): check the folder.")
        write_json(folder / OBJECTS, {"objects": objects, "skipped": skipped})
    shutil.rmtree(notes, ignore_errors=True)
