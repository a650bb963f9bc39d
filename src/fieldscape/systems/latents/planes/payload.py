"""One object as bytes: the parts that are its own, stored as 4, 2 or 1 byte a number, as a safetensors file.

What may stand in the bytes follows from what is shared: names, shapes and types are known before they are read, so a
file that was cut, or comes from elsewhere, is refused in one sentence.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fieldscape.errors import BadInput
from fieldscape.resuming import prefixed
from fieldscape.systems.latents.planes.autoencoder import LatentSpace
from fieldscape.systems.latents.planes.field import FieldNetwork
from fieldscape.systems.latents.planes.mixing import Parts, shapes_of
from fieldscape.systems.latents.planes.shared import PlanesShared

Stored: TypeAlias = Literal["fp32", "fp16", "int8"]

HEADER = 2**16
"""Bytes that names and shapes take at most."""
STEPS = 127
"""The greatest number of an int8."""
SCALE = ".scale"
HALF_MOST = 65504.0
"""The greatest number that two bytes hold."""


def own_shapes(shared: PlanesShared) -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of what a payload may hold beside planes: an object's own network, and its own decoder."""
    held = {"field": prefixed("field", shared.network.state_dict())}
    if shared.space is not None:
        held["space"] = _decoding(prefixed("space", shared.space.state_dict()))
    return {name: {key: tuple(t.shape) for key, t in tensors.items()} for name, tensors in held.items()}


def _decoding(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without those of the encoder, which no object changes."""
    encoder = ("space.analysis", "space.mean", "space.finer", "space.inner.encoder", "space.inner.quant")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(encoder)}


def pack(parts: Parts, stored: Stored, field: FieldNetwork | None = None, space: LatentSpace | None = None) -> bytes:
    """The bytes of one object: its parts [1, ...], and the networks that it has of its own, if any."""
    held = {name: part[0] for name, part in parts.items()}
    if field is not None:
        held |= prefixed("field", field.state_dict())
    if space is not None:
        held |= _decoding(prefixed("space", space.state_dict()))
    written: dict[str, Tensor] = {}
    for name, tensor in held.items():
        tensor = tensor.detach().cpu()
        if stored == "fp32":
            written[name] = tensor.contiguous().clone()
        elif stored == "int8" and name == "micro":
            written[name], written[name + SCALE] = quantised(tensor)
        else:
            written[name] = tensor.clamp(-HALF_MOST, HALF_MOST).half().contiguous()
    return save(written)


def unpack(shared: PlanesShared, payload: bytes, where: str = "the object") -> tuple[Parts, dict[str, Tensor]]:
    """The parts [1, ...] of an object and the tensors of its own networks.

    Raises BadInput for bytes that are not of an object that shares ``shared``.
    """
    own, planes = own_shapes(shared), shapes_of(shared.config)
    possible = planes | {key: shape for shapes in own.values() for key, shape in shapes.items()}
    most = HEADER + 4 * sum(torch.Size(shape).numel() for shape in possible.values())
    if len(payload) > most:
        raise BadInput(f"{where} has {len(payload)} bytes, more than the {most} that its planes can take.")
    try:
        stored = load(payload)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise BadInput(f"{where} is damaged or no object: its bytes are no safetensors file ({error}).") from error
    scales = {name: stored.pop(name) for name in list(stored) if name == "micro" + SCALE}
    shapes = dict(planes)
    for name, names in own.items():
        shapes |= names if any(key.startswith(f"{name}.") for key in stored) else {}
    if set(stored) != set(shapes) or any(tuple(stored[name].shape) != shape for name, shape in shapes.items()):
        raise BadInput(f"{where} holds other planes than its class has: it belongs to another bundle.")
    held: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.dtype == torch.int8:
            scale = scales.get(name + SCALE)
            if scale is None or scale.dtype != torch.float32 or scale.shape != (tensor.shape[0], tensor.shape[-1]):
                raise BadInput(f"{where} lacks the scale of its planes: it is damaged.")
            tensor = tensor.float() * scale[:, None, None]
        elif tensor.dtype not in (torch.float16, torch.float32):
            raise BadInput(f"{where} holds numbers of the type {tensor.dtype}, which no object does.")
        held[name] = tensor.float()
        if not bool(held[name].isfinite().all()):
            raise BadInput(f"{where} holds numbers that are not finite: it is damaged.")
    parts = {name: held.pop(name)[None] for name in planes}
    return parts, held


def quantised(planes: Float[Tensor, "3 r r f"]) -> tuple[Tensor, Float[Tensor, "3 f"]]:
    """Planes as whole numbers of a step for each plane and feature, and those steps.

    >>> whole, step = quantised(torch.tensor([0.0, 1.0, -2.0, 0.5]).reshape(1, 2, 2, 1).expand(3, 2, 2, 1))
    >>> whole[0].flatten().tolist(), round(float(step[0, 0]), 4)
    ([0, 64, -127, 32], 0.0157)
    """
    step = planes.abs().amax((1, 2)).clamp_min(1e-12) / STEPS
    return (planes / step[:, None, None]).round().to(torch.int8).contiguous(), step.contiguous()
