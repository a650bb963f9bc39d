"""What a set of views is, for people (``describe``) and for comparing runs (``fingerprint``)."""

from __future__ import annotations

import hashlib
import json

from jaxtyping import Float
from torch import Tensor

from fieldscape import cameras
from fieldscape.types import Views


def describe(views: Views) -> list[str]:
    """Plain lines: counts, sizes, focal length and field of view, split, extent of the cameras, background, notes."""
    camera, unit = views.camera, "m" if views.metric else "units"
    kind = {3: "RGB", 4: "RGBA"}.get(views.images.shape[-1], f"{views.images.shape[-1]} channels")
    stored = "8 bits" if views.images.element_size() == 1 else "floats"
    across, down = cameras.field_of_view(camera).unbind(-1)
    target = cameras.nearest_to_axes(camera)
    reach = (camera.position - target).norm(dim=-1)
    extent = (camera.position.max(0).values - camera.position.min(0).values).tolist()
    lines = [
        f"views: {len(views)} of {camera.width} x {camera.height}, {kind}, {stored}",
        f"split: {len(views.train)} to learn from, {len(views.held_out)} held out; {views.split}",
        f"focal length: {_span(camera.focal[:, 0])} x {_span(camera.focal[:, 1])} pixels; lens: {camera.lens}",
        f"field of view: {_span(across)} x {_span(down)} degrees",
        f"cameras: within {' x '.join(f'{side:.3g}' for side in extent)} {unit}; {_span(reach)} {unit} from"
        f" ({', '.join(f'{x:.3g}' for x in target.tolist())}), the point nearest to what they all look at",
    ]
    if views.bounds is not None:
        near, far = float(views.bounds[:, 0].min()), float(views.bounds[:, 1].max())
        lines.append(f"bounds: {near:.3g} to {far:.3g} {unit}, stated by the data")
    lines.append(f"background: {_color(views.background)}")
    if views.maps is not None:
        lines.append(f"maps: {views.maps.shape[-1]} further channels")
    if views.valid is not None:
        lines.append(f"masks: {float(views.valid.float().mean()):.1%} of the pixels may be used")
    if views.depths is not None:
        known = views.depths[views.depths > 0]
        share = known.numel() / max(1, views.depths.numel())
        span = f", {float(known.min()):.3g} to {float(known.max()):.3g} {unit}" if known.numel() else ""
        lines.append(f"depth: known for {share:.1%} of the pixels{span}")
    if views.points is not None:
        lines.append(f"points: {len(views.points)}")
    return lines + [f"note: {note}" for note in views.notes]


def fingerprint(views: Views) -> str:
    """SHA-256 over poses, intrinsics, names, split, shapes and all pixels: equal where a fit would see the same data.

    Depth, masks and further maps count too; notes and the place on disk do not.
    """
    camera = views.camera
    head = [camera.width, camera.height, camera.lens, views.names, views.held_out, views.background, views.metric]
    digest = hashlib.sha256(json.dumps(head).encode())
    tensors = (
        camera.pose, camera.focal, camera.center, camera.distortion, views.images, views.maps, views.valid,
        views.bounds, views.depths,
    )  # fmt: skip
    for tensor in tensors:
        if tensor is None:
            digest.update(b"none")
            continue
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    if views.weights is not None:
        digest.update(views.weights.numpy().data)
    return digest.hexdigest()


def _span(values: Float[Tensor, "v"]) -> str:
    return _pair(float(values.min()), float(values.max()))


def _pair(low: float, high: float) -> str:
    """One number, or two where they differ visibly.

    >>> _pair(2.0, 2.0), _pair(2.0, 3.5)
    ('2', '2 to 3.5')
    """
    a, b = f"{low:.4g}", f"{high:.4g}"
    return a if a == b else f"{a} to {b}"


def _color(color: tuple[float, float, float] | None) -> str:
    if color is None:
        return "none (the photos show a real one)"
    named = {(1.0, 1.0, 1.0): "white", (0.0, 0.0, 0.0): "black"}
    return named.get(color, ", ".join(f"{channel:.3g}" for channel in color))
