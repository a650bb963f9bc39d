"""SYNTHIA-SF: six sequences of a simulated town, two cameras, no poses; each camera of each is a sequence here.

    SEQ1/DepthLeft/0000000.png   8 bits: metres = 1000 (R + 256 G + 65536 B) / (2^24 - 1); the end of the scale is sky
    SEQ1/RGBLeft/..., SEQ1/GTLeft/...   labels of 8 bits: red class, green instance; and the same for Right

Focal length 847.630211643 of 1920 pixels, the principal point is the middle of the picture. The frame rate is not
published; 5 a second, as in SYNTHIA-SEQS, is taken.
"""

from __future__ import annotations

from pathlib import Path

from fieldscape.data.depth.frames import Sequence, absent, gaps
from fieldscape.data.depth.making import color_of, depth_map, given
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import number_in, numbered, three_bytes
from fieldscape.data.depth.record import DepthMap
from fieldscape.data.depth.synthia_seqs import RATE, two_channels

FOCAL = 847.630211643 / 1920
LARGEST = 1000.0
SIDES = ("Left", "Right")


def find(path: Path) -> list[Path]:
    """The folders of depth pictures, left before right, of the sequence at ``path`` or of those in it."""
    roots = [path, *sorted(entry for entry in path.glob("SEQ*") if entry.is_dir())]
    homes = [root / f"Depth{side}" for root in roots for side in SIDES]
    return [home for home in homes if numbered(home)]


def read(home: Path, options: DepthOptions) -> Sequence:
    """One camera of one sequence."""
    side, root = home.name.removeprefix("Depth"), home.parent
    depths, colors, labels = (numbered(root / f"{kind}{side}") for kind in ("Depth", "RGB", "GT"))
    stems, name = tuple(depths), f"{root.name}/{side}"
    notes = [*gaps(name, stems), *absent(name, "labels", stems, labels), *absent(name, "colours", stems, colors)]

    def load(k: int) -> DepthMap:
        stem = stems[k]
        depth, sky = three_bytes(depths[stem], LARGEST)
        pixels = two_channels(labels[stem]) if stem in labels else None
        classes, instances = (None, None) if pixels is None else (pixels[..., 0], pixels[..., 1])
        height, width = depth.shape
        inner = (FOCAL * width, FOCAL * width, width / 2, height / 2)
        inner = inner if options.intrinsics is None else given(options.intrinsics)
        color = color_of(colors.get(stem)) if options.color else None
        time = number_in(stem) / RATE
        return depth_map(f"{name}/{stem}", depth, sky, inner, "--intrinsics", time, None, instances, classes, color)

    return Sequence(name, stems, load, tuple(notes))
