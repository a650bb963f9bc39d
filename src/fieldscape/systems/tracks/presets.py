"""The parts of each preset: what learns, in which stages, and how a picture comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import nn

from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.tracks.blending import Blender
from fieldscape.systems.tracks.config import TracksConfig
from fieldscape.systems.tracks.filling import Filling, placed
from fieldscape.systems.tracks.footage import Footage
from fieldscape.systems.tracks.lessons import blend_loss, fill_loss, lessons_of
from fieldscape.systems.tracks.neural import Field, draw_neural, neural_loss, placed_field
from fieldscape.systems.tracks.original import Original, draw_original, original_loss, vertices_of
from fieldscape.systems.tracks.picture import Painter, draw
from fieldscape.systems.tracks.refining import Moves, refine_loss, refined
from fieldscape.systems.tracks.stages import Loss, Stage
from fieldscape.types import Camera, Rendered

FIELD_RATE, ORIGINAL_RATE = 1e-2, 1e-3
"""Adam's step sizes; the second as published."""


@dataclass(frozen=True)
class Parts:
    """modules: all that is learned, by name.  look: the picture from a camera at a time, in seconds.  footage: as it is
    once its refinement, if any, has been learned."""

    modules: dict[str, nn.Module]
    look: Callable[[Camera, float], Rendered]
    footage: Callable[[], Footage]


def parts_of(footage: Footage, config: TracksConfig, seed: int, device: torch.device) -> Parts:
    """A preset before it has learned anything."""
    chance = torch.Generator().manual_seed(seed)
    tracked = footage.tracked
    first: dict[str, nn.Module] = {}
    if config.refine.vertices or config.refine.poses:
        first["refine"] = Moves(tracked, config.refine)

    @cache
    def now() -> Footage:
        moves = first.get("refine")
        return refined(footage, moves) if isinstance(moves, Moves) else footage

    if config.preset == "original":
        model = Original(int((tracked.points.layer == 0).sum()), chance)
        model.vertices.copy_(vertices_of(tracked))
        model.to(device)
        return Parts(
            first | {"original": model}, lambda camera, when: draw_original(now().tracked, model, camera, when), now
        )
    filling = Filling(config.fill, chance)
    placed(filling, tracked)
    filling.to(device)
    if config.preset == "neural":
        field = Field(len(footage.layers) - 1, chance)
        placed_field(field, footage)
        field.to(device)
        return Parts(
            first | {"fill": filling, "neural": field},
            lambda camera, when: draw_neural(now(), field, filling, camera, when),
            now,
        )
    painter = Painter(Blender(config.blend.width, chance).to(device), filling, config.source)
    return Parts(
        first | {"fill": filling, "blend": painter.blender},
        lambda camera, when: draw(now(), painter, camera, when),
        now,
    )


def stages_of(
    parts: Parts, footage: Footage, config: TracksConfig, seed: int, stop: Stop, bar: Bar
) -> tuple[Stage, ...]:
    """In which order the parts learn."""
    chance = torch.Generator().manual_seed(seed + 1)
    stages = []
    for name, module in parts.modules.items():
        begin: Callable[[], Loss | None]
        steps, rate = 0, 0.0
        if isinstance(module, Moves):
            steps, rate = config.refine.steps, config.refine.rate
            begin = partial(_refining, footage, module, config)
        elif isinstance(module, Filling):
            steps, rate = config.fill.steps, config.fill.rate
            begin = partial(_filling, parts, module, config)
        elif isinstance(module, Field):
            steps, rate = config.field.steps, FIELD_RATE
            begin = partial(_neural, parts, module, config, chance)
        elif isinstance(module, Original):
            steps, rate = config.field.original_steps, ORIGINAL_RATE
            begin = partial(_original, parts, module, config)
        elif isinstance(module, Blender):
            steps, rate = config.blend.steps, config.blend.rate
            begin = partial(_blending, parts, module, config, chance, stop, bar)
        stages.append(Stage(name, module, steps, rate, begin))
    return tuple(stages)


def _refining(footage: Footage, moves: Moves, config: TracksConfig) -> Loss | None:
    return refine_loss(footage, moves, config.refine) if len(footage.tracked.clip) > 2 else None


def _filling(parts: Parts, filling: Filling, config: TracksConfig) -> Loss:
    return fill_loss(filling, parts.footage().tracked, config.fill)


def _neural(parts: Parts, field: Field, config: TracksConfig, chance: torch.Generator) -> Loss:
    return neural_loss(parts.footage(), field, config.field, chance)


def _original(parts: Parts, model: Original, config: TracksConfig) -> Loss:
    return original_loss(parts.footage().tracked, model, config.field)


def _blending(
    parts: Parts, blender: Blender, config: TracksConfig, chance: torch.Generator, stop: Stop, bar: Bar
) -> Loss | None:
    """None where it was asked to stop, or where no frame has one before and one after it."""
    filling = parts.modules["fill"]
    if not isinstance(filling, Filling):
        raise TypeError("what fills is a Filling")

    def each(frame: int) -> bool:
        bar.update(config.fill.steps, stage=f"looking at frame {frame + 1}")
        return stop.requested is None

    lessons = lessons_of(parts.footage(), filling, config.source, config.blend, chance, each)
    if not lessons or stop.requested is not None:
        return None

    def loss(chance: torch.Generator) -> torch.Tensor:
        lesson = lessons[int(torch.randint(len(lessons), (), generator=chance))]
        return blend_loss(blender, lesson, config.blend.structure)

    return loss
