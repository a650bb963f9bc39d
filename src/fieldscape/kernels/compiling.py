"""How kernels are compiled, and where what was compiled is kept."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numba

OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"nsz", "contract", "reassoc", "afn", "arcp"},
    "_nrt": False,
}
"""Kernels release Python's lock, so that plain threads share the work. They count no references to arrays, which would
cost more than the arithmetic does: a kernel makes no arrays, and its caller keeps those it passes."""


def compiled(function: Callable) -> Callable:
    """A kernel, called from Python; compiled at its first call and kept for later processes."""
    function = inspect.unwrap(function)  # the tests' shape checks wrap functions in what Numba cannot compile
    with _kept():
        try:
            return numba.njit(function, cache=True, **OPTIONS)
        except RuntimeError:  # no folder can be written: compile every time
            return numba.njit(function, **OPTIONS)


def inlined(function: Callable) -> Callable:
    """A part of kernels, which becomes part of each that calls it."""
    return numba.njit(inspect.unwrap(function), forceinline=True, **OPTIONS)


@cache
def folder() -> Path:
    """Where compiled kernels are kept: one folder for each version of their source, since each builds on the others.

    Numba itself looks only at the file that a kernel stands in.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fieldscape" / f"kernels-{version}"


def is_kept(name: str) -> bool:
    """Whether the kernel ``name`` was compiled before, by any process."""
    return any(folder().rglob(f"*.{name}-*.nbi"))


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Numba keeps what is decorated here in ``folder``, unless the user says where by NUMBA_CACHE_DIR."""
    before = numba.config.CACHE_DIR
    if not before:
        numba.config.CACHE_DIR = str(folder())
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
