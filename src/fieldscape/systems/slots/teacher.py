"""The teacher of slots: a network of affinities that learned from what convexity finds, without anybody's labels.

What convexity finds in a scene drawn three times as fine and without noise is
what the network shall find in the coarse picture, in half of the cases as a sensor would see it (a teacher that sees
more than its pupil: Vapnik and Vashist, "Learning using privileged information", 2009). Convexity answers under several
settings; the network learns the share of the answers in which two pixels are one thing, so it is drawn least to where
they are least sure, and errors that fall at random average out.

At work the network's affinities are blended with the answer of convexity on the same picture: the two err on different
scenes. The share of that, and two numbers of ``grouping.GroupingSettings``, are chosen on validation scenes of
another seed. That choice does look at the true instances of made scenes, as did the choice of ``MARKERS``, on scenes of
the same seed; nothing else does.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fieldscape.data.depth.record import DepthMap
from fieldscape.errors import BadInput
from fieldscape.progress import Bar
from fieldscape.stopping import Stop
from fieldscape.systems.slots.affinity import OFFSETS, AffinityNet, affinities_of, inputs_of, mirrored, paired
from fieldscape.systems.slots.convexity import ConvexitySettings, segment
from fieldscape.systems.slots.figures import foreground_ari
from fieldscape.systems.slots.grouping import GroupingSettings, blended, group
from fieldscape.systems.slots.joining import JoiningSettings
from fieldscape.systems.slots.points import Observed, PointSettings, prepare
from fieldscape.systems.slots.reducing import thinned
from fieldscape.systems.slots.scenes import draw_example
from fieldscape.worlds.street.render import noisy

Array = np.ndarray

FORMAT = 1
"""Of what is saved."""
WORKING_WIDTH = 128
"""Pixels across of the pictures that are learned from, three quarters of it high."""
MARKERS = tuple(
    ConvexitySettings(gap_metres=gap, lean=lean, margin=margin, joining=JoiningSettings(least=least))
    for gap, lean, margin, least in ((0.1, 15.0, 2, 250), (0.1, 12.0, 2, 250), (0.07, 20.0, 3, 180))
)
"""The settings of convexity whose answers are learned from, for pictures three times as fine."""
FINER = 3
"""How much finer those pictures are; odd, so that every coarse pixel lies on the middle of a fine one."""
FIRST_LESSON, FIRST_TRIAL = 5000, 1000
"""Seeds of the scenes that are learned from, and of those that the grouping is chosen on."""
CONVEXITY, STRONG, JOIN = (0.0, 0.2, 0.35), (0.8, 0.9), (0.5, 0.6, 0.7)
"""The grouping settings that are tried."""


@dataclass(frozen=True)
class TeacherConfig:
    """How the teacher is trained."""

    splits: tuple[str, ...] = ("contact", "iso", "contact", "clutter")
    """Of the scenes that are learned from, in turn."""

    scenes: int = 480
    """Scenes that are learned from."""

    width: int = 16
    """Channels of the network at the full size."""

    steps: int = 2500
    """Steps of learning."""

    batch: int = 8
    """Pieces of pictures a step."""

    piece: tuple[int, int] = (40, 56)
    """Rows and columns of a piece; a piece holds at least one pixel of a thing."""

    rate: float = 3e-3
    """The highest learning rate: it rises over the first steps, then falls along a cosine."""

    noisy: float = 0.5
    """The share of scenes that are shown as a sensor sees them."""

    trials: tuple[str, ...] = ("contact", "contact-noise", "iso", "noise", "clutter")
    """Splits that the grouping is chosen on."""

    trial_scenes: int = 64
    """Scenes of each that it is chosen on."""

    far: float = 14.0
    """Where things end, in metres."""


@dataclass(frozen=True)
class Lesson:
    """A scene to learn from.

    inputs: ``affinity.inputs_of``, in half precision.  votes: what each of ``MARKERS`` finds.  inside: pixels that are
    known to show a thing, to all of them and in the picture itself.
    """

    inputs: Float[Tensor, "c h w"]
    votes: UInt8[Tensor, "v h w"]
    inside: Bool[Tensor, "h w"]


@dataclass(frozen=True)
class Teacher:
    """Finds things in depth maps. Made by ``train_teacher`` or ``Teacher.from_state``."""

    net: AffinityNet
    grouping: GroupingSettings
    figures: Mapping[str, float]
    """The foreground adjusted Rand index on each of the splits that the grouping was chosen on."""

    def segment(self, depth_map: DepthMap, observed: Observed) -> Int[Tensor, "h w"]:
        """The things in a depth map: 0 for ground, walls, sky and what is unknown or too far, then 1, 2, ...

        It learned from maps ``WORKING_WIDTH`` pixels wide, and works best on such: ``reducing`` makes large ones small.
        Raises ValueError where ``observed`` is of another depth map.
        """
        if observed.smooth.shape != depth_map.depth.shape:
            raise ValueError(f"{depth_map.name}: what was observed is of {tuple(observed.smooth.shape)} pixels")
        if not bool(observed.things.any()):
            return torch.zeros(depth_map.depth.shape, dtype=torch.int64)
        return find(observed, affinities_of(self.net, observed), self.grouping)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain JSON that ``from_state`` makes the same teacher of."""
        settings = {
            "format": FORMAT,
            "width": self.net.width,
            "grouping": dataclasses.asdict(self.grouping),
            "figures": dict(self.figures),
        }
        return {name: value.detach().clone() for name, value in self.net.state_dict().items()}, settings

    @staticmethod
    def from_state(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Teacher:
        """The teacher that ``state`` described; raises BadInput where that is not what this is."""
        if settings.get("format") != FORMAT:
            raise BadInput(f"The saved teacher has format {settings.get('format')!r}; this fieldscape reads {FORMAT}.")
        width = settings.get("width")
        if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 256:
            raise BadInput(f"The saved teacher's width is {width!r}, not a whole number from 1 to 256.")
        net = AffinityNet(width, torch.Generator().manual_seed(0))
        wanted = net.state_dict()
        for name, value in wanted.items():
            if name not in tensors or tensors[name].shape != value.shape or not tensors[name].isfinite().all():
                raise BadInput(f"The saved teacher's weights are damaged: {name} is missing, misshapen or not finite.")
        net.load_state_dict({name: tensors[name] for name in wanted})
        figures = settings.get("figures", {})
        if not isinstance(figures, Mapping) or not all(isinstance(value, int | float) for value in figures.values()):
            raise BadInput("The saved teacher's figures are not numbers.")
        return Teacher(net.eval(), _grouping_of(settings.get("grouping")), dict(figures))


def train_teacher(
    config: TeacherConfig, generator: torch.Generator, stop: Stop | None = None, bar: Bar | None = None
) -> Teacher | None:
    """Learns from made scenes, then chooses the grouping; None where it was stopped before the end.

    The same generator state and settings give the same teacher. The bar counts lessons, steps and trials, see ``work``.
    """
    lessons: list[Lesson] = []
    for index in range(config.scenes):
        if stop is not None and stop.requested:
            return None
        lessons.append(draw_lesson(config, index))
        if bar is not None:
            bar.update(index + 1)
    net = learn(lessons, config, generator, stop, bar)
    return None if net is None else choose(net, config, stop, bar)


def work(config: TeacherConfig) -> int:
    """How much there is to do, as ``train_teacher`` counts it on its bar."""
    return config.scenes + config.steps + config.trial_scenes * len(config.trials)


# ------------------------------------------------------------------------------------------------------------- lessons


def draw_lesson(config: TeacherConfig, index: int) -> Lesson:
    """What convexity finds in a fine, clean picture of a scene, and the coarse picture that shall show it."""
    split = config.splits[index % len(config.splits)]
    width, height = WORKING_WIDTH * FINER, WORKING_WIDTH * 3 // 4 * FINER
    fine = draw_example(split, FIRST_LESSON, index, width, height, samples=0).depth_map
    settings = PointSettings(far=config.far)
    observed = prepare(fine, settings)
    votes = torch.stack([segment(fine, observed, marker) for marker in MARKERS])
    votes = votes[:, FINER // 2 :: FINER, FINER // 2 :: FINER]
    shown = thinned(fine, FINER)
    random = np.random.Generator(np.random.PCG64([FIRST_LESSON, index]))
    # Splits take turns with the index; the coin must not.
    if random.random() < config.noisy:
        shown = as_sensor(shown, random)
    seen = prepare(shown, settings)
    inside = seen.things & (votes > 0).all(0)
    return Lesson(inputs_of(seen).half(), votes.clamp_max(255).to(torch.uint8), inside)


def as_sensor(depth_map: DepthMap, random: np.random.Generator) -> DepthMap:
    """The depth map with the errors, steps and gaps of a sensor, as in ``worlds.street``."""
    depth = noisy(np.where(depth_map.valid.numpy(), depth_map.depth.double().numpy(), np.nan), random)
    known = np.isfinite(depth) & (depth > 0)
    return replace(
        depth_map, depth=torch.from_numpy(np.where(known, depth, 0.0)).float(), valid=torch.from_numpy(known)
    )


def learn(
    lessons: Sequence[Lesson],
    config: TeacherConfig,
    generator: torch.Generator,
    stop: Stop | None = None,
    bar: Bar | None = None,
) -> AffinityNet | None:
    """The network after ``config.steps`` steps; None where it was stopped. Raises BadInput without any thing."""
    places = [torch.nonzero(lesson.inside) for lesson in lessons]
    useful = [k for k, place in enumerate(places) if len(place)]
    if not useful:
        raise BadInput("The teacher found no thing in any scene to learn from: give it more scenes.")
    net = AffinityNet(config.width, generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.rate, weight_decay=1e-2)
    recent = 0.0
    for step in range(config.steps):
        if stop is not None and stop.requested:
            return None
        rise = min(1.0, (step + 1) / max(1, min(100, config.steps // 10)))
        for part in optimizer.param_groups:
            part["lr"] = config.rate * rise * (0.5 + 0.5 * math.cos(math.pi * step / config.steps))
        pieces = [_piece(lessons, places, useful, config.piece, generator) for _ in range(config.batch)]
        inputs, votes, inside = (torch.stack(each) for each in zip(*pieces, strict=True))
        loss = affinity_loss(net(inputs.float()), votes, inside)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        recent = float(loss.detach()) if step == 0 else 0.98 * recent + 0.02 * float(loss.detach())
        if bar is not None:
            bar.update(len(lessons) + step + 1, affinity_loss=recent)
    return net.eval()


def affinity_loss(
    logits: Float[Tensor, "b o h w"], votes: UInt8[Tensor, "b v h w"], inside: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Cross-entropy with the share of votes in which two pixels are one thing, over pairs of pixels inside.

    Pairs across borders are rare and count up to three times; every offset counts the same.
    """
    total = logits.new_zeros(())
    for k, offset in enumerate(OFFSETS):
        one, other = paired(votes, offset)
        share = (one == other).float().mean(1)
        first, second = paired(inside, offset)
        weight = (first & second).float() * (1 + 2 * (1 - share))
        costs = binary_cross_entropy_with_logits(paired(logits[:, k], offset)[0], share, reduction="none")
        total = total + (costs * weight).sum() / weight.sum().clamp_min(1)
    return total / len(OFFSETS)


def _piece(
    lessons: Sequence[Lesson],
    places: Sequence[Int[Tensor, "_ 2"]],
    useful: Sequence[int],
    size: tuple[int, int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, votes and inside of a piece of a lesson that holds a pixel of a thing, mirrored or not, all at random."""

    def below(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    chosen = useful[below(len(useful))]
    lesson, place = lessons[chosen], places[chosen]
    at = place[below(len(place))].tolist()
    window = []
    for middle, side, whole in zip(at, size, lesson.inside.shape, strict=True):
        start = min(max(middle - below(side), 0), max(whole - side, 0))
        window.append(slice(start, start + side))
    here = (..., window[0], window[1])
    inputs, votes, inside = lesson.inputs[here], lesson.votes[here], lesson.inside[here]
    return (mirrored(inputs), votes.flip(-1), inside.flip(-1)) if below(2) else (inputs, votes, inside)


# ------------------------------------------------------------------------------------------------------------ grouping


def find(
    observed: Observed,
    affinities: Float[Tensor, "o h w"],
    settings: GroupingSettings,
    hollow: Int[Tensor, "h w"] | None = None,
) -> Int[Tensor, "h w"]:
    """The things by affinities and convexity. hollow: what the latter finds, if that is known already."""
    if settings.convexity > 0:
        labels = segment(observed.depth_map, observed, ConvexitySettings()) if hollow is None else hollow
        affinities = blended(affinities, labels, settings.convexity)
    return group(observed, affinities, settings)


def choose(net: AffinityNet, config: TeacherConfig, stop: Stop | None = None, bar: Bar | None = None) -> Teacher | None:
    """The network with the grouping that does best on validation scenes, by the mean over splits of the adjusted Rand
    index against their true instances; None where it was stopped."""
    tried = [
        replace(GroupingSettings(), convexity=share, strong=strong, join=join)
        for share, strong, join in itertools.product(CONVEXITY, STRONG, JOIN)
    ]
    scores = np.zeros((len(tried), len(config.trials)))
    done = config.scenes + config.steps
    for column, split in enumerate(config.trials):
        counted = 0
        for index in range(config.trial_scenes):
            if stop is not None and stop.requested:
                return None
            depth_map = draw_example(split, FIRST_TRIAL, index, samples=0).depth_map
            assert depth_map.instances is not None
            if bool(((depth_map.instances > 0) & depth_map.valid).any()):
                observed = prepare(depth_map, PointSettings(far=config.far))
                affinities = affinities_of(net, observed)
                hollow = segment(depth_map, observed, ConvexitySettings())
                for row, settings in enumerate(tried):
                    labels = find(observed, affinities, settings, hollow)
                    scores[row, column] += foreground_ari(labels, depth_map.instances, depth_map.valid)
                counted += 1
            done += 1
            if bar is not None:
                bar.update(done)
        scores[:, column] /= max(counted, 1)
    best = int(scores.mean(1).argmax())
    return Teacher(net, tried[best], dict(zip(config.trials, scores[best].tolist(), strict=True)))


def _grouping_of(saved: Any) -> GroupingSettings:
    """The grouping settings of a saved teacher; raises BadInput where a field is missing, unknown or out of bounds."""
    plain = dataclasses.asdict(GroupingSettings())
    if not isinstance(saved, Mapping) or saved.keys() != plain.keys() or not isinstance(saved["joining"], Mapping):
        raise BadInput("The saved teacher's grouping settings are damaged: fields are missing or unknown.")
    if saved["joining"].keys() != plain["joining"].keys():
        raise BadInput("The saved teacher's joining settings are damaged: fields are missing or unknown.")
    for mine, theirs in ((plain, saved), (plain["joining"], saved["joining"])):
        for name, value in mine.items():
            if isinstance(value, Mapping):
                continue
            given = theirs[name]
            alike = type(given) is type(value) or (isinstance(value, float) and type(given) is int)
            if not alike or not 0 <= given <= 10_000:
                raise BadInput(f"The saved teacher's grouping settings are damaged: {name} is {given!r}.")
    flat = {name: value for name, value in saved.items() if name != "joining"}
    return GroupingSettings(**flat, joining=JoiningSettings(**saved["joining"]))
