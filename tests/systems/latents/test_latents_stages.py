"""Learning what is shared, stopping and going on, adding objects, and drawing them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldscape.cameras import look_at
from fieldscape.checkpoints import Checkpoint
from fieldscape.errors import BadInput
from fieldscape.metrics import psnr
from fieldscape.progress import Bar
from fieldscape.ranks import Ranks
from fieldscape.stopping import Stop
from fieldscape.systems.latents import methods
from fieldscape.systems.latents.config import LatentsConfig
from fieldscape.systems.latents.objects import Objects, ObjectSettings
from fieldscape.systems.latents.planes import photos as seen_in
from fieldscape.systems.latents.planes import place, stages
from fieldscape.systems.latents.planes.add import add_object
from fieldscape.systems.latents.planes.config import PRESETS, AutoencoderConfig, PlanesConfig
from fieldscape.systems.latents.planes.opening import open_object
from fieldscape.systems.latents.planes.payload import pack
from fieldscape.systems.latents.planes.shared import PlanesShared
from fieldscape.types import Rays
from fieldscape.volume import ray_box

SIZE = 16
LATENT = PlanesConfig(
    autoencoder=AutoencoderConfig(factor=2, channels=12, hidden=8, steps=4), side=8, own=4, common=4, bases=3,
    hidden=16, samples=(8, 0), rays=64, scenes=2, pictures=2, shared_steps=(3, 3), added_steps=(2, 2), stored="fp32",
)  # fmt: skip
COLORS = PlanesConfig(
    space="rgb", sharing="micro", side=12, own=6, hidden=16, samples=(24, 0), rays=256, shared_steps=(0, 0),
    added_steps=(60, 0), rate=1e-1, tunes="field", stored="fp32",
)  # fmt: skip


def boxes(count: int = 3, views: int = 8) -> Objects:
    """Boxes on white, each face of a colour, from all sides."""
    chance = torch.Generator().manual_seed(0)
    images, poses = [], []
    for _ in range(count):
        half = torch.tensor([0.2, 0.4, 0.15]) * (0.8 + 0.4 * torch.rand(3, generator=chance))
        paint = torch.rand(3, 3, generator=chance)
        for _ in range(views):
            eye = torch.randn(3, generator=chance)
            pose = look_at(1.3 * eye / eye.norm(), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
            y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
            local = torch.stack(
                [(x - SIZE / 2) / (SIZE * 1.025), (y - SIZE / 2) / (SIZE * 1.025), torch.ones_like(x)], -1
            )
            directions = local @ pose[:3, :3].T
            directions = directions / directions.norm(dim=-1, keepdim=True)
            near, far = ray_box(Rays(pose[:3, 3].expand_as(directions), directions), -half, half)
            face = ((pose[:3, 3] + near * directions).abs() / half).argmax(-1)
            images.append(torch.where(near < far, paint[face], torch.ones(3)))
            poses.append(pose)
    total = count * views
    return Objects(
        tuple(f"box-{i}" for i in range(count)),
        (torch.stack(images) * 255).round().byte().numpy(),
        torch.stack(poses).numpy().astype(np.float32),
        np.full((total, 2), SIZE * 1.025, np.float32),
        np.full((total, 2), SIZE / 2, np.float32),
        np.arange(0, total + 1, views).astype(np.int64),
        np.arange(total) % views == 0,
    )


class Asked(Stop):
    """A stop that comes after so many looks at it."""

    def __init__(self, looks: float = float("inf")):
        super().__init__(None)
        self.looks = looks

    @property
    def requested(self):
        self.looks -= 1
        return "Ctrl-C" if self.looks < 0 else None


SILENT = Bar(None, "", 0, "step", None)


@pytest.fixture(scope="module")
def objects():
    return boxes()


@pytest.fixture(scope="module")
def learned(objects):
    return stages.learn_shared(objects, LATENT, 0, Asked(), SILENT)


@pytest.fixture(scope="module")
def added(objects, learned):
    return add_object(learned, objects.views(0), LATENT, 0)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def checkpoint(saved: list) -> Checkpoint:
    return Checkpoint(*saved[-1])


@pytest.mark.parametrize("looks", [4 + 1 + 2, 4 + 1 + 5])
@pytest.mark.parametrize("optimiser", ["row", "dense"])
def test_stopping_and_going_on_is_as_if_nothing_had_happened(objects, looks, optimiser):
    """In stage 1a, and in stage 1b."""
    config, kept = replace(LATENT, optimiser=optimiser), ([], [])
    whole = stages.learn_shared(objects, config, 0, Asked(), SILENT, keep=lambda _, payload: kept[0].append(payload))
    saved: list = []
    stages.learn_shared(objects, config, 0, Asked(looks), SILENT, lambda *parts: saved.append(parts))
    assert saved[-1][0] == looks - 5
    again = stages.learn_shared(
        objects, config, 0, Asked(), SILENT, resume=checkpoint(saved), keep=lambda _, p: kept[1].append(p)
    )
    assert same(whole.tensors(), again.tensors())
    assert kept[0] == kept[1]
    assert len(kept[0]) == 3


def test_going_on_with_other_options_or_objects_is_refused(objects):
    saved: list = []
    stages.learn_shared(objects, LATENT, 0, Asked(7), SILENT, lambda *parts: saved.append(parts))
    with pytest.raises(BadInput, match="other options"):
        stages.learn_shared(objects, replace(LATENT, rate=1e-3), 0, Asked(), SILENT, resume=checkpoint(saved))
    with pytest.raises(BadInput, match="another number of objects"):
        stages.learn_shared(objects.select([0, 1]), LATENT, 0, Asked(), SILENT, resume=checkpoint(saved))


def test_scenes_outside_a_batch_stay_bit_for_bit(objects):
    config = replace(LATENT, scenes=1, pictures=1)
    learning, photos = stages.begun(objects, config, 0, Asked(), SILENT)
    before = {name: part.clone() for name, part in learning.table.items()}
    scenes = torch.tensor([1])
    parts = learning.taken(scenes)
    planes = learning.planes(parts)
    cells = photos.draw_cells(scenes, 64, learning.chance)
    learning.shared.see(planes, photos.camera, cells).color.square().mean().backward()
    learning.moved(scenes, parts, 0.1)
    for name, part in learning.table.items():
        assert torch.equal(part[[0, 2]], before[name][[0, 2]])
    assert not torch.equal(learning.table["micro"][1], before["micro"][1])


def test_adding_an_object_changes_nothing_that_is_shared_and_no_other_object(objects, learned, added):
    before = learned.tensors()
    camera = objects.views(0).camera[0]
    seen = open_object(learned, added.payload)(camera)
    for tunes in ("planes", "field", "decoder"):
        add_object(learned, objects.views(1), replace(LATENT, tunes=tunes), 1)
    assert same(before, learned.tensors())
    again = open_object(learned, added.payload)(camera)
    assert torch.equal(seen.color, again.color)


def test_a_new_object_begins_as_the_mean_scene_and_learns(objects, learned):
    views, errors = objects.views(2), []
    mean = open_object(learned, pack(learned.mean, "fp32"))(views.camera[0])
    for steps in ((0, 0), (30, 0), (0, 20)):
        payload = add_object(learned, views, replace(LATENT, added_steps=steps, rate=1e-1), 0).payload
        draw = open_object(learned, payload)
        if not any(steps):
            assert torch.equal(draw(views.camera[0]).color, mean.color)
        errors.append(sum(float((draw(views.camera[i]).color - views.color(i)).square().mean()) for i in views.train))
    assert errors[1] < 0.95 * errors[0]  # by latents alone
    assert errors[2] < 0.95 * errors[0]  # through the decoder


def test_an_object_can_have_networks_of_its_own(objects, learned):
    views, sizes = objects.views(1), []
    for tunes in ("planes", "field", "decoder"):
        added = add_object(learned, views, replace(LATENT, tunes=tunes), 0)
        sizes.append(len(added.payload))
        assert open_object(learned, added.payload)(views.camera[0]).color.shape == (SIZE, SIZE, 3)
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_same_seed_adds_the_same_object_and_a_saved_bundle_does_too(objects, learned, added):
    again = PlanesShared.of(learned.tensors(), learned.details())
    assert add_object(again, objects.views(0), LATENT, 0).payload == added.payload
    assert add_object(learned, objects.views(0), LATENT, 1).payload != added.payload


def test_an_object_is_only_added_with_the_options_of_its_class(objects, learned):
    with pytest.raises(BadInput, match="only be added"):
        add_object(learned, objects.views(0), replace(LATENT, side=9), 0)


def test_held_out_views_are_not_learned_from(objects):
    photos = seen_in.of_objects(objects, 1, place.unit_place())
    assert photos.rows.tolist() == [i for i in range(24) if i % 8]
    assert photos.first.tolist() == [0, 7, 14, 21]
    chance = torch.Generator().manual_seed(0)
    scenes = torch.tensor([2, 0])
    views = torch.cat([photos.draw_cells(scenes, 50, chance).view for _ in range(4)]).reshape(4, 2, 50)
    assert set(views[:, 0].flatten().tolist()) == set(range(14, 21))
    assert set(views[:, 1].flatten().tolist()) == set(range(7))


def test_moved_photos_show_what_moved_cameras_see(objects):
    """Colours of a photo moved by whole pixels are those at the moved pixels; white comes in."""
    photos = seen_in.of_objects(objects, 2, place.unit_place())
    still, moved = (photos.pictures(torch.tensor([3]), shift)[0] for shift in ((0, 0), (1, 2)))
    assert torch.equal(moved[:, 2:, 1:], still[:, :-2, :-1])
    assert bool((moved[:, :2] == 1).all())


def test_colours_reach_their_floor(objects):
    """RGB tri-planes learn a box from a few small pictures: far better than white, which most of a picture is."""
    views = objects.views(0)
    shared = stages.learn_shared(objects, COLORS, 0, Asked(), SILENT)
    draw = open_object(shared, add_object(shared, views, COLORS, 0).payload)
    score = sum(float(psnr(draw(views.camera[i]).color, views.color(i))) for i in views.train) / 7
    white = sum(float(psnr(torch.ones(SIZE, SIZE, 3), views.color(i))) for i in views.train) / 7
    assert score > white + 8


def test_objects_that_nothing_was_learned_of_are_not_kept(objects):
    """Where each object is alone, what stands in the table is noise."""
    for how, count in ((COLORS, 0), (LATENT, 3)):
        kept, config = dict[int, bytes](), LatentsConfig("rgb", ObjectSettings(), how)
        nothing = (lambda *_: None, None)
        done = methods.learn(objects, config, 0, Asked(), SILENT, *nothing, kept.__setitem__, Ranks())
        assert done is not None
        assert len(kept) == count


def test_the_box_of_the_class_holds_every_object_and_little_more(objects):
    found = place.class_place(map(objects.views, range(3)), PlanesConfig())
    assert bool((found.high - found.low < torch.tensor([1.1, 1.3, 1.0])).all())
    corner = torch.tensor([0.2, 0.4, 0.15]) * 0.8
    assert bool(found.kept(found.inside(torch.stack([corner, -corner]))).all())
    assert not bool(found.kept(torch.tensor([[0.98, 0.98, 0.98]])).any())


def test_silhouettes_that_do_not_meet_are_told(objects):
    white = replace(objects, images=np.full_like(objects.images, 255))
    with pytest.raises(BadInput, match="silhouettes of no object meet"):
        stages.learn_shared(white, LATENT, 0, Asked(), SILENT)


def test_pictures_that_cannot_be_cut_are_refused(objects):
    config = replace(LATENT, autoencoder=replace(LATENT.autoencoder, factor=8))
    odd = replace(objects, images=objects.images[:, :, :15].copy())
    with pytest.raises(BadInput, match="cannot be cut"):
        stages.learn_shared(odd, config, 0, Asked(), SILENT)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_learns_adds_and_draws(objects, name):
    preset = PRESETS[name]
    latent = preset.space == "latent"
    small = replace(
        preset, autoencoder=LATENT.autoencoder, side=6, bases=2, hidden=8, samples=(6, 4 if preset.samples[1] else 0),
        rays=32, scenes=2, pictures=1, added_steps=(2, 1 if latent else 0),
        shared_steps=(2 if any(preset.shared_steps) else 0, 1 if latent else 0),
    )  # fmt: skip
    payloads: list[bytes] = []
    shared = stages.learn_shared(objects, small, 0, Asked(), SILENT, keep=lambda _, payload: payloads.append(payload))
    added = add_object(shared, objects.views(2), small, 0)
    camera = objects.views(2).camera[0]
    for payload in (payloads[0], added.payload):
        assert bool(open_object(shared, payload)(camera).color.isfinite().all())
    assert len(added.payload) == added.figures["bytes"]
