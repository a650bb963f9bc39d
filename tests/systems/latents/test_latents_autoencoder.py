"""The latent space: as good as principal components from the start, never white, and better after training."""

import json
import sys
import types
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from fieldscape.errors import BadInput
from fieldscape.systems.latents.planes import autoencoder as ae
from fieldscape.systems.latents.planes.config import AutoencoderConfig
from fieldscape.systems.latents.planes.foreign import open_foreign
from fieldscape.systems.latents.planes.patches import components, from_patches, to_patches

CONFIG = AutoencoderConfig(factor=4, channels=6, hidden=8, steps=100)


def pictures(count: int = 48, size: int = 16) -> torch.Tensor:
    """Coloured discs and bars on white, mostly white, as objects are."""
    chance = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    made = []
    for _ in range(count):
        color, middle = torch.rand(3, 1, 1, generator=chance), size * (0.3 + 0.4 * torch.rand(2, generator=chance))
        across, down = x - middle[0], y - middle[1]
        disc = (across.square() + down.square() < (size / 5) ** 2) & ((across - down).abs() % 6 < 4)
        made.append(torch.where(disc, color, 1.0))
    return torch.stack(made)


def test_patches_are_put_together_again():
    images = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(from_patches(to_patches(images, 4), 4), images)


def test_components_are_those_of_a_singular_value_decomposition():
    vectors = torch.randn(200, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 8)
    mean, rows = components(vectors, 3)
    _, _, expected = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    torch.testing.assert_close(mean, vectors.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close((rows @ expected[:3].T).abs(), torch.eye(3), rtol=0, atol=1e-3)
    assert components(vectors, 9)[1].shape == (9, 7)


def test_at_the_start_it_is_the_best_linear_autoencoder_and_all_its_last_layers_have_gradients():
    images = pictures()
    autoencoder = ae.new_autoencoder(CONFIG, 0)
    autoencoder.start(images, torch.Generator().manual_seed(0))
    vectors = to_patches(images, 4).movedim(1, -1).flatten(0, 2)
    mean, rows = components(vectors, 6)
    best = float((vectors - mean - (vectors - mean) @ rows.T @ rows).square().mean())
    loss = mse_loss(autoencoder.decode(autoencoder.encode(images)), images)
    assert float(loss) == pytest.approx(best, rel=1e-4)
    loss.backward()
    for part in (autoencoder.finer, autoencoder.restorer):
        assert float(part[-1].weight.grad.abs().max()) > 0


def test_training_improves_on_principal_components_and_repeats_bit_for_bit():
    images = pictures()
    linear, trained, again = (ae.train_autoencoder(images, replace(CONFIG, steps=steps), 3) for steps in (0, 100, 100))
    moved = images.roll((1, 2), (2, 3))  # so that patches fall otherwise than where components were found
    errors = [float(mse_loss(one.decode(one.encode(moved)), moved).detach()) for one in (linear, trained)]
    assert errors[1] < 0.95 * errors[0]
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), again.parameters()))
    # Not the collapse to white, whose error is far greater.
    assert errors[1] < 0.2 * float((1 - images).square().mean())


def test_the_background_is_what_a_white_picture_decodes_from():
    images = pictures()
    autoencoder = ae.train_autoencoder(images, replace(CONFIG, steps=10), 0)
    with torch.no_grad():
        latent = ae.background(autoencoder, images)
        white = autoencoder.encode(torch.ones(1, 3, 48, 48))
        torch.testing.assert_close(white[0, :, 6, 6], latent, rtol=1e-4, atol=1e-4)
        old = latent.clone()
        autoencoder.analysis.add_(0.1)
        assert float((ae.background(autoencoder, images) - old).abs().max()) > 0.01


def test_without_convolutions_it_stays_linear():
    autoencoder = ae.train_autoencoder(pictures(), replace(CONFIG, hidden=0), 0)
    assert autoencoder.finer is None
    one, other = (torch.rand(1, 6, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(2))
    sums = autoencoder.decode(one) + autoencoder.decode(other) - autoencoder.decode(torch.zeros_like(one))
    torch.testing.assert_close(autoencoder.decode(one + other), sums, rtol=1e-4, atol=1e-4)


def test_a_folder_without_an_autoencoder_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no autoencoder"):
        open_foreign(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(BadInput, match="UNet2DModel"):
        open_foreign(tmp_path)


def test_without_diffusers_the_person_is_told_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(BadInput, match="pip install diffusers"):
        open_foreign(tmp_path)


class Eighth(nn.Module):
    """In the manner of diffusers: pictures in -1..1, a distribution of latents an eighth of the side."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    @staticmethod
    def from_pretrained(folder, local_files_only, use_safetensors):
        assert local_files_only
        assert use_safetensors
        return Eighth()

    def encode(self, x):
        mean = nn.functional.avg_pool2d(x, 8) * self.gain
        latents = torch.cat([mean, mean[:, :1]], 1)
        return types.SimpleNamespace(latent_dist=types.SimpleNamespace(mean=latents))

    def decode(self, z):
        return types.SimpleNamespace(sample=nn.functional.interpolate(z[:, :3], scale_factor=8))


def test_a_foreign_autoencoder_serves_as_ours(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    monkeypatch.setitem(sys.modules, "diffusers", types.SimpleNamespace(AutoencoderKL=Eighth))
    foreign = open_foreign(tmp_path)
    assert (foreign.factor, foreign.channels) == (8, 4)
    grey = torch.full((1, 3, 16, 16), 0.25)
    torch.testing.assert_close(foreign.decode(foreign.encode(grey)), grey)
