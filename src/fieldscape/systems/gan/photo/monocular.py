"""Depth from one photo by a model of the ``transformers`` library, which is asked for only here.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from fieldscape.errors import BadInput

METRIC = ("zoedepth", "glpn", "depth_pro")
"""Model types that predict metres; others do where their configuration says so, and else nearness without a scale."""


def estimate(photo: UInt8[np.ndarray, "h w 3"], model: str) -> tuple[Float[np.ndarray, "a b"], bool]:
    """A map of a size of the model's choice, and whether it is depth in metres (else larger is nearer).

    model: a folder, or a name on the hub. Raises BadInput without ``transformers``, or without a model to load.
    """
    processor, network = _loaded(model)
    inputs = processor(images=photo, return_tensors="pt")
    with torch.inference_mode():
        predicted = network(**inputs).predicted_depth
    kind = getattr(network.config, "model_type", "")
    metric = kind in METRIC or getattr(network.config, "depth_estimation_type", "relative") == "metric"
    values = predicted.float().squeeze().numpy()
    if values.ndim != 2 or not np.isfinite(values).all():
        raise BadInput(f"the model {model} predicts no usable depth for this photo; choose another --depth-model")
    return values, metric


def _loaded(model: str) -> tuple[Callable[..., Any], Any]:
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise BadInput("--depth auto needs the library transformers: pip install 'fieldscape[depth]'") from error
    local = Path(model).is_dir()
    if not local and (model.startswith((".", "/", "~")) or model.count("/") > 1):
        raise BadInput(f"there is no folder {model} with a depth model; mend --depth-model")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            model, local_files_only=local, trust_remote_code=False
        )
        network = transformers.AutoModelForDepthEstimation.from_pretrained(
            model, local_files_only=local, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:  # the library has no common kind of exception for what it cannot load
        why = " ".join(str(error).split())[:200]
        raise BadInput(f"cannot load the depth model {model} ({why}); give a folder or a hub name") from error
    return processor, network.eval()
