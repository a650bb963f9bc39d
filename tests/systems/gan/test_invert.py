"""A photo found in a generator: own samples come back, tuning keeps shapes, and runs open as they were shown."""

import dataclasses
import json
import math
from functools import partial

import pytest
import safetensors.torch
import torch
from PIL import Image

from fieldscape import cameras, cli
from fieldscape.errors import BadInput
from fieldscape.images import write_image
from fieldscape.systems.gan import figures
from fieldscape.systems.gan import scene as gan_scene
from fieldscape.systems.gan.config import GanConfig
from fieldscape.systems.gan.invert import film, fit, make
from fieldscape.systems.gan.invert.codes import code_space
from fieldscape.systems.gan.invert.config import InvertConfig
from fieldscape.systems.gan.invert.search import search
from fieldscape.systems.gan.invert.stances import stances_of
from fieldscape.systems.gan.measure import sampling, view
from fieldscape.systems.gan.players import begin, prior_of
from fieldscape.systems.gan.poses import GivenPoses, OrbitPrior, RoomPrior
from fieldscape.systems.gan.scene import drawing
from fieldscape.systems.opening import open_scene
from fieldscape.types import Camera
from fieldscape.video import read_video

QUICK = InvertConfig(
    scenes=16, starts=3, coarse_steps=20, finalists=1, steps=15, last_steps=30, tune_steps=25, anchors=512
)


def lively(config: GanConfig, seed: int = 0):
    """A generator that nobody trained, but whose scenes have colours and shapes that differ."""
    prior = prior_of(dataclasses.replace(config, prior="room") if config.prior == "given" else config, None)
    generator = begin(config, prior, seed).kept
    with torch.no_grad():
        if config.generator == "siren":
            generator.density.weight.mul_(8)
            generator.color.weight.mul_(4)
        else:
            generator.planes.weight.mul_(2)
    return generator, prior


@pytest.fixture(scope="module")
def made():
    config = GanConfig(size=16)
    return (*lively(config), config)


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory):
    """A run with the generator, as training leaves it."""
    generator, prior, config = made
    out = tmp_path_factory.mktemp("generator")
    gan_scene.write(out, generator, config, prior)
    return out


@pytest.fixture(scope="module")
def sample(made):
    """A picture that the generator makes, and its camera's yaw and pitch in degrees."""
    generator, prior, config = made
    chance = torch.Generator().manual_seed(77)
    code = generator.mapping(torch.randn(1, config.latent, generator=chance))
    camera, label = prior.draw(1, config.size, chance)
    color, _ = fit.seen(generator, code, camera[0], sampling(config, config.size))
    return color, torch.rad2deg(label[0])


@pytest.fixture
def photo(sample, tmp_path):
    """The sample as a file, four times its size."""
    big = sample[0].movedim(0, -1).repeat_interleave(4, 0).repeat_interleave(4, 1)
    write_image(tmp_path / "photo.png", big)
    return tmp_path / "photo.png"


@pytest.fixture
def quick(monkeypatch):
    small = {field.name: getattr(QUICK, field.name) for field in dataclasses.fields(QUICK) if field.name != "tune"}
    monkeypatch.setattr(make, "InvertConfig", partial(InvertConfig, **small))


def test_a_sample_of_the_generator_comes_back(made, sample):
    generator, prior, config = made
    color, _ = sample
    plain = color.flatten(1).mean(1)[:, None, None].expand_as(color)
    found = fit.invert_photo(generator, config, prior, color, QUICK, torch.Generator().manual_seed(0))
    assert found.psnr_code > 18
    assert found.psnr_code > fit.psnr(plain, color) + 2
    assert found.psnr_tuned > found.psnr_code + 1
    shown, _ = found.view(found.camera)
    assert fit.psnr(shown, color) == pytest.approx(found.psnr_tuned)


