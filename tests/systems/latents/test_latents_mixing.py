"""What a scene's planes are made of, what is stored of them, and presets."""

from dataclasses import replace

import pytest
import torch

from fieldscape.errors import BadInput
from fieldscape.systems.latents.planes import mixing
from fieldscape.systems.latents.planes.config import PRESETS, PlanesConfig, require_sound
from fieldscape.systems.latents.planes.learning import new_shared
from fieldscape.systems.latents.planes.opening import interpolate, open_object
from fieldscape.systems.latents.planes.payload import pack, quantised, unpack
from fieldscape.systems.latents.planes.render import Place
from fieldscape.systems.latents.planes.shared import PlanesShared, new_space
from fieldscape.types import Camera

SMALL = PlanesConfig(side=6, own=2, common=3, bases=4, hidden=8, samples=(8, 0), stored="fp32")
PLACE = Place(torch.full((3,), -0.5), torch.full((3,), 0.5))


def shared_of(config: PlanesConfig) -> PlanesShared:
    space = new_space(config, 0)
    channels = 3 if space is None else space.channels
    return new_shared(config, PLACE, space, 0.5, torch.full((channels,), 0.6), 0)


def camera(size: int = 16) -> Camera:
    pose = torch.eye(4)
    pose[2, 3] = -1.3
    return Camera(pose, torch.full((2,), float(size)), torch.full((2,), size / 2), size, size)


def test_a_mixture_is_the_sum_that_the_paper_writes():
    chance = torch.Generator().manual_seed(0)
    macro, parts = mixing.first_macro(SMALL, chance), mixing.first_parts(SMALL, 3, chance)
    parts["shift"] = torch.tensor([0.0, 1.0, -2.0])
    planes = mixing.mixed(parts, macro)
    for i in range(3):
        shared = sum(parts["weights"][i, b] * macro[b] for b in range(4)) + parts["shift"][i]
        torch.testing.assert_close(planes[i], torch.cat([parts["micro"][i], shared], -1))


@pytest.mark.parametrize("sharing", ["micro+macro", "sum", "micro", "macro"])
def test_every_sharing_has_the_features_that_its_network_reads(sharing):
    config = replace(SMALL, sharing=sharing, own=3)
    chance = torch.Generator().manual_seed(0)
    parts, macro = mixing.first_parts(config, 2, chance), mixing.first_macro(config, chance)
    planes = mixing.mixed(parts, macro, sharing == "sum")
    assert planes.shape == (2, 3, 6, 6, mixing.features_of(config))


def test_quiet_weights_make_a_mixture_no_louder_than_its_planes():
    config, chance = replace(SMALL, bases=50, side=16), torch.Generator().manual_seed(0)
    loudness = {}
    for start in ("quiet", "published"):
        started = replace(config, start=start)
        macro, parts = mixing.first_macro(started, chance), mixing.first_parts(started, 20, chance)
        own = replace(started, own=0)
        assert own.own == 0
        mixture = mixing.mixed({name: part for name, part in parts.items() if name != "micro"}, macro)
        loudness[start] = float(mixture.std() / parts["micro"].std())
    assert 0.8 < loudness["quiet"] < 1.2
    assert 6 < loudness["published"] < 8  # the square root of 50


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_go_together(name):
    require_sound(PRESETS[name])


def test_options_that_do_not_go_together_are_refused():
    for wrong in ({"side": 1}, {"sharing": "sum"}, {"space": "rgb"}, {"rate": 0.0}, {"samples": (1, 0)}):
        with pytest.raises(BadInput, match="do not go together"):
            require_sound(replace(PlanesConfig(), **wrong))


@pytest.mark.parametrize(("stored", "error", "bytes_a_number"), [("fp32", 0, 4), ("fp16", 1e-3, 2), ("int8", 5e-3, 1)])
def test_a_payload_comes_back_as_near_as_its_type_allows(stored, error, bytes_a_number):
    config = replace(SMALL, stored=stored, side=16)
    shared, parts = shared_of(config), mixing.first_parts(config, 1, torch.Generator().manual_seed(1))
    payload = pack(parts, stored)
    back, own = unpack(shared, payload)
    assert own == {}
    for name, part in parts.items():
        torch.testing.assert_close(back[name], part, rtol=0, atol=error * float(part.abs().max()) + 1e-9)
    assert len(payload) < bytes_a_number * 3 * 16 * 16 * 2 + 600


