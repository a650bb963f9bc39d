"""``fieldscape make rooms``: one room from many sides, or many rooms."""

from __future__ import annotations

from fieldscape.commands.options import MakeRoomsOptions
from fieldscape.errors import BadInput
from fieldscape.worlds.rooms.photos import PhotoSettings, write_photos
from fieldscape.worlds.rooms.room import RoomSettings, write_room


def make_rooms(options: MakeRoomsOptions) -> None:
    """Write photos of a room, or of many. Raises BadInput for numbers that make none, or a folder that is not free."""
    out, workers, quiet = options.out, options.workers, options.quiet
    if options.photos is not None and options.views is not None:
        raise BadInput("--views makes photos of one room, --photos one photo each of many rooms: give one of the two.")
    if workers is not None and workers < 1:
        raise BadInput(f"--workers is {workers}; at least one process has to do the work.")
    if options.photos is not None:
        if write_photos(out, options.photos, PhotoSettings(options.size, options.seed, options.style), workers, quiet):
            print(
                f"{options.photos} photos of as many rooms in {out / 'photos'}; what they do not say in {out / 'truth'}"
            )
        return
    views = 60 if options.views is None else options.views
    settings = RoomSettings(views, options.held_out, options.width, options.height, options.seed, options.style)
    if write_room(out, settings, workers, quiet):
        total = views + options.held_out
        print(f"{total} photos of a room in {out}; learn it with: fieldscape nerf fit {out}")