def test_the_search_finds_the_side_a_known_scene_was_seen_from(made):
    """Among the mean scene and others, from a grid that holds the true stance: it must be first, with no error."""
    generator, prior, config = made
    space = code_space(generator, torch.Generator().manual_seed(0))
    stances = stances_of(prior, config)
    numbers, base = stances.grid()
    camera = stances.camera(numbers[5:6], base[5:6], 16)
    color, _ = fit.seen(generator, space.mean[None], camera[0], sampling(config, 16))
    guesses = search(generator, space, stances, color, sampling(config, 16), QUICK, torch.Generator().manual_seed(0))
    torch.testing.assert_close(guesses.numbers[0], numbers[5])
    assert float(guesses.offsets[0].abs().max()) < 1e-3


def test_an_object_is_looked_for_from_all_around():
    """The middles of thirds: of half a turn to each side, the ends would be one and the same view."""
    config = GanConfig(size=16, prior="object", yaw=180.0, pitch=30.0)
    stances = stances_of(prior_of(config, None), config)
    numbers, base = stances.grid()
    place = stances.camera(numbers, base, 16).position
    apart = torch.cdist(place, place).fill_diagonal_(torch.inf)
    assert float(apart.min()) > 0.3
    torch.testing.assert_close(place[numbers[:, 1] == 0].sum(0), torch.zeros(3), atol=1e-5, rtol=0)


