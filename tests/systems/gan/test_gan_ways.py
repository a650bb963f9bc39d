"""Ways to train: depth maps, patches, the best of a batch, narrow numbers, other devices; and what stops a training."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape import cli
from fieldscape.errors import BadInput
from fieldscape.progress import progress
from fieldscape.ranks import Ranks
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.gan import fit, measure, sources, train
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.discriminator import Discriminator
from fieldscape.systems.gan.limits import within_limits
from fieldscape.systems.gan.picture import Sampling, draw
from fieldscape.systems.gan.players import begin, jitter, prior_of, scenes

QUICK = ("--size", "16", "--batch", "4", "--images", "8", "--look-every", "8", "--quiet")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos, and depth maps of a floor that comes nearer downwards, unknown at the top and of another scale each."""
    out = tmp_path_factory.mktemp("data")
    (out / "photos").mkdir()
    (out / "depth").mkdir()
    for index in range(24):
        random = np.random.default_rng(index)
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(out / "photos" / f"{index:02d}.png")
        z = np.linspace(6, 1, 64, dtype=np.float32)[:, None].repeat(64, 1) * random.uniform(1, 9)
        z[:4] = 0
        np.save(out / "depth" / f"{index:02d}.npy", z)
    return out


def trained(photos, out, *flags):
    assert cli.run(["gan", "train", str(photos / "photos"), "--out", str(out), *QUICK, *flags]) == 0
    return json.loads((out / "report.json").read_text())


def test_depth_maps_alone_measure_and_change_nothing_else(photos, tmp_path):
    plain = trained(photos, tmp_path / "plain")
    measured = trained(photos, tmp_path / "measured", "--depths", str(photos / "depth"))
    assert "depth_correlation" not in plain
    assert -1 <= measured["depth_correlation"] <= 1
    one, other = (safetensors.torch.load_file(tmp_path / n / "scene.safetensors") for n in ("plain", "measured"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    line = json.loads((tmp_path / "measured" / "metrics.jsonl").read_text().splitlines()[0])
    assert {"depth_correlation", "gap", "r1", "push", "fog", "alpha", "leak"} <= set(line)


def test_a_discriminator_is_given_depth_where_asked(photos, tmp_path):
    trained(photos, tmp_path / "run", "--depths", str(photos / "depth"), "--depth-aware")
    tensors = Run.open(tmp_path / "run").latest().tensors
    assert tensors["discriminator.first.16.weight"].shape[1] == 6  # colours, depth, and where a pixel is
    assert all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point())


def test_fakes_have_the_holes_of_the_photos(photos):
    found = fit.read_photo_set(photos / "photos", 16, None, photos / "depth")
    source = sources.source_of(found, True, False, torch.device("cpu"))
    chance = torch.Generator().manual_seed(0)
    real, known = source.real(torch.arange(4), 16, None, chance)
    assert not bool(known[:, :, 0].any())
    assert bool(known[:, :, 1:].all())
    config = GanConfig(size=16, depth_aware=True)
    prior = prior_of(config, None)
    players = begin(config, prior, 0)
    _, fake, _ = train.imagine(players.generator, prior, Sampling(0.4, 7.0, 4), 4, 16, 0.0, chance, None, known)
    assert fake.shape == real.shape == (4, 4, 16, 16)
    assert bool((fake[:, 3:][~known] == 0).all())
    assert bool((fake[:, 3:][known] != 0).any())
    fake[:, 3].sum().backward()
    assert any(float(p.grad.abs().sum()) > 0 for p in players.generator.parameters() if p.grad is not None)


def test_rays_that_nothing_stops_are_told_to_be_far():
    """Noise on thin density leaves some rays without any: without depth there, its logarithm would be infinite."""
    config = GanConfig(size=16, prior="object", near=0.7, far=1.3)
    prior, chance = prior_of(config, None), torch.Generator().manual_seed(0)
    players = begin(config, prior, 0)
    known = torch.ones(4, 1, 16, 16, dtype=torch.bool)
    where = Sampling(0.7, 1.3, 3, walled=False)
    _, fake, _ = train.imagine(players.generator, prior, where, 4, 16, 5.0, chance, None, known)
    assert bool(fake.isfinite().all())
    assert float(fake[:, 3:].min()) < -0.1
    fake[:, 3].sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in players.generator.parameters() if p.grad is not None)


