"""Scene banks for tests, and a look into them."""

import random
from pathlib import Path

from fieldscape.systems.latents.bank import Bank


def filled(folder: Path, count: int = 12, segment_bytes: int = 2**20) -> dict[str, bytes]:
    """A bank of scenes of random bytes, closed."""
    chance = random.Random(count)
    scenes = {f"car {i:03d}": chance.randbytes(chance.randrange(1, 400)) for i in range(count)}
    with Bank.create(folder, "bundle", "close", segment_bytes) as bank:
        for name, payload in scenes.items():
            bank.append(name, payload, {"psnr": 30.5, "bytes": len(payload)})
    return scenes


def content(folder: Path) -> dict[str, bytes]:
    with Bank.open(folder) as bank:
        return {entry.name: entry.payload for entry in bank}


def segment(folder: Path) -> Path:
    return max(folder.glob("*.scenes"))
