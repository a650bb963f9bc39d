"""The options of ``latents cost``. Imports no torch, so that ``--help`` comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class CostOptions:
    """What a scene costs in bytes and seconds: alone, and with all that scenes share."""

    run: tyro.conf.Positional[Path | None] = None
    """A run, or a JSON file of measured costs."""

    profile: str | None = None
    """`paper`: the published figures of 3Da-AE; or a JSON file of measured costs."""

    n: int = 1000
    """The number of scenes that share what is shared."""

    json: Path | None = None
    """Also write all figures to this file."""
