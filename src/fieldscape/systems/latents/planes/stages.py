"""Learning what the objects of a class share, the loop on the page: scenes, rays, a loss, a step.

Stage 1a learns planes, the small network and the shared planes from the latents of the photos (of colours: from their
pixels), a few rays of each scene of a batch; stage 1b learns all of that and the autoencoder together, through whole
pictures. 3Da-AE, section 3.3; the losses are in ``losses``. Of several processes each has scenes of its own and takes
its share of every batch; what is shared is moved in all of them by the mean of their gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.ranks import Ranks
from fieldscape.stopping import Stop
from fieldscape.systems.latents.nouns import Save
from fieldscape.systems.latents.objects import Objects, spread
from fieldscape.systems.latents.planes import learning as state
from fieldscape.systems.latents.planes import photos as seen_in
from fieldscape.systems.latents.planes.autoencoder import LatentSpace, background, train_autoencoder
from fieldscape.systems.latents.planes.config import PlanesConfig, require_sound
from fieldscape.systems.latents.planes.learning import ALONE, Learning, falling, set_rates
from fieldscape.systems.latents.planes.losses import joint_loss, latent_loss, roughness
from fieldscape.systems.latents.planes.payload import pack
from fieldscape.systems.latents.planes.photos import Photos
from fieldscape.systems.latents.planes.place import MOST_CARVED, class_place
from fieldscape.systems.latents.planes.shared import PlanesShared, new_space
from fieldscape.systems.latents.planes.squash import scale_of, squash

SAVE_EVERY = 500
ENCODED = 256
"""Photos that are encoded at a time."""
RUNAWAY = 3.0
"""Learning has run away where its usual error is so many times the least it was in this stage."""
SETTLED = 200
"""Steps of a stage before that is asked."""
MOST_PICTURES = 4096
"""Photos that the autoencoder learns from."""


def learn_shared(
    objects: Objects,
    config: PlanesConfig,
    seed: int,
    stop: Stop,
    bar: Bar,
    save: Save | None = None,
    resume: Checkpoint | None = None,
    keep: Callable[[int, bytes], None] | None = None,
    ranks: Ranks = ALONE,
) -> PlanesShared:
    """What the objects share, learned from their training views.

    save: called with step, tensors and state, every few hundred steps and at the end; a checkpoint of those resumes,
    on a CPU bit for bit. keep: called with the number and the payload of each object, once all is learned. Asked to
    stop, it returns what there is. A stop while the autoencoder learns saves nothing: that begins anew. ranks: where to
    learn, and the processes that share the work: each calls this, and the first one saves and keeps for all.

    Raises BadInput for options that do not go together, and for objects that nothing can be learned from.
    """
    require_sound(config)
    if len(objects) < ranks.count:
        raise BadInput(f"{ranks.count} processes cannot share {len(objects)} objects: start fewer.")
    if resume is not None:
        learning = state.restored(config, resume.tensors, resume.state, len(objects), ranks)
        photos = seen_in.of_objects(objects, learning.shared.factor, learning.shared.place)
    else:
        learning, photos = begun(objects, config, seed, stop, bar, ranks)
        if ranks.asked(stop.requested) is not None:
            return finished(learning)
    first, second = config.shared_steps
    photos = photos.of_scenes(ranks.own(len(objects)))
    each = max(1, config.rays // min(config.scenes, len(objects)))
    scenes_a_step, pictures_a_step = (-(-whole // ranks.count) for whole in (config.scenes, config.pictures))
    targets = cached(photos, learning.shared) if learning.step < first else None
    course = Course()
    while learning.step < first + second and ranks.asked(stop.requested) is None:
        shared, chance = learning.shared, learning.chance
        chosen = torch.randperm(len(photos.first) - 1, generator=chance)

        if learning.step < first and targets is not None:
            # 1a: a few rays of several scenes, and what the encoder says of their cells.
            rate, scenes = config.rate * falling(learning.step, first), chosen[:scenes_a_step]
            set_rates(learning.adam, shared.macro is not None, rate, rate / 2, 0.0, 0.0)
            parts = learning.taken(scenes)
            planes = learning.planes(parts)
            cells = photos.draw_cells(scenes, each, chance)
            seen = shared.see(planes, photos.camera, cells, chance)
            loss = latent_loss(seen.color, targets[cells.view, cells.xy[:, 1], cells.xy[:, 0]])
        else:
            # 1b: whole pictures of some scenes, through an autoencoder that learns with them.
            left = falling(learning.step - first, second)
            rate, scenes = config.rate * left, chosen[:pictures_a_step]
            network, encoder = config.network_rate * left, config.encoder_rate * left
            set_rates(learning.adam, shared.macro is not None, rate, network, encoder, network)
            parts = learning.taken(scenes)
            planes = learning.planes(parts)
            view, shift = photos.draw_views(scenes, chance), drawn_shift(shared, chance)
            learning.shared = shared = with_background(shared)
            camera = seen_in.shifted(photos.camera, shift, shared.factor)
            seen = shared.see(planes, camera, photos.whole(view), chance)
            picture = seen.color.unflatten(0, (len(scenes), photos.camera.height, photos.camera.width))
            loss = joint_loss(picture, photos.pictures(view, shift), needed(shared.space), shared.scale)

        taught = loss + config.smooth * roughness(planes)
        learning.adam.zero_grad()
        taught.backward()
        ranks.average_gradients(p for group in learning.adam.param_groups for p in group["params"])
        learning.adam.step()
        learning.moved(scenes, parts, rate)
        learning.step += 1

        # Everything below shows and saves.
        require_finite(loss, learning.step, ranks)
        course = Course() if learning.step == first + 1 else course
        if ranks.any(course.ran_away(float(loss.detach()))):
            raise BadInput(
                f"Learning ran away at step {learning.step}: its error is {RUNAWAY:g} times what it was."
                " Begin anew, with another --seed."
            )
        bar.update(learning.step, loss=float(loss.detach()), stage="1a" if learning.step <= first else "1b")
        if save is not None and learning.step % SAVE_EVERY == 0:
            saved(learning, save)
    if save is not None:
        saved(learning, save)
    learned = finished(learning)
    if keep is not None and ranks.asked(stop.requested) is None:
        table = learning.gathered()
        for index in range(len(objects) if ranks.first else 0):
            keep(index, pack({name: part[index : index + 1] for name, part in table.items()}, config.stored))
    return learned


@dataclass
class Course:
    """The usual error of a stage, a running mean over some 50 steps, and the least that it was."""

    usual: float = 0.0
    least: float = float("inf")
    steps: int = 0

    def ran_away(self, error: float) -> bool:
        """Takes the next error; whether the usual one has grown out of hand.

        >>> course = Course()
        >>> any(course.ran_away(1.0) for _ in range(1000)), any(course.ran_away(5.0) for _ in range(100))
        (False, True)
        """
        self.steps += 1
        self.usual += (error - self.usual) * max(0.02, 1 / self.steps)
        if self.steps > SETTLED:
            self.least = min(self.least, self.usual)
        return self.usual > RUNAWAY * self.least


def saved(learning: Learning, save: Save) -> None:
    """Process 0 saves what all of them give it."""
    tensors = learning.tensors()
    if learning.ranks.first:
        save(learning.step, tensors, learning.state())


def begun(
    objects: Objects, config: PlanesConfig, seed: int, stop: Stop, bar: Bar, ranks: Ranks = ALONE
) -> tuple[Learning, Photos]:
    """All there is before the first scene learns: the box of the class, and the autoencoder.

    Process 0 trains the autoencoder, and the others take it.
    """
    place = class_place(map(objects.views, spread(len(objects), MOST_CARVED)), config).to(ranks.device)
    space = new_space(config, seed)
    photos = seen_in.of_objects(objects, 1 if space is None else space.factor, place)
    scale, white = 1.0, torch.ones(3, device=ranks.device)
    if space is not None:
        pictures = photos.pictures(torch.tensor(spread(len(photos.rows), MOST_PICTURES)))
        own = config.autoencoder.source == "own"
        if own and ranks.first:
            space = train_autoencoder(pictures, config.autoencoder, seed, stop, bar)
        space = space.to(ranks.device)
        ranks.follow(space.state_dict().values())
        with torch.no_grad():
            scale = scale_of(space.encode(pictures[:ENCODED])) if own else 0.02
            white = squash(background(space, white), scale)
    shared = state.new_shared(config, place, space, scale, white, seed)
    return state.begin(config, shared, len(objects), seed, ranks), photos


@torch.no_grad()
def cached(photos: Photos, shared: PlanesShared) -> Float[Tensor, "v h w c"]:
    """What planes shall show in each cell of each photo, in one array: squashed latents, or colours."""
    parts = []
    for start in range(0, len(photos.rows), ENCODED):
        pictures = photos.pictures(torch.arange(start, min(start + ENCODED, len(photos.rows))))
        held = pictures if shared.space is None else squash(shared.space.encode(pictures), shared.scale)
        parts.append(held.movedim(1, -1).contiguous())
    return torch.cat(parts)


@torch.no_grad()
def with_background(shared: PlanesShared) -> PlanesShared:
    """``shared`` with white as the encoder sees it now."""
    if shared.space is None:
        return shared
    white = squash(background(shared.space, shared.background), shared.scale)
    return replace(shared, background=white)


def drawn_shift(shared: PlanesShared, chance: torch.Generator) -> tuple[int, int]:
    """One of the places of the grid of patches, at random."""
    possible = seen_in.shifts(shared.config.phases, shared.factor)
    return possible[int(torch.randint(len(possible), (), generator=chance))]


def needed(space: LatentSpace | None) -> LatentSpace:
    """The autoencoder, in a stage that only latents have."""
    if space is None:
        raise ValueError("colours have no stage 1b")
    return space


def require_finite(loss: Float[Tensor, ""], step: int, ranks: Ranks = ALONE) -> None:
    """Raises BadInput where learning has gone astray, in any of the processes."""
    if ranks.any(not bool(loss.isfinite())):
        raise BadInput(f"Learning diverged at step {step}: lower rate and network_rate, and begin anew.")


def finished(learning: Learning) -> PlanesShared:
    """What was learned, with nothing left to learn, and the mean scene for new objects to start from."""
    mean = learning.mean() if learning.step else learning.shared.mean
    shared = with_background(replace(learning.shared, mean=mean))
    shared.network.requires_grad_(False)
    if shared.space is not None:
        shared.space.requires_grad_(False)
    macro = None if shared.macro is None else shared.macro.detach()
    return replace(shared, macro=macro)
