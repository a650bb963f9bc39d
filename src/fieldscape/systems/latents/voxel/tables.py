"""What a class of objects shares for their storage: where density is to be expected, where it matters, and chances.

All of it is whole numbers, so that what they predict is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8, UInt16
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.kernels.rangecoding import NODES, Model, make_model
from fieldscape.kernels.treecoding import CONTEXTS, mixers_of, slots_of

COLORS = 12
"""Numbers of colour of a vertex: four spherical harmonics of three channels."""

EMPTY, FULL = -4.0, 12.0
"""Raw densities are kept within these: below, nothing stops; above, nothing more passes."""

TRUST = 60
"""Bits that a chance of the class counts for, at most: the object's own then tell more and more."""

DIGITS_OF_DENSITY = 16
"""Steps of the mean density, of raw density 1."""

MOST_VERTICES = 2**24


@dataclass(frozen=True)
class Chances:
    """A model as it starts.  chance: of 65,536.  count: how often its bit was met, up to ``TRUST``."""

    chance: UInt16[np.ndarray, "s"]
    count: UInt8[np.ndarray, "s"]
    weight: Int32[np.ndarray, "w k"]
    channels: int

    @staticmethod
    def none(channels: int) -> Chances:
        """Of a model that has seen nothing."""
        return Chances.of(make_model(CONTEXTS, slots_of(channels), mixers_of(channels)), channels)

    @staticmethod
    def of(model: Model, channels: int) -> Chances:
        """What a model has learned."""
        count = np.minimum(model.met, TRUST).astype(np.uint8)
        return Chances(model.chance.astype(np.uint16), count, model.weight.copy(), channels)

    def model(self) -> Model:
        """A model that starts so, and goes on to learn."""
        model = make_model(CONTEXTS, slots_of(self.channels), mixers_of(self.channels))
        model.chance[:], model.met[:], model.weight[:] = self.chance, self.count, self.weight
        return model


@dataclass(frozen=True)
class Tables:
    """mean: the raw density to be expected, of ``DIGITS_OF_DENSITY`` a unit above ``EMPTY``.  worth: how much an error
    of the density counts, a weight.  density, color: chances of their coefficients."""

    mean: UInt8[np.ndarray, "x y z"]
    worth: UInt16[np.ndarray, "x y z"]
    density: Chances
    color: Chances

    @property
    def shape(self) -> tuple[int, int, int]:
        """Vertices of the class's grid."""
        x, y, z = self.mean.shape
        return x, y, z

    @property
    def expected(self) -> Float[np.ndarray, "x y z"]:
        """The raw density to be expected, float64."""
        return self.mean / DIGITS_OF_DENSITY + EMPTY

    @cached_property
    def fingerprint(self) -> bytes:
        """Eight bytes that other tables do not have."""
        digest = hashlib.sha256(json.dumps(self.details()).encode())
        for name, tensor in sorted(self.tensors().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        return digest.digest()[:8]

    def tensors(self) -> dict[str, Tensor]:
        """All of it, as what files of tensors hold."""
        chances = (("density", self.density), ("color", self.color))
        arrays = {"mean": self.mean, "worth": _signed(self.worth)}
        for name, part in chances:
            arrays[f"{name}.chance"] = _signed(part.chance)
            arrays[f"{name}.count"], arrays[f"{name}.weight"] = part.count, part.weight
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def details(self) -> dict[str, object]:
        """What stands beside the tensors."""
        return {"format": 1, "shape": list(self.shape), "contexts": CONTEXTS}

    @staticmethod
    def of(tensors: Mapping[str, Tensor], details: Mapping[str, object]) -> Tables:
        """The reverse of ``tensors`` and ``details``. Raises BadInput where they do not fit together."""
        shape = details.get("shape")
        sound = details.get("format") == 1 and details.get("contexts") == CONTEXTS and isinstance(shape, list)
        numbers = (
            [n for n in shape if isinstance(n, int) and 2 <= n <= MOST_VERTICES] if isinstance(shape, list) else []
        )
        if not sound or numbers != shape or len(numbers) != 3 or math.prod(numbers) > MOST_VERTICES:
            raise BadInput("these are not tables for voxel payloads, or of another version; learn the class again")
        size = (numbers[0], numbers[1], numbers[2])
        mean = _taken(tensors, "mean", size, torch.uint8)
        worth = _unsigned(_taken(tensors, "worth", size, torch.int16))
        if worth.min() < 1:
            raise BadInput("the weights in the tables of the class are out of range; learn the class again")
        return Tables(mean, worth, _chances(tensors, "density", 1), _chances(tensors, "color", COLORS))

    def with_chances(self, density: Model, color: Model) -> Tables:
        """The same, but for chances that two models have learned."""
        return replace(self, density=Chances.of(density, 1), color=Chances.of(color, COLORS))


def _chances(tensors: Mapping[str, Tensor], name: str, channels: int) -> Chances:
    slots = slots_of(channels)
    chance = _unsigned(_taken(tensors, f"{name}.chance", (slots,), torch.int16))
    count = _taken(tensors, f"{name}.count", (slots,), torch.uint8)
    weight = _taken(tensors, f"{name}.weight", (mixers_of(channels) * NODES, CONTEXTS), torch.int32)
    if chance.min() < 1 or count.max() > TRUST or np.abs(weight.astype(np.int64)).max() > 1 << 20:
        raise BadInput("the chances in the tables of the class are out of range; learn the class again")
    return Chances(chance, count, weight, channels)


def _signed(numbers: np.ndarray) -> np.ndarray:
    """0..65535 as -32768..32767: not every file of tensors knows unsigned numbers of 16 bits."""
    return (numbers.astype(np.int32) - 2**15).astype(np.int16)


def _unsigned(numbers: np.ndarray) -> np.ndarray:
    return (numbers.astype(np.int32) + 2**15).astype(np.uint16)


def _taken(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...], kind: torch.dtype) -> np.ndarray:
    tensor = tensors.get(name)
    if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != kind:
        raise BadInput(f"the tables of the class lack a sound part {name!r}; learn the class again")
    return tensor.contiguous().numpy().copy()
