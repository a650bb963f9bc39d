"""The command line: a flat table from commands to the functions that do them, each imported when it is called for.

A command is a frozen dataclass of options, which tyro turns into flags and help, and a function of it. Listing the
commands imports neither torch nor tyro.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

import fieldscape
from fieldscape.errors import BadInput


@dataclass(frozen=True)
class Command:
    """Where a command's options and function live (``module:name``), and what it does, in a line."""

    options: str
    function: str
    summary: str


COMMANDS = {
    "demo": Command(
        "fieldscape.commands.options:DemoOptions",
        "fieldscape.commands.demo:demo",
        "the main job on a built-in room: photos -> scene -> fly-through",
    ),
    "nerf fit": Command(
        "fieldscape.systems.nerf.options:FitOptions",
        "fieldscape.systems.nerf.fit:fit",
        "photos, posed or not, or a video -> a radiance field",
    ),
    "gan train": Command(
        "fieldscape.systems.gan.options:TrainOptions",
        "fieldscape.systems.gan.fit:fit",
        "photos of rooms, without poses -> a generator of 3D scenes",
    ),
    "gan sample": Command(
        "fieldscape.systems.gan.options:SampleOptions",
        "fieldscape.systems.gan.fit:sample",
        "scenes of a generator, from several sides",
    ),
    "gan invert": Command(
        "fieldscape.systems.gan.options:InvertOptions",
        "fieldscape.systems.gan.invert.make:invert",
        "one photo -> a scene and a fly-through, by a trained generator or without training",
    ),
    "slots fit": Command(
        "fieldscape.systems.slots.options:SlotsFitOptions",
        "fieldscape.systems.slots.fit:fit",
        "one depth map -> its objects: pose, size, shape; without a network",
    ),
    "slots train": Command(
        "fieldscape.systems.slots.options:SlotsTrainOptions",
        "fieldscape.systems.slots.train:train",
        "an encoder that finds objects at once, trained on made-up depth maps",
    ),
    "latents train": Command(
        "fieldscape.systems.latents.options:LatentsTrainOptions",
        "fieldscape.systems.latents.train:train",
        "many objects of a kind -> what they share, and each of them in few KiB",
    ),
    "latents exploit": Command(
        "fieldscape.systems.latents.options:LatentsExploitOptions",
        "fieldscape.systems.latents.exploit:exploit",
        "new objects, by what was learned of others",
    ),
    "latents cost": Command(
        "fieldscape.systems.latents.cost_options:CostOptions",
        "fieldscape.systems.latents.costing:cost",
        "bytes and seconds an object, marginal and effective, at any number of them",
    ),
    "tracks extract": Command(
        "fieldscape.systems.tracks.options:TracksExtractOptions",
        "fieldscape.systems.tracks.extract:extract",
        "a clip -> points followed through it, cameras, and where all that is in space",
    ),
    "tracks fit": Command(
        "fieldscape.systems.tracks.options_fit:TracksFitOptions",
        "fieldscape.systems.tracks.fit:fit",
        "such points -> a scene of meshes and a neural renderer: new views of the clip",
    ),
    "eval": Command(
        "fieldscape.commands.options:EvalOptions",
        "fieldscape.commands.evaluate:evaluate_run",
        "measure a run's scene on held-out views",
    ),
    "render": Command(
        "fieldscape.commands.options:RenderOptions",
        "fieldscape.commands.render:render",
        "a video or a still of a run's scene",
    ),
    "info": Command(
        "fieldscape.commands.options:InfoOptions",
        "fieldscape.commands.info:info",
        "what a run or a data set is, and whether its poses look right",
    ),
    "make rooms": Command(
        "fieldscape.commands.options:MakeRoomsOptions",
        "fieldscape.commands.make:make_rooms",
        "synthetic furnished rooms: many photos of one, or one each of many; poses, depth",
    ),
    "make cars": Command(
        "fieldscape.worlds.cars.make:MakeCarsOptions",
        "fieldscape.worlds.cars.make:make_cars",
        "synthetic cars, or your own meshes, on white from all sides",
    ),
    "make street": Command(
        "fieldscape.worlds.street.options:MakeStreetOptions",
        "fieldscape.worlds.street.make:make_street",
        "synthetic depth video of things that move, with their poses",
    ),
    "make clip": Command(
        "fieldscape.worlds.clips.options:MakeClipOptions",
        "fieldscape.worlds.clips.make:make_clip",
        "a synthetic clip from a moving camera, with exact point tracks",
    ),
}


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its status: 0, or 2 for input that cannot be used."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command that ``arguments`` name; its exit status."""
    if arguments in (["--version"], ["-V"]):
        print(f"fieldscape {fieldscape.__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if arguments else 2
    name = next((n for n in (" ".join(arguments[:2]), arguments[0]) if n in COMMANDS), None)
    if name is None:
        kinds = [command.split()[1] for command in COMMANDS if command.split()[0] == arguments[0]]
        if kinds and (len(arguments) == 1 or arguments[1].startswith("-")):
            print(f"fieldscape: {arguments[0]} what? One of: {', '.join(kinds)}.", file=sys.stderr)
            return 2
        asked = " ".join(arguments[:2] if not arguments[-1].startswith("-") else arguments[:1])
        print(f"fieldscape: there is no command {asked!r}; fieldscape --help lists them.", file=sys.stderr)
        return 2
    command, rest = COMMANDS[name], arguments[len(name.split()) :]
    # Threads that wait for one another sleep instead of spinning. It costs nothing on an idle machine and is worth ten
    # times the speed on a busy one. OpenMP reads it once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import tyro

        options = tyro.cli(_named(command.options), args=rest, prog=f"fieldscape {name}")
        _named(command.function)(options)
        sys.stdout.flush()
    except BadInput as error:
        print(f"fieldscape: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fieldscape: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output went away. Python would complain once more while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def overview() -> str:
    """All commands, a line each."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  fieldscape {name:<{width}}{command.summary}" for name, command in COMMANDS.items()]
    start = "fieldscape: photos, depth maps and clips -> 3D scenes to look around in."
    return "\n".join([start, "", *lines, "", "fieldscape COMMAND --help says what a command takes."])


def _named(place: str):
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
