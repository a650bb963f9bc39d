"""What else the numbers of a data set may have meant: the usual mistakes with poses, undone one at a time.

Each reading gives the cameras as they would be had that mistake been made. Which one is right, the photos decide
(``fieldscape.data.checks``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.types import Camera

QUARTER = "the photos are turned by 90 degrees: turn them back, or take the columns "
MIRRORED = "the photos are mirrored, or the poses left-handed: "

NAMED_AXES = {
    "x, -y, -z": (
        "with y and z flipped",
        "the poses have OpenGL axes (x right, y up, z backward): negate the y and z columns",
    ),
    "y, x, -z": ("with LLFF axes", "the poses have LLFF axes (down, right, backward): take the columns y, x, -z"),
    "y, -x, z": ("with the photos turned a quarter", QUARTER + "y, -x, z"),
    "-y, x, z": ("with the photos turned a quarter", QUARTER + "-y, x, z"),
    "-x, -y, z": (
        "with the photos turned upside down",
        "the photos are turned by 180 degrees: turn them back, or negate the x and y columns",
    ),
    "-x, y, z": ("with left and right swapped", MIRRORED + "mirror the photos or negate the x column"),
    "x, -y, z": ("with top and bottom swapped", MIRRORED + "flip the photos or negate the y column"),
    "x, y, -z": (
        "with z negated",
        "the optical axis points backward and the poses are left-handed: negate the z column",
    ),
    "-x, -y, -z": ("with the positions negated", "the positions have the wrong sign: negate them"),
    "y, x, z": ("with x and y swapped", "the photos are transposed, or the x and y columns swapped: swap them"),
}
"""Mistakes that people make, by the columns of the given rotation that are the true (right, down, forward)."""

LIKELIEST = ("with y and z flipped", "inverted", "inverted, with y and z flipped", "with LLFF axes")


@dataclass(frozen=True)
class Reading:
    """Another way to read the same numbers: what it is, what to do if it is the right one, the cameras it gives."""

    name: str
    advice: str
    camera: Camera


def pose_readings(camera: Camera) -> list[Reading]:
    """Other meanings of the pose matrices, the likeliest first.

    All 48 ways to name and point three camera axes (24 of them mirrored), for camera-to-world and for world-to-camera,
    and the two ways to invert half a pose. Renaming the *world's* axes changes nothing that can be seen.
    """
    given = camera.pose
    inverse = torch.linalg.inv(given.double()).to(given.dtype)
    half, turned = given.clone(), given.clone()
    half[:, :3, 3] = -(given[:, :3, :3] @ given[:, :3, 3:])[..., 0]
    turned[:, :3, :3] = given[:, :3, :3].transpose(-1, -2)
    readings = []
    for columns, axes in signed_axes():
        axes = axes.to(given)
        named, advice = NAMED_AXES.get(columns, (f"with camera axes ({columns})", f"take the columns {columns}"))
        advice += " of each rotation as right, down, forward." if advice.startswith("take") else "."
        if columns != "x, y, z":
            readings.append(Reading(named, advice, replace(camera, pose=given @ axes)))
        named = "inverted" + ("" if columns == "x, y, z" else ", " + named)
        advice = "the matrices are world-to-camera: invert each one" + (
            " before use." if columns == "x, y, z" else "; then, " + advice
        )
        readings.append(Reading(named, advice, replace(camera, pose=inverse @ axes)))
    readings.append(
        Reading(
            "with -R t for positions",
            "the rotations are camera-to-world but the translations t are world-to-camera: the position is -R t.",
            replace(camera, pose=half),
        )
    )
    readings.append(
        Reading(
            "with rotations transposed",
            "the positions are right but the rotations are world-to-camera: transpose each one.",
            replace(camera, pose=turned),
        )
    )
    return sorted(readings, key=lambda r: LIKELIEST.index(r.name) if r.name in LIKELIEST else len(LIKELIEST))


def signed_axes() -> Iterator[tuple[str, Float[Tensor, "4 4"]]]:
    """All 48 renamings of three axes: the columns taken, such as "x, -y, -z", and the matrix that takes them.

    >>> len(list(signed_axes())), next(signed_axes())[0]
    (48, 'x, y, z')
    """
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        axes = torch.zeros(4, 4)
        axes[3, 3] = 1
        for column, (source, sign) in enumerate(zip(order, signs)):
            axes[source, column] = sign
        yield ", ".join(("-" if sign < 0 else "") + "xyz"[source] for source, sign in zip(order, signs)), axes


def lens_readings(camera: Camera) -> list[Reading]:
    """Other focal lengths (1/8 to 8 times, in quarter octaves) and the principal point at the image's centre."""
    middle = camera.center.new_tensor([camera.width / 2, camera.height / 2]).expand_as(camera.center)
    off = not torch.allclose(middle, camera.center, atol=0.02 * max(camera.width, camera.height))
    centre = f"set the principal point to half the image size, ({camera.width / 2:g}, {camera.height / 2:g})"
    readings = []
    if off:
        name = "with the principal point at the centre"
        readings.append(Reading(name, f"the principal point is off: {centre}.", replace(camera, center=middle)))
    for step in sorted(range(-12, 13), key=abs):
        factor = 2 ** (step / 4)
        if step == 0:
            continue
        name = f"with {factor:.3g} times the focal length"
        advice = (
            f"the focal length is that of an image {1 / factor:.3g} times this size: multiply it by about {factor:.3g}"
        )
        readings.append(Reading(name, advice + ".", replace(camera, focal=camera.focal * factor)))
        if off:
            moved = replace(camera, focal=camera.focal * factor, center=middle)
            readings.append(Reading(name + ", principal point at the centre", f"{advice}, and {centre}.", moved))
    return readings


def scaled_pose_readings(camera: Camera) -> list[Reading]:
    """The likeliest readings of the poses, each with 1/8 to 8 times the focal length."""
    readings = []
    for pose in pose_readings(camera)[: len(LIKELIEST)]:
        for factor in (0.125, 0.25, 0.5, 2.0, 4.0, 8.0):
            name = f"{pose.name} and {factor:g} times the focal length"
            advice = f"{pose.advice} Then, multiply the focal length by {factor:g}."
            readings.append(Reading(name, advice, replace(pose.camera, focal=camera.focal * factor)))
    return readings


def order_readings(camera: Camera, names: tuple[str, ...]) -> list[Reading]:
    """The same poses given to other photos: shifted by one, reversed, or sorted by name in the other usual way."""
    count = len(names)
    index = torch.arange(count)
    as_text = torch.tensor(sorted(range(count), key=lambda i: names[i]))
    as_number = torch.tensor(sorted(range(count), key=lambda i: _natural(names[i])))
    orders = [
        ("one photo on", "each photo has the pose of the photo before it: shift the poses by one", (index + 1) % count),
        (
            "one photo back",
            "each photo has the pose of the photo after it: shift the poses by one",
            (index - 1) % count,
        ),
        ("reversed", "the poses are in reverse order", count - 1 - index),
        ("in the order 1, 10, 2", "the poses are listed in the order 1, 10, 2, ... of the names", as_text.argsort()),
        ("in the order 1, 2, 10", "the poses are listed in the order 1, 2, ... 10 of the names", as_number.argsort()),
    ]
    return [
        Reading(f"with the poses {name}", advice + ".", camera[order])
        for name, advice, order in orders
        if not torch.equal(order, index)
    ]


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts "a2" before "a10"."""
    parts: list[tuple[int, str]] = []
    for digits, other in re.findall(r"([0-9]+)|([^0-9]+)", name):
        parts.append((int(digits), "") if digits else (-1, other))
    return tuple(parts)
