"""What a scene's planes are made of: planes of its own, and a mixture of planes that all scenes share.

3Da-AE, section 3.2, with i a scene and b one of M shared sets of planes:

    T_mac_i = sum_b W_ib B_b + beta_i        T_i = concat(T_mic_i, T_mac_i), or their sum
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.systems.latents.planes.config import PlanesConfig

Parts = dict[str, Tensor]
"""What is a scene's own, for s scenes: ``micro`` [s, 3, r, r, f], ``weights`` [s, m], ``shift`` [s]."""

QUIET = 0.1
"""Standard deviation of planes at the start."""


def mixed(parts: Parts, macro: Float[Tensor, "m 3 r r g"] | None, summed: bool = False) -> Float[Tensor, "s 3 r r f"]:
    """The planes of the scenes whose own ``parts`` are given; ``macro`` None: nothing is shared.

    >>> own = {"weights": torch.tensor([[2.0, 3.0]]), "shift": torch.tensor([0.5])}
    >>> mixed(own, torch.stack([torch.ones(3, 1, 1, 1), torch.ones(3, 1, 1, 1)])).flatten()
    tensor([5.5000, 5.5000, 5.5000])
    """
    if macro is None:
        return parts["micro"]
    shared = (parts["weights"] @ macro.flatten(1)).unflatten(1, macro.shape[1:])
    shared = shared + parts["shift"][:, None, None, None, None]
    if "micro" not in parts:
        return shared
    return parts["micro"] + shared if summed else torch.cat([parts["micro"], shared], -1)


def shapes_of(config: PlanesConfig) -> dict[str, tuple[int, ...]]:
    """The shapes of one scene's own parts.

    >>> shapes_of(PlanesConfig(sharing="macro", bases=12))
    {'weights': (12,), 'shift': ()}
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if config.sharing != "macro":
        shapes["micro"] = (3, config.side, config.side, config.own)
    if config.sharing != "micro":
        shapes |= {"weights": (config.bases,), "shift": ()}
    return shapes


def macro_shape(config: PlanesConfig) -> tuple[int, ...] | None:
    """The shape of all shared planes; None where nothing is shared."""
    if config.sharing == "micro":
        return None
    return (config.bases, 3, config.side, config.side, config.common)


def first_parts(config: PlanesConfig, scenes: int, chance: torch.Generator) -> Parts:
    """The parts of new scenes before anything is known of them.

    ``start`` "published" is N(0, 1) throughout, which makes the mixture sqrt(M) times as loud as a scene's own planes.
    """
    loud = config.start == "published"
    spread = {
        "micro": 1.0 if loud else QUIET,
        "weights": 1.0 if loud else 1 / math.sqrt(config.bases),
        "shift": 0.0,
    }
    return {
        name: spread[name] * torch.randn((scenes, *shape), generator=chance)
        for name, shape in shapes_of(config).items()
    }


def first_macro(config: PlanesConfig, chance: torch.Generator) -> Float[Tensor, "m 3 r r g"] | None:
    """The shared planes before anything is learned."""
    shape = macro_shape(config)
    if shape is None:
        return None
    return (1.0 if config.start == "published" else QUIET) * torch.randn(shape, generator=chance)


def features_of(config: PlanesConfig) -> int:
    """Features of a point, as the decoder sees them.

    >>> features_of(PlanesConfig(own=8, common=16)), features_of(PlanesConfig(sharing="sum", own=16, common=16))
    (24, 16)
    """
    widths = {"micro+macro": config.own + config.common, "macro": config.common}
    return widths.get(config.sharing, config.own)
