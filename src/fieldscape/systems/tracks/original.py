"""The preset ``original``: the published pipeline, made to work, for comparison. Only the background is drawn.

A grid of 128 features, 32 a side, holds random numbers at first. Each tracked point looks it up where it was in frame
0; in each view the points are joined anew by Delaunay triangulation, whatever is behind what: nothing is tested for
depth. A pixel's feature and place are means over its triangle's corners, right on the screen, not in space, and outside
all triangles of the one with the nearest middle, extrapolated. Sines and cosines of both go through eight layers of
256, which see the whole input again before layers 1, 2 and 4.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import Delaunay, QhullError, cKDTree
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from fieldscape.cameras import project
from fieldscape.encodings import positional
from fieldscape.errors import BadInput
from fieldscape.systems.tracks.config import FieldSettings
from fieldscape.systems.tracks.nouns import Tracked
from fieldscape.systems.tracks.stages import Loss
from fieldscape.systems.tracks.timeline import between
from fieldscape.types import Camera, Rendered

FEATURES, SIDE, OCTAVES, WIDTH, DEPTH = 128, 32, 9, 256, 8
SKIPS = (1, 2, 4)
CHUNK = 8192
"""Pixels that go through the layers at once: each has 2,489 inputs."""


class Original(nn.Module):
    """The grid, the layers, and where the vertices were in frame 0, in -1..1."""

    vertices: Tensor

    def __init__(self, count: int, generator: torch.Generator) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.randn(1, FEATURES, SIDE, SIDE, SIDE, generator=generator))
        inputs = (FEATURES + 3) * (2 * OCTAVES + 1)
        rows, weights = inputs, []
        for layer in range(DEPTH):
            rows = inputs if layer == 0 else WIDTH + (inputs if layer in SKIPS else 0)
            weights.append((torch.rand(WIDTH, rows, generator=generator) * 2 - 1) * rows**-0.5)
        weights.append((torch.rand(3, WIDTH, generator=generator) * 2 - 1) * WIDTH**-0.5)
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList([torch.zeros(len(weight)) for weight in weights])
        self.register_buffer("vertices", torch.zeros(count, 3))

    def looked_up(self) -> Float[Tensor, "v 128"]:
        """The features of all vertices, in one lookup: the grid is not repeated for each."""
        found = grid_sample(self.grid, self.vertices[None, :, None, None], "bilinear", "zeros", align_corners=True)
        return found[0, :, :, 0, 0].T

    def forward(self, corners: Int[Tensor, "p 3"], shares: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The colours of pixels, from the corners of their triangles and the corners' shares."""
        features = (self.looked_up()[corners] * shares[..., None]).sum(1)
        places = (self.vertices[corners] * shares[..., None]).sum(1)
        inputs = torch.cat([positional(features, OCTAVES), positional(places, OCTAVES)], -1)
        x = inputs
        for layer in range(DEPTH):
            if layer in SKIPS:
                x = torch.cat([x, inputs], -1)
            x = (x @ self.weights[layer].T + self.biases[layer]).relu()
        return (x @ self.weights[-1].T + self.biases[-1]).sigmoid()


def vertices_of(tracked: Tracked) -> Float[Tensor, "v 3"]:
    """Where the background's points were in frame 0, with all that was ever anywhere put into -1..1."""
    world = tracked.world[:, tracked.points.layer == 0].float()
    low, high = world.amin((0, 1)), world.amax((0, 1))
    return (world[0] - (low + high) / 2) / ((high - low).max() / 2).clamp(min=1e-9)


def corners_of(
    tracked: Tracked, camera: Camera, when: float, pixels: Float[np.ndarray, "p 2"]
) -> tuple[Int[Tensor, "p 3"], Float[Tensor, "p 3"]]:
    """The triangle of each pixel in a view: its corners among the background's points, and their shares, of sum 1.

    Raises BadInput where fewer than three points, or points on a line, are in front of the camera.
    """
    still = between(tracked.world, tracked.clip.seconds, when)[tracked.points.layer == 0].double()
    places, depth = project(camera.map(lambda x: x.double()), still)
    ahead = (depth > 1e-5).nonzero().flatten().numpy()
    try:
        mesh = Delaunay(places[ahead].numpy())
    except (QhullError, ValueError) as error:
        raise BadInput(
            "The original pipeline needs three tracked points that are not on a line in every view."
        ) from error
    found = mesh.find_simplex(pixels)
    middles = mesh.points[mesh.simplices].mean(1)
    outside = found < 0
    if outside.any():
        found[outside] = cKDTree(middles).query(pixels[outside])[1]
    a, b, c = (mesh.points[mesh.simplices[found, k]] for k in range(3))
    double = _cross(b - a, c - a)
    double = np.where(np.abs(double) < 1e-8, 1e-8, double)
    second, third = _cross(pixels - a, c - a) / double, _cross(b - a, pixels - a) / double
    shares = np.stack([1 - second - third, second, third], -1)
    return torch.from_numpy(ahead[mesh.simplices[found]]).long(), torch.from_numpy(shares).float()


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def draw_original(tracked: Tracked, model: Original, camera: Camera, when: float) -> Rendered:
    """What ``camera`` sees at ``when`` seconds: colours alone, for this pipeline knows no depth at a pixel."""
    high, wide = camera.height, camera.width
    rows, columns = np.mgrid[:high, :wide]
    pixels = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
    corners, shares = corners_of(tracked, camera, when, pixels)
    device = model.vertices.device
    with torch.no_grad():
        parts = zip(corners.split(CHUNK), shares.split(CHUNK))
        color = torch.cat([model(one.to(device), other.to(device)).cpu() for one, other in parts])
    flat = torch.zeros(high, wide, 1)
    return Rendered(color.reshape(high, wide, 3), flat, flat + 1)


def original_loss(tracked: Tracked, model: Original, settings: FieldSettings) -> Loss:
    """The mean squared error on pixels of the background of one frame after another, drawn at random."""
    clip, device = tracked.clip, model.vertices.device
    wide, high = clip.size

    def loss(chance: torch.Generator) -> Tensor:
        frame = int(torch.randint(len(clip), (), generator=chance))
        place = torch.randint(high * wide, (settings.original_batch,), generator=chance)
        row, column = place // wide, place % wide
        if clip.layers is not None:
            still = clip.layers[frame, row, column] == 0
            row, column = row[still], column[still]
        pixels = torch.stack([column, row], -1).double().numpy() + 0.5
        corners, shares = corners_of(tracked, tracked.camera[frame], float(clip.seconds[frame]), pixels)
        truth = clip.frames[frame, row, column].to(device).float() / 255
        return ((model(corners.to(device), shares.to(device)) - truth) ** 2).sum() / max(1, truth.numel())

    return loss
