"""Reading data that somebody else wrote: sizes are bounded before memory is taken, nothing is executed, paths stay put.

Every reader of a format goes through these doors (and ``files.read_json``, passed on from here). Whatever is wrong with
a file becomes a ``BadInput`` that names it.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

import numpy as np
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import read_json, reason

__all__ = ["finite", "inside", "read_json", "read_npy", "read_npz"]

MAX_ARRAY_BYTES = 16 * 2**30

ARRAY_KINDS = "biufUS"
"""numpy kinds that hold plain numbers or plain text. Objects ("O") are refused: loading them can run code."""

BROKEN_ARRAY = (
    OSError, EOFError, ValueError, OverflowError, RuntimeError, MemoryError, SyntaxError, struct.error,
    tokenize.TokenError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""What numpy's and Python's own parsers raise on damaged archives and headers."""


def inside(folder: Path, relative: str, where: str) -> Path:
    """The path of ``relative`` in ``folder``, refused where it leads out of it (``..``, absolute, or through a link).

    ``where`` says in the message who asked, e.g. "transforms.json, frame 3". Windows separators are understood. The
    file need not exist.

    >>> inside(Path("photos"), "./images/0001.png", "list").as_posix()
    'photos/images/0001.png'
    """
    name = relative.replace("\\", "/")
    shown = repr(relative[:200])
    if not name.strip("/. "):
        raise BadInput(f"{where}: {shown} is not the name of a file.")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
        raise BadInput(f"{where}: {shown} is an absolute path; files must lie in {folder} and be named relative to it.")
    path = folder / name
    try:
        within = folder.resolve() in path.resolve().parents
    except (OSError, ValueError, RuntimeError) as error:  # too long, null bytes or lone surrogates, a loop of links
        raise BadInput(f"{where}: {shown} cannot be a file name.") from error
    if not within:
        raise BadInput(f"{where}: {shown} leads out of {folder}; files must lie inside it.")
    return path


def read_npz(path: Path, max_bytes: int = MAX_ARRAY_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` archive by name. Every header is judged before any array is read.

    Raises BadInput: not an archive, damaged, arrays of Python objects, or more than ``max_bytes`` in all.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            if not members:
                raise BadInput(f"{path} holds no arrays; a .npz archive of named arrays was expected.")
            total = 0
            for member in members:
                with archive.open(member) as stream:
                    total += _announced_bytes(stream, f"{path}, array {member.filename[:-4][:80]!r}")
            _require_room(total, max_bytes, path)
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename[:-4]] = np.lib.format.read_array(stream, allow_pickle=False)
            return arrays
    except BROKEN_ARRAY as error:
        raise BadInput(f"{path} is not a readable .npz archive: {_short(error)}.") from error


def read_npy(path: Path, max_bytes: int = MAX_ARRAY_BYTES) -> np.ndarray:
    """The array in an ``.npy`` file, under the same rules as ``read_npz``."""
    try:
        with path.open("rb") as file:
            _require_room(_announced_bytes(file, str(path)), max_bytes, path)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except BROKEN_ARRAY as error:
        raise BadInput(f"{path} is not a readable .npy array: {_short(error)}.") from error


def finite(array: np.ndarray | Tensor, what: str, where: str) -> None:
    """Raises BadInput where ``array`` holds NaN or infinity, naming ``what`` it is, ``where``, and the first place.

    >>> finite(np.array([1.0, 2.0]), "focal length", "transforms.json")
    """
    good = np.isfinite(np.asarray(array))
    if not good.all():
        index = [int(i) for i in np.argwhere(~good)[0]]
        place = f" at index {index}" if index else ""
        raise BadInput(f"{where}: {what} is not a finite number{place}; {int((~good).sum())} such values in all.")


def _announced_bytes(stream: io.BufferedIOBase | IO[bytes], where: str) -> int:
    """The bytes of the array whose header starts ``stream``; refuses what is not plain numbers."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise BadInput(f"{where} has array format {version[0]}.{version[1]}; formats 1.0 and 2.0 can be read.")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = header(stream)
    except (TypeError, AttributeError, KeyError, IndexError) as error:  # numpy does not foresee every nonsense
        raise BadInput(f"{where} has a damaged header: {_short(error)}.") from error
    if dtype.kind not in ARRAY_KINDS:
        raise BadInput(f"{where} holds {dtype.name} values, not plain numbers; save it again without Python objects.")
    if any(n < 0 for n in shape) or len(shape) > 32:
        raise BadInput(f"{where} has an impossible shape, {str(shape)[:200]}.")
    return math.prod(shape) * dtype.itemsize


def _require_room(total: int, max_bytes: int, path: Path) -> None:
    if total > max_bytes:
        raise BadInput(
            f"{path} announces {total / 2**30:.3g} GiB of arrays, more than the {max_bytes / 2**30:.3g} GiB of room."
        )


def _short(error: Exception) -> str:
    """What went wrong, short and on one line, whatever the parser stuffed into its message."""
    return " ".join(reason(error).split())[:200].rstrip(".") or type(error).__name__
