"""Reader of the NeRF-synthetic layout: ``transforms_train.json``, ``transforms_test.json``, RGBA photos.

The validation views of ``transforms_val.json`` are read by nobody: neither trained on nor held out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fieldscape.data.frames import existing_frames
from fieldscape.data.options import ReadOptions
from fieldscape.data.photostack import Progress
from fieldscape.data.transforms import views_of
from fieldscape.data.untrusted import read_json
from fieldscape.errors import BadInput
from fieldscape.types import Views

TRAIN, TEST, VAL = "transforms_train.json", "transforms_test.json", "transforms_val.json"


def read(path: Path, options: ReadOptions, progress: Progress | None = None) -> Views:
    """The training views of the folder, then its test views, held out; photos keep their transparency.

    Raises BadInput: a list or all photos of it are missing, a photo is in both, or see ``transforms``.
    """
    train, missing = existing_frames(read_json(path / TRAIN), path, TRAIN)
    if not (path / TEST).is_file():
        raise BadInput(f"{path} has {TRAIN} but no {TEST}, which lists the views to keep from training.")
    test, missing_test = existing_frames(read_json(path / TEST), path, TEST)
    if shared := sorted({frame.name for frame in train} & {frame.name for frame in test}):
        raise BadInput(f"{path}: {shared[0]!r} is in both {TRAIN} and {TEST}; a view is either learned or tested.")
    held_out = tuple(range(len(train), len(train) + len(test)))
    split = "the data's own (train, test)"
    views = views_of(train + test, path, held_out, split, missing + missing_test, options, str(path), progress)
    notes = [f"the validation views ({VAL}) are left out"] if (path / VAL).is_file() else []
    return replace(views, notes=(*views.notes, *notes))
