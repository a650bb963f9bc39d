"""What a machine cannot do, said in a sentence that names the setting to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as distributed

from fieldscape.errors import BadInput
from fieldscape.systems.gan.config import GanConfig

FULL = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


@contextmanager
def within_limits(config: GanConfig, device: torch.device, saved: Path) -> Iterator[None]:
    """Turns memory that runs out, and operations that a device lacks, into BadInput. saved: the folder of the run."""
    try:
        yield
    except MemoryError as error:
        raise BadInput(_too_large(config, device, saved)) from error
    except NotImplementedError as error:
        if device.type == "cpu":
            raise
        raise BadInput(f"PyTorch {torch.__version__} cannot train on {device.type}: give --device cpu.") from error
    except RuntimeError as error:
        if isinstance(error, torch.cuda.OutOfMemoryError) or any(said in str(error).lower() for said in FULL):
            raise BadInput(_too_large(config, device, saved)) from error
        if "gloo" in str(error).lower() or isinstance(error, distributed.DistBackendError):
            raise BadInput("Another of the processes has ended: look at what it said.") from error
        if device.type == "mps" and "unsupported" in str(error).lower():
            raise BadInput(f"PyTorch {torch.__version__} cannot train on mps: give --device cpu.") from error
        raise


def _too_large(config: GanConfig, device: torch.device, saved: Path) -> str:
    ways = [f"a --batch below {config.batch}"] if config.batch > 4 else []
    if not config.patch and config.size > 32:
        ways.append("--patch 32")
    if config.size > 16:
        ways.append(f"a --size below {config.size}")
    advice = ", ".join(ways) or "another --device"
    return f"The memory of {device} is full. Train with {advice}; what was saved until now is in {saved}."
