"""Arrays that another program saved: a PyTorch file of tensors, or an ``.npz`` archive, as numpy arrays by name.

A PyTorch file may carry code to be run: it is read with ``weights_only``, which builds tensors and plain values and
refuses all else. Sizes are judged before memory is taken.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fieldscape.data.untrusted import finite, read_npz
from fieldscape.errors import BadInput
from fieldscape.files import reason

MAX_BYTES = 8 * 2**30
TORCH_ENDINGS = (".pt", ".pth")


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a ``.pt``, ``.pth`` or ``.npz`` file by name.

    Raises BadInput: no such file, damaged, too large, or holding more than arrays of plain numbers.
    """
    if not path.is_file():
        raise BadInput(f"There is no file {path}.")
    return _of_torch(path) if path.suffix.lower() in TORCH_ENDINGS else read_npz(path, MAX_BYTES)


def _of_torch(path: Path) -> dict[str, np.ndarray]:
    _require_room(_unpacked_bytes(path), path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        said = " ".join(reason(error).split())[:200]
        raise BadInput(f"{path} is not a readable PyTorch file ({said}); it is damaged or cut short.") from error
    except Exception as error:  # what is left is torch's refusal to build anything else
        raise BadInput(
            f"{path} holds more than tensors and plain values, so reading it could run a stranger's code, and it is"
            " refused. Save it again as a dict of tensors."
        ) from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds a {type(content).__name__}; a dict of tensors was expected.")
    arrays = {}
    for name, value in content.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
            if not plain or value.is_complex():
                raise BadInput(f"{path}: {name[:80]!r} is no plain tensor of numbers; save it as one.")
            # A few bytes can pose as a tensor of any shape, by strides of 0.
            _require_room(value.numel() * value.element_size(), path)
            value = value.detach()
            arrays[name] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return arrays


def _unpacked_bytes(path: Path) -> int:
    """What the file takes in memory."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BadInput(f"{path} is not a readable PyTorch file ({reason(error)}).") from error


def _require_room(size: int, path: Path) -> None:
    if size > MAX_BYTES:
        raise BadInput(f"{path} holds {size / 2**30:.3g} GiB, more than the {MAX_BYTES / 2**30:.0f} GiB of room.")


def named(arrays: dict[str, np.ndarray], *names: str) -> str | None:
    """The first of ``names`` that is there."""
    return next((name for name in names if name in arrays), None)


def numbers(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int | None, ...], where: str
) -> Float[np.ndarray, "..."]:
    """The array ``name`` as float64 of ``shape`` (None: any length). A batch of one, or a last axis of one, is dropped.

    Raises BadInput where it is missing, no numbers, or of another shape.
    """
    if name not in arrays:
        raise BadInput(f"{where} has no array {name}; it has {', '.join(sorted(arrays))[:300] or 'none'}.")
    array = arrays[name]
    if array.ndim == len(shape) + 1:
        array = array[0] if array.shape[0] == 1 else array[..., 0] if array.shape[-1] == 1 else array
    if array.dtype.kind not in "biuf" or not fits(array, shape):
        wanted = "[" + ", ".join("any" if side is None else str(side) for side in shape) + "]"
        raise BadInput(f"{where}: {name} is {arrays[name].dtype} {list(arrays[name].shape)}; {wanted} was expected.")
    return array.astype(np.float64)


def fits(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    """Whether ``array`` has ``shape``, where None is any length.

    >>> fits(np.zeros((2, 3)), (None, 3)), fits(np.zeros((2, 3)), (3, None))
    (True, False)
    """
    return len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape))


def pictures(arrays: dict[str, np.ndarray], name: str, where: str) -> UInt8[Tensor, "t h w 3"]:
    """The frames in the array ``name``, [t, h, w, 3] or [t, 3, h, w], bytes, or floats 0..1 or 0..255, as bytes.

    Floats beyond the range are clamped to it: bicubic resizing overshoots, and bytes would wrap around.
    """
    array = arrays[name]
    array = array[0] if array.ndim == 5 and array.shape[0] == 1 else array
    if array.ndim != 4 or array.dtype.kind not in "uif" or 3 not in (array.shape[1], array.shape[3]):
        raise BadInput(f"{where}: {name} is {array.dtype} {list(array.shape)}; [t, 3, h, w] or [t, h, w, 3] belongs.")
    if array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    if 0 in array.shape:
        raise BadInput(f"{where}: {name} is empty.")
    if array.dtype.kind == "f":
        finite(array, name, where)
        # Overshoot stays far below 2 where white is 1, and a clip of 0..255 has a pixel that is not black.
        array = np.rint(array * (255 if float(array.max()) <= 2 else 1))
    return torch.from_numpy(np.clip(array, 0, 255).astype(np.uint8))
