"""Depth maps as people have them: other sizes, gaps, inverse scales, and those that a model estimates."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fieldscape.errors import BadInput
from fieldscape.systems.gan.options import InvertOptions
from fieldscape.systems.gan.photo.depths import USUAL_MEDIAN, depth_of
from fieldscape.systems.gan.photo.monocular import estimate

PHOTO = np.zeros((60, 80, 3), np.uint8)


def options(depth: Path | str, **changes: object) -> InvertOptions:
    return InvertOptions((Path("photo.png"),), engine="depth", depth=str(depth), **changes)


def test_millimetres_of_another_size_with_gaps(tmp_path: Path) -> None:
    rows = np.indices((120, 160))[0]
    values = (2000 + 10 * rows).astype(np.uint16)
    values[50:60, 70:90] = 0
    Image.fromarray(values).save(tmp_path / "d.png")
    depth, _ = depth_of(PHOTO, options(tmp_path / "d.png"))
    assert depth.shape == (60, 80)
    expected = 2 + 0.02 * np.indices((60, 80))[0]
    assert np.abs(depth - expected).max() < 0.1
    far, _ = depth_of(PHOTO, options(tmp_path / "d.png", depth_unit=0.002))
    assert np.allclose(far, 2 * depth, rtol=1e-4)


def test_an_inverse_map_gets_a_usual_median_and_keeps_its_order(tmp_path: Path) -> None:
    values = np.linspace(255, 0, 80).round().astype(np.uint8)[None].repeat(60, 0)
    Image.fromarray(values).save(tmp_path / "d.png")
    depth, source = depth_of(PHOTO, options(tmp_path / "d.png", depth_kind="inverse"))
    assert float(np.median(depth)) == pytest.approx(USUAL_MEDIAN, rel=0.02)
    assert (np.diff(depth[0]) > -1e-6).all()
    assert "median" in source


def test_without_the_library_one_sentence_says_what_to_install() -> None:
    if importlib.util.find_spec("transformers") is not None:
        pytest.skip("transformers is installed")
    with pytest.raises(BadInput, match=r"pip install 'fieldscape\[depth\]'"):
        estimate(PHOTO, "a/model")


def test_a_tiny_model_in_a_folder_estimates_depth(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    backbone = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, patch_size=14, neck_hidden_sizes=[16, 16, 16, 16],
        fusion_hidden_size=16, head_hidden_size=8,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    transformers.DPTImageProcessor(size={"height": 56, "width": 56}).save_pretrained(tmp_path)
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    values, metric = estimate(photo, str(tmp_path))
    assert values.ndim == 2
    assert not metric
    with pytest.raises(BadInput, match="no folder"):
        estimate(photo, str(tmp_path / "none"))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="cannot load"):
        estimate(photo, str(tmp_path))


class Stand:
    """Something with the attributes that it is given."""

    def __init__(self, **parts: object) -> None:
        self.__dict__.update(parts)


def library(
    monkeypatch: pytest.MonkeyPatch, processor: object, kind: str, depth: torch.Tensor, **config: object
) -> None:
    """A library in place of transformers whose one model predicts ``depth``, whatever it is shown."""
    network = Stand(config=Stand(model_type=kind, **config), eval=lambda: answer)

    def answer(**inputs: object) -> object:
        return Stand(predicted_depth=depth[None], config=network.config)

    answer.config = network.config  # type: ignore[attr-defined]
    auto = Stand(from_pretrained=lambda *names, **options: processor)
    model = Stand(from_pretrained=lambda *names, **options: network)
    stand = Stand(AutoImageProcessor=auto, AutoModelForDepthEstimation=model)
    monkeypatch.setitem(sys.modules, "transformers", stand)  # type: ignore[arg-type]


class Plain:
    """A processor of an earlier version: it finishes nothing."""

    def __call__(self, images: np.ndarray, return_tensors: str) -> dict[str, object]:
        assert images.shape == PHOTO.shape
        return {"pixel_values": return_tensors}


class Sized(Plain):
    def post_process_depth_estimation(self, outputs: object, target_sizes: object = None) -> list[dict[str, object]]:
        assert target_sizes == [(60, 80)]
        return [{"predicted_depth": 1 / outputs.predicted_depth[0]}]  # type: ignore[attr-defined]


class Bordered(Plain):
    def post_process_depth_estimation(
        self, outputs: object, source_sizes: object = None, target_sizes: object = None
    ) -> list[dict[str, object]]:
        assert source_sizes == target_sizes == [(60, 80)]
        return [{"predicted_depth": outputs.predicted_depth[0][3:-3, 3:-3]}]  # type: ignore[attr-defined]


def test_what_a_model_predicts_is_finished_by_its_own_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = torch.arange(1.0, 67 * 87)[: 66 * 86].reshape(66, 86)
    library(monkeypatch, Plain(), "depth_anything", raw)
    values, metric = estimate(PHOTO, "a/model")
    assert np.array_equal(values, raw.numpy())
    assert not metric
    library(monkeypatch, Plain(), "depth_anything", raw, depth_estimation_type="metric")
    assert estimate(PHOTO, "a/model")[1]
    library(monkeypatch, Sized(), "depth_pro", raw)  # its network gives nearness, its processor depth in metres
    values, metric = estimate(PHOTO, "a/model")
    assert np.allclose(values, 1 / raw.numpy())
    assert metric
    library(monkeypatch, Bordered(), "zoedepth", raw)
    values, metric = estimate(PHOTO, "a/model")
    assert values.shape == (60, 80)
    assert metric
    for kind in ("zoedepth", "depth_pro"):
        library(monkeypatch, Plain(), kind, raw)
        with pytest.raises(BadInput, match="newer transformers"):
            estimate(PHOTO, "a/model")
    library(monkeypatch, Plain(), "depth_anything", raw * math.nan)
    with pytest.raises(BadInput, match="no usable depth"):
        estimate(PHOTO, "a/model")


def test_a_map_of_another_size_is_resampled_and_that_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.linspace(2, 4, 30 * 40).reshape(30, 40))
    depth, source = depth_of(PHOTO, options(tmp_path / "d.npy"))
    assert depth.shape == (60, 80)
    assert "resampled from 40 x 30" in source
