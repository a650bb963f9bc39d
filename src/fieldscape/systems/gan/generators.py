"""The generators there are, made as a config says."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from fieldscape.systems.gan.config import PLANE_SIDES, GanConfig
from fieldscape.systems.gan.siren import SirenGenerator
from fieldscape.systems.gan.triplane import TriplaneGenerator

Generator: TypeAlias = TriplaneGenerator | SirenGenerator


def generator_of(config: GanConfig, low: Tensor, high: Tensor, inside: Tensor | None) -> Generator:
    """A new generator of scenes in the box from ``low`` to ``high``, by torch's own random numbers.

    inside: of the empty room that scenes start from; None: they start from even haze.
    """
    if config.generator == "siren":
        return SirenGenerator(low, high, inside, config.latent, config.preset)
    return TriplaneGenerator(low, high, inside, config.latent, config.features, PLANE_SIDES[config.size])
