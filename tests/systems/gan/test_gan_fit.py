"""A generator is trained, stopped, taken up bit for bit, opened again, and refused what makes no sense."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape import cli
from fieldscape.runs import Run
from fieldscape.systems.gan import fit, train
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.measure import complaints, latents
from fieldscape.systems.gan.train import begin, prior_of
from fieldscape.systems.opening import open_scene

QUICK = ("--size", "16", "--batch", "4", "--images", "48", "--look-every", "24", "--quiet")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    out = tmp_path_factory.mktemp("photos")
    for index in range(40):
        coarse = np.random.default_rng(index).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC).save(out / f"{index:03d}.png")
    return out


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "gan"
    assert cli.run(["gan", "train", str(photos), "--out", str(out), *QUICK]) == 0
    return out


def test_a_run_says_what_came_out(trained):
    report = json.loads((trained / "report.json").read_text())
    assert report["images"] == 48
    assert report["swd"] > 0
    assert report["swd_floor"] > 0
    assert {"relief", "diversity", "reprojection", "view_change", "frechet"} <= set(report)
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [24, 48]
    assert len(list((trained / "previews").iterdir())) == 2


def test_going_on_equals_never_having_stopped(photos, trained, tmp_path):
    out = tmp_path / "run"
    short = [*QUICK[:5], "24", *QUICK[6:]]
    assert cli.run(["gan", "train", str(photos), "--out", str(out), *short]) == 0
    assert cli.run(["gan", "train", str(photos), "--out", str(out), "--resume", "--images", "48", "--quiet"]) == 0
    one, other = (safetensors.torch.load_file(run / "scene.safetensors") for run in (trained, out))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_a_scene_needs_its_folder_alone_and_its_number_is_a_control(trained):
    scene = open_scene(trained)
    first, same, other = (scene.render(scene.start, scene=n) for n in (3, 3, 4))
    assert first.color.shape == (16, 16, 3)
    assert torch.equal(first.color, same.color)
    assert not torch.equal(first.color, other.color)
    assert bool((first.depth > 0).all())


def test_render_sets_the_number_of_the_scene(trained, tmp_path, capsys):
    pictures = []
    for setting in ("scene=3", "scene=4", "scene=3"):
        out = tmp_path / f"{len(pictures)}.png"
        assert cli.run(["render", str(trained), "--path", "still", "--set", setting, "--out", str(out)]) == 0
        pictures.append(np.asarray(Image.open(out)))
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])
    capsys.readouterr()
    for setting, said in (("scene", "NAME=VALUE"), ("scene=-1", "goes from 0"), ("room=3", "no control 'room'")):
        assert cli.run(["render", str(trained), "--path", "still", "--set", setting]) == 2
        assert said in capsys.readouterr().err
    assert cli.run(["info", str(trained)]) == 0
    assert "--set scene=0 (0 to 9999)" in capsys.readouterr().out


def test_a_sheet_of_samples(trained, tmp_path):
    assert cli.run(["gan", "sample", str(trained), "--out", str(tmp_path / "some.png"), "--count", "3"]) == 0
    assert Image.open(tmp_path / "some.png").size[0] > 3 * 96
    assert torch.equal(latents(5, 2, 8)[1], latents(6, 1, 8)[0])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--batch", "1"), "--batch is 1"),
        (("--fov", "80", "40"), "the least first"),
        (("--yaw", "0", "--shift", "0"), "any depth would fit"),
        (("--prior", "given"), "--poses"),
        (("--most", "4"), "--most is 4"),
        (("--most", "-4"), "--most is -4"),
        (("--smooth", "-1"), "--smooth is -1"),
        (("--poses", "none.json"), "--prior given: add it"),
        (("--fov", "50", "60", "--prior", "given", "--poses", "none.json"), "--fov"),
        (("--prior", "object", "--shift", "0.1"), "--shift"),
        (("--preset", "8x256"), "--generator siren: add it"),
        (("--r1", "-1"), "--r1 is -1"),
    ],
)
def test_nonsense_is_refused(photos, tmp_path, capsys, flags, said):
    out = tmp_path / "run"
    assert cli.run(["gan", "train", str(photos), "--out", str(out), "--size", "16", "--quiet", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_run_goes_on_with_the_options_it_was_made_with_or_not_at_all(photos, trained, capsys):
    command = ["gan", "train", str(photos), "--out", str(trained), *QUICK, "--resume"]
    for flags, said in (
        (("--batch", "8"), "made with --batch 4, not 8"),
        (("--seed", "3"), "--seed 0, not 3"),
        (("--flips",), "--flips False, not True"),
    ):
        assert cli.run([*command, *flags]) == 2
        assert said in capsys.readouterr().err
    assert cli.run(command) == 0


def test_the_fewest_photos_leave_two_to_compare_with():
    assert [fit.held_back(None, count) for count in (16, 19, 30, 10_000)] == [2, 2, 3, fit.HELD]


def test_other_photos_are_not_what_a_run_was_made_from(trained, tmp_path, capsys):
    for index in range(20):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            tmp_path / f"{index}.png"
        )
    assert cli.run(["gan", "train", str(tmp_path), "--out", str(trained), "--resume", "--quiet"]) == 2
    assert "is not what" in capsys.readouterr().err


def test_a_seed_means_the_same_weights_and_leaves_others_randomness_alone():
    config = GanConfig(size=16)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one = begin(config, prior_of(config, None), 5)
    assert torch.equal(torch.rand(2), expected)
    other = begin(config, prior_of(config, None), 5)
    for a, b in zip(one.generator.parameters(), other.generator.parameters()):
        assert torch.equal(a, b)


def test_a_training_that_diverges_goes_back_and_on_at_half_the_rate(photos, tmp_path, monkeypatch, capsys):
    """One loss is not a number: without a copy of the good state, all weights would stay so."""
    steep, calls = train.steepness, []

    def sometimes_broken(*arguments):
        calls.append(1)
        return steep(*arguments) * (float("nan") if len(calls) in (1, 2) else 1.0)

    monkeypatch.setattr(train, "steepness", sometimes_broken)
    out = tmp_path / "run"
    assert cli.run(["gan", "train", str(photos), "--out", str(out), *QUICK[:-1]]) == 0
    assert "diverged" in capsys.readouterr().err
    tensors = safetensors.torch.load_file(out / "scene.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point())
    assert json.loads((out / "report.json").read_text())["images"] == 48
    assert Run.open(out).latest().state["players"]["rate"] == 0.25  # from the same good state twice


def test_a_last_step_that_breaks_the_weights_is_not_what_is_kept(photos, tmp_path, monkeypatch, capsys):
    """The losses of that step were numbers; the next ones, which would tell, are never taken."""
    keep = train.keep

    def broken_at_the_end(kept, generator, forget):
        keep(kept, generator, forget)
        steps.append(1)
        if len(steps) == 12:
            with torch.no_grad():
                next(generator.parameters()).view(-1)[0] = float("nan")
                next(kept.parameters()).view(-1)[0] = float("nan")

    steps: list[int] = []
    monkeypatch.setattr(train, "keep", broken_at_the_end)
    out = tmp_path / "run"
    assert cli.run(["gan", "train", str(photos), "--out", str(out), *QUICK[:-1]]) == 0
    assert "diverged" in capsys.readouterr().err
    tensors = safetensors.torch.load_file(out / "scene.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point())


def test_complaints_name_what_figures_show():
    fine = {"diversity": 0.7, "relief": 0.1, "view_change": 0.1, "mirrored": 1.0, "reprojection": 0.3}
    assert list(complaints(fine)) == []
    for name, value, said in (
        ("diversity", 0.1, "collapse"), ("relief", 0.01, "board"), ("view_change", 0.01, "same picture"),
        ("mirrored", 0.1, "mirrored"), ("reprojection", 0.9, "fog"), ("board", 0.2, "flat board"),
    ):  # fmt: skip
        assert any(said in complaint for complaint in complaints({**fine, name: value}))
