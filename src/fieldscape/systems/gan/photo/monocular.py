"""Depth from one photo by a model of the ``transformers`` library, which is asked for only here.

Weights are read from safetensors alone, and no code that comes with a model is run.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.errors import BadInput

UNFINISHED = ("zoedepth", "depth_pro")
"""Model types whose raw output is no depth of the photo before their processor has finished it."""
METRIC = ("zoedepth", "glpn", "depth_pro")
"""Model types that predict metres; others do where their configuration says so, and else nearness without a scale."""


def estimate(photo: UInt8[np.ndarray, "h w 3"], model: str) -> tuple[Float[np.ndarray, "a b"], bool]:
    """A map that covers the photo, of its size or the model's, and whether it is metres (else larger is nearer).

    model: a folder, or a name on the hub. Raises BadInput without ``transformers``, or without a model to load.
    """
    processor, network = _loaded(model)
    inputs = processor(images=photo, return_tensors="pt")
    kind = getattr(network.config, "model_type", "")
    with torch.inference_mode():
        values = _finished(processor, network(**inputs), photo.shape[:2], kind).float().squeeze().cpu().numpy()
    metric = kind in METRIC or getattr(network.config, "depth_estimation_type", "relative") == "metric"
    if values.ndim != 2 or not np.isfinite(values).all():
        raise BadInput(f"the model {model} predicts no usable depth for this photo; choose another --depth-model")
    return values, metric


def _finished(processor: Any, output: Any, size: tuple[int, int], kind: str) -> Tensor:
    """The predicted depth, brought to the photo's size [height, width] by the model's own processor.

    What some networks give is not yet depth of the photo: ZoeDepth's covers a border that its processor has added, and
    Depth Pro's is nearness for a lens of its own.
    """
    finish = getattr(processor, "post_process_depth_estimation", None)
    if finish is None:
        if kind in UNFINISHED:
            raise BadInput(f"--depth auto with a model of type {kind} needs a newer transformers: pip install -U it")
        predicted: Tensor = output.predicted_depth
        return predicted
    if "source_sizes" in inspect.signature(finish).parameters:
        finished = finish(output, source_sizes=[size], target_sizes=[size])
    else:
        finished = finish(output, target_sizes=[size])
    depth: Tensor = finished[0]["predicted_depth"]
    return depth


def _loaded(model: str) -> tuple[Any, Any]:
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
