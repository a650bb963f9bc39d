"""Fitting one object: rays through the pixels that show it move the vertices that they meet.

The kernel is ``kernels.learn``; here is the plan around it: what the field starts as, how rates fall, when cells found
empty are left, and where the lift comes in. The number of rays is given, not a time, so that with one thread the same
seed gives the same object bit for bit.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from fieldscape.errors import BadInput
from fieldscape.kernels.learn import Rates, learn
from fieldscape.systems.latents.voxel.config import VoxelSettings
from fieldscape.systems.latents.voxel.lift import lift
from fieldscape.systems.latents.voxel.shared import VoxelShared
from fieldscape.systems.latents.voxel.starts import empty_start, hull_start
from fieldscape.systems.latents.voxel.subject import Subject, subject_of
from fieldscape.types import Views
from fieldscape.voxels.bricks import Bricks, Workers

RAYS_A_CALL = 2**13
"""Rates fall between calls."""

SETTLES = (0.15, 0.4)
"""Shares of the rays after which cells found empty are left."""

MEMORY = 0.99
"""Share of the mean squared gradient kept at each move of a vertex."""


@dataclass(frozen=True)
class Fitted:
    """A fitted object.  seconds: of the processor, from the photos on.  rays: learned from.  error: mean squared, of
    the last rays.  sticks_out: the object reaches the end of the class's room, so that some of it may be cut off."""

    bricks: Bricks
    subject: Subject
    seconds: float
    rays: int
    error: float
    sticks_out: bool


@dataclass
class Progress:
    """How far a fit is.  drawn: rays so far, also their number in the random sequence.  error: of the last call."""

    drawn: int = 0
    error: float = float("nan")


def fit_object(shared: VoxelShared, views: Views, settings: VoxelSettings, seed: int, workers: Workers) -> Fitted:
    """Fits one object to the views that are not held out.

    ``workers`` may be kept from object to object; with one of them a fit repeats bit for bit. Raises BadInput where
    the photos do not show an object before a known background, or the lift is asked for and the class has none.
    """
    if settings.start == "lift" and (shared.lift is None or shared.prior is None):
        raise BadInput("there is no learned lift to start from: learn what the class shares, or start from the hull")
    began = time.process_time()
    lifted = settings.start == "lift"
    subject = subject_of(views, shared.room, settings.rim)
    progress = Progress()
    if settings.start == "none":
        halved = settings.coarse > 0
        bricks = empty_start(shared.room, settings.step, workers, halved)
        if halved:
            learn_rays(bricks, subject, settings, seed, progress, round(settings.coarse * settings.rays), 0)
            bricks.settle()
            bricks = bricks.refined(shared.room.shape, True)
    else:
        bricks, light = hull_start(shared.room, subject, settings.step, workers)
        if settings.start == "lift" and shared.lift is not None and shared.prior is not None:
            warm = min(settings.warm, settings.rays)
            learn_rays(bricks, subject, settings, seed, progress, warm, settings.rays)
            lift(bricks, subject, light, shared.lift, shared.prior)
            bricks.settle()
    if lifted:
        fall = settings.lr_lifted
        settings = replace(settings, lr_density=settings.lr_density * fall, lr_color=settings.lr_color * fall)
    learn_rays(bricks, subject, settings, seed, progress, settings.rays, progress.drawn if lifted else 0)
    bricks.settle(reach=0)
    spent = time.process_time() - began
    return Fitted(bricks, subject, spent, progress.drawn, progress.error, subject.sticks_out)


def learn_rays(
    bricks: Bricks, subject: Subject, settings: VoxelSettings, seed: int, progress: Progress, last: int,
    level: int,
) -> None:  # fmt: skip
    """Learns from the next rays, up to number ``last`` of the fit.

    Rates stay as they are up to ray ``level``, and fall from there to the end; cells found empty are left at set shares
    of that.
    """
    workers, total = bricks.workers, max(settings.rays - level, 1)
    scrambled = seed * 0x5851F42D + 0x14057B7E
    told, unused = np.zeros((workers.count, 3)), np.zeros((1, 9), np.float32)
    while progress.drawn < last:
        end = min(progress.drawn + RAYS_A_CALL, last)
        rates = rates_at(max(progress.drawn - level, 0) / total, settings)
        told[:] = 0

        def work(worker: int, first: int, last: int, rates: Rates = rates) -> None:
            samples, tally = workers.samples[worker], told[worker]
            grid, place, photos, behind = bricks.grid, bricks.place, subject.photos, subject.background
            learn(grid, place, photos, rates, behind, scrambled, first, last, samples, tally, unused)

        workers.share(work, progress.drawn, end)
        before, progress.drawn = progress.drawn, end
        progress.error = float(told[:, 0].sum() / told[:, 1].sum())
        if any(before < level + share * total <= end for share in SETTLES):
            bricks.settle()


def rates_at(share: float, settings: VoxelSettings) -> Rates:
    """How far things move after ``share`` of the rays."""
    fall = settings.lr_decay**share
    return Rates(
        density=np.float32(settings.lr_density * fall),
        color=np.float32(settings.lr_color * fall),
        smooth=np.float32(settings.smoothness),
        opacity=np.float32(settings.opacity),
        memory=np.float32(MEMORY),
        tolerance=np.float32(0),
        any_background=False,
        cameras=False,
        angular=np.float32(settings.angular),
    )
