"""Adding one object, the loop on the page: only what is its own learns, and what is shared stays as it is.

Stage 2a learns its planes from the latents of its photos (of colours: from their pixels), a random few cells a step;
stage 2b learns them through the decoder, whole pictures at a time. It starts from the mean scene.
"""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import mse_loss

from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.latents.nouns import Added
from fieldscape.systems.latents.planes import photos as seen_in
from fieldscape.systems.latents.planes.config import PlanesConfig, require_sound
from fieldscape.systems.latents.planes.learning import falling
from fieldscape.systems.latents.planes.losses import latent_loss, roughness
from fieldscape.systems.latents.planes.mixing import mixed
from fieldscape.systems.latents.planes.payload import pack
from fieldscape.systems.latents.planes.shared import PlanesShared
from fieldscape.systems.latents.planes.stages import cached, drawn_shift, require_finite
from fieldscape.types import Views


def add_object(
    shared: PlanesShared,
    views: Views,
    config: PlanesConfig,
    seed: int,
    stop: Stop | None = None,
    bar: Bar | None = None,
) -> Added:
    """The object of ``views``, learned from those that are not held out; nothing in ``shared`` changes.

    It is learned on the device of ``shared``: ``shared.to(device)`` chooses one.

    config: that of ``shared``, or one that differs in how objects are added (steps, rates, samples a step, what is
    tuned, how it is stored). Raises BadInput for one that differs in more, for pictures that cannot be cut into
    patches, and where no view is left to learn from.
    """
    require_alike(shared.config, config)
    began, chance = time.process_time(), torch.Generator().manual_seed(seed)
    photos = seen_in.of_views(views, shared.factor, shared.place)
    parts = {name: part.detach().clone().requires_grad_() for name, part in shared.mean.items()}
    field = deepcopy(shared.network).requires_grad_() if config.tunes != "planes" else None
    space = deepcopy(shared.space) if config.tunes == "decoder" else None
    tuned = [*field.parameters()] if field is not None else []
    if space is not None:
        tuned += [*space.requires_grad_().parameters()]
    groups: list[dict[str, Any]] = [{"params": [*parts.values()]}, {"params": tuned}]
    adam = torch.optim.Adam(groups, lr=0.0)
    first, second = config.added_steps
    targets, last = cached(photos, shared), 0.0
    for step in range(first + second):
        if stop is not None and stop.requested is not None:
            break
        planes = mixed(parts, shared.macro, config.sharing == "sum")
        if step < first:
            rate = config.rate * falling(step, first)
            network_rate = rate / 5
            cells = photos.draw_cells(torch.zeros(1, dtype=torch.long), config.rays, chance)
            seen = shared.see(planes, photos.camera, cells, chance, field)
            loss = latent_loss(seen.color, targets[cells.view, cells.xy[:, 1], cells.xy[:, 0]])
        else:
            rate = config.rate * falling(step - first, second)
            network_rate = config.network_rate * falling(step - first, second)
            view = photos.draw_views(torch.zeros(config.pictures, dtype=torch.long), chance)
            shift = drawn_shift(shared, chance)
            cells = photos.whole(view)
            cells = seen_in.Cells(cells.view, cells.xy, torch.zeros_like(cells.scene))
            seen = shared.see(planes, seen_in.shifted(photos.camera, shift, shared.factor), cells, chance, field)
            picture = seen.color.unflatten(0, (len(view), photos.camera.height, photos.camera.width))
            loss = mse_loss(shared.decoded(picture, space).movedim(-1, 1), photos.pictures(view, shift))
        for group, group_rate in zip(adam.param_groups, (rate, network_rate)):
            group["lr"] = group_rate
        adam.zero_grad()
        (loss + config.smooth * roughness(planes)).backward()
        adam.step()
        require_finite(loss, step + 1)
        last = float(loss.detach())
        if bar is not None:
            bar.update(step + 1, loss=last)
    payload = pack(parts, config.stored, field, space)
    seconds = time.process_time() - began
    return Added(payload, {"seconds": seconds, "loss": last, "bytes": float(len(payload))})


def require_alike(shared: PlanesConfig, config: PlanesConfig) -> None:
    """Raises BadInput where the two differ in more than in how objects are added."""
    require_sound(config)
    free = ("rays", "pictures", "added_steps", "rate", "network_rate", "smooth", "tunes", "stored")
    if replace(config, **{name: getattr(shared, name) for name in free}) != shared:
        raise BadInput(f"An object can only be added with the options of what it shares, but for {', '.join(free)}.")
