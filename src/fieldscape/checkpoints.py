"""Checkpoints that survive whatever stops the program, and that are known to be whole when they are read back.

``checkpoint/step-00000200/`` holds ``tensors.safetensors`` and ``state.json``: the step, the size and SHA-256 of the
tensors, the loop's own small state, and a SHA-256 of all that. The folder is written under a temporary name, every file
is synced, and only then does it get its name; the one before is deleted after that. So at every moment, power failure
included, the newest name is whole. The last two are kept, for the day when a disk damages one.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import jsonable, read_json, reason, sync_file, sync_folder

KEPT = 2
TENSORS, STATE = "tensors.safetensors", "state.json"
_NAME = re.compile(r"step-(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Checkpoint:
    """A training at the end of ``step``. ``tensors`` are on the CPU. ``notes`` say what had to be passed over."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    notes: tuple[str, ...] = ()


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Add the checkpoint of ``step`` to ``folder``, then delete all but the last two.

    ``state`` is plain JSON; floats come back bit for bit (NaN and infinities too), tuples come back as lists.
    Checkpoints of this step or later ones are replaced: whoever saves step 150 went back to before them.

    Raises:
        BadInput: the disk is full or failing; says which checkpoint is still good.
        TypeError: ``state`` is not JSON, or a tensor is of a kind that cannot be saved (sparse).
    """
    jsonable(state)  # before any file: what is not JSON fails here
    temporary = folder / f".step-{step:08d}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        _remove_temporaries(folder)
        try:
            temporary.mkdir()
            save_file(_separate(tensors), temporary / TENSORS)
            sync_file(temporary / TENSORS)
            content = {"step": step, "tensors": _measure(temporary / TENSORS), "state": dict(state)}
            sealed = json.dumps({**content, "sha256": _seal(content)}, indent=1)
            (temporary / STATE).write_text(sealed, encoding="utf-8")
            sync_file(temporary / STATE)
            # safetensors makes a file that only its owner can read; a run may be given to others.
            (temporary / TENSORS).chmod((temporary / STATE).stat().st_mode)
            sync_folder(temporary)
            older = _listed(folder)
            temporary.rename(_free_name(folder, step))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(folder)  # the new name is on the disk before anything old goes
        superseded = [path for path in older if _order(path)[0] >= step]
        kept = [path for path in older if path not in superseded][-(KEPT - 1) :]
        for path in older:
            if path not in kept:
                _delete(path)
    except (OSError, SafetensorError) as error:
        raise BadInput(_failure(folder, step, error)) from error


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in ``folder`` that is whole, or None if there is none at all.

    A damaged one is passed over, and the result's ``notes`` say so.

    Raises:
        BadInput: there are checkpoints, and every one is damaged.
    """
    notes: list[str] = []
    listed = _listed(folder)
    for path in reversed(listed):
        try:
            step, state = _verify(path)
            tensors = load_file(path / TENSORS)
        except (BadInput, OSError, SafetensorError) as error:
            notes.append(f"The checkpoint {path} is damaged ({_trim(error)}).")
            continue
        if notes:
            notes.append(f"Continuing from the one before, of step {step}.")
        return Checkpoint(step, tensors, state, tuple(notes))
    if notes:
        raise BadInput(" ".join([*notes, "No good one is left: start anew in another folder."]))
    return None


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Dense CPU copies where needed: the file format knows neither strides nor two names for one memory."""
    result, seen = {}, set()
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise TypeError(f"the tensor {name} is {tensor.layout}; only dense tensors can be saved")
        dense = tensor.detach().cpu().contiguous()
        storage = dense.untyped_storage().data_ptr()
        if storage in seen:
            dense = dense.clone()
        seen.add(storage)
        result[name] = dense
    return result


def _measure(path: Path) -> dict[str, int | str]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _seal(content: Mapping[str, Any]) -> str:
    """The SHA-256 of ``content`` in canonical JSON, so that only its meaning counts."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _verify(path: Path) -> tuple[int, dict[str, Any]]:
    """The step and state of the checkpoint ``path``; BadInput or OSError unless every byte is as it was written."""
    content = read_json(path / STATE)
    if not isinstance(content, dict) or content.pop("sha256", None) != _seal(content):
        raise BadInput(f"{STATE} is not as it was written.")
    match content:
        case {"step": int(step), "tensors": {"bytes": size}, "state": dict(state)}:
            if not (path / TENSORS).is_file():
                raise BadInput(f"{TENSORS} is missing.")
            if size != (path / TENSORS).stat().st_size:
                raise BadInput(f"{TENSORS} has not the size it was written with.")
            if content["tensors"] != _measure(path / TENSORS):
                raise BadInput(f"{TENSORS} is not as it was written.")
            return step, state
    raise BadInput(f"{STATE} is not the state of a checkpoint.")


def _order(path: Path) -> tuple[int, int]:
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2] or 1)) if match else (-1, 0)


def _listed(folder: Path) -> list[Path]:
    """The checkpoints by name, oldest first, unread."""
    if not folder.is_dir():
        return []
    try:
        return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=_order)
    except OSError as error:
        raise BadInput(f"Cannot read the folder {folder}: {reason(error)}.") from error


def _free_name(folder: Path, step: int) -> Path:
    """``step-00000200``, or ``step-00000200-2`` while a checkpoint of that step is still there: none replaces another
    in place, because two folders cannot change names in one indivisible step."""
    path, number = folder / f"step-{step:08d}", 1
    while path.exists():
        number += 1
        path = folder / f"step-{step:08d}-{number}"
    return path


def _delete(path: Path) -> None:
    """Under a temporary name first, so that a half-deleted folder is never taken for a damaged checkpoint."""
    doomed = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    path.rename(doomed)
    shutil.rmtree(doomed)


def _remove_temporaries(folder: Path) -> None:
    for path in folder.glob(".step-*.tmp"):
        shutil.rmtree(path)


def _trim(error: BaseException) -> str:
    return reason(error).rstrip(".")


def _failure(folder: Path, step: int, error: BaseException) -> str:
    said = f"Cannot write the checkpoint of step {step} in {folder}: {_trim(error)}."
    try:
        good = latest_checkpoint(folder)
    except (BadInput, OSError):
        good = None
    if good is None:
        return f"{said} There is no earlier one. Make room and start anew."
    return f"{said} The checkpoint of step {good.step} is intact: make room, then continue from it with --resume."
