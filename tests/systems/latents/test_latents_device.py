"""Tri-planes on another device than the CPU: on one that is made here, so that no GPU is needed.

What a tensor ``away`` holds is held on the CPU, but it says that it is elsewhere; an operation of tensors here and away
fails, as on a GPU. Where both read planes in the same way, all numbers are then the same, bit for bit.
"""

from dataclasses import replace

import pytest
import torch
from test_latents_stages import COLORS, LATENT, SILENT, Asked, boxes, checkpoint, same
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from fieldscape.ranks import Ranks
from fieldscape.systems.latents.planes import lookup
from fieldscape.systems.latents.planes.add import add_object
from fieldscape.systems.latents.planes.lookup import plain_rows, weighted_rows
from fieldscape.systems.latents.planes.opening import interpolate, open_object
from fieldscape.systems.latents.planes.shared import PlanesShared
from fieldscape.systems.latents.planes.stages import learn_shared

CPU, AWAY = torch.device("cpu"), torch.device("meta")

BOTH = {"aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put_", "aten::_index_put_impl_"}
"""Operations that take tensors of two devices, one of which is the CPU: copies, and what indexes."""


class Away(torch.Tensor):
    """A tensor that says that it is elsewhere."""

    @staticmethod
    def __new__(cls, inner):
        like = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **like, device=AWAY)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return carried_out(operation, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """Within it there is a device away."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return carried_out(operation, args, kwargs or {})


def carried_out(operation, args, kwargs):
    name, goes = operation._schema.name, kwargs.get("device")
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    away = any(isinstance(tensor, Away) for tensor in given)
    if away and name not in BOTH and any(tensor.ndim and not isinstance(tensor, Away) for tensor in given):
        raise RuntimeError(f"{name} of tensors on two devices")
    if goes is not None:
        away, kwargs = goes == AWAY, {**kwargs, "device": CPU}
        assert not (away and kwargs.get("dtype") == torch.double), "an Apple GPU has no doubles"
        # As a copy from one device to another is.
        given_away = any(isinstance(tensor, Away) for tensor in given)
        if name == "aten::_to_copy" and away == given_away and "dtype" not in kwargs:
            return args[0]
    found = operation(
        *tree_map_only(Away, lambda tensor: tensor.inner, args),
        **tree_map_only(Away, lambda tensor: tensor.inner, kwargs),
    )
    if name.endswith("_"):
        return args[0]
    return tree_map_only(torch.Tensor, Away, found) if away and name != "aten::_local_scalar_dense" else found


@pytest.fixture(autouse=True)
def _away(monkeypatch):
    made = torch.tensor  # hides from modes that it copies

    def tensor(values, dtype=None, device=CPU):
        return made(values, dtype=dtype).to(device)

    monkeypatch.setattr(torch, "tensor", tensor)
    with Elsewhere():
        yield


def test_what_is_away_does_not_mix_with_what_is_here():
    there = torch.ones(3).to(AWAY)
    assert there.device == AWAY
    assert (there + there).cpu().tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match="two devices"):
        there + torch.ones(3)
    with pytest.raises(RuntimeError, match="two devices"):
        there.index_select(0, torch.tensor([1]))


@pytest.mark.parametrize("config", [LATENT, replace(LATENT, optimiser="dense", sharing="sum"), COLORS])
@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_all_that_is_done_on_the_cpu_is_done_elsewhere_too(config, monkeypatch):
    monkeypatch.setattr(lookup, "weighted_rows", plain_rows)
    objects = boxes(2, 5)
    if config is COLORS:
        config = replace(config, shared_steps=(2, 0), added_steps=(2, 0))
    kept, shared, pictures = ([], []), [], []
    for device, payloads in zip((CPU, AWAY), kept):
        saved = []

        def keep(_, payload, payloads=payloads):
            payloads.append(payload)

        def save(*parts, saved=saved):
            saved.append(parts)

        ranks = Ranks(device=device)
        looks = 4 + 1 + 4 if config.space == "latent" else 2
        learn_shared(objects, config, 0, Asked(looks), SILENT, save, ranks=ranks)
        assert all(tensor.device == CPU and type(tensor) is torch.Tensor for tensor in saved[-1][1].values())
        learned = learn_shared(objects, config, 0, Asked(), SILENT, None, checkpoint(saved), keep, ranks)
        assert learned.device == learned.place.low.device == device
        assert all(tensor.device == CPU for tensor in learned.tensors().values())
        shared.append(learned)
        tuned = replace(config, tunes="decoder" if config.space == "latent" else "field")
        payloads.append(add_object(learned, objects.views(1), tuned, 0).payload)
        camera = objects.views(1).camera[0]
        draws = [open_object(learned, payload) for payload in payloads[-2:]]
        seen = [draw(camera) for draw in (*draws, interpolate(learned, payloads[0], payloads[1], 0.3))]
        assert all(picture.color.device == CPU for picture in seen)
        pictures.append(torch.stack([picture.color for picture in seen]))
    assert same(*(learned.tensors() for learned in shared))
    assert kept[0] == kept[1]
    assert torch.equal(*pictures)


def test_what_is_shared_moves_and_its_original_stays():
    learned = learn_shared(boxes(), replace(LATENT, shared_steps=(0, 1)), 0, Asked(), SILENT)
    there = learned.to(AWAY)
    assert (there.device, learned.device) == (AWAY, CPU)
    assert all(p.device == CPU for module in (learned.network, learned.space) for p in module.parameters())
    assert there.to(AWAY) is there
    again = PlanesShared.of(there.tensors(), there.details())
    for name, tensor in learned.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)


def test_rows_are_weighted_alike_on_every_device():
    chance = torch.Generator().manual_seed(0)
    table = torch.randn(9, 5, generator=chance)
    rows, share = torch.randint(9, (40, 12), generator=chance), torch.rand(40, 12, generator=chance)
    found, gradients = [], []
    for way in (weighted_rows, plain_rows):
        leaf = table.clone().requires_grad_()
        found.append(way(leaf, rows, share))
        found[-1].square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*gradients)
    assert torch.equal(weighted_rows(table.to(AWAY), rows.to(AWAY), share.to(AWAY)).cpu(), found[1])
