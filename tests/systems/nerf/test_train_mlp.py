"""The training loop on a small sphere: it learns, stops, resumes bit for bit, and recovers from a rigged collapse."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fieldscape.cameras import image_rays, look_at
from fieldscape.errors import BadInput
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run
from fieldscape.stopping import Stop
from fieldscape.systems.nerf import guard, pixels, train_mlp
from fieldscape.systems.nerf.config import MlpConfig
from fieldscape.types import Camera, Views

QUICK = MlpConfig(
    iters=24, n_rand=128, n_samples=16, depth=2, width=32, octaves=4, lr=5e-3, eval_every=12, preview_every=12,
    checkpoint_every=10, precision="float32",
)  # fmt: skip
LONGER = dataclasses.replace(QUICK, iters=40)  # long enough for thirty empty pictures
CPU = torch.device("cpu")


class StopAfter(Stop):
    """A request to stop that comes after so many steps."""

    def __init__(self, steps: int) -> None:
        super().__init__(None)
        self.asked, self.steps = 0, steps

    @property
    def requested(self) -> str | None:
        self.asked += 1
        return "SIGTERM" if self.asked > self.steps else None


@pytest.fixture(scope="module")
def views() -> Views:
    """Twelve 20 x 20 photos, with alpha, of a ball painted by its normals; the last two held out."""
    angles = torch.arange(12) * 2 * torch.pi / 12
    eyes = torch.stack([3 * angles.cos(), 3 * angles.sin(), 1.2 * torch.sin(3 * angles)], -1)
    poses = look_at(eyes, torch.zeros(12, 3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Camera(poses, torch.full((12, 2), 24.0), torch.full((12, 2), 10.0), 20, 20)
    images, maps = [], []
    for i in range(12):
        rays = image_rays(camera[i])
        b = (rays.origins * rays.directions).sum(-1)
        inside = b**2 - (rays.origins**2).sum(-1) + 1
        hit = (inside > 0)[..., None].float()
        normal = rays.origins + (-b - inside.clamp_min(0).sqrt())[..., None] * rays.directions
        images.append(torch.cat([(0.5 + 0.5 * normal).clamp(0, 1), hit], -1))
        maps.append(hit * (normal[..., 2:] > 0))
    return Views(
        camera, torch.stack(images), tuple(f"{i}" for i in range(12)), (10, 11), "last two", (0.0, 0.0, 0.0),
        maps=torch.stack(maps),
    )  # fmt: skip


def fit(
    views: Views, folder: Path, config: MlpConfig = QUICK, stop: Stop | None = None, resume: bool = False, seed: int = 0
) -> train_mlp.FittedMlp:
    run = Run.open(folder) if resume else Run.create(folder, "nerf", config, seed, {}, "cpu")
    with progress(config.iters, "fit", quiet=True) as bar:
        checkpoint = run.latest() if resume else None
        return train_mlp.train(views, config, run, stop or Stop(None), bar, CPU, seed, checkpoint)


def one_color(views: Views) -> float:
    """The PSNR of the best picture of one colour, a collapsed network's."""
    colors = torch.stack([views.color(i) for i in range(len(views))]).reshape(-1, 3)
    return -10 * math.log10(guard.one_color_error(colors))


def weights(fitted: train_mlp.FittedMlp) -> Tensor:
    return torch.cat([p.detach().flatten() for p in fitted.model.parameters()])


def test_it_learns_the_ball(views: Views, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, iters=120, precision="auto")
    fitted = fit(views, tmp_path, config)
    (first, early), *_, (last, late) = fitted.curve
    assert (first, last) == (12, 120)
    assert late > one_color(views) + 6
    assert late > early + 2
    assert fitted.restarts == 0
    assert fitted.stopped is None
    assert fitted.seconds > 0
    logged = Run.open(tmp_path).metrics()
    assert [line["step"] for line in logged] == list(range(12, 121, 12))
    assert (tmp_path / "previews" / "step-000120.png").exists()


