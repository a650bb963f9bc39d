"""Where the arithmetic runs: choosing a device, and finding out whether half-width numbers are faster on it."""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path

import torch

from fieldscape.errors import BadInput


def pick(name: str = "auto") -> torch.device:
    """The device called ``name``; ``auto`` takes the first that is there of CUDA, MPS (Apple) and CPU.

    Raises ``BadInput`` for a name that is no device, or for a device this machine or this PyTorch does not have.

    >>> pick("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cuda", "mps", "cpu"):
        raise BadInput(f"--device {name} is not known here. Use auto, cpu, cuda, cuda:1 or mps.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"--device {name}: this PyTorch ({torch.__version__}) sees no CUDA GPU. Use --device auto.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadInput(f"--device {name}: there are only {torch.cuda.device_count()} CUDA GPUs, counted from 0.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput(f"--device {name}: this machine has no Apple GPU that PyTorch can use. Use --device auto.")
    return device


def describe(device: torch.device) -> str:
    """The device in words for a report, such as ``cuda: NVIDIA H200`` or ``cpu: Intel Xeon, 8 threads``."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return f"mps: Apple {platform.machine()}"
    return f"cpu: {_cpu_name()}, {torch.get_num_threads()} threads"


def bf16_pays(device: torch.device) -> bool:
    """Whether a matrix product in bfloat16 is more than 1.5 times as fast as in float32 on ``device``, by trying both.

    Measured, not looked up: a CPU may accept bfloat16 and emulate it slowly, and no flag tells on every platform. The
    product is [8192, 256] x [256, 256], the layer of a NeRF; the whole trial takes some tens of milliseconds.
    """
    try:
        narrow = _product_seconds(device, torch.bfloat16)
    except (RuntimeError, TypeError):  # some back ends have no bfloat16 at all, and say so in either way
        return False
    return _product_seconds(device, torch.float32) > 1.5 * narrow


def _product_seconds(device: torch.device, dtype: torch.dtype) -> float:
    """Median seconds of the trial product; the first runs, which set things up, do not count."""
    left = torch.ones(8192, 256, device=device, dtype=dtype)
    right = torch.ones(256, 256, device=device, dtype=dtype)
    seconds = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(left, right)[0, 0].item()  # reading one number waits for a GPU to finish
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def _cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
