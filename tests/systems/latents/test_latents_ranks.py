"""Several processes learn what objects share: real ones, over gloo on the CPU."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fieldscape import cli
from fieldscape.errors import BadInput
from fieldscape.ranks import Ranks
from fieldscape.runs import Run
from fieldscape.systems.latents import methods
from fieldscape.systems.latents.bank import Bank
from fieldscape.systems.latents.options import LatentsTrainOptions
from fieldscape.systems.latents.planes.config import PRESETS
from fieldscape.systems.latents.train import planned, work
from fieldscape.systems.latents.voxel.config import VoxelSettings

LEARNING = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
sys.path.insert(0, sys.argv[2])
from test_latents_stages import LATENT, SILENT, Asked, boxes
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.files import read_json, write_json
from fieldscape.ranks import Ranks, joined
from fieldscape.systems.latents.planes.stages import learn_shared

torch.set_num_threads(1)
folder, objects = Path(sys.argv[1]), boxes(5)

def learned(config, ranks, looks=float("inf"), resume=None):
    saved, kept = [], []
    keep = lambda number, payload: kept.append((number, payload))
    save = lambda *parts: saved.append(parts)
    shared = learn_shared(objects, config, 0, Asked(looks), SILENT, save, resume, keep, ranks)
    return shared.tensors(), saved, kept

def same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name

with joined("cpu") as ranks:
    for config, stops in ((LATENT, (2, 5)), (replace(LATENT, optimiser="dense", sharing="sum"), (4,))):
        whole, saved, kept = learned(config, ranks)
        first = {name: tensor.clone() for name, tensor in whole.items()}
        ranks.follow(first.values())
        same(first, whole)
        assert [number for number, _ in kept] == ([0, 1, 2, 3, 4] if ranks.first else [])
        assert len({payload for _, payload in kept}) == len(kept)
        assert [parts[0] for parts in saved] == ([6] if ranks.first else [])

        # The second process is asked to stop, after so many steps (1a, then 1b); then both go on.
        for steps in stops:
            _, saved, none = learned(config, ranks, float("inf") if ranks.first else 1 + steps)
            assert none == []
            if ranks.first:
                assert saved[-1][0] == steps
                save_file(saved[-1][1], folder / "tensors")
                write_json(folder / "state.json", saved[-1][2])
            ranks.any(False)
            tensors, state = load_file(folder / "tensors"), read_json(folder / "state.json")
            assert len(tensors["table.micro"]) == 5
            again, saved, kept_again = learned(config, ranks, resume=Checkpoint(steps, tensors, state))
            same(again, whole)
            assert kept_again == kept

    try:
        learned(config, Ranks(), resume=Checkpoint(steps, tensors, state))
    except BadInput as error:
        assert "made by 2 processes" in str(error), error
    else:
        raise AssertionError("one process went on with what two had begun")
"""

COMMAND = """
import sys
from fieldscape import cli
sys.exit(cli.run(sys.argv[1:]))
"""


def test_two_processes_learn_as_one_and_stop_and_go_on_together(tmp_path, torchrun):
    script = tmp_path / "learning.py"
    script.write_text(LEARNING)
    torchrun(script, tmp_path, Path(__file__).parent)


def test_two_processes_write_one_run(tmp_path, torchrun):
    cars, run, script = tmp_path / "cars", tmp_path / "run", tmp_path / "command.py"
    script.write_text(COMMAND)
    flags = ["--objects", "2", "--views", "4", "--size", "16", "--workers", "1", "--quiet"]
    assert cli.run(["make", "cars", "--out", str(cars), *flags]) == 0
    flags = ["--method", "rgb-shared", "--steps", "3", "0", "--side", "4", "--held-out", "fifth", "--quiet"]
    torchrun(script, "latents", "train", cars, "--out", run, *flags, "--device", "cpu")
    with Bank.open(run / "bank") as bank:
        assert len(bank.names()) == 2
    assert json.loads((run / "report.json").read_text())["objects"] == 2
    assert Run.open(run).latest().state["step"] == 3


def test_several_processes_are_told_where_to_write():
    options = LatentsTrainOptions(Path("cars"), method="latent")
    config, seed, run = planned(replace(options, size=16))
    with pytest.raises(BadInput, match="name a folder with --out"):
        work(options, config, seed, run, Ranks(0, 2))


def test_voxels_are_the_work_of_one_process_on_the_cpu():
    methods.require_shared_work(VoxelSettings(), Ranks())
    methods.require_shared_work(PRESETS["latent"], Ranks(0, 2))
    with pytest.raises(BadInput, match="for tri-planes only"):
        methods.require_shared_work(VoxelSettings(), Ranks(0, 2))
    assert methods.device_named(VoxelSettings(), "auto") == "cpu"
    assert methods.device_named(PRESETS["latent"], "cuda:1") == "cuda:1"
    with pytest.raises(BadInput, match="--device cuda is for tri-planes"):
        methods.device_named(VoxelSettings(), "cuda")


def test_fewer_objects_than_processes_are_refused():
    from test_latents_stages import LATENT, SILENT, Asked, boxes

    from fieldscape.systems.latents.planes.stages import learn_shared

    with pytest.raises(BadInput, match="4 processes cannot share 3 objects"):
        learn_shared(boxes(), LATENT, 0, Asked(), SILENT, ranks=Ranks(0, 4, torch.device("cpu")))
