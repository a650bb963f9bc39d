"""``fieldscape slots train``: an encoder learns on made-up scenes, without labels; the loop on the page.

The teacher, a network that learns from convexity, is trained first. At first it alone is followed (which points belong
together, roughly where things are); then all losses of ``losses`` act on what the encoder says, and the prototypes
learn too. See ``learning`` for the stages.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fieldscape import devices, resuming
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.progress import Bar, progress
from fieldscape.runs import Run, fresh_path
from fieldscape.stopping import Stop, graceful_stop
from fieldscape.systems.slots.encoder import Encoder
from fieldscape.systems.slots.learning import STAGES, batch_losses, begun, stage_at, usage_of
from fieldscape.systems.slots.model import SYSTEM, blank, load, read_model, teacher_of
from fieldscape.systems.slots.options import SlotsTrainOptions
from fieldscape.systems.slots.pool import Batch, Held, chosen, convexity_teacher, held_scenes, make_pool
from fieldscape.systems.slots.prototypes import Prototypes
from fieldscape.systems.slots.teacher import Teacher, TeacherConfig, train_teacher, work
from fieldscape.systems.slots.train_config import TrainConfig
from fieldscape.systems.slots.validation import row

WARM = 100
"""Steps over which the step size grows to its full size."""
LAST_RATE = 0.02
"""What is left of the step size in the end."""
SETTLING = 0.3
"""What is left of the prototypes' step size when the last stage begins."""
LONGEST = 1.0
"""The largest length of a gradient."""
FORGET = 0.98
"""How slowly the use of prototypes is forgotten, a step."""
MOST_BROKEN = 20
"""Steps in a row that may come to no number."""
HELD = ("iso", "contact")
"""Splits that are looked at on the way."""


@dataclass
class Learner:
    """What changes while training. usage: of the prototypes, lately.  seconds: of training so far.  teacher: that is
    followed, where it is a learned one; it stays as it is."""

    encoder: Encoder
    prototypes: Prototypes
    adam: torch.optim.AdamW
    chance: torch.Generator
    usage: Tensor
    step: int = 0
    seconds: float = 0.0
    temperature: float = 1.0
    teacher: Teacher | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint."""
        memory, _ = resuming.optimizer_state(self.adam)
        out = resuming.prefixed("encoder", self.encoder.state_dict())
        out |= resuming.prefixed("prototypes", self.prototypes.state_dict())
        out |= resuming.prefixed("adam", memory)
        if self.teacher is not None:
            out |= resuming.prefixed("teacher", self.teacher.state()[0])
        return out | {"usage": self.usage, "chance": resuming.rng_state(self.chance)}

    def state(self) -> dict[str, Any]:
        """All else of a checkpoint."""
        groups = resuming.optimizer_state(self.adam)[1]
        taught = None if self.teacher is None else self.teacher.state()[1]
        return {"groups": groups, "seconds": self.seconds, "temperature": self.temperature, "teacher": taught}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes on where a checkpoint was made. Raises BadInput if it is of another network."""
        load(self.encoder, self.prototypes, checkpoint)
        try:
            groups = deepcopy(checkpoint.state["groups"])
            resuming.set_optimizer_state(self.adam, resuming.under("adam", checkpoint.tensors), groups)
            resuming.set_rng_state(self.chance, checkpoint.tensors["chance"])
            self.usage = checkpoint.tensors["usage"].clone()
            self.seconds = float(checkpoint.state["seconds"])
            self.temperature = float(checkpoint.state["temperature"])
        except KeyError as error:
            raise BadInput(f"The checkpoint holds no {error}: it cannot be gone on from.") from error
        self.step, self.teacher = checkpoint.step, teacher_of(checkpoint)


def begin(config: TrainConfig, seed: int) -> Learner:
    """The start of a training."""
    encoder, prototypes = blank(config, seed)
    groups = [
        {"params": list(encoder.parameters()), "lr": config.rate, "weight_decay": 1e-3},
        {"params": list(prototypes.parameters()), "lr": config.shape_rate, "weight_decay": 0.0},
    ]
    usage = torch.full((config.prototypes,), 1 / config.prototypes)
    return Learner(encoder, prototypes, torch.optim.AdamW(groups), torch.Generator().manual_seed(seed), usage)


