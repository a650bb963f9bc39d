"""How much each photo counts in training, as the user says: a JSON object of photo names and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.files import read_json

MOST = 1000.0


def read_weights(path: Path, names: Sequence[str]) -> Float[Tensor, "v"]:
    """The weight of each photo in ``names``: what ``path`` says of it, 1 where it says nothing; 0 leaves a photo out.

    A photo may be named with or without its folder and suffix.

    Raises BadInput: no such file, not an object of numbers from 0 to 1000, or a name that no photo has.
    """
    said = read_json(path)
    if not isinstance(said, dict):
        raise BadInput(f'{path} must hold one JSON object, such as {{"{names[0]}": 0.5}}.')
    places: dict[str, set[int]] = {}
    for index, name in enumerate(names):
        for known in (name, Path(name).name, Path(name).stem):
            places.setdefault(known, set()).add(index)
    weights = torch.ones(len(names))
    for name, weight in said.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MOST:
            raise BadInput(f"{path}: the weight of {name} is {weight!r}; it must be a number from 0 to {MOST:g}.")
        found = places.get(name, set())
        if len(found) != 1:
            why = "no photo has that name" if not found else f"{len(found)} photos have that name"
            raise BadInput(f"{path}: {name}: {why}. Names are such as {names[0]}.")
        weights[found.pop()] = float(weight)
    if not bool((weights > 0).any()):
        raise BadInput(f"{path} gives every photo the weight 0; nothing is left to learn from.")
    return weights
