"""What tri-planes are taught by: 3Da-AE, equations of section 3, with x a picture, E and D the autoencoder.

    L_lat = MSE(n(E(x)), R)            the rendered latents R are those of the encoder (n: see ``squash``)
    L_rgb = MSE(x, D(n^-1(R)))         and they decode to the picture
    L_ae  = MSE(x, D(E(x)))            the autoencoder remains one
    L_tv                               planes are smooth

The published L_tv is a sum over all planes and channels, so it grows with the batch; this one is a mean.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from fieldscape.systems.latents.planes.autoencoder import LatentSpace
from fieldscape.systems.latents.planes.squash import squash, unsquash

WEIGHT_AE = 0.1


def latent_loss(rendered: Float[Tensor, "*b c"], latents: Float[Tensor, "*b c"]) -> Float[Tensor, ""]:
    """L_lat, both squashed to 0..1; of colours it is the loss of RGB tri-planes."""
    return mse_loss(rendered, latents)


def picture_loss(
    rendered: Float[Tensor, "n h2 w2 c"], images: Float[Tensor, "n 3 h w"], space: LatentSpace, scale: float
) -> Float[Tensor, ""]:
    """L_rgb."""
    return mse_loss(space.decode(unsquash(rendered, scale).movedim(-1, 1)), images)


def joint_loss(
    rendered: Float[Tensor, "n h2 w2 c"], images: Float[Tensor, "n 3 h w"], space: LatentSpace, scale: float
) -> Float[Tensor, ""]:
    """L_lat + L_rgb + 0.1 L_ae, which teaches the autoencoder as well."""
    latents = space.encode(images)
    loss = latent_loss(rendered, squash(latents, scale).movedim(1, -1)) + picture_loss(rendered, images, space, scale)
    return loss + WEIGHT_AE * mse_loss(space.decode(latents), images)


def roughness(planes: Float[Tensor, "*s 3 r r f"]) -> Float[Tensor, ""]:
    """L_tv: the mean squared difference between neighbouring texels, along both sides.

    >>> import torch
    >>> ramp = torch.arange(3.0)[None, None, :, None].expand(3, 3, 3, 1)
    >>> roughness(ramp)
    tensor(0.5000)
    """
    down = (planes[..., 1:, :, :] - planes[..., :-1, :, :]).square().mean()
    across = (planes[..., 1:, :] - planes[..., :-1, :]).square().mean()
    return (down + across) / 2