def test_stopping_and_resuming_is_bit_for_bit_the_uninterrupted_run(views: Views, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, n_importance=8, view_octaves=1, density_noise=0.5, lr_decay=0.1)
    straight = fit(views, tmp_path / "straight", config)
    stopped = fit(views, tmp_path / "stopped", config, StopAfter(13))
    assert stopped.step == 13
    assert stopped.stopped == "SIGTERM"
    assert not torch.equal(weights(stopped), weights(straight))
    resumed = fit(views, tmp_path / "stopped", config, resume=True)
    assert resumed.step == straight.step == 24
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.curve == straight.curve


def test_looking_and_saving_changes_nothing_that_is_learned(views: Views, tmp_path: Path) -> None:
    seldom = dataclasses.replace(QUICK, eval_every=1000, preview_every=0, checkpoint_every=1000)
    assert torch.equal(weights(fit(views, tmp_path / "a")), weights(fit(views, tmp_path / "b", seldom)))


def test_a_seed_decides_everything(views: Views, tmp_path: Path) -> None:
    assert not torch.equal(weights(fit(views, tmp_path / "a")), weights(fit(views, tmp_path / "b", seed=1)))


@pytest.mark.parametrize("background", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_a_rigged_empty_start_is_noticed_and_started_over(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, background: tuple[float, float, float]
) -> None:
    monkeypatch.setattr(train_mlp, "DENSITY_BIASES", (-20.0, 0.5, 0.5))
    said: list[str] = []
    monkeypatch.setattr(Bar, "say", lambda bar, text: said.append(text))
    views = dataclasses.replace(views, background=background)
    fitted = fit(views, tmp_path, dataclasses.replace(QUICK, iters=60))
    assert fitted.restarts == 1
    assert fitted.step == 60
    assert fitted.curve[-1][1] > one_color(views) + 3
    assert len(said) == 1
    assert "empty" in said[0]
    assert "seed 1" in said[0]
    assert any("restarted" in line for line in Run.open(tmp_path).metrics())


def test_a_collapse_that_comes_back_ends_in_a_clear_sentence(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_mlp, "DENSITY_BIASES", (-20.0, -20.0))
    with pytest.raises(BadInput, match=r"collapsed 2 times.*empty"):
        fit(views, tmp_path, LONGER)


def test_a_late_collapse_is_reported_not_started_over(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_mlp, "DENSITY_BIASES", (-20.0, 0.5))
    monkeypatch.setattr(train_mlp, "RESTART_BEFORE", 20)
    with pytest.raises(BadInput, match="smaller --lr"):
        fit(views, tmp_path, LONGER)


def test_a_loss_that_is_no_number_never_reaches_a_checkpoint(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_mlp, "RESTART_BEFORE", 0)
    error = train_mlp.squared_error
    calls = 0

    def spoiled(picture: object, batch: object) -> Tensor:
        nonlocal calls
        calls += 1
        return error(picture, batch) * (float("nan") if calls > 17 else 1)  # type: ignore[arg-type]

    monkeypatch.setattr(train_mlp, "squared_error", spoiled)
    with pytest.raises(BadInput, match="not a number at step 17"):
        fit(views, tmp_path)
    checkpoint = Run.open(tmp_path).latest()
    assert checkpoint is not None
    assert checkpoint.step == 10


def test_further_channels_are_learned(views: Views, tmp_path: Path) -> None:
    fitted = fit(views, tmp_path, dataclasses.replace(QUICK, iters=80, channels=1))
    assert views.maps is not None
    rays = image_rays(views.camera[10])
    picture = train_mlp.render_rays(fitted.model, rays.reshape(-1), torch.zeros(3))[-1]
    assert picture.extra is not None
    off = (picture.extra.reshape(20, 20, 1) - views.maps[10]).abs()
    assert off.mean() < 0.5 * views.maps[10].mean()


def test_maps_that_are_not_there_are_asked_for(views: Views, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--channels 4.*1 channels"):
        fit(views, tmp_path / "a", dataclasses.replace(QUICK, channels=4))
    with pytest.raises(BadInput, match="0 channels"):
        fit(dataclasses.replace(views, maps=None), tmp_path / "b", dataclasses.replace(QUICK, channels=1))


def test_without_held_out_views_there_is_no_curve(views: Views, tmp_path: Path) -> None:
    fitted = fit(dataclasses.replace(views, held_out=()), tmp_path)
    assert fitted.curve == ()


def test_near_beyond_far_is_refused(views: Views, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="near < far"):
        fit(views, tmp_path, dataclasses.replace(QUICK, near=50.0))


def test_a_checkpoint_of_another_network_is_refused(views: Views, tmp_path: Path) -> None:
    fit(views, tmp_path)
    with pytest.raises(BadInput, match="another shape"):
        fit(views, tmp_path, dataclasses.replace(QUICK, width=16), resume=True)


def test_a_batch_shows_what_the_photos_show(views: Views) -> None:
    config = dataclasses.replace(QUICK, n_rand=400, channels=1)
    learn_from = torch.tensor([3])
    generator = torch.Generator().manual_seed(0)
    batch = pixels.draw(views, learn_from, config, 0, generator)
    rays = image_rays(views.camera[3]).reshape(-1)
    nearest = (batch.rays.directions @ rays.directions.T).argmax(-1)
    torch.testing.assert_close(batch.rays.directions, rays.directions[nearest])
    torch.testing.assert_close(batch.color, views.color(3).reshape(-1, 3)[nearest])
    assert views.maps is not None
    assert batch.maps is not None
    torch.testing.assert_close(batch.maps, views.maps[3].reshape(-1, 1)[nearest])
    assert len(nearest.unique()) > 200


def test_stored_bytes_and_alpha_give_the_colour_of_the_whole_photo(views: Views) -> None:
    stored = dataclasses.replace(views, images=(views.images * 255).round().to(torch.uint8), background=(1.0, 0.5, 0.0))
    view, row, column = torch.tensor([0, 4, 11]), torch.tensor([0, 10, 19]), torch.tensor([5, 10, 0])
    expected = torch.stack([stored.color(int(v))[r, c] for v, r, c in zip(view, row, column)])
    torch.testing.assert_close(pixels.look_up(stored, view, row, column).color, expected)


def test_the_first_steps_may_look_at_the_middle_only(views: Views) -> None:
    config = dataclasses.replace(QUICK, n_rand=500, crop_iters=10, crop_share=0.2)
    for step, spread in [(9, 2), (10, 10)]:
        batch = pixels.draw(views, torch.tensor([0]), config, step, torch.Generator().manual_seed(0))
        angle = torch.acos((batch.rays.directions @ views.camera.forward[0]).clamp(-1, 1)).max()
        expected = torch.tensor((spread - 0.5) * 2**0.5 / 24).atan()
        assert angle == pytest.approx(float(expected), rel=0.01)


def test_unusable_pixels_do_not_count(views: Views, tmp_path: Path) -> None:
    """A stripe that is marked unusable may be painted over, and not one bit of the weights changes."""
    valid = torch.ones(12, 20, 20, dtype=torch.bool)
    valid[:, 5:8] = False
    painted = views.images.clone()
    painted[:, 5:8, :, :3] = 1  # alpha stays, so that the silhouettes and with them the placement do
    clean = fit(dataclasses.replace(views, valid=valid), tmp_path / "a")
    masked = fit(dataclasses.replace(views, valid=valid, images=painted), tmp_path / "b")
    assert torch.equal(weights(clean), weights(masked))
    assert clean.curve == masked.curve
    unmasked = fit(dataclasses.replace(views, images=painted), tmp_path / "c")
    assert not torch.equal(weights(clean), weights(unmasked))


def test_an_interruption_does_not_make_the_guard_forget(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_mlp, "DENSITY_BIASES", (-20.0, 0.5))
    assert fit(views, tmp_path, LONGER, StopAfter(20)).restarts == 0
    assert fit(views, tmp_path, LONGER, resume=True).restarts == 1