def test_an_anchor_keeps_the_shape_while_the_photo_is_met(made):
    """A photo of stripes, which the generator never makes: with nothing to hold it, density would paint them."""
    generator, prior, config = made
    where = sampling(config, 16)
    code = generator.mapping(torch.randn(1, config.latent, generator=torch.Generator().manual_seed(3)))
    camera = view(prior, 1, 16)[0]
    _, before = fit.seen(generator, code, camera, where)
    stripes = 0.2 + 0.6 * (torch.arange(16) // 4 % 2).float().expand(3, 16, 16)
    moved, met = [], []
    for anchor in (0.3, 0.0):
        settings = dataclasses.replace(QUICK, anchor=anchor)
        tuned = fit.tune(generator, code, camera, stripes, where, settings, torch.Generator().manual_seed(0), None)
        color, depth = fit.seen(tuned, code, camera, where)
        moved.append(float((depth - before).abs().mean()))
        met.append(fit.psnr(color, stripes))
    assert moved[0] < 0.6 * moved[1]
    assert min(met) > fit.psnr(fit.seen(generator, code, camera, where)[0], stripes) + 1


def test_a_photo_is_carried_to_another_view_as_depth_says():
    """A wall two metres ahead, seen from a quarter of a metre to the right: all moves left by two pixels of sixteen."""
    photo = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    camera = Camera(torch.eye(4)[None], torch.full((1, 2), 16.0), torch.full((1, 2), 8.0), 16, 16)
    wall = cameras.ray_depth(camera[0], torch.full((16, 16), 2.0))[None, None]
    same, known = figures.carried(photo, wall, camera, wall, camera)
    torch.testing.assert_close(same, photo, atol=1e-5, rtol=0)
    assert bool((known == 1).all())
    pose = torch.eye(4)[None].clone()
    pose[0, 0, 3] = 0.25
    there, known = figures.carried(photo, wall, camera, wall, dataclasses.replace(camera, pose=pose))
    torch.testing.assert_close(there[..., :14], photo[..., 2:], atol=1e-4, rtol=0)
    assert bool((known[..., :14] == 1).all())
    assert bool((known[..., 14:] == 0).all())  # beyond the photo's edge
    behind = figures.carried(photo, wall, camera, 1.5 * wall, camera)[1]
    assert bool((behind == 0).all())  # hidden by what the photo shows


def test_offsets_of_codes_count_in_their_standard_deviations(made):
    generator, _, config = made
    space = code_space(generator, torch.Generator().manual_seed(0))
    codes = generator.mapping(torch.randn(2000, config.latent, generator=torch.Generator().manual_seed(1)))
    offsets = space.offsets(codes)
    assert float(offsets.square().mean()) == pytest.approx(1.0, abs=0.1)
    torch.testing.assert_close(space.codes(offsets), codes, atol=2e-2, rtol=0)
    layered = space.codes(space.layered(offsets[:2]))
    assert layered.shape == (2, len(generator.blocks), codes.shape[1])
    one, many = generator.tensors(space.codes(offsets[:2])), generator.tensors(layered)
    torch.testing.assert_close(one, many, atol=1e-3, rtol=1e-3)
    changed = layered.clone()
    changed[:, -1] += 0.5
    assert float((generator.tensors(changed) - one).abs().max()) > 1e-3


def test_a_stance_of_ones_is_one_deviation_away():
    config = GanConfig(size=16, yaw=10.0, pitch=5.0, shift=0.3, fov=(50.0, 60.0))
    stances = stances_of(prior_of(config, None), config)
    base = torch.zeros(1, dtype=torch.long)
    mean = stances.camera(torch.zeros(1, 6), base, 16)
    torch.testing.assert_close(mean.pose, view(RoomPrior(), 1, 16).pose)
    assert float(2 * torch.atan(8 / mean.focal[0, 0])) == pytest.approx(math.radians(55))
    turned = stances.camera(torch.tensor([[1.0, 0, 0, 0, 0, 0]]), base, 16)
    assert math.degrees(math.acos(float(turned.forward[0, 2]))) == pytest.approx(10.0, abs=1e-3)
    moved = stances.camera(torch.tensor([[0, 0, 1.0, 0, 0, 0]]), base, 16)
    torch.testing.assert_close(moved.position[0], torch.tensor([0.3, 0.0, 0.0]), atol=1e-6, rtol=0)
    around = dataclasses.replace(config, prior="object")
    assert isinstance(stances_of(prior_of(around, None), around).around, OrbitPrior)


def test_given_poses_are_what_stances_count_from():
    camera, _ = RoomPrior(yaw=60.0).draw(5, 16, torch.Generator().manual_seed(0))
    given = GivenPoses(camera.pose, camera.focal[:, 0] / 16)
    stances = stances_of(given, GanConfig(size=16, prior="given"))
    numbers, base = stances.grid()
    same = stances.camera(numbers, base, 16)
    torch.testing.assert_close(same.pose, camera.pose, atol=1e-5, rtol=0)
    torch.testing.assert_close(same.focal, camera.focal, atol=1e-3, rtol=0)


def test_the_flight_swings_about_a_point_and_comes_back(made, sample):
    generator, prior, config = made
    camera = view(prior, 1, 16)[0]
    code = generator.mapping(torch.zeros(1, config.latent))
    found = fit.Inverted(
        generator, generator, config, code, camera, (0.0, 0.0), 0.0, torch.tensor([0.0, 1.0, 0.0]), 2.75, 20.0, 20.0
    )
    way = film.flight(found, 60)
    torch.testing.assert_close(way[0].pose, camera.pose)
    assert float((way.position[-1] - way.position[0]).norm()) < 0.2
    assert float(way.forward[15, 0]) == pytest.approx(math.sin(math.radians(film.YAW)), abs=1e-4)
    assert float(way.forward[45, 0]) == pytest.approx(-math.sin(math.radians(film.YAW)), abs=1e-4)
    pivot = torch.tensor([0.0, 0.0, 2.75])
    for yaw in (-10.0, 25.0):
        turned = found.turned(yaw)
        assert float((turned.position - pivot).norm()) == pytest.approx(2.75, abs=1e-5)
        torch.testing.assert_close(turned.position + 2.75 * turned.forward, pivot, atol=1e-5, rtol=0)
    figures = film.confidence(found)
    assert figures["depth_change"] == 0
    assert 0 < figures["revealed"] < 0.6


def test_a_run_and_a_photo_make_a_scene_and_a_film(folder, photo, tmp_path, capsys, monkeypatch, quick):
    kept = []
    whole = make.invert_photo
    monkeypatch.setattr(make, "invert_photo", lambda *all: kept.append(whole(*all)) or kept[0])
    out = tmp_path / "run"
    flags = ["--out", str(out), "--frames", "4", "--width", "32", "--quiet"]
    assert cli.run(["gan", "invert", str(folder), str(photo), *flags]) == 0
    said = capsys.readouterr().out
    assert "dB by code" in said
    frames = list(read_video(out / "fly-through.mp4"))
    assert len(frames) == 4
    assert frames[0].shape == (256, 512, 3)
    assert Image.open(out / "sheet.png").size[0] > 6 * 32
    report = json.loads((out / "report.json").read_text())
    assert report["psnr_code"] > 18
    assert report["psnr_tuned"] > report["psnr_code"]
    assert {"relief", "revealed", "yaw", "pitch", "depth_change", "warnings"} <= set(report)
    scene = open_scene(out)
    assert (scene.start.width, scene.start.height) == (32, 32)
    shown = drawing(kept[0].generator, kept[0].code, kept[0].config)
    for camera in (scene.start, scene.cameras[2]):
        one, other = scene.render(camera), shown(camera, {})
        assert torch.equal(one.color, other.color)
        assert torch.equal(one.depth, other.depth)
    assert cli.run(["render", str(out), "--path", "still", "--quiet"]) == 0


def test_a_seed_means_the_same_scene(folder, photo, tmp_path, quick):
    tensors = []
    for name in ("one", "other"):
        flags = ["--out", str(tmp_path / name), "--frames", "1", "--width", "16", "--quiet", "--no-tune"]
        assert cli.run(["gan", "invert", str(folder), str(photo), "--seed", "3", *flags]) == 0
        tensors.append(safetensors.torch.load_file(tmp_path / name / "scene.safetensors"))
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["psnr_code"] == report["psnr_tuned"]
    assert report["depth_change"] == 0


def test_a_run_of_given_poses_and_one_of_sines_can_be_inverted_through(photo, tmp_path, quick):
    config = GanConfig(size=16, prior="given", generator="siren", preset="3x64")
    generator, _ = lively(config)
    camera, _ = RoomPrior(yaw=30.0).draw(3, 16, torch.Generator().manual_seed(0))
    gan_scene.write(tmp_path, generator, config, GivenPoses(camera.pose, camera.focal[:, 0] / 16))
    out = tmp_path / "run"
    flags = ["--out", str(out), "--frames", "1", "--width", "16", "--quiet", "--no-tune"]
    assert cli.run(["gan", "invert", str(tmp_path), str(photo), *flags]) == 0
    start = open_scene(out).start
    stored = open_scene(tmp_path).cameras
    assert float((stored.position - start.position).norm(dim=-1).min()) < 1.5


def test_photos_are_made_upright_squares_of_three_colours(tmp_path):
    pixels = torch.zeros(24, 48, 3)
    pixels[:, 12:36] = 1.0
    write_image(tmp_path / "wide.png", pixels)
    photo, notes = make.read_photo(tmp_path / "wide.png", 16)
    torch.testing.assert_close(photo, torch.ones(3, 16, 16))
    assert "50 % of the photo, at the left and right" in notes[0]
    Image.new("L", (32, 32), 51).save(tmp_path / "gray.png")
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    for name, value in (("gray.png", 0.2), ("clear.png", 1.0)):
        photo, notes = make.read_photo(tmp_path / name, 16)
        torch.testing.assert_close(photo, torch.full((3, 16, 16), value))
        assert notes == []
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter: the left column becomes the top row
    turned = Image.new("RGB", (16, 16))
    turned.paste((255, 255, 255), (0, 0, 16, 8))
    turned.save(tmp_path / "turned.png", exif=exif)
    photo, _ = make.read_photo(tmp_path / "turned.png", 16)
    assert float(photo[:, :, 8:].mean()) == 1.0
    assert float(photo[:, :, :8].mean()) == 0.0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--corners", "x.json"), "--corners is for the engines box and depth"),
        (("--depth", "x.png"), "--depth is for the engines box and depth"),
        (("--fov", "50"), "--fov is for the engines box and depth"),
        (("--engine", "box"), "needs no run"),
        (("--frames", "0"), "--frames is 0"),
        (("--width", "5"), "--width is 5"),
        (("--fps", "0"), "--fps is 0"),
    ],
)
def test_options_of_another_engine_and_nonsense_are_refused(folder, photo, tmp_path, capsys, flags, said):
    out = tmp_path / "run"
    assert cli.run(["gan", "invert", str(folder), str(photo), "--out", str(out), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_photo_alone_is_for_the_other_engines(folder, photo, tmp_path, capsys):
    for flags, said in (
        (["--engine", "generator"], "needs a trained one"),
        (["--no-tune"], "--no-tune is for the engine generator"),
        (["--seed", "1"], "--seed is for the engine generator"),
        ([str(photo), str(photo)], "not 3 paths"),
    ):
        assert cli.run(["gan", "invert", str(photo), *flags, "--out", str(tmp_path / "run")]) == 2
        assert said in capsys.readouterr().err
    out = tmp_path / "box"
    assert cli.run(["gan", "invert", str(photo), "--out", str(out), "--frames", "2", "--quiet"]) == 0
    assert json.loads((out / "report.json").read_text())["engine"] == "box"


def test_what_is_no_generator_or_no_photo_is_refused(folder, photo, tmp_path):
    strip, tiny, broken = (tmp_path / name for name in ("strip.png", "tiny.png", "broken.png"))
    Image.new("RGB", (100, 20)).save(strip)
    Image.new("RGB", (12, 12)).save(tiny)
    broken.write_bytes(photo.read_bytes()[:60])
    for path, said in (
        (strip, "strip"),
        (tiny, "at least 16"),
        (broken, "broken.png"),
        (tmp_path / "no.png", "no.png"),
    ):
        with pytest.raises(BadInput, match=said):
            make.read_photo(path, 16)
    with pytest.raises(BadInput, match="no run folder"):
        gan_scene.read_run(tmp_path / "nothing")
    with pytest.raises(BadInput, match="holds no scene"):
        gan_scene.read_run(tmp_path)
    record = json.loads((folder / "scene.json").read_text())
    data = (folder / "scene.safetensors").read_bytes()
    for change, said in (
        ({"system": "nerf"}, "'nerf'"),
        ({"details": {"kind": "photo"}}, "scene of one photo"),
        ({"details": {"kind": "inversion"}}, "scene of one photo"),
    ):
        other = tmp_path / said.strip("'").replace(" ", "-")
        other.mkdir(exist_ok=True)
        (other / "scene.json").write_text(json.dumps({**record, **change}))
        (other / "scene.safetensors").write_bytes(data)
        with pytest.raises(BadInput, match=said):
            gan_scene.read_run(other)
    with pytest.raises(BadInput, match="fit"):
        open_scene(tmp_path / "scene-of-one-photo")


def test_a_description_that_claims_a_vast_generator_is_refused_before_it_is_made(folder, tmp_path):
    record = json.loads((folder / "scene.json").read_text())
    record["details"]["config"]["latent"] = 10**12
    (tmp_path / "scene.json").write_text(json.dumps(record))
    (tmp_path / "scene.safetensors").write_bytes((folder / "scene.safetensors").read_bytes())
    with pytest.raises(BadInput, match="latent is 1e\\+12"):
        gan_scene.read_run(tmp_path)


def test_complaints_name_what_speaks_against_a_scene():
    fine = {"psnr_code": 22.0, "psnr_tuned": 27.0, "relief": 0.1, "depth_change": 0.02}
    assert list(film.complaints(fine)) == []
    for name, value, said in (
        ("psnr_code", 12.0, "unlike"), ("psnr_tuned", 20.0, "roughly"), ("relief", 0.01, "board"),
        ("depth_change", 0.3, "--no-tune"),
    ):  # fmt: skip
        assert any(said in complaint for complaint in film.complaints({**fine, name: value}))
