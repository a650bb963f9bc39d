"""Stage 1: what a class shares is learned from some of its objects.

First the room: the box around all of them. Then each object is fitted twice as far as ever needed; what a field was
after a few rays and what it became are the lift's examples (distillation: the network learns what many rays would
have done). Where an object's rays put light is counted for the prior. In the end the lift is trained on all examples.

The work is cut in steps that can be stopped between: ``Learner.step`` does the next, ``tensors`` and ``state`` are all
that a later process needs to go on, bit for bit where there is one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape import resuming
from fieldscape.errors import BadInput
from fieldscape.kernels.lifting import read_lines
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.fitting import Progress, learn_rays
from fieldscape.systems.latents.voxel.lift import Lift, features_of, seen_places
from fieldscape.systems.latents.voxel.room import Room, filled, room_around
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.starts import gathered, hull_start, light_of
from fieldscape.systems.latents.voxel.subject import hull_box, subject_of
from fieldscape.types import Views
from fieldscape.voxels.bricks import LEARNED, Workers
from fieldscape.voxels.field import SHIFT

PRIORS = 2
"""How many numbers of a vertex's features are the prior's: the last ones."""


@dataclass(frozen=True)
class LearningSettings:
    """How the lift is learned.  target_rays: of the fits that it learns from.  rows: examples of an object.  width: of
    its layers.  steps, batch, rate: of its training.  at_once: training steps in one step of ``Learner``."""

    target_rays: int = 400_000
    rows: int = 4000
    width: int = 64
    steps: int = 4000
    batch: int = 2048
    rate: float = 2e-3
    at_once: int = 100


class Learner:
    """What changes while the class is learned. ``objects``: how an object's views are had, by its number."""

    def __init__(
        self,
        objects: Callable[[int], Views],
        count: int,
        settings: VoxelSettings,
        learning: LearningSettings,
        seed: int,
        workers: Workers,
    ):
        if count < 1:
            raise BadInput("there are no objects to learn a class from")
        self.objects, self.count, self.workers = objects, count, workers
        self.settings, self.learning, self.seed = settings, learning, seed
        self.lows, self.highs = torch.zeros(count, 3), torch.zeros(count, 3)
        self.boxed = self.fitted = self.trained = 0
        self.room: Room | None = None
        self.examples: dict[str, list[Tensor]] = {"features": [], "index": [], "moves": [], "weights": []}
        self.prior = torch.zeros(0)
        self.table: dict[str, Tensor] = {}
        self.network = Lift(learning.width, torch.Generator().manual_seed(seed))
        self.adam = torch.optim.Adam(self.network.parameters(), learning.rate)
        self.chance = torch.Generator().manual_seed(seed + 1)

    @property
    def total(self) -> int:
        """Steps in all."""
        return 2 * self.count + -(-self.learning.steps // self.learning.at_once)

    @property
    def done(self) -> int:
        """Steps done."""
        return self.boxed + self.fitted + -(-self.trained // self.learning.at_once)

    def step(self) -> None:
        """Does the next step: measures an object, fits one, or trains the lift for a while."""
        if self.boxed < self.count:
            self.lows[self.boxed], self.highs[self.boxed] = hull_box(self.objects(self.boxed))
            self.boxed += 1
        elif self.fitted < self.count:
            self._fit(self.fitted)
            self.fitted += 1
        elif self.trained < self.learning.steps:
            self._train(min(self.learning.at_once, self.learning.steps - self.trained))

    def shared(self) -> VoxelShared:
        """What has been learned; call it when all steps are done."""
        room = filled(self._room(), (self.prior[..., 1] > 0).numpy())
        return VoxelShared(room, self.network, _rounded(self.prior / self.fitted).numpy())

    def _room(self) -> Room:
        if self.room is None:
            self.room = room_around(self.lows, self.highs, self.settings.resolution)
        return self.room

    def _fit(self, number: int) -> None:
        room, seed = self._room(), self.seed + 1 + number
        settings = replace(self.settings, start="hull", rays=self.settings.warm + self.learning.target_rays)
        subject = subject_of(self.objects(number), room, settings.rim)
        bricks, first_light = hull_start(room, subject, settings.step, self.workers)
        progress = Progress()
        learn_rays(bricks, subject, settings, seed, progress, settings.warm, settings.warm)
        places, before = seen_places(bricks, subject, first_light)
        features = features_of(bricks, subject, places, np.zeros((*room.shape, PRIORS), np.float32))
        learn_rays(bricks, subject, settings, seed, progress, settings.rays, settings.warm)
        after = np.empty_like(before)
        read_lines(bricks.grid, places, after)
        light = light_of(gathered(bricks, subject, 1))[_numbers(subject.places, places, room)]
        weights = np.stack([light / (light + 2), np.ones_like(light)], 1)
        chosen = torch.randperm(len(places), generator=self.chance)[: self.learning.rows]
        self.examples["features"].append(features[chosen, :-PRIORS].half())
        self.examples["index"].append(torch.from_numpy(np.ravel_multi_index(places.T, room.shape))[chosen])
        moves = np.ascontiguousarray(after[:, :LEARNED] - before[:, :LEARNED])
        self.examples["moves"].append(torch.from_numpy(moves)[chosen])
        self.examples["weights"].append(torch.from_numpy(weights)[chosen])
        if not len(self.prior):
            self.prior = torch.zeros(*room.shape, PRIORS)
        stopped = 1 / (1 + np.exp(SHIFT - after[:, LEARNED - 1]))
        self.prior[tuple(torch.from_numpy(places.T).long())] += torch.from_numpy(np.stack([stopped, 0 * stopped], 1))
        self.prior[..., 1] += torch.from_numpy(subject.depths > 0)

    def _train(self, steps: int) -> None:
        if not self.table:
            self.table = {name: torch.cat(parts) for name, parts in self.examples.items()}
            prior = _rounded(self.prior / self.fitted).reshape(-1, PRIORS)[self.table["index"]]
            self.table["features"] = torch.cat([self.table["features"].float(), prior], 1)
        if self.trained == 0:
            self.network.mean.copy_(self.table["features"].mean(0))
            self.network.spread.copy_(self.table["features"].std(0).clamp_min(1e-2))
            self.network.unit.copy_(self.table["moves"].square().mean(0).sqrt().clamp_min(1e-2))
        features, moves, weights = self.table["features"], self.table["moves"], self.table["weights"]
        for _ in range(steps):
            for group in self.adam.param_groups:
                group["lr"] = self.learning.rate * 0.5 * (1 + np.cos(np.pi * self.trained / self.learning.steps))
            rows = torch.randint(len(features), (self.learning.batch,), generator=self.chance)
            error = amiss(self.network(features[rows]), moves[rows], features[rows], weights[rows])
            self.adam.zero_grad()
            error.backward()
            self.adam.step()
            self.trained += 1
            self.error = float(error.detach())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that going on needs, with ``state``."""
        out = {"lows": self.lows, "highs": self.highs, "prior": self.prior, "chance": resuming.rng_state(self.chance)}
        out |= resuming.prefixed("network", self.network.state_dict())
        out |= resuming.prefixed("adam", resuming.optimizer_state(self.adam)[0])
        return out | {name: torch.cat(parts) for name, parts in self.examples.items() if parts}

    def state(self) -> dict[str, Any]:
        """All else that going on needs."""
        groups = resuming.optimizer_state(self.adam)[1]
        return {"boxed": self.boxed, "fitted": self.fitted, "trained": self.trained, "groups": groups}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Goes on where ``tensors`` and ``state`` were given. Raises BadInput where they are of other objects."""
        try:
            boxed, fitted, trained = (int(state[name]) for name in ("boxed", "fitted", "trained"))
            if tensors["lows"].shape != self.lows.shape:
                raise BadInput(f"the checkpoint is of {len(tensors['lows'])} objects, not of {self.count}")
            self.network.load_state_dict(resuming.under("network", tensors))
            groups = deepcopy(state["groups"])
            resuming.set_optimizer_state(self.adam, resuming.under("adam", tensors), groups)
            resuming.set_rng_state(self.chance, tensors["chance"])
            self.lows, self.highs, self.prior = (tensors[name].clone() for name in ("lows", "highs", "prior"))
            self.examples = {name: [tensors[name]] if fitted else [] for name in self.examples}
        except (KeyError, RuntimeError, ValueError) as error:
            raise BadInput(f"the checkpoint cannot be gone on from: {error}") from error
        self.boxed, self.fitted, self.trained, self.room, self.table = boxed, fitted, trained, None, {}


def learn_shared(learner: Learner, pause: Callable[[Learner], bool]) -> VoxelShared | None:
    """Does all steps that are left; ``pause`` is asked after each, and None is given where it says so."""
    while learner.done < learner.total:
        learner.step()
        if pause(learner) and learner.done < learner.total:
            return None
    return learner.shared()


def amiss(
    guessed: Float[Tensor, "n 13"], moves: Float[Tensor, "n 13"], features: Float[Tensor, "n f"],
    weights: Float[Tensor, "n 2"],
) -> Float[Tensor, ""]:  # fmt: skip
    """How wrong guessed moves are: colours where light ends, densities by the light that they stop."""
    density = features[:, 4 * OWN : 4 * OWN + 1] / 0.25
    wanted, got = density + moves[:, -1:], density + guessed[:, -1:]
    stops = torch.sigmoid((got - 2.5) / 1.5) - torch.sigmoid((wanted - 2.5) / 1.5)
    colors = (guessed[:, :-1] - moves[:, :-1]).square().mean(1, keepdim=True)
    return (4 * weights[:, 1:] * (stops.square() + 0.003 * (got - wanted).square()) + weights[:, :1] * colors).mean()


OWN = 13
"""The place of a vertex among its 27 neighbours in ``kernels.lifting.describe``."""


def _rounded(prior: Tensor) -> Tensor:
    """A prior as it is read back from a file: in steps of 1/255."""
    return (prior * 255).round() / 255


def _numbers(all_places: np.ndarray, places: np.ndarray, room: Room) -> np.ndarray:
    """Where each of ``places`` stands in ``all_places``, both in increasing order."""
    first, second = (np.ravel_multi_index(p.T, room.shape) for p in (all_places, places))
    return np.searchsorted(first, second)
