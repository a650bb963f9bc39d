"""Runs outlive code: runs of format 1, made once and kept, still open, render and show what they showed then."""

from pathlib import Path

import pytest
import torch

from fieldscape.runs import Run
from fieldscape.systems.nerf.options import NerfConfig
from fieldscape.systems.opening import open_scene

FIXTURES = Path(__file__).parent / "fixtures"

SHOWN = {
    "format-1-voxels": ((0.6865, 0.5098, 0.3661), 3.017),
    "format-1-mlp": ((0.6776, 0.4720, 0.3199), 0.373),
}
"""The mean colour and the median depth from the scene's start, noted when the run was made."""


@pytest.mark.parametrize("name", SHOWN)
def test_an_old_scene_looks_as_it_did(name) -> None:
    scene = open_scene(FIXTURES / name)
    seen = scene.render(scene.start)
    color, depth = SHOWN[name]
    assert seen.color.shape == (24, 32, 3)
    assert seen.color.mean((0, 1)).tolist() == pytest.approx(color, abs=1e-3)
    assert float(seen.depth.median()) == pytest.approx(depth, rel=1e-2)
    assert len(scene.cameras) == 16
    assert bool(torch.isfinite(seen.depth).all())


@pytest.mark.parametrize("name", SHOWN)
def test_an_old_record_reads(name) -> None:
    run = Run.open(FIXTURES / name)
    config = run.config(NerfConfig)
    assert (config.mlp is None) == (name == "format-1-voxels")
