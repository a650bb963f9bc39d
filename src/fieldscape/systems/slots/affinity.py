"""Which pixels of a depth map belong together, as a small network sees it: a U-Net that scores pairs of pixels.

For each pixel and each offset the network says how likely the pixel and the one at that offset show the same thing
(affinities, as in Wolf et al., "The Mutex Watershed", ECCV 2018). The layout is that of Ronneberger et al., "U-Net",
MICCAI 2015. Each pixel's channels are normalised by themselves, so an answer depends neither on the size of the
picture nor on what stands at its other end.

Among the inputs are the two cues that convexity is judged by: how hollow the fold between a pixel and the next is, and
how large the step in depth. What the network adds is the surroundings: a hollow fold within a car is no border.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, layer_norm, max_pool2d, pad, relu

from fieldscape.systems.slots.points import Observed, ray_grid, unproject

Array = np.ndarray

OFFSETS = ((1, 0), (0, 1), (3, 0), (0, 3), (3, 3), (-3, 3), (8, 0), (0, 8), (6, 6), (-6, 6))
"""Columns and rows from a pixel to the one it is paired with: neighbours first, then over folds and thin things."""
CHANNELS = 15
"""Of what the network is shown."""
SIDEWAYS, TO_THE_RIGHT = 3, (11, 12)
"""Among them the normals' part to the side, and the cues that speak of a pixel and the one to its right."""
MARGIN = 16
"""Pixels about the things that are looked at too."""
WHOLE = slice(None)
LEVELS = 3
"""How often the picture is halved."""