def learn(
    learner: Learner, pool: Batch, held: dict[str, list[Held]], config: TrainConfig, run: Run, stop: Stop, bar: Bar
) -> str | None:
    """Trains to the end of the plan, or until asked to stop; gives the reason, or None.

    Going on from a checkpoint gives bit for bit what going on at once would have given, where ``config.steps`` sets the
    plan; where the clock does, it is part of the plan.
    """
    began, broken = time.monotonic() - learner.seconds, 0
    looks = looked_at(share_done(learner, config), config)
    reason = stop.requested
    while reason is None:
        done = share_done(learner, config)
        if done >= 1:
            break
        stage = stage_at(done, config)
        learner.temperature = stage.temperature
        learner.prototypes.requires_grad_(stage.shapes)
        rates = (config.rate * fading(done), config.shape_rate * settling(done))
        for group, rate in zip(learner.adam.param_groups, rates):
            group["lr"] = rate * min(1.0, (learner.step + 1) / WARM)
        batch = chosen(pool, torch.randint(len(pool), (config.batch,), generator=learner.chance))
        batch = begun(batch, config, learner.chance)
        loss, told, encoded = batch_losses(learner.encoder, learner.prototypes, batch, config, stage)
        learner.adam.zero_grad(set_to_none=True)
        loss.backward()
        length = torch.nn.utils.clip_grad_norm_(
            [p for group in learner.adam.param_groups for p in group["params"]], LONGEST
        )
        broken = 0 if bool(length.isfinite()) else broken + 1
        if broken > MOST_BROKEN:
            raise BadInput("Training came to no number again and again: lower --rate and --shape-rate.")
        if not broken:
            learner.adam.step()
            learner.usage = FORGET * learner.usage + (1 - FORGET) * usage_of(encoded)
        learner.step += 1
        learner.seconds = time.monotonic() - began
        bar.update(
            learner.step if config.steps else min(learner.seconds, 60 * config.minutes), stage=stage.name, **told
        )
        done, reason = share_done(learner, config), stop.requested
        if looked_at(done, config) > looks and reason is None:
            looks = looked_at(done, config)
            if stage.shapes and done < STAGES[3][0]:
                renewed(learner, bar)
            run.save(learner.step, learner.tensors(), learner.state())
            look(learner, held, config, run, bar, stage.name)
            began = time.monotonic() - learner.seconds  # looking is not training
    if share_done(learner, config) >= 1:
        learner.temperature = stage_at(1.0, config).temperature
    run.save(learner.step, learner.tensors(), learner.state())
    return reason


def share_done(learner: Learner, config: TrainConfig) -> float:
    """How much of the plan is done, 0 to 1 and beyond."""
    return learner.step / config.steps if config.steps else learner.seconds / (60 * config.minutes)


def looked_at(done: float, config: TrainConfig) -> int:
    """How many looks are due: evenly spread ones, and one at the end of each stage; the one at the end is another's."""
    return min(int(done * config.looks), config.looks - 1) + sum(done >= start for start, _ in STAGES)


def fading(done: float) -> float:
    """The share of the step size that is left: half a cosine."""
    return LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))


def settling(done: float) -> float:
    """The same of the prototypes: in the last stage larger, so that they can become smooth, and then nothing."""
    start = STAGES[3][0]
    return fading(done) if done < start else SETTLING * max(0.0, 1 - (done - start) / (1 - start))


def renewed(learner: Learner, bar: Bar) -> None:
    """Draws anew the prototypes that are hardly used, and lets the optimiser forget them."""
    numbers = learner.prototypes.reseed(learner.usage, learner.chance)
    for parameter in learner.prototypes.parameters():
        memory = learner.adam.state.get(parameter, {})
        for name in ("exp_avg", "exp_avg_sq"):
            if name in memory:
                memory[name][numbers] = 0
    if len(numbers):
        learner.usage[numbers] = 1 / len(learner.usage)
        bar.say(f"Prototypes drawn anew at step {learner.step}: {', '.join(str(n + 1) for n in numbers.tolist())}")


def look(
    learner: Learner, held: dict[str, list[Held]], config: TrainConfig, run: Run, bar: Bar, stage: str
) -> dict[str, float]:
    """Figures on scenes that nothing learns from, into the log and said."""
    found: dict[str, float] = {}
    for split, scenes in held.items():
        figures = row(learner.encoder, learner.prototypes, scenes, config.slots, config.points, learner.temperature)
        found |= {f"{split}_{name}": value for name, value in figures.items()}
        words = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        bar.say(f"step {learner.step} ({learner.seconds / 60:.1f} min, stage {stage}), {split}: {words}")
    run.log(learner.step, seconds=round(learner.seconds, 2), stage=stage, **found)
    return found


