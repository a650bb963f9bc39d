"""What the cameras alone say about themselves: impossible matrices, stray positions, odd lenses."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import field_of_view, nearest_to_axes
from fieldscape.data.findings import Finding, listed, some
from fieldscape.types import Camera, Views

METRES = "Give positions in metres (divide millimetres by 1,000)."


def impossible(camera: Camera, names: tuple[str, ...]) -> list[Finding]:
    """Poses and lenses that no camera has. With one of these, nothing else can be computed."""
    rotation = camera.pose[:, :3, :3].double()
    findings = []
    sound = camera.pose.flatten(1).isfinite().all(1) & camera.focal.isfinite().all(1) & camera.center.isfinite().all(1)
    if not bool(sound.all()):
        return [Finding("warning", "numbers", f"NaN or infinity in {some(~sound, names)}", "Remove those views.")]
    skew = (rotation.transpose(-1, -2) @ rotation - torch.eye(3, dtype=torch.float64)).abs().amax((1, 2)) > 1e-2
    if bool(skew.any()):
        advice = "Remove scale and shear from the rotations (or check that the matrices are read by rows)."
        findings.append(Finding("warning", "rotations", f"not orthonormal in {some(skew, names)}", advice))
    mirrored = torch.linalg.det(rotation) < 0
    if bool(mirrored.any()):
        evidence = f"mirrored (determinant -1) in {some(mirrored, names)}"
        advice = "The axes are left-handed: negate one column of each rotation, or one axis of the world in all poses."
        findings.append(Finding("warning", "rotations", evidence, advice))
    if bool((camera.focal <= 0).any()):
        findings.append(Finding("warning", "focal length", "not positive", "Give the focal length in pixels."))
    return findings


def spread(views: Views) -> list[Finding]:
    """Positions and lens, without the photos."""
    camera = views.camera
    findings = []
    position = camera.position.double()
    away = (position - position.median(0).values).norm(dim=-1)
    typical = float(away.median())
    if len(views) > 1 and float(away.max()) <= 1e-6 * (1 + float(position.abs().max())):
        evidence = f"all {len(views)} cameras are at one place, ({listed(position[0])})"
        advice = "Without parallax there is no depth: check that the translations were read, or move between photos."
        findings.append(Finding("warning", "positions", evidence, advice))
    elif typical > 0 and float(away.max()) > 10 * typical:
        far = away > 10 * typical
        evidence = f"{some(far, views.names)}: up to {float(away.max()) / typical:.0f} times as far out as most cameras"
        advice = "Remove or correct those poses: one far camera shrinks the rest of the scene to a dot."
        findings.append(Finding("warning", "single positions", evidence, advice))
    size = camera.focal.new_tensor([camera.width, camera.height])
    offset = float(((camera.center / size) - 0.5).abs().max())
    degrees = field_of_view(camera).amax(-1).median()
    if offset > 0.25:
        evidence = f"({listed(camera.center[0])}) in images of {camera.width} x {camera.height}"
        advice = "It is in pixels of the images as given: scale it (and the focal length) with the images."
        findings.append(Finding("warning", "principal point", evidence, advice))
    if camera.lens != "fisheye" and not 4 < float(degrees) < 150:
        evidence = f"{float(camera.focal[0, 0]):.4g} pixels, so the photos would span {float(degrees):.3g} degrees"
        advice = "It is in pixels of the images as given, not in millimetres, nor of the photo before it was scaled."
        findings.append(Finding("warning", "focal length", evidence, advice))
    if views.metric and typical > 0:
        extent = float((position.amax(0) - position.amin(0)).norm())
        if not 0.01 < extent < 2000:
            evidence = f"the path spans {extent:.3g} m"
            findings.append(Finding("warning", "scale", evidence, METRES))
    return findings or [_layout(camera)]


def _layout(camera: Camera) -> Finding:
    """Where the cameras are and look, for a data set in which nothing of that is wrong."""
    extent = float((camera.position.amax(0) - camera.position.amin(0)).norm())
    target, ahead, _ = common_point(camera)
    evidence = f"{len(camera)} cameras span {extent:.3g}; "
    if ahead > 0.8:
        evidence += f"{ahead:.0%} have the point nearest to all their axes, ({listed(target)}), before them"
    else:
        evidence += "they look outward or in parallel, not at one point"
    return Finding("ok", "layout", evidence)


def common_point(camera: Camera) -> tuple[Float[Tensor, "3"], float, float]:
    """The point nearest to all axes, the share of cameras that have it in front, and how sharply the axes meet there:
    their median distance from it over the cameras' own (0: in a point)."""
    target = nearest_to_axes(camera)
    to_target = target - camera.position
    along = (to_target * camera.forward).sum(-1)
    miss = (to_target - along[:, None] * camera.forward).norm(dim=-1)
    blur = miss.median() / to_target.norm(dim=-1).median().clamp_min(1e-9)
    return target, float((along > 0).float().mean()), float(blur)


def convergence(camera: Camera) -> list[Finding]:
    """All axes meeting sharply *behind* the cameras: a suspicion to voice when the photos cannot be asked."""
    target, ahead, spread = common_point(camera)
    if len(camera) < 5 or ahead > 0.1 or spread > 0.15:
        return []
    evidence = f"all optical axes meet behind the cameras, near ({listed(target)})"
    advice = (
        "Right for a room seen from its middle. If the cameras surround an object, y and z are flipped (OpenGL axes)."
    )
    return [Finding("warning", "viewing directions", evidence, advice)]
