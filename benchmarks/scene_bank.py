"""The scene bank: how fast scenes go in and come out, what they take, and what ``kill -9`` costs.

    python benchmarks/scene_bank.py [--only rate open kills] [--scenes 10000] [--kills 50] [--out FILE.json]

rate   so many made-up scenes of 16 KiB appended, each on the disk before the next, and without waiting for the disk;
       then 5,000 of them read in random order.
open   a bank of 100,000 small scenes opened, and one of them read.
kills  a process that adds, deletes and compacts is killed at random moments. Each time, all that it had
       acknowledged has to be there, byte for byte, and nothing else but the scene in hand.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldscape.files import read_json, write_json
from fieldscape.systems.latents.bank import Bank

PARTS = ("rate", "open", "kills")
SIZE = 16 * 1024
MANY = 100_000
LONGEST = 0.6
"""Seconds that a writer lives, at most."""


def rate_part(folder: Path, options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    chance = random.Random(0)
    payloads = [chance.randbytes(SIZE) for _ in range(64)]
    for sync in ("each", "close"):
        place = folder / sync
        began = time.perf_counter()
        with Bank.create(place, "shared", sync=sync) as bank:
            for number in range(options.scenes):
                bank.append(f"car {number:06d}", payloads[number % 64], {"psnr": 30.0})
            bank.sync()
        rate = options.scenes / (time.perf_counter() - began)
        size = sum(path.stat().st_size for path in place.iterdir())
        over = size / options.scenes - SIZE
        told(f"append, sync {sync}", {"scenes/s": rate, "bytes": size, "overhead bytes a scene": over})
        print(
            f"append, sync {sync}: {rate:.0f} scenes/s, {size / 1e6:.1f} MB, {over:.0f} bytes more a scene", flush=True
        )
    order = [chance.randrange(options.scenes) for _ in range(5000)]
    with Bank.open(folder / "close") as bank:
        began = time.perf_counter()
        for number in order:
            if bank.read(f"car {number:06d}").payload != payloads[number % 64]:
                raise RuntimeError(f"scene {number} is not what was written")
        spent = (time.perf_counter() - began) / len(order)
    told("random read, microseconds", 1e6 * spent)
    print(f"random read: {1e6 * spent:.0f} microseconds", flush=True)


def open_part(folder: Path, options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    place, chance, took = folder / "many", random.Random(1), []
    with Bank.create(place, "shared", sync="close") as bank:
        for number in range(MANY):
            bank.append(f"object {number}", f"{number}".encode() * 8)
    for _ in range(20):
        number, began = chance.randrange(MANY), time.perf_counter()
        with Bank.open(place) as bank:
            if bank.read(f"object {number}").payload != f"{number}".encode() * 8:
                raise RuntimeError(f"object {number} is not what was written")
        took.append(1e3 * (time.perf_counter() - began))
    told("open and read one of 100,000, ms", {"median": statistics.median(took), "most": max(took)})
    print(f"open and read one of {MANY:,}: median {statistics.median(took):.2f} ms, most {max(took):.1f}", flush=True)


def kills_part(folder: Path, options: argparse.Namespace, told: Callable[[str, Any], None]) -> None:
    place, chance = folder / "kills", random.Random(2)
    Bank.create(place, "shared").close()
    alive, following = set[int](), 0
    for kill in range(options.kills):
        command = [sys.executable, __file__, "--writer", str(place), str(following)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if writer.stdout is None:
            raise RuntimeError("the writer has no output")
        writer.stdout.readline()  # it has begun
        time.sleep(chance.uniform(0, LONGEST))
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout.read().split("\n")[:-1]:
            number = int(line)
            if line.startswith("-"):
                alive.discard(-number)
            else:
                alive.add(number)
                following = number + 1
        writer.wait()
        with Bank.open(place) as bank:
            there = {int(name.split()[1]) for name in bank.names()}
            extra, missing = there - alive, alive - there
            # In hand were the next scene, or the deleting of the one before the last.
            if not extra <= {following} or not missing <= {following - 2}:
                raise RuntimeError(f"after kill {kill}: {sorted(extra)} too many, {sorted(missing)} missing")
            alive = there
            following = max([following, *(number + 1 for number in extra)])
            for number in there:
                if bank.read(f"scene {number}").payload != scene(number):
                    raise RuntimeError(f"after kill {kill}: scene {number} is not what was written")
    with Bank.open(place, write=True) as bank:
        bank.append("last", b"x")
        sound = bank.verify().sound
    told("kills", {"kills": options.kills, "scenes": len(alive), "sound": sound})
    print(f"{options.kills} kills: all of {len(alive)} scenes there, sound: {sound}", flush=True)


def scene(number: int) -> bytes:
    """The payload of a scene, of a size of its own."""
    chance = random.Random(number)
    return chance.randbytes(chance.randrange(1, 30_000))


def write_for_ever(place: Path, following: int) -> None:
    """Adds scenes and says so, deletes some, compacts now and then, until it is killed."""
    bank = Bank.open(place, write=True)
    print("begun", flush=True)
    while True:
        bank.append(f"scene {following}", scene(following))
        print(following, flush=True)
        if following % 7 == 3 and f"scene {following - 1}" in bank:
            bank.delete(f"scene {following - 1}")
            print(-(following - 1), flush=True)
        if following % 97 == 96:
            bank.compact()
        following += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--out", type=Path, default=Path("scene_bank.json"))
    parser.add_argument("--writer", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer is not None:
        write_for_ever(Path(options.writer[0]), int(options.writer[1]))
    figures = read_json(options.out) if options.out.exists() else {}

    def told(name: str, value: Any) -> None:
        figures[name] = value
        write_json(options.out, figures)

    parts = {"rate": rate_part, "open": open_part, "kills": kills_part}
    with tempfile.TemporaryDirectory() as folder:
        for part in options.only:
            parts[part](Path(folder), options, told)


if __name__ == "__main__":
    main()
