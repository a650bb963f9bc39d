"""How much the vertices of a grid matter to what cameras see: the squares of the picture's derivatives, summed.

A change e of one number changes the summed squared error of the pictures by about H e^2, where H is the sum over pixels
of the squared derivative by that number: the diagonal of the Gauss-Newton matrix (Nocedal and Wright, "Numerical
optimization", 2006, section 10.3).
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled
from fieldscape.kernels.march import basis, f32, lay, pixel_ray, see
from fieldscape.kernels.vectors import at, lane, load, put, quads


@compiled
def influence(grid, place, lens, lenses, poses, size, background, first, last, samples, out):
    """Adds to ``out`` [rows of the table, 2], for the pixels ``first``..``last`` of all views of ``size`` (h, w).

    Lane 0: squared derivatives of red, green and blue by the raw density.  Lane 1: squared weights of the vertex in
    what pixels show, which the derivative by its colour is proportional to.
    """
    height, width = size
    behind = quads(background[0], background[1], background[2], f32(0))
    for pixel in range(first, last):
        view = pixel // (height * width)
        rest = pixel - view * (height * width)
        row = rest // width
        ray = pixel_ray(lens, lenses, poses, view, row, rest - row * width)
        path = lay(grid, place, ray, f32(0.5))
        visible, _, _ = see(grid, place, ray, path, basis(ray), samples)
        hidden_red, hidden_green, hidden_blue = f32(0), f32(0), f32(0)
        for n in range(visible - 1, -1, -1):
            s, seen = at(samples.which, n), at(samples.seen, n)
            after, slope = at(samples.after, n), at(samples.slope, n)
            gain = load(samples.color, n) - behind
            red, green, blue = lane(gain, 0), lane(gain, 4), lane(gain, 8)
            by_red, by_green, by_blue = (
                after * red - hidden_red,
                after * green - hidden_green,
                after * blue - hidden_blue,
            )
            by_density = slope * slope * (by_red * by_red + by_green * by_green + by_blue * by_blue)
            hidden_red, hidden_green = hidden_red + seen * red, hidden_green + seen * green
            hidden_blue = hidden_blue + seen * blue
            corner = (s >> 4) * 128 + (s & 15)
            for m in range(8):
                share = at(samples.share, corner + 16 * m)
                here = 2 * np.int64(at(samples.corner, corner + 16 * m))
                put(out, here, at(out, here) + by_density * share * share)
                put(out, here + 1, at(out, here + 1) + seen * seen * share * share)
