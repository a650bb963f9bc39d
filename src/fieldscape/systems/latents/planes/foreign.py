"""Autoencoders of others: the Stable Diffusion VAE, or the tiny TAESD, from a folder on this machine.

``diffusers`` reads them where it is installed (``pip install diffusers``); nothing is ever downloaded. The
Stable Diffusion VAE makes 4 x 16 x 16 latents of 128 pixels (factor 8); its latents are taken as they are, unscaled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fieldscape.errors import BadInput
from fieldscape.files import read_json

KINDS = ("AutoencoderKL", "AutoencoderTiny")


class ForeignAutoencoder(nn.Module):
    """A ``diffusers`` autoencoder behind the interface of ours: pictures in 0..1, the mean of the latents."""

    DECODES = ("inner.decoder", "inner.post_quant_conv")

    def __init__(self, inner: nn.Module, factor: int, channels: int):
        super().__init__()
        self.inner, self.factor, self.channels = inner, factor, channels

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c h2 w2"]:
        answer: Any = self.inner.encode(images * 2 - 1)  # type: ignore[operator]
        return answer.latent_dist.mean if hasattr(answer, "latent_dist") else answer.latents

    def decode(self, latents: Float[Tensor, "n c h2 w2"]) -> Float[Tensor, "n 3 h w"]:
        answer: Any = self.inner.decode(latents)  # type: ignore[operator]
        return (answer.sample + 1) / 2


def open_foreign(folder: Path) -> ForeignAutoencoder:
    """The autoencoder in ``folder``, which holds ``config.json`` and weights as safetensors.

    Raises BadInput: no such folder, of another kind, or ``diffusers`` is not installed.
    """
    if not (folder / "config.json").is_file():
        raise BadInput(
            f"{folder} holds no autoencoder: expected config.json and diffusion_pytorch_model.safetensors there. "
            "Nothing is downloaded; fetch it yourself and give its folder."
        )
    about = read_json(folder / "config.json")
    kind = about.get("_class_name") if isinstance(about, dict) else None
    if kind not in KINDS:
        raise BadInput(f"{folder}/config.json is of {json.dumps(kind)[:60]}, not of {' or '.join(KINDS)}.")
    try:
        import diffusers  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise BadInput("A foreign autoencoder is read by diffusers: pip install diffusers.") from error
    try:
        inner = getattr(diffusers, kind).from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"The autoencoder in {folder} cannot be read: {str(error).splitlines()[0][:200]}") from error
    inner = inner.float().eval()
    with torch.no_grad():
        answer = inner.encode(torch.zeros(1, 3, 64, 64))
        latents = answer.latent_dist.mean if hasattr(answer, "latent_dist") else answer.latents
    return ForeignAutoencoder(inner, 64 // latents.shape[-1], latents.shape[1])