def test_patches_of_larger_pictures_train_and_open(photos, tmp_path):
    trained(photos, tmp_path / "run", "--size", "32", "--patch", "16", "--top-k")
    run = Run.open(tmp_path / "run")
    assert run.record["config"]["gan"]["patch"] == 16
    tensors = run.latest().tensors
    assert tensors["discriminator.condition.0.weight"].shape[1] == 3
    assert "discriminator.first.32.weight" not in tensors
    assert Image.open(tmp_path / "run" / "sheet.png").size[0] > 64


def test_larger_pictures_are_learned_from_by_patches():
    options = fit.TrainOptions(photos=fit.Path("photos"), size=128)
    assert fit.planned(options)[0].gan.patch == 32
    assert fit.planned(fit.dataclasses.replace(options, patch=0))[0].gan.patch == 0
    assert fit.planned(fit.dataclasses.replace(options, size=64))[0].gan.patch == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--depth-aware",), "give --depths"),
        (("--patch", "32"), "--patch 32"),
        (("--flips", "--prior", "given", "--poses", "none.json"), "--flips"),
        (("--device", "tpu"), "--device tpu"),
        (("--features", "none.pt"), "none.pt"),
        (("--depths", "nowhere"), "no depth map"),
    ],
)
def test_ways_that_lead_nowhere_are_refused(photos, tmp_path, capsys, flags, said):
    assert cli.run(["gan", "train", str(photos / "photos"), "--out", str(tmp_path / "run"), *QUICK, *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_depth_maps_of_another_part_are_refused(photos, tmp_path, capsys):
    for index in range(24):
        np.save(tmp_path / f"{index:02d}.npy", np.ones((48, 64), np.float32))
    out = ["--out", str(tmp_path / "run"), "--depths", str(tmp_path)]
    assert cli.run(["gan", "train", str(photos / "photos"), *out, *QUICK]) == 2
    assert "64 x 64, but its depth map 64 x 48" in capsys.readouterr().err


def grey(index):
    return np.full((16, 16, 3), 90, np.uint8)


def same(index):
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("count", "picture", "said"), [(3, same, "holds 3 photos"), (20, grey, "of one colour"), (20, same, "different")]
)
def test_photos_that_teach_nothing_are_refused_in_a_sentence(tmp_path, capsys, count, picture, said):
    for index in range(count):
        Image.fromarray(picture(index)).save(tmp_path / f"{index}.png")
    assert cli.run(["gan", "train", str(tmp_path), "--out", str(tmp_path / "run"), *QUICK]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_the_best_of_a_batch_teach_alone():
    """With --top-k the share falls to 60 %: the worst scored pictures leave no trace in the gradient."""
    score = torch.tensor([3.0, -2.0, 0.5, 1.0, -4.0], requires_grad=True)
    assert len(train.passing(score, 0)) == 5
    train.passing(torch.nn.functional.softplus(-score), 10**6).mean().backward()
    assert (score.grad != 0).tolist() == [True, False, True, True, False]


@pytest.mark.parametrize("generator", ["triplane", "siren"])
def test_narrow_numbers_stay_inside_the_networks(generator):
    config = GanConfig(size=16, generator=generator, preset="3x64")
    prior, chance = prior_of(config, None), torch.Generator()
    players = begin(config, prior, 0)
    where, given = Sampling(0.4, 7.0, 4), {}
    for bf16 in (False, True):
        given[bf16] = train.imagine(players.generator, prior, where, 4, 16, 0.0, chance.manual_seed(0), bf16=bf16)[1]
        assert given[bf16].dtype == torch.float32
    assert float((given[True] - given[False]).abs().max()) < 0.05
    if generator == "siren":
        assert torch.equal(given[True], given[False])  # its sines are too fast for eight bits
    judge = Discriminator(16)
    scores = {bf16: train.judged(judge, given[False].detach(), None, 1.0, bf16)[0] for bf16 in (False, True)}
    assert scores[True].dtype == torch.float32
    torch.testing.assert_close(scores[True], scores[False], atol=0.05, rtol=0.05)
    assert not torch.equal(scores[True], scores[False])
    steep = train.steepness(judge, given[False], None, 1.0, 0, True)
    steep.backward()
    assert all(p.grad.dtype == torch.float32 for p in judge.parameters() if p.grad is not None)


class Elsewhere(torch.utils._python_dispatch.TorchDispatchMode):
    """Refuses every operation that mixes tensors of the CPU (but for single numbers) with tensors of another device."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        flat = [t for t in torch.utils._pytree.tree_leaves((arguments, named)) if isinstance(t, torch.Tensor)]
        devices = {t.device.type for t in flat if t.ndim > 0}
        if len(devices) > 1 and "copy" not in str(function):
            raise AssertionError(f"{function} mixes {devices}")
        return function(*arguments, **(named or {}))


def test_all_that_a_step_makes_is_on_the_device(photos, monkeypatch):
    """On the device without memory: shapes and places are computed, numbers are not."""
    meta = torch.device("meta")
    monkeypatch.setattr(train, "jitter", lambda chance, device: None)
    for patch, generator in ((0, "triplane"), (16, "siren")):
        config = GanConfig(size=64, generator=generator, preset="3x64", patch=patch, depth_aware=True, flips=True)
        prior, chance = prior_of(config, None), torch.Generator().manual_seed(0)
        players = begin(config, prior, 0, meta)
        found = fit.read_photo_set(photos / "photos", 64, None, photos / "depth")
        source = sources.source_of(found, True, True, meta)
        side = patch or 64
        with Elsewhere():
            cuts = train.draw_patches(4, 0.25, chance) if patch else None
            real, known = source.real(torch.arange(4), side, cuts, chance)
            field, fake, label = train.imagine(
                players.generator, prior, Sampling(0.4, 7.0, 4), 4, side, 0.0, chance, cuts, known
            )
            told = train.joint(None, cuts, meta)
            seen = train.augment(torch.cat([fake, real.to(meta)]), 0.5, chance)
            score, guessed = train.judged(
                players.discriminator, seen, torch.cat([told, told]) if patch else None, 1.0, False
            )
            rough = train.roughness(field, players.generator.low, players.generator.high, 4, chance)
            loss = score.mean() + (guessed[:4] - label).square().mean() + rough
        assert loss.device == seen.device == meta
    assert jitter(chance, torch.device("cpu")) is chance


def test_memory_that_runs_out_names_what_to_lower(tmp_path):
    config = GanConfig(size=64, batch=64)
    for fault in (
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        MemoryError(),
    ):
        with (
            pytest.raises(BadInput, match="--batch below 64, --patch 32, a --size below 64"),
            within_limits(config, torch.device("cpu"), tmp_path),
        ):
            raise fault
    with pytest.raises(BadInput, match="--batch"), within_limits(config, torch.device("cpu"), tmp_path):
        torch.empty(10**15)
    with pytest.raises(RuntimeError, match="other"), within_limits(config, torch.device("cpu"), tmp_path):
        raise RuntimeError("something other")
    with pytest.raises(BadInput, match="--device cpu"), within_limits(config, torch.device("mps"), tmp_path):
        raise NotImplementedError("aten::none")


def test_memory_that_runs_out_on_the_way_leaves_what_was_saved(photos, tmp_path, monkeypatch, capsys):
    steep, calls = train.steepness, []

    def full(*arguments):
        calls.append(1)
        return steep(*arguments) if len(calls) == 1 else torch.empty(10**15)

    monkeypatch.setattr(train, "steepness", full)
    monkeypatch.setattr(train, "R1_EVERY", 2)
    out = tmp_path / "run"
    assert cli.run(["gan", "train", str(photos / "photos"), "--out", str(out), *QUICK, "--images", "24"]) == 2
    assert "memory of cpu is full" in capsys.readouterr().err
    assert Run.open(out).latest().state["players"]["seen"] == 8


def test_complaints_of_the_players_and_of_the_volume():
    fine = {"diversity": 0.7, "relief": 0.1, "view_change": 0.1, "mirrored": 1.0, "reprojection": 0.3}
    fine |= {"gap": 3.0, "push": 0.5, "alpha": 1.0, "fog": 0.3, "leak": 0.2, "depth_correlation": 0.4}
    assert list(measure.complaints(fine)) == []
    for changed, said in (
        ({"gap": 9.0, "push": 1e-3}, "--r1"), ({"alpha": 0.2}, "empty"), ({"fog": 0.95}, "fog"),
        ({"leak": 1.4}, "leak"),
        ({"depth_correlation": -0.3}, "hollow"),
    ):  # fmt: skip
        assert any(said in complaint for complaint in measure.complaints(fine | changed)), said
    assert list(measure.complaints(fine | {"gap": 9.0})) == []


def test_thickness_tells_walls_from_fog_and_nothing():
    where = Sampling(0.4, 7.0, 16)
    prior = prior_of(GanConfig(), None)
    found = {}
    for name, density in (
        ("wall", lambda t: 1e3 * (t > 3)), ("fog", lambda t: torch.full_like(t, 0.6)), ("nothing", torch.zeros_like),
    ):  # fmt: skip

        def field(points, directions, density=density):
            return points, density(points.norm(dim=-1))

        given = measure.thickness(field, measure.view(prior, 2, 16), where)
        found[name] = [float(value.mean()) for value in given]
    assert found["wall"] == pytest.approx([1, 0], abs=0.01)
    assert found["nothing"][0] == 0
    assert found["fog"][0] > 0.8
    assert found["fog"][1] > measure.FOGGY > 0.3


def test_a_leak_is_a_scene_that_changes_with_the_view():
    scenes_ = torch.rand(6, 3, 1, 1).expand(6, 3, 8, 8) + 0.01 * torch.rand(6, 3, 8, 8)
    assert measure.leak(scenes_, scenes_.flip(-1)) < 0.01
    assert measure.leak(scenes_[:1].expand_as(scenes_) + 0.01 * scenes_, scenes_) > 1


def test_a_stop_saves_before_anything_is_looked_at(photos, tmp_path, monkeypatch):
    def never(*arguments):
        raise AssertionError("a look may last longer than a scheduler waits")

    monkeypatch.setattr(train, "look", never)
    found = fit.read_photo_set(photos / "photos", 16)
    config = GanConfig(size=16, batch=4, images=400, look_every=400)
    run = Run.create(tmp_path / "run", "gan", config, 0, {}, "cpu")
    stop = Stop(None)
    keep = train.keep

    def asked(*arguments):
        stop.on_signal(signal.SIGTERM, None)
        return keep(*arguments)

    monkeypatch.setattr(train, "keep", asked)
    with progress(1, "training", True) as bar:
        players, stopped, _ = train.train(found, found, config, None, run, stop, bar, 0)
    assert stopped == "SIGTERM"
    assert players.step == run.latest().state["players"]["step"] == 1


def test_a_real_signal_at_any_step_and_on_as_if_nothing_had_been(photos, tmp_path):
    """The program itself, told to end; it must save within five seconds and go on bit for bit."""
    plan = [str(photos / "photos"), "--size", "16", "--batch", "4", "--look-every", "4", "--quiet"]
    command = [sys.executable, "-m", "fieldscape", "gan", "train", *plan, "--images", "4000", "--out"]
    out = tmp_path / "run"
    started = subprocess.Popen(
        [*command, str(out)], env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    began = time.monotonic()
    try:
        deadline = began + 120
        while not (out / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        asked, calendar = time.monotonic(), time.time()
        started.send_signal(signal.SIGTERM)
        said, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 0
    assert "SIGTERM" in said
    assert "--resume" in said
    # Five seconds, or as much longer as this machine is too busy to start a program in less.
    saved = max(path.stat().st_mtime for path in (out / "checkpoint").rglob("*")) - calendar
    assert saved < max(5, asked - began)
    seen = Run.open(out).latest().state["players"]["seen"]
    assert 4 <= seen < 4000
    target = ["--images", str(seen + 8)]
    assert cli.run(["gan", "train", plan[0], "--out", str(out), "--resume", "--quiet", *target]) == 0
    assert cli.run(["gan", "train", *plan, "--look-every", "100000", *target, "--out", str(tmp_path / "whole")]) == 0
    one, other = (safetensors.torch.load_file(r / "scene.safetensors") for r in (out, tmp_path / "whole"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_scenes_of_a_seed_are_the_same_wherever_they_are_made():
    config = GanConfig(size=16)
    prior = prior_of(config, None)
    players = begin(config, prior, 0)
    camera, _ = prior.draw(2, 16, torch.Generator().manual_seed(1))
    one, other = (scenes(players.generator, 2, torch.Generator().manual_seed(5)) for _ in range(2))
    where = Sampling(0.4, 7.0, 4)
    assert torch.equal(draw(one, camera, where).color, draw(other, camera, where).color)
    assert Ranks().device.type == "cpu"
