"""What `make rooms`, `nerf fit` and `render` do, from Python: a room, a field, a picture.

python examples/01_fit_in_python.py OUT [SECONDS]
"""

import sys
from pathlib import Path

from fieldscape.images import write_image
from fieldscape.systems.nerf.fit import fit
from fieldscape.systems.nerf.options import FitOptions
from fieldscape.systems.opening import open_scene
from fieldscape.worlds.rooms.room import RoomSettings, write_room

out = Path(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0

write_room(out / "room", RoomSettings(views=24, held_out=3, width=80, height=60), workers=1)
fit(FitOptions(out / "room", out / "run", seconds=seconds, quiet=True))

# Nothing of the photos or of the training is needed any more: a Scene is its folder.
scene = open_scene(out / "run")
seen = scene.render(scene.start)
write_image(out / "picture.png", seen.color.clamp(0, 1))
print(f"{out / 'picture.png'}: median depth {float(seen.depth.median()):.2f} m")
