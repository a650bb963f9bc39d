"""Readers: one short file a format, all yielding ``Views``.

``read`` finds out which format it is given. Torch is imported when the first of these is asked for, so the options can
be shown without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fieldscape.data.options import ReadOptions

if TYPE_CHECKING:
    from fieldscape.data.detect import read
    from fieldscape.data.summary import describe, fingerprint

__all__ = ["ReadOptions", "describe", "fingerprint", "read"]


def __getattr__(name: str) -> Any:
    if name == "read":
        from fieldscape.data.detect import read

        return read
    if name in ("describe", "fingerprint"):
        from fieldscape.data import summary

        return summary.describe if name == "describe" else summary.fingerprint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
