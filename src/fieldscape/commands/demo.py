"""``fieldscape demo``: the main job, start to end, on a room that the program makes itself."""

from __future__ import annotations

from fieldscape.commands.make import make_rooms
from fieldscape.commands.options import DemoOptions, MakeRoomsOptions, RenderOptions
from fieldscape.commands.render import render
from fieldscape.runs import fresh_path
from fieldscape.systems.nerf.fit import fit
from fieldscape.systems.nerf.options import FitOptions


def demo(options: DemoOptions) -> None:
    """Photos of a room -> a radiance field -> a fly-through, each by the command that a user would give."""
    out = fresh_path(options.out)
    print(f"1/3  a furnished room, photographed from inside: fieldscape make rooms --out {out / 'room'}")
    make_rooms(MakeRoomsOptions(out / "room", seed=options.seed, quiet=options.quiet))
    print(f"2/3  a radiance field from its photos: fieldscape nerf fit {out / 'room'} --out {out / 'run'}")
    fit(
        FitOptions(
            out / "room",
            out / "run",
            seconds=options.seconds,
            seed=options.seed,
            device=options.device,
            quiet=options.quiet,
        )
    )
    print(f"3/3  a walk through it: fieldscape render {out / 'run'} --path walk --depth")
    render(
        RenderOptions(
            out / "run",
            "walk",
            out / "fly-through.mp4",
            width=320,
            depth=True,
            device=options.device,
            quiet=options.quiet,
        )
    )
    print(f"The video: {out / 'fly-through.mp4'}. Photos, renders and depth side by side: {out / 'run' / 'sheet.png'}")
