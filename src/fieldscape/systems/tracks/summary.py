"""What tracks are, in figures and in a few plain lines."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fieldscape.cameras import field_of_view
from fieldscape.systems.tracks.foreign_space import seen_from
from fieldscape.systems.tracks.nouns import Kind, Tracked

WHAT_IT_DID: dict[Kind, str] = {
    "tripod": "it stood still, so neither focal length nor depth can be known: a flat picture, movers a little nearer",
    "rotation": "it turned on the spot, so depth cannot be known: a panorama",
    "low": "it moved little: depth is rough, and the focal length was bounded, not measured",
    "full": "it moved enough: cameras, focal length and depth were found",
    "given": "cameras came with the data",
}


def unexplained(tracked: Tracked) -> Float[Tensor, "m"]:
    """Pixels between where each sighting of a still point was, and where its one place in space is seen."""
    still = (tracked.points.layer == 0).nonzero()[:, 0]
    seen = tracked.points.seen[:, still]
    world = tracked.world[:, still].double()
    one = torch.where(seen[..., None], world, torch.nan).nanmedian(0).values.nan_to_num()
    shown, depth = seen_from(tracked.camera.map(lambda x: x.double()), one.expand_as(world))
    error = (shown - tracked.points.places[:, still]).norm(dim=-1)
    return error[seen & (depth > 0)]


def quantiles(error: Float[Tensor, "m"]) -> tuple[float, float] | None:
    """The median and the ninth tenth; None of nothing."""
    if not len(error):
        return None
    # torch.quantile refuses more than 16 million values, and a million serve as well.
    median, most = error[:: 1 + len(error) // 1_000_000].quantile(error.new_tensor([0.5, 0.9])).tolist()
    return median, most


def figures(tracked: Tracked) -> dict[str, Any]:
    """What there is, as JSON holds it. Shares are 0..1, angles degrees, errors pixels."""
    seen, layer = tracked.points.seen, tracked.points.layer
    error = quantiles(unexplained(tracked))
    first = seen[0]
    return {
        "name": tracked.clip.name,
        "frames": len(tracked.clip),
        "held_out": 0 if tracked.held is None else len(tracked.held),
        "size": list(tracked.clip.size),
        "points": len(tracked.points),
        "points_a_frame": round(float(seen.sum(1).float().mean()), 1),
        "frames_a_point": round(float(seen.sum(0).float().mean()), 2),
        "first_seen_in_last": round(float((seen[-1] & first).sum() / first.sum().clamp_min(1)), 4),
        "alive_to_next": round(float((seen[1:] & seen[:-1]).sum() / seen[:-1].sum().clamp_min(1)), 4),
        "points_on_layers": {str(k): int((layer == k).sum()) for k in layer.unique().tolist()},
        "camera": tracked.kind,
        "measured_depth": round(float(tracked.deep.float().mean()), 4),
        "focal": round(float(tracked.camera.focal.median()), 2),
        "field_of_view": [round(side, 2) for side in field_of_view(tracked.camera).median(0).values.tolist()],
        "unexplained_median": None if error is None else round(error[0], 4),
        "unexplained_ninth_tenth": None if error is None else round(error[1], 4),
        "notes": [*tracked.clip.notes, *tracked.notes],
    }


def described(tracked: Tracked) -> list[str]:
    """The same for people."""
    said = figures(tracked)
    width, height = said["size"]
    held = f", {said['held_out']} more held out" if said["held_out"] else ""
    movers = [f"layer {k} with {count} points" for k, count in said["points_on_layers"].items() if k != "0"]
    assumed = {"tripod": " (assumed)", "low": " (bounded)"}.get(tracked.kind, "")
    # What found the cameras says more of them than their kind does.
    told = next((note for note in tracked.notes if note.startswith("The camera")), WHAT_IT_DID[tracked.kind])
    fit = ""
    if said["unexplained_median"] is not None:
        median, most = said["unexplained_median"], said["unexplained_ninth_tenth"]
        fit = f"; still points are met to {median:.2f} pixels in the median, {most:.2f} for nine in ten"
    return [
        f"{said['name']}: {said['frames']} frames of {width} x {height}{held}",
        f"points: {said['points']}, {said['points_a_frame']:.0f} in a frame, in {said['frames_a_point']:.1f} frames"
        f" each; {100 * said['alive_to_next']:.1f} % live on to the next frame, "
        f"{100 * said['first_seen_in_last']:.0f} % from the first to the last",
        "movers: " + (", ".join(movers) if movers else "none"),
        f"camera: {told}",
        f"focal length: {said['focal']:g} pixels, {said['field_of_view'][0]:.0f} degrees across{assumed}{fit}",
        *(f"note: {note}" for note in said["notes"] if note != told),
    ]
