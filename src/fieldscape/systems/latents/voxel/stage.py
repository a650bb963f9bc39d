"""Stage 1 of the voxel representation as a run does it: the class's room, its lift, then the tables of its storage."""

from __future__ import annotations

from dataclasses import replace

import torch

from fieldscape.checkpoints import Checkpoint
from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.latents.nouns import Save
from fieldscape.systems.latents.objects import Objects, spread
from fieldscape.systems.latents.voxel.add import steps, weights
from fieldscape.systems.latents.voxel.coding import learn_tables
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.fitting import fit_object
from fieldscape.systems.latents.voxel.learning import Learner, LearningSettings
from fieldscape.systems.latents.voxel.room import room_around
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.subject import hull_box
from fieldscape.voxels.bricks import Workers

MOST_TAUGHT = 256
"""Objects that the room and the lift are learned from: more add next to nothing, and each takes a second."""

MOST_TABLED = 48
"""Objects that the tables are learned from."""

SAVE_EVERY = 16

LEARNING = LearningSettings()
"""How far the lift is learned."""


def learn_shared(
    objects: Objects, settings: VoxelSettings, seed: int, stop: Stop, bar: Bar, save: Save | None = None,
    resume: Checkpoint | None = None,
) -> VoxelShared | None:  # fmt: skip
    """What the objects share, learned from their training views; None where it was asked to stop before the end.

    save: called with step, tensors and state now and then, and when asked to stop; a checkpoint of those resumes. Asked
    to stop while the tables are learned, those begin anew. Raises BadInput for objects that cannot be learned from.
    """
    taught = objects.select(spread(len(objects), MOST_TAUGHT))
    workers = Workers(1)
    if settings.start == "lift":
        learner = Learner(taught.views, len(taught), settings, LEARNING, seed, workers)
        if resume is not None:
            learner.restore(resume.tensors, resume.state)
        while learner.done < learner.total:
            learner.step()
            bar.update(learner.done)
            due = learner.done % SAVE_EVERY == 0 or learner.done == learner.total
            if save is not None and (due or stop.requested is not None):
                save(learner.done, learner.tensors(), learner.state())
            if stop.requested is not None:
                return None
        shared, done = learner.shared(), learner.total
    else:
        boxes = [hull_box(taught.views(i)) for i in range(len(taught))]
        lows, highs = (torch.stack(corners) for corners in zip(*boxes, strict=True))
        shared, done = VoxelShared(room_around(lows, highs, settings.resolution)), 0
    return with_tables(shared, objects, settings, seed, stop, bar, done)


def work(count: int, settings: VoxelSettings) -> int:
    """Steps of ``learn_shared`` with so many objects."""
    taught = min(count, MOST_TAUGHT)
    lifted = 2 * taught + -(-LEARNING.steps // LEARNING.at_once) if settings.start == "lift" else 0
    return lifted + min(count, MOST_TABLED)


def with_tables(
    shared: VoxelShared, objects: Objects, settings: VoxelSettings, seed: int, stop: Stop, bar: Bar, done: int,
) -> VoxelShared | None:  # fmt: skip
    """``shared`` with what the storage of its objects has in common; None where it was asked to stop."""
    workers, examples = Workers(1), []
    for count, number in enumerate(spread(len(objects), MOST_TABLED)):
        if stop.requested is not None:
            return None
        views = objects.views(number)
        fitted = fit_object(shared, views, settings, seed, workers)
        examples.append((fitted.bricks, weights(fitted, views), steps(fitted)))
        bar.update(done + count + 1)
    return replace(shared, tables=learn_tables(examples))
