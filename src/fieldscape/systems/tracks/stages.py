"""One loop for all that is learned of a clip: stages one after the other, each of steps of Adam, saved on the way.

A stage is gone on with where it was left, bit for bit: its weights, the optimiser's memory and the generator are in the
checkpoint; all else is made again from the data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fieldscape import resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.runs import Run
from fieldscape.stopping import Stop

Loss = Callable[[torch.Generator], Tensor]
"""What a step is to make small; draws what it needs from the generator."""

SAVED = 250
"""Steps between checkpoints."""
SHOWN = 50
"""Steps between lines of the log."""
LAST_RATE = 0.02
"""What is left of the step size in the end."""


@dataclass(frozen=True)
class Stage:
    """module: what learns.  begin: makes ready what the steps need, once, when the stage starts."""

    name: str
    module: nn.Module
    steps: int
    rate: float
    begin: Callable[[], Loss | None]


def learn(
    stages: Sequence[Stage],
    seed: int,
    run: Run,
    checkpoint: Checkpoint | None,
    stop: Stop,
    bar: Bar,
    saved: Callable[[str], None] = lambda stage: None,
) -> float:
    """Runs all stages, or until asked to stop; the seconds of learning so far, in all. Every stage's weights stay in
    its module. saved: is told of each checkpoint on the way, with the name of the stage.

    ``begin`` may give None where it was asked to stop. Raises BadInput for a checkpoint of other stages.
    """
    at, step, seconds = 0, 0, 0.0
    tensors: dict[str, Tensor] = {}
    if checkpoint is not None:
        tensors = checkpoint.tensors
        at, step, seconds = (checkpoint.state[name] for name in ("stage", "step", "seconds"))
        try:
            for stage in stages:
                stage.module.load_state_dict(resuming.under(stage.name, tensors))
        except RuntimeError as error:
            raise BadInput("The checkpoint is of other networks than these options ask for.") from error
    done = sum(stage.steps for stage in stages[:at])
    for number in range(at, len(stages)):
        stage = stages[number]
        began = time.monotonic() - seconds
        parameters = [p for p in stage.module.parameters() if p.requires_grad]
        if not parameters or not stage.steps:
            continue
        adam = torch.optim.Adam(parameters, lr=stage.rate, betas=(0.9, 0.99))
        chance = torch.Generator().manual_seed(seed * 1009 + number)
        if step:
            resuming.set_optimizer_state(adam, resuming.under("adam", tensors), deepcopy(checkpoint.state["groups"]))  # type: ignore[union-attr]
            resuming.set_rng_state(chance, tensors["chance"])

        loss_of = stage.begin()
        total = 0.0
        while loss_of is not None and step < stage.steps and stop.requested is None:
            for group in adam.param_groups:
                group["lr"] = stage.rate * fading(step / stage.steps)
            adam.zero_grad(set_to_none=True)
            loss = loss_of(chance)
            loss.backward()
            adam.step()
            step += 1
            total += float(loss.detach())
            seconds = time.monotonic() - began
            bar.update(done + step, stage=stage.name, loss=float(loss.detach()))
            if step % SHOWN == 0 or step == stage.steps:
                run.log(done + step, stage=stage.name, loss=round(total / ((step - 1) % SHOWN + 1), 6))
                total = 0.0
            if step % SAVED == 0 and step < stage.steps:
                save(run, stages, (number, step, done), seconds, adam, chance)
                saved(stage.name)
        seconds = time.monotonic() - began
        if stop.requested is not None:
            save(run, stages, (number, step, done), seconds, adam, chance)
            break
        done, step, tensors = done + stage.steps, 0, {}
    return seconds


def save(
    run: Run,
    stages: Sequence[Stage],
    place: tuple[int, int, int],
    seconds: float,
    adam: torch.optim.Adam,
    chance: torch.Generator,
) -> None:
    """Writes the checkpoint. place: number of the stage, its step, and the steps of the stages before."""
    number, step, done = place
    memory, groups = resuming.optimizer_state(adam)
    held = {"chance": resuming.rng_state(chance)} | resuming.prefixed("adam", memory)
    for stage in stages:
        held |= resuming.prefixed(stage.name, stage.module.state_dict())
    run.save(done + step, held, {"stage": number, "step": step, "seconds": seconds, "groups": groups})


def fading(share: float) -> float:
    """The share of the step size that is left: half a cosine.

    >>> fading(0.0), round(fading(1.0), 3)
    (1.0, 0.02)
    """
    return LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * min(share, 1.0)))
