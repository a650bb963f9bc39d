"""FID and KID: closed forms, brute force, and a network of the user's own through the command line."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape import cli
from fieldscape.errors import BadInput
from fieldscape.systems.gan.features import SIDE, features_of, fid, kid, read_features


def test_fid_of_gaussians_is_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(20_000, 6, generator=generator, dtype=torch.float64)
    assert fid(one, one) == pytest.approx(0, abs=1e-9)
    # An axis stretched and moved: (mean apart)^2 + sum over axes of (difference of spreads)^2.
    stretch = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.5, 1.0], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    expected = 9 + 1 + 0.25
    other = one * stretch
    other[:, 3] += 3
    assert fid(one, other) == pytest.approx(expected, rel=0.03)
    assert fid(one @ turn, other @ turn) == pytest.approx(fid(one, other), rel=1e-6)
    # Covariances that do not commute: against the square root of the product itself.
    mixed = torch.randn(20_000, 6, generator=generator, dtype=torch.float64) @ turn * stretch
    c, d = one.T.cov() @ torch.diag(stretch), mixed.T.cov()
    skewed = one @ torch.linalg.cholesky((c + c.T) / 2 + torch.eye(6)).T
    c = skewed.T.cov()
    root = torch.linalg.eigvals(c @ d).real.sqrt().sum()
    brute = (skewed.mean(0) - mixed.mean(0)).square().sum() + c.trace() + d.trace() - 2 * root
    assert fid(skewed, mixed) == pytest.approx(float(brute), rel=1e-6)


def test_kid_is_the_double_sum_and_unbiased():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(7, 3, generator=generator), torch.randn(7, 3, generator=generator) + 1
    total = 0.0
    for a in range(7):
        for b in range(7):
            if a != b:
                total += (float(x[a] @ x[b]) / 3 + 1) ** 3 / 42 + (float(y[a] @ y[b]) / 3 + 1) ** 3 / 42
            total -= 2 * (float(x[a] @ y[b]) / 3 + 1) ** 3 / 49
    assert kid(x, y, generator) == pytest.approx(total, rel=1e-5)
    same = [kid(*torch.randn(2, 50, 3, generator=generator), generator) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5
    assert min(same) < 0 < max(same)


class Means(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean((2, 3))


@pytest.fixture(scope="module")
def means(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "means.pt"
    torch.jit.script(Means()).save(str(path))
    return path


def test_a_network_sees_pictures_of_its_size_and_range(means):
    network = read_features(means, torch.device("cpu"))
    found = features_of(network, [torch.full((3, 3, 16, 16), 0.75), torch.zeros(1, 3, 16, 16)])
    torch.testing.assert_close(found, torch.tensor([[0.5] * 3] * 3 + [[-1.0] * 3]).double())
    assert SIDE == 299


class Wrong(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.sum()


class Breaks(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.view(7, 11)


def test_what_is_no_such_network_is_refused(tmp_path):
    (tmp_path / "text.pt").write_text("no network")
    torch.jit.script(Wrong()).save(str(tmp_path / "wrong.pt"))
    torch.jit.script(Breaks()).save(str(tmp_path / "breaks.pt"))
    for name, said in (
        ("none.pt", "no file"), ("text.pt", "TorchScript"), ("wrong.pt", "does not give features"),
        ("breaks.pt", "fails on pictures"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            read_features(tmp_path / name, torch.device("cpu"))


def test_fid_is_reported_where_a_network_is_given_and_never_else(means, tmp_path, capsys):
    for index in range(24):
        coarse = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((16, 16), Image.Resampling.BICUBIC).save(tmp_path / f"{index}.png")
    plan = ["--size", "16", "--batch", "4", "--images", "4", "--quiet"]
    for name, more in (("with", ["--features", str(means)]), ("without", [])):
        assert cli.run(["gan", "train", str(tmp_path), "--out", str(tmp_path / name), *plan, *more]) == 0
    given, plain = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("with", "without"))
    assert given["fid"] > 0
    assert given["feature_images"] == 22
    assert "FID" in capsys.readouterr().out
    assert not {"fid", "kid"} & set(plain)
