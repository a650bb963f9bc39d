"""Small files read with suspicion and written so that they are never half there.

Reading: JSON that came from anywhere is bounded in size before it is read, and every way in which it can be bad ends in
one sentence. Writing: a file appears under its name only when all of it is on the disk (temporary name in the same
folder, fsync, rename, fsync of the folder), so a crash leaves the old file or the new one and nothing between.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from fieldscape.errors import BadInput

MAX_JSON_BYTES = 64 * 2**20
"""More than any honest description of a scene; a JSON value takes up to about 30 times its text in memory."""


def read_json(path: Path | str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """The JSON value in the file at ``path``, which may hold anything.

    The literals ``NaN`` and ``Infinity``, which Python's own writer produces, become floats: whoever uses the numbers
    can say which of them is bad, and this function cannot.

    Raises:
        BadInput: no such file, not a regular file, unreadable, larger than ``max_bytes``, not UTF-8, not JSON (the
            message names the line), or nested too deeply.
    """
    text = read_bytes(path, max_bytes)
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file (byte {error.start} is not UTF-8), so it is not JSON.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadInput(f"{path} is not valid JSON: {error.msg} at {place}. It may be truncated.") from error
    except RecursionError as error:
        raise BadInput(f"{path} nests its JSON too deeply to be read.") from error
    except ValueError as error:  # e.g. an integer of more digits than Python converts
        raise BadInput(f"{path} is not usable JSON: {error}.") from error


def read_bytes(path: Path | str, max_bytes: int) -> bytes:
    """The content of a regular file of at most ``max_bytes``.

    Raises:
        BadInput: no such file, not a regular file, unreadable, or larger than ``max_bytes``.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a folder, or a pipe or device that would never end
            raise BadInput(f"{path} is not a file.")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise BadInput(f"Cannot read {path}: {reason(error)}.") from error
    if len(content) > max_bytes:
        raise BadInput(f"{path} is larger than {max_bytes / 2**20:.3g} MiB, the most that is read of such a file.")
    return content


def write_json(path: Path | str, value: object) -> None:
    """Write ``value`` (see ``jsonable``) to ``path`` as indented JSON, all of it or nothing.

    Raises:
        BadInput: the file cannot be written (folder missing or not writable, disk full).
    """
    text = json.dumps(jsonable(value), indent=2, allow_nan=False) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))


def write_atomic(path: Path | str, writer: Callable[[BinaryIO], object]) -> None:
    """Give ``path`` the content that ``writer`` writes into the binary file it is handed, all of it or nothing.

    Whatever stops the writing, including an exception of ``writer``, leaves ``path`` as it was.

    Raises:
        BadInput: the file cannot be written (folder missing or not writable, disk full).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "\0" not in str(path):
            raise  # the writer's own complaint, not ours to reword
        raise BadInput(f"Cannot write {path}: {reason(error)}.") from error


def sync_file(path: Path) -> None:
    """Wait until the content of ``path`` is on the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder ``path`` are on the disk, where the system can do that."""
    if os.name == "nt":  # Windows neither opens folders nor needs it
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such operation
            raise
    finally:
        os.close(handle)


def jsonable(value: object) -> Any:
    """``value`` as JSON can hold it: tuples become lists, paths strings, and NaN and infinities the words for them.

    >>> jsonable({"far": float("inf"), "size": (2, 3), "out": Path("runs/lego")})
    {'far': 'inf', 'size': [2, 3], 'out': 'runs/lego'}

    Raises:
        TypeError: for anything else than None, bool, int, float, str, Path, lists, tuples, and mappings with str keys.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a JSON object is keyed by strings, not by {key!r}")
        return {key: jsonable(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} has no JSON form: {value!r:.80}")


def reason(error: BaseException) -> str:
    """What went wrong, in the system's words and without its numbers.

    >>> reason(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device'
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
