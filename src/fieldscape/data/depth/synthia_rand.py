"""SYNTHIA-RAND (RAND-CITYSCAPES, CVPR16): single pictures of a simulated town; every frame has a place of its own.

    Depth/0000000.png       16 bits, three equal channels: centimetres
    RGB/..., GT/LABELS/...  labels of 16 bits: red class, green instance

No poses and no times were published, and no intrinsics: those of SYNTHIA-SEQS are taken (focal length 532.74 of 1280
pixels, the middle), which a note says. Class 1, and what is farther than 300 m, is sky.
"""

from __future__ import annotations

from pathlib import Path

from fieldscape.data.depth.frames import Sequence, absent
from fieldscape.data.depth.making import color_of, depth_map, given
from fieldscape.data.depth.options import DepthOptions
from fieldscape.data.depth.pixels import SKY_METRES, measured, number_in, numbered, read_steps
from fieldscape.data.depth.record import DepthMap
from fieldscape.data.depth.synthia_seqs import PER_METRE, RATE, SKY, SKY_CLASS, two_channels

FOCAL = 532.740352 / 1280


def find(path: Path) -> list[Path]:
    """``path`` itself, if it is one of these."""
    there = (path / "GT" / "LABELS").is_dir() and not (path / "CameraParams").exists()
    return [path] if there and numbered(path / "Depth") else []


def read(home: Path, options: DepthOptions) -> Sequence:
    """All its pictures."""
    depths, colors, labels = (numbered(home / kind) for kind in ("Depth", "RGB", "GT/LABELS"))
    stems = tuple(depths)
    notes = [*absent(home.name, "labels", stems, labels), *absent(home.name, "colours", stems, colors)]
    if options.intrinsics is None:
        notes.append(f"{home.name}: no intrinsics were published; those of SYNTHIA-SEQS are taken (or --intrinsics).")

    def load(k: int) -> DepthMap:
        stem = stems[k]
        depth, sky = measured(read_steps(depths[stem]), PER_METRE, SKY)
        sky |= depth > SKY_METRES
        classes = instances = None
        if stem in labels:
            pixels = two_channels(labels[stem])
            classes, instances = pixels[..., 0], pixels[..., 1]
            if classes.shape == sky.shape:
                sky |= classes == SKY_CLASS
        height, width = depth.shape
        inner = (FOCAL * width, FOCAL * width, width / 2, height / 2)
        inner = inner if options.intrinsics is None else given(options.intrinsics)
        color = color_of(colors.get(stem)) if options.color else None
        time = number_in(stem) / RATE
        return depth_map(
            f"{home.name}/{stem}", depth, sky, inner, "--intrinsics", time, None, instances, classes, color
        )

    return Sequence(home.name, stems, load, tuple(notes))
