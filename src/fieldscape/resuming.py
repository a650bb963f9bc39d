"""What a training must remember to go on as if it had never stopped: the generators' and the optimiser's state.

Weights alone are not enough. These functions turn the rest into named tensors and plain JSON, the two things that a
checkpoint holds, and back. With them a training on the CPU goes on bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from fieldscape.errors import BadInput


def rng_state(generator: torch.Generator) -> UInt8[Tensor, " n"]:
    """Where a generator stands, to go among the tensors of a checkpoint; ``set_rng_state`` puts it back.

    >>> generator = torch.Generator().manual_seed(0)
    >>> here = rng_state(generator)
    >>> first = torch.rand(3, generator=generator)
    >>> set_rng_state(generator, here)
    >>> torch.equal(torch.rand(3, generator=generator), first)
    True
    """
    return generator.get_state()


def set_rng_state(generator: torch.Generator, state: UInt8[Tensor, " n"]) -> None:
    """Put ``generator`` where ``state`` says.

    Raises:
        BadInput: the state is of another kind of device.
    """
    try:
        generator.set_state(state.cpu())
    except RuntimeError as error:
        raise BadInput(
            f"The random state of the checkpoint is not one of a {generator.device.type} generator: "
            "resume on the kind of device that it was made on."
        ) from error


def global_rng_state() -> dict[str, Tensor]:
    """Where torch's own generators stand: ``rng.cpu``, and ``rng.cuda.N`` or ``rng.mps`` if there is such a device."""
    states = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"rng.cuda.{i}": torch.cuda.get_rng_state(i) for i in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        states["rng.mps"] = torch.mps.get_rng_state()
    return states


def set_global_rng_state(tensors: Mapping[str, Tensor]) -> None:
    """Put torch's generators where ``tensors`` (a checkpoint's) say, as far as their devices are here.

    Raises:
        BadInput: not even that of the CPU is among ``tensors``.
    """
    if "rng.cpu" not in tensors:
        raise BadInput("The checkpoint holds no random state, so it cannot be continued from.")
    torch.set_rng_state(tensors["rng.cpu"])
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"rng.cuda.{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"rng.cuda.{i}"], i)
    if "rng.mps" in tensors and torch.backends.mps.is_available():
        torch.mps.set_rng_state(tensors["rng.mps"])


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` with ``prefix.`` before each name; ``under`` undoes it.

    >>> prefixed("model", {"weight": torch.zeros(2)})
    {'model.weight': tensor([0., 0.])}
    """
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of ``tensors`` whose names start with ``prefix.``, without it.

    >>> under("model", {"model.weight": torch.zeros(2), "rng.cpu": torch.ones(1)})
    {'weight': tensor([0., 0.])}
    """
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's memory as named tensors (``0.exp_avg``: of parameter 0) and its groups' settings as plain JSON."""
    saved = optimizer.state_dict()
    tensors = {}
    for index, entries in saved["state"].items():
        for name, value in entries.items():
            if value is not None:  # SGD keeps None for a momentum that it does not use
                tensors[f"{index}.{name}"] = torch.as_tensor(value)
    groups = [{key: value for key, value in group.items() if key != "params"} for group in saved["param_groups"]]
    return tensors, groups


def set_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Give ``optimizer`` what ``optimizer_state`` took from one like it.

    Raises:
        BadInput: it was taken from an optimiser of more parameters or of other groups.
    """
    here = optimizer.state_dict()["param_groups"]
    known = {index for group in here for index in group["params"]}
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index) if index.isdecimal() else -1, {})[name] = tensor
    if len(here) != len(groups) or not set(state) <= known:
        raise BadInput("The optimiser state of the checkpoint does not fit this model and its options.")
    merged = [
        {key: tuple(saved[key]) if isinstance(value, tuple) else saved.get(key, value) for key, value in group.items()}
        for group, saved in zip(here, groups)  # JSON made lists of the tuples
    ]
    optimizer.load_state_dict({"state": state, "param_groups": merged})
