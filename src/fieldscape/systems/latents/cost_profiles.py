"""Where costs come from: the published method's own figures, or a file of measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.systems.latents.cost import Costs

FORMAT = 1
FLOAT = 4
"""Bytes of a number as the published methods store it."""
SD_VAE = 83_653_863
"""Parameters of the auto-encoder of Stable Diffusion 1.5, encoder and decoder."""
MOST_VARIANTS = 1000


@dataclass(frozen=True)
class Profile:
    """Ways to keep scenes, side by side. baseline: what the others are compared with.  rivals: break-even against."""

    variants: tuple[Costs, ...]
    baseline: str
    rivals: tuple[str, ...] = ()
    title: str = ""

    def named(self, name: str) -> Costs:
        """The variant of this name. Raises BadInput where there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise BadInput(f"There is no variant {name!r} among the costs; there are {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(variant.name for variant in self.variants)


def plane_bytes(features: int, resolution: int = 64, planes: int = 3) -> int:
    """Bytes of tri-planes.

    >>> plane_bytes(32), plane_bytes(10), 50 * plane_bytes(22)
    (1572864, 491520, 54067200)
    """
    return planes * features * resolution**2 * FLOAT


def decoder_bytes(features: int, channels: int, width: int = 64) -> int:
    """Bytes of the decoder of planes, Linear(features, width) and Linear(width, 1 + channels), with their biases.

    >>> decoder_bytes(32, 4)
    9748
    """
    return ((features + 1) * width + (width + 1) * (1 + channels)) * FLOAT


def paper_profile() -> Profile:
    """3Da-AE (CVPRW 2024) and what it is compared with: sizes from its configuration, minutes a scene as published for
    the same recipe (Fused-Planes, ICLR 2026).

    The auto-encoder is counted whole; the baseline's decoder, which also is shared, is not: both against the method.
    """
    minutes = "minutes a scene as published, at 1,000 scenes; their shared part is not published apart"
    shared = {"auto-encoder": SD_VAE * FLOAT, "plane decoder": decoder_bytes(32, 4)}
    macro = {"macro planes": 50 * plane_bytes(22)}
    return Profile(
        (
            Costs("RGB tri-planes", {}, {"planes": plane_bytes(32)}, None, 64.32 * 60, note=minutes),
            Costs("micro planes only", shared, {"planes": plane_bytes(32)}, None, 12.84 * 60, note=minutes),
            Costs(
                "3Da-AE",
                shared | macro,
                {"micro planes": plane_bytes(10), "weights of macro planes": 51 * FLOAT},
                None,
                8.96 * 60,
                note=minutes,
            ),
        ),
        "RGB tri-planes",
        title="as published",
    )


def write_profile(path: Path | str, profile: Profile) -> None:
    """Writes measured costs as JSON. Raises BadInput where that is not possible."""
    variants = [
        {
            "name": costs.name,
            "shared": dict(costs.shared),
            "own": dict(costs.own),
            "shared_seconds": costs.shared_seconds,
            "own_seconds": costs.own_seconds,
            "learned": costs.learned,
            "psnr": costs.psnr,
            "note": costs.note,
        }
        for costs in profile.variants
    ]
    record = {"format": FORMAT, "title": profile.title, "baseline": profile.baseline, "rivals": profile.rivals}
    write_json(path, record | {"variants": variants})


def read_profile(path: Path | str) -> Profile:
    """Measured costs from a file. Raises BadInput: unreadable, not costs, or figures that no scene has."""
    record = read_json(path, 16 * 2**20)
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("variants"), list):
        raise BadInput(f"{path} is not a file of costs in format {FORMAT}: a list of variants was expected.")
    if not 0 < len(record["variants"]) <= MOST_VARIANTS:
        raise BadInput(f"{path} holds {len(record['variants'])} variants; 1 to {MOST_VARIANTS} were expected.")
    variants = tuple(_costs(item, f"{path}, variant {i}") for i, item in enumerate(record["variants"]))
    rivals, title, baseline = record.get("rivals", []), record.get("title", ""), record.get("baseline")
    listed = [*rivals, baseline, title] if isinstance(rivals, list) else [None]
    if not all(isinstance(name, str) for name in listed):
        raise BadInput(f"{path}: 'baseline' and 'title' must be text, 'rivals' a list of names.")
    profile = Profile(variants, str(baseline), tuple(rivals), title)
    if len(set(profile.names)) != len(variants):
        raise BadInput(f"{path} names a variant twice.")
    for name in (profile.baseline, *profile.rivals):
        profile.named(name)
    return profile


def _costs(item: object, where: str) -> Costs:
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
        raise BadInput(f"{where} has no name.")
    bytes_of = {}
    for part in ("shared", "own"):
        counts = item.get(part, {})
        if not isinstance(counts, Mapping) or not all(isinstance(n, int) and 0 <= n < 2**60 for n in counts.values()):
            raise BadInput(f"{where} ({item['name']}): {part!r} must be bytes by part, whole numbers from 0 on.")
        bytes_of[part] = dict(counts)
    figures = {key: item.get(key) for key in ("shared_seconds", "own_seconds", "psnr")}
    for key, value in figures.items():
        known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
        if value is not None and not known:
            raise BadInput(f"{where} ({item['name']}): {key!r} must be a number from 0 on, or null, not {value!r:.40}.")
    learned, note = item.get("learned", 0), item.get("note", "")
    if type(learned) is not int or learned < 0 or not isinstance(note, str):
        raise BadInput(f"{where} ({item['name']}): 'learned' must be a whole number from 0 on, 'note' text.")
    return Costs(
        item["name"],
        bytes_of["shared"],
        bytes_of["own"],
        figures["shared_seconds"],
        figures["own_seconds"],
        learned,
        figures["psnr"],
        note,
    )
