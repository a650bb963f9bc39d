"""Figures of a training shown elsewhere too: in TensorBoard, or on Weights & Biases.

``metrics.jsonl`` is always written and is what fieldscape itself reads. A mirror only repeats its lines, for people who
watch many trainings at once; without one, nothing of either library is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from fieldscape.errors import BadInput

Mirror = Literal["none", "tensorboard", "wandb"]
Teller = Callable[[int, Mapping[str, Any]], None]


def open_mirror(kind: Mirror, folder: Path, config: Mapping[str, Any]) -> Teller | None:
    """A function that is told a step and its figures, or None where nothing is mirrored.

    folder: of the run; TensorBoard's files go to ``tensorboard`` in it.  config: shown beside the figures.

    Raises BadInput where the library is not installed.
    """
    if kind == "tensorboard":
        return _tensorboard(folder)
    if kind == "wandb":
        return _wandb(folder, config)
    return None


def _tensorboard(folder: Path) -> Teller:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard") from error
    writer = SummaryWriter(str(folder / "tensorboard"))

    def tell(step: int, figures: Mapping[str, Any]) -> None:
        for name, value in figures.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, step)
        writer.flush()

    return tell


def _wandb(folder: Path, config: Mapping[str, Any]) -> Teller:
    try:
        import wandb
    except ImportError as error:
        raise _missing("wandb") from error
    # The project, the account and whether anything leaves this machine are the user's own settings (WANDB_PROJECT,
    # WANDB_ENTITY, WANDB_MODE): none is chosen here.
    run = wandb.init(dir=str(folder), name=folder.name, config=dict(config))

    def tell(step: int, figures: Mapping[str, Any]) -> None:
        run.log({name: value for name, value in figures.items() if isinstance(value, int | float)}, step=step)

    return tell


def _missing(name: str) -> BadInput:
    return BadInput(f"--also {name} needs a library that is not here: pip install 'fieldscape[{name}]'.")