def test_quantised_planes_are_within_half_a_step():
    planes = torch.randn(3, 4, 4, 2, generator=torch.Generator().manual_seed(0))
    whole, step = quantised(planes)
    assert bool(((whole.float() * step[:, None, None] - planes).abs() <= step[:, None, None] / 2 * 1.001).all())


def test_bytes_that_are_no_object_are_refused_in_a_sentence():
    shared, parts = shared_of(SMALL), mixing.first_parts(SMALL, 1, torch.Generator().manual_seed(1))
    payload = pack(parts, "fp32")
    bad = dict(parts, micro=parts["micro"].clone())
    bad["micro"][0, 0, 0, 0, 0] = float("nan")
    others = mixing.first_parts(replace(SMALL, side=7), 1, torch.Generator().manual_seed(1))
    for damaged, said in (
        (payload[:-5], "damaged"),
        (b"", "damaged"),
        (b"\xff" * 64, "damaged"),
        (payload + bytes(10**6), "more than"),
        (pack(bad, "fp32"), "not finite"),
        (pack(others, "fp32"), "another bundle"),
        (pack({"micro": parts["micro"]}, "fp32"), "another bundle"),
    ):
        with pytest.raises(BadInput, match=said):
            unpack(shared, damaged)


def test_half_way_between_two_objects_lies_the_mean_of_their_planes():
    config = replace(SMALL, space="rgb", sharing="micro", shared_steps=(0, 0), added_steps=(1, 0))
    shared, chance = shared_of(config), torch.Generator().manual_seed(3)
    one, other = (mixing.first_parts(config, 1, chance) for _ in range(2))
    ends = [pack(parts, "fp32") for parts in (one, other)]
    half = pack({"micro": (one["micro"] + other["micro"]) / 2}, "fp32")
    for share, payload in ((0.0, ends[0]), (1.0, ends[1]), (0.5, half)):
        blended = interpolate(shared, *ends, share)(camera()).color
        torch.testing.assert_close(blended, open_object(shared, payload)(camera()).color, rtol=1e-5, atol=1e-5)
    tuned = pack(one, "fp32", shared.network)
    with pytest.raises(BadInput, match="networks of their own"):
        interpolate(shared, ends[0], tuned, 0.5)


@pytest.mark.parametrize("name", ["latent", "ulw", "micro", "rgb"])
def test_what_is_shared_survives_being_saved(name):
    config = replace(PRESETS[name], side=6, bases=3, hidden=8)
    shared = shared_of(config)
    again = PlanesShared.of(shared.tensors(), shared.details())
    payload = pack(shared.mean, "fp32")
    one, other = (open_object(some, payload)(camera()) for some in (shared, again))
    assert torch.equal(one.color, other.color)
    assert again.config == config


def test_a_bundle_of_another_kind_is_refused():
    shared = shared_of(SMALL)
    tensors, details = shared.tensors(), shared.details()
    for broken, told in (
        (tensors, {**details, "format": 99}),
        ({name: t for name, t in tensors.items() if name != "macro"}, details),
        ({**tensors, "macro": tensors["macro"][1:]}, details),
        ({**tensors, "network.out.bias": torch.zeros(1)}, details),
        ({**tensors, "low": torch.full((3,), float("nan"))}, details),
        (tensors, {**details, "scale": "0.5"}),
    ):
        with pytest.raises(BadInput):
            PlanesShared.of(broken, told)


def test_pictures_of_any_size_are_drawn_whole():
    shared = shared_of(SMALL)
    seen = open_object(shared, pack(shared.mean, "fp32"))(camera(18))
    assert seen.color.shape == (18, 18, 3)
    assert seen.depth.shape == seen.alpha.shape == (18, 18, 1)
    assert bool((seen.color >= 0).all() & (seen.color <= 1).all())
