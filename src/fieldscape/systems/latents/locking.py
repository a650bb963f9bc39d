"""A lock between processes that nobody has to clean up: the system gives it back when its holder ends, however."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.files import reason


@contextlib.contextmanager
def locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Hold the lock file at ``path`` for the block; it stays there afterwards, and means nothing by itself.

    refusal: what to say when another process holds it; None: wait for it.

    Raises BadInput with ``refusal``, or where the file cannot be made.
    """
    handle = take(path, refusal)
    try:
        yield
    finally:
        os.close(handle)


def take(path: Path, refusal: str | None = None) -> int:
    """Take the lock and return its handle; ``os.close`` gives it back. See ``locked``."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    except OSError as error:
        raise BadInput(f"Cannot make the lock file {path}: {reason(error)}.") from error
    try:
        _lock(handle, wait=refusal is None)
    except OSError as error:
        os.close(handle)
        if refusal is not None and isinstance(error, BlockingIOError | PermissionError):
            raise BadInput(refusal) from error
        raise BadInput(f"Cannot lock {path}: {reason(error)}.") from error
    except BaseException:
        os.close(handle)
        raise
    return handle


def _lock(handle: int, wait: bool) -> None:
    if os.name == "nt":
        import msvcrt

        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]
        msvcrt.locking(handle, mode, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
