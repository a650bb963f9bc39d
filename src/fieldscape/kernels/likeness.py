"""How alike the pixels around a place look in other frames, if the place had this depth or that one.

A plane sweep over a few planes for each place, with the support weighted by colour (Collins, "A space-sweep approach to
true multi-image matching", 1996; Yoon and Kweon, "Adaptive support-weight approach for correspondence search", 2006).

Legend: a pixel (x, y) of the own frame with inverse depth q lies at d / q, d = ((x - cx) / fx, (y - cy) / fy, 1); in
the axes of another camera, times q, that is R d + q T. A plane gives q = q0 + slope . (pixel - place).
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled

BEYOND = 0.5
"""The difference that counts where another frame shows nothing: beyond its border, or behind its camera."""


@compiled
def differences(frames, own, others, lens, lenses, turns, shifts, places, planes, names, extra, radius, sharp, out):
    """Writes the weighted mean colour difference of the patch around each place, for each plane and other frame.

    frames: uint8 [t, h, w, 3].  own, others [s]: numbers of frames.  lens [4], lenses [s, 4]: fx fy cx cy.
    turns [s, 3, 3], shifts [s, 3]: R and T.  places [m, 2].  planes [m, c, 3]: q0 and slope.  names [m, c]: the point
    that each plane belongs to; extra [s, n, 3]: what to add to T for it.  radius: of the patch.  sharp: the colour
    difference, 0..1, at which the support falls to 1 / (1 + 1).  out: float64 [m, c, s].
    """
    height, width = frames.shape[1], frames.shape[2]
    for m in range(places.shape[0]):
        px, py = places[m, 0], places[m, 1]
        column, row = min(max(int(px), 0), width - 1), min(max(int(py), 0), height - 1)
        red, green, blue = frames[own, row, column, 0], frames[own, row, column, 1], frames[own, row, column, 2]
        for c in range(planes.shape[1]):
            for s in range(others.shape[0]):
                name = names[m, c]
                tx = shifts[s, 0] + extra[s, name, 0]
                ty = shifts[s, 1] + extra[s, name, 1]
                tz = shifts[s, 2] + extra[s, name, 2]
                total, mass = 0.0, 0.0
                for y in range(max(row - radius, 0), min(row + radius + 1, height)):
                    for x in range(max(column - radius, 0), min(column + radius + 1, width)):
                        here = frames[own, y, x]
                        away = (
                            abs(np.float64(here[0]) - red)
                            + abs(np.float64(here[1]) - green)
                            + abs(np.float64(here[2]) - blue)
                        ) / 765.0
                        weight = 1.0 / (1.0 + (away / sharp) * (away / sharp))
                        q = planes[m, c, 0] + planes[m, c, 1] * (x + 0.5 - px) + planes[m, c, 2] * (y + 0.5 - py)
                        q = max(q, 0.0)
                        dx, dy = (x + 0.5 - lens[2]) / lens[0], (y + 0.5 - lens[3]) / lens[1]
                        hx = turns[s, 0, 0] * dx + turns[s, 0, 1] * dy + turns[s, 0, 2] + q * tx
                        hy = turns[s, 1, 0] * dx + turns[s, 1, 1] * dy + turns[s, 1, 2] + q * ty
                        hz = turns[s, 2, 0] * dx + turns[s, 2, 1] * dy + turns[s, 2, 2] + q * tz
                        difference = BEYOND
                        if hz > 1e-6:
                            u = lenses[s, 0] * hx / hz + lenses[s, 2] - 0.5
                            v = lenses[s, 1] * hy / hz + lenses[s, 3] - 0.5
                            if u >= 0.0 and u <= width - 1.0 and v >= 0.0 and v <= height - 1.0:
                                left, top = min(int(u), width - 2), min(int(v), height - 2)
                                a, b = u - left, v - top
                                picture = frames[others[s]]
                                difference = 0.0
                                for k in range(3):
                                    upper = (1 - a) * picture[top, left, k] + a * picture[top, left + 1, k]
                                    lower = (1 - a) * picture[top + 1, left, k] + a * picture[top + 1, left + 1, k]
                                    difference += abs((1 - b) * upper + b * lower - here[k])
                                difference = min(difference / 765.0, BEYOND)
                        total += weight * difference
                        mass += weight
                out[m, c, s] = total / mass