def train(options: SlotsTrainOptions) -> None:
    """Train, write the run, and say what came out. Raises BadInput for options that cannot be used."""
    config, seed, run = planned(options)
    require_sane(config)
    learner = begin(config, seed)
    if run is not None:
        checkpoint = run.latest()
        if checkpoint is not None:
            for note in checkpoint.notes:
                print(f"fieldscape: {note}", file=sys.stderr)
            learner.restore(checkpoint)
            run.truncate_log(checkpoint.step)
    else:
        out = options.out or fresh_path(Path("runs") / "slots")
        source = {"scenes": "fieldscape make street", "seed": seed}
        run = Run.create(out, SYSTEM, config, seed, source, devices.describe(torch.device("cpu")))
    with graceful_stop() as stop:
        if config.teacher == "learned" and learner.teacher is None:
            learner.teacher = taught(config, seed, stop, options.quiet)
            if learner.teacher is not None:
                run.save(learner.step, learner.tensors(), learner.state())
        with progress(config.scenes, "making scenes", options.quiet, unit="scene") as bar:
            teacher = convexity_teacher if learner.teacher is None else learner.teacher.segment
            pool = make_pool(config, seed, teacher, bar.update, lambda: stop.requested is not None)
            looked_on = HELD if pool is not None and config.held else ()
            held = {split: held_scenes(config, split, teacher) for split in looked_on}
        reason = stop.requested
        if pool is not None and reason is None:
            total = config.steps or 60 * config.minutes
            with progress(total, "training", options.quiet, unit="step" if config.steps else "s") as bar:
                bar.say(f"{len(pool)} scenes to learn from, {config.held} of each of {', '.join(HELD)} to look at")
                reason = learn(learner, pool, held, config, run, stop, bar)
                if reason is None:
                    report(run, learner, held, config, bar)
    if reason is not None:
        print(f"Stopped after {learner.step} steps ({reason}); saved in {run.path}. To go on:")
        print(f"  fieldscape slots train --out {run.path} --resume")
        return
    print(f"{run.path}: use it with fieldscape slots fit DATA --model {run.path}")


def taught(config: TrainConfig, seed: int, stop: Stop, quiet: bool) -> Teacher | None:
    """The learned teacher, and how good it is beside convexity; None where it was asked to stop."""
    plan = TeacherConfig(far=config.far)
    with progress(work(plan), "training the teacher", quiet) as bar:
        teacher = train_teacher(plan, torch.Generator().manual_seed(seed), stop, bar)
        if teacher is not None:
            words = "  ".join(f"{split} {value:.3f}" for split, value in teacher.figures.items())
            bar.say(f"the teacher's adjusted Rand index on scenes its grouping was chosen on: {words}")
    return teacher


def report(run: Run, learner: Learner, held: dict[str, list[Held]], config: TrainConfig, bar: Bar) -> None:
    """The last figures, into ``report.json``."""
    found = look(learner, held, config, run, bar, "end")
    read_model(run.path)  # what was saved can be used
    run.report(**found, steps=learner.step, train_seconds=round(learner.seconds, 1))


def planned(options: SlotsTrainOptions) -> tuple[TrainConfig, int, Run | None]:
    """The config, the seed, and the run to go on with. Raises BadInput where --resume has nothing to go on with."""
    names = {f.name for f in dataclasses.fields(TrainConfig)} & {f.name for f in dataclasses.fields(SlotsTrainOptions)}
    if not options.resume:
        return TrainConfig(**{name: getattr(options, name) for name in names}), options.seed, None
    if options.out is None:
        raise BadInput("--resume goes on with the run in --out: name its folder.")
    run = Run.open(options.out)
    if run.record["system"] != SYSTEM:
        raise BadInput(f"{options.out} is a run of the system {run.record['system']!r}, not of slots train.")
    config, seed = run.config(TrainConfig), int(run.record["seed"])
    made = {**{name: getattr(config, name) for name in names}, "seed": seed}
    usual = SlotsTrainOptions()
    for name in sorted(names - {"minutes", "steps"} | {"seed"}):
        asked = getattr(options, name)
        if asked not in (getattr(usual, name), made[name]):
            raise BadInput(
                f"The run was made with --{name.replace('_', '-')} {made[name]}, not {asked}: only --minutes and "
                "--steps can change when resuming."
            )
    longer = {n: getattr(options, n) for n in ("minutes", "steps") if getattr(options, n) != getattr(usual, n)}
    return dataclasses.replace(config, **longer), seed, run


def require_sane(config: TrainConfig) -> None:
    """Raises BadInput where a number of the config makes no sense."""
    for name, low, high in (
        ("slots", 2, 64), ("prototypes", 1, 64), ("points", 64, 4096), ("scenes", 1, 100_000), ("fitted", 0, 100_000),
        ("held", 0, 1000), ("minutes", 0.01, 10_000), ("steps", 0, 10_000_000), ("batch", 1, 256), ("rate", 1e-7, 1),
        ("shape_rate", 0, 1), ("drop", 0, 0.9), ("looks", 1, 1000), ("far", 0.5, 1000), ("width", 8, 256),
        ("channels", 8, 1024), ("rounds", 1, 10), ("level", 1, 4),
    ):  # fmt: skip
        value = getattr(config, name)
        if not low <= value <= high:
            raise BadInput(f"--{name.replace('_', '-')} is {value:g}; it goes from {low:g} to {high:g}.")
    if config.width % 8 or config.channels % 8:
        raise BadInput("--width and --channels must be multiples of 8.")
    for group, weights in (("weights", config.weights), ("teaching", config.teaching)):
        for item in dataclasses.fields(weights):
            value = getattr(weights, item.name)
            if not 0 <= value <= 1000:
                raise BadInput(f"--{group}.{item.name} is {value:g}; it goes from 0 (off) to 1000.")
