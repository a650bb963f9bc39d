"""A folder of 16-bit PNGs of depth and nothing else; the user says what a unit is and what the camera was.

*.png, or depth/*.png   0: unknown; 65535, the end of the scale: unknown too
rgb/ or color/ beside depth/, with the same names, if there
"""

from __future__ import annotations

from pathlib import Path

from fieldscape.data.depth.frames import Sequence, absent, gaps
from fieldscape.data.depth.making import color_of, depth_map, given
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import measured, numbered, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput

MISSING = (0, 65535)


def find(path: Path) -> list[Path]:
    """The folder of pictures: ``path`` or its ``depth``."""
    return [folder for folder in (path / "depth", path) if numbered(folder)][:1]


def read(home: Path, options: DepthOptions) -> Sequence:
    """All pictures, in order of their numbers. Raises BadInput: without intrinsics and scale."""
    if options.intrinsics is None or options.depth_scale is None:
        raise BadInput(
            f"{home} holds pictures and says nothing of the camera: give --intrinsics fx fy cx cy (pixels) and"
            " --depth-scale (units in a metre, 1000 for millimetres)."
        )
    depths = numbered(home)
    colors: dict[str, Path] = {}
    if home.name == "depth":
        for folder in ("rgb", "color"):
            colors = colors or numbered(home.parent / folder) or numbered(home.parent / folder, ".jpg")
    stems, name = tuple(depths), home.resolve().name
    inner, scale = given(options.intrinsics), options.depth_scale

    def load(k: int) -> DepthMap:
        depth, sky = measured(read_steps(depths[stems[k]]), scale, missing=MISSING)
        color = color_of(colors.get(stems[k])) if options.color else None
        return depth_map(f"{name}/{stems[k]}", depth, sky, inner, "--intrinsics", k / options.rate, color=color)

    return Sequence(name, stems, load, (*gaps(name, stems), *absent(name, "colours", stems, colors)))