class AffinityNet(nn.Module):
    """Inputs of any size to logits of affinities, one picture for each of ``OFFSETS``.

    width: channels at the full size; they grow by as many at each halving. Randomness comes from the generator alone.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        widths = [width * (level + 1) for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(
            Block(before, after) for before, after in zip([CHANNELS, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(Block(widths[k + 1] + widths[k], widths[k]) for k in reversed(range(LEVELS)))
        self.last = _empty(width, len(OFFSETS), 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                fan = layer.weight[0].numel()
                nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / fan), generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.weight)

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o h w"]:
        """Logits of how likely each pixel and its partner at each offset show the same thing."""
        height, width = inputs.shape[-2:]
        step = 2**LEVELS
        x = pad(inputs, (0, -width % step, 0, -height % step)).contiguous(memory_format=torch.channels_last)
        passed = []
        for level, block in enumerate(self.down):
            if level:
                passed.append(x)
                x = max_pool2d(x, 2)
            x = block(x)
        for block in self.up:
            x = block(torch.cat([interpolate(x, scale_factor=2.0), passed.pop()], 1))
        return self.last(x)[..., :height, :width]


class Block(nn.Module):
    """Two convolutions, each pixel's channels normalised after each."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = _empty(before, after, 3)
        self.second = _empty(after, after, 3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return _normalised(relu(self.second(_normalised(relu(self.first(x))))))


def _empty(before: int, after: int, side: int) -> nn.Conv2d:
    """A convolution whose weights are still to be drawn; making it takes no random numbers."""
    return nn.utils.skip_init(nn.Conv2d, before, after, side, padding=side // 2)


def _normalised(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Mean 0 and variance 1 over the channels of each pixel."""
    return layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],)).permute(0, 3, 1, 2)


@torch.inference_mode()
def affinities_of(net: AffinityNet, observed: Observed) -> Float[Tensor, "o h w"]:
    """How likely (0 to 1) each pixel and its partner at each of ``OFFSETS`` show the same thing.

    Only the rectangle about the things is looked at, with ``MARGIN`` pixels to spare; elsewhere 0.
    """
    things = observed.things.numpy()
    found = torch.zeros(len(OFFSETS), *things.shape)
    if things.any():
        window = []
        for axis in (1, 0):
            taken = np.flatnonzero(things.any(axis))
            window.append(slice(max(int(taken[0]) - MARGIN, 0), int(taken[-1]) + 1 + MARGIN))
        rows, columns = window
        found[:, rows, columns] = torch.sigmoid(net(inputs_of(observed, rows, columns)[None])[0])
    return found


def inputs_of(observed: Observed, rows: slice = WHOLE, columns: slice = WHOLE) -> Float[Tensor, "c h w"]:
    """What the network is shown of a depth map, or of a part of it; 0 where nothing is known.

    Log inverse depth, and how it differs from its mean over 5 and 17 pixels; normals in the model frame; height above
    the ground; metres across a pixel; things and known pixels; noise; then hollowness and step to the right and below.
    """
    smooth = observed.smooth[rows, columns].double().numpy()
    normals = observed.normal_map[rows, columns].double().numpy()
    slopes = observed.slopes[rows, columns].double().numpy()
    known = smooth > 0
    ray_x, ray_y = ray_grid(observed.depth_map)
    pixel = smooth * abs(ray_x[1] - ray_x[0])
    ray_x, ray_y = ray_x[columns], ray_y[rows]
    moved = observed.from_camera.double().numpy()
    heights = unproject(smooth, ray_x, ray_y) @ moved[1, :3] + moved[1, 3]
    near = np.zeros(smooth.shape)
    np.log(np.divide(5.0, smooth, out=np.ones_like(smooth), where=known), out=near, where=known)
    maps = [
        near,
        10 * _contrast(near, known, 2),
        3 * _contrast(near, known, 8),
        *np.moveaxis(normals @ moved[:3, :3].T, -1, 0),
        0.7 * heights,
        10 * pixel,
        observed.things[rows, columns].double().numpy() - 0.5,
        np.full(smooth.shape, 50 * observed.noise),
        known - 0.5,
        *pair_cues(slopes, known, ray_x, ray_y),
    ]
    return torch.from_numpy(np.where(known, np.clip(np.stack(maps), -3, 3), 0.0)).float()


def mirrored(inputs: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """What the network is shown of the same scene in a mirror, left for right."""
    turned = inputs.flip(-1)
    turned[SIDEWAYS] = -turned[SIDEWAYS]
    # What stood for a pixel and the one to its right now stands for that one and the one to its right.
    for cue in TO_THE_RIGHT:
        turned[cue] = torch.cat([turned[cue, :, 1:], torch.zeros_like(turned[cue, :, :1])], -1)
    return turned


def _contrast(values: Float[Array, "h w"], known: Bool[Array, "h w"], radius: int) -> Float[Array, "h w"]:
    """Each value less the mean of those that are known in the square about it."""
    sums = _box(np.where(known, values, 0.0), radius)
    return np.where(known, values - sums / np.maximum(_box(known.astype(float), radius), 1), 0.0)


def _box(values: Float[Array, "h w"], radius: int) -> Float[Array, "h w"]:
    """Sums over squares, from a table of sums over everything above and to the left."""
    side = 2 * radius + 1
    table = np.pad(np.pad(values, radius), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]


def pair_cues(
    slopes: Float[Array, "h w 3"], known: Bool[Array, "h w"], ray_x: Float[Array, "w"], ray_y: Float[Array, "h"]
) -> list[Float[Array, "h w"]]:
    """For the pair of each pixel and the one to its right, then below: hollowness, and the step; 0 at the rims.

    Hollowness is how far the normals lean towards each other along the line between the two points (positive: hollow,
    negative: a ridge).  The step is the least that either plane leaves unexplained, as a share of depth, times 20.
    """
    a, b = slopes[..., 1] / (ray_x[1] - ray_x[0]), slopes[..., 2] / (ray_y[1] - ray_y[0])
    away = np.stack([a, b, slopes[..., 0] - a * ray_x - b * ray_y[:, None]], -1)
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
    depth = np.divide(1.0, slopes[..., 0], out=np.zeros(known.shape), where=known)
    space = unproject(depth, ray_x, ray_y)
    cues = []
    for axis in (1, 0):
        here = tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))
        there = tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))
        both = known[here] & known[there]
        along = space[there] - space[here]
        along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-12)
        hollow, step = np.zeros(known.shape), np.zeros(known.shape)
        # ``away`` points from the camera: normals towards it lean together where these lean apart.
        hollow[here] = np.where(both, ((away[there] - away[here]) * along).sum(-1), 0.0)
        w, v = slopes[here][..., 0], slopes[there][..., 0]
        slope = 2 - axis
        one, other = w + slopes[here][..., slope] - v, w - v + slopes[there][..., slope]
        least = np.where(one * other > 0, np.minimum(abs(one), abs(other)), 0.0)
        step[here] = np.where(both, 20 * least / np.maximum(np.minimum(w, v), 1e-12), 0.0)
        cues += [hollow, np.minimum(step, 3.0)]
    return cues


def paired(values: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Views of what stands at each pixel and at its partner, over the pairs that lie within the picture.

    >>> [each.tolist() for each in paired(torch.arange(6).reshape(2, 3), (-1, 1))]
    [[[1, 2]], [[3, 4]]]
    """
    dx, dy = offset
    height, width = values.shape[-2:]
    here = values[..., : max(height - dy, 0), max(-dx, 0) : max(width - max(dx, 0), 0)]
    there = values[..., dy:, max(dx, 0) : max(width - max(-dx, 0), 0)]
    return here, there
