"""Checked access to the fields of parsed JSON: each is what its reader takes it for, or one sentence says not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.errors import BadInput


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """``value``, which must be a JSON object; ``what`` names it in the message."""
    if not isinstance(value, dict):
        raise BadInput(f"{what} must be a JSON object, not {shown(value)}.")
    return value


def sequence(value: object, what: str) -> list[Any]:
    """``value``, which must be a JSON array."""
    if not isinstance(value, list):
        raise BadInput(f"{what} must be a JSON array, not {shown(value)}.")
    return value


def text(value: object, what: str) -> str:
    """``value``, which must be a string."""
    if not isinstance(value, str):
        raise BadInput(f"{what} must be a string, not {shown(value)}.")
    return value


def number(value: object, what: str) -> float:
    """``value``, which must be a finite number.

    >>> number(2, "focal length")
    2.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{what} must be a number, not {shown(value)}.")
    if not abs(value) < 1e30:  # also NaN; and beyond float32's range nothing downstream works
        raise BadInput(f"{what} is {shown(value)}, which is no usable number.")
    return float(value)


def positive(value: object, what: str) -> float:
    """``value``, which must be a finite number above zero."""
    given = number(value, what)
    if given <= 0:
        raise BadInput(f"{what} is {given:g}; it must be above zero.")
    return given


def size(value: object, what: str) -> int:
    """``value``, which must be a whole number above zero; 1080.0 is one."""
    given = positive(value, what)
    if given != math.floor(given):
        raise BadInput(f"{what} is {given:g}; it must be a whole number of pixels.")
    return int(given)


def pose(value: object, what: str) -> Float[Tensor, "4 4"]:
    """``value``, which must be a 4x4 matrix, or a 3x4 one that lacks its last row 0 0 0 1, as nested arrays (float64).

    NaN and infinity pass: ``cameras.require_valid_poses`` refuses them by the name of the view.
    """
    rows = value if isinstance(value, list) else []
    whole = len(rows) in (3, 4) and all(isinstance(row, list) and len(row) == 4 for row in rows)
    if not whole or any(isinstance(x, bool) or not isinstance(x, int | float) for row in rows for x in row):
        raise BadInput(f"{what} must be a 4x4 matrix of numbers, not {shown(value)}.")
    if any(abs(x) > 1e30 for row in rows for x in row):
        raise BadInput(f"{what} holds a number too large to be a position or a rotation.")
    filled = [[float(x) for x in row] for row in [*rows, [0, 0, 0, 1]][:4]]
    return torch.tensor(filled, dtype=torch.float64)


def shown(value: object) -> str:
    """A short form of any JSON value for a message.

    >>> shown({"a": [1, 2]}), shown("x" * 100), shown(None)
    ('an object', "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'", 'nothing')
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"an array of {len(value)}"
    if isinstance(value, str):
        return repr(value[:40] + "..." if len(value) > 40 else value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**18:
        return "a huge integer"
    return str(value)
