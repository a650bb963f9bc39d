"""``fieldscape make``: synthetic worlds."""

from __future__ import annotations

from fieldscape.commands.options import MakeRoomsOptions
from fieldscape.progress import progress
from fieldscape.worlds.rooms import make_room_views, require_free, write_rooms


def make_rooms(options: MakeRoomsOptions) -> None:
    """Write a room's photos. Raises BadInput for numbers that make no room, or a folder that cannot be written."""
    require_free(options.out)
    total = options.views + options.held_out
    with progress(total, "photographing the room", options.quiet, unit="photo") as bar:
        views = make_room_views(
            options.views,
            options.held_out,
            options.width,
            options.height,
            options.seed,
            lambda done, of: bar.update(done),
        )
    write_rooms(options.out, views)
    print(f"{total} photos of a room in {options.out}; learn it with: fieldscape nerf fit {options.out}")
