"""A triangulation that is changed vertex by vertex: flipped, pierced and mended. For ``systems.tracks.triangles``.

Faces run the same way round (positive area); ``links[f, k]`` is the face across the edge opposite corner k, -1 beyond
the border; ``at[v]`` is some face at vertex v. An edge is flipped if the angles opposite it sum to more than 180
degrees (Lawson, "Software for C1 surface interpolation", 1977): with no such edge left the triangulation is Delaunay's.
A vertex is inserted into the face around it and the edges around are flipped; it is removed by flipping its edges away
until three are left. Only vertices inside are inserted and removed: the border stays.
"""

from __future__ import annotations

import numpy as np

from fieldscape.kernels.compiling import compiled, inlined

TINY = 1e-9
"""Areas below this, in square pixels, count as none."""


@inlined
def _area(places, a, b, c):
    """Twice the signed area."""
    return (places[b, 0] - places[a, 0]) * (places[c, 1] - places[a, 1]) - (places[b, 1] - places[a, 1]) * (
        places[c, 0] - places[a, 0]
    )


@inlined
def _dot(places, corner, a, b):
    """The product of the edges from ``corner`` to a and b."""
    return (places[a, 0] - places[corner, 0]) * (places[b, 0] - places[corner, 0]) + (
        places[a, 1] - places[corner, 1]
    ) * (places[b, 1] - places[corner, 1])


@inlined
def _corner(links, face, other):
    """The corner of ``face`` opposite its edge with ``other``."""
    if links[face, 0] == other:
        return 0
    return 1 if links[face, 1] == other else 2


@inlined
def _relink(links, face, before, after):
    """``face``, if there is one, has the neighbour ``after`` where it had ``before``."""
    if face >= 0:
        links[face, _corner(links, face, before)] = after


@inlined
def _flip(faces, links, at, f, k):
    """Joins corner k of face f with the corner across, instead of the ends of the edge between. The corner that was k
    is corner 0 of both faces then."""
    g = links[f, k]
    j = _corner(links, g, f)
    p, q, r, s = faces[f, k], faces[f, (k + 1) % 3], faces[f, (k + 2) % 3], faces[g, j]
    pq, rp = links[f, (k + 2) % 3], links[f, (k + 1) % 3]
    qs, sr = links[g, (j + 1) % 3], links[g, (j + 2) % 3]
    faces[f, 0], faces[f, 1], faces[f, 2] = p, q, s
    faces[g, 0], faces[g, 1], faces[g, 2] = p, s, r
    links[f, 0], links[f, 1], links[f, 2] = qs, g, pq
    links[g, 0], links[g, 1], links[g, 2] = sr, rp, f
    _relink(links, qs, g, f)
    _relink(links, rp, f, g)
    at[p], at[q], at[s], at[r] = f, f, f, g
    return g


@inlined
def _should_flip(places, faces, links, f, k, bend):
    """Whether the angles opposite an edge sum to more than 180 degrees, by more than the angle of sine ``bend``."""
    g = links[f, k]
    if g < 0:
        return False
    p, q, r, s = faces[f, k], faces[f, (k + 1) % 3], faces[f, (k + 2) % 3], faces[g, _corner(links, g, f)]
    if _area(places, p, q, s) <= TINY or _area(places, p, s, r) <= TINY:
        return False
    here, there = _area(places, p, q, r), _area(places, s, r, q)
    ahead, across = _dot(places, p, q, r), _dot(places, s, r, q)
    # sin(a + b) times the lengths of all four edges, against cos for scale.
    sine, cosine = here * across + there * ahead, ahead * across - here * there
    return sine < -(bend + 1e-10) * np.sqrt(sine * sine + cosine * cosine)


@compiled
def relax(places, faces, links, at, count, bend):
    """Flips edges until none of the first ``count`` faces has one that bends more than the angle of sine ``bend``."""
    flips = 0
    for _ in range(100):
        before = flips
        for f in range(count):
            for k in range(3):
                if _should_flip(places, faces, links, f, k, bend):
                    _flip(faces, links, at, f, k)
                    flips += 1
        if flips == before:
            break
    return flips


@inlined
def _around(places, faces, links, count, start, x, y):
    """The face that holds a place: by walking towards it, or else by looking at all; -1 if there is none."""
    f = start
    for _ in range(count):
        following = -1
        for k in range(3):
            a, b = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
            side = (places[b, 0] - places[a, 0]) * (y - places[a, 1]) - (places[b, 1] - places[a, 1]) * (
                x - places[a, 0]
            )
            if side < 0.0:
                following = links[f, k]
                if following >= 0:
                    break
        if following < 0:
            break
        f = following
    best, found = -np.inf, -1
    for tried in range(-1, count):
        face = f if tried < 0 else tried
        least = np.inf
        for k in range(3):
            a, b = faces[face, k], faces[face, (k + 1) % 3]
            side = (places[b, 0] - places[a, 0]) * (y - places[a, 1]) - (places[b, 1] - places[a, 1]) * (
                x - places[a, 0]
            )
            least = min(least, side)
        if least > best:
            best, found = least, face
        if best >= 0.0:
            break
    return found if best >= -TINY else -1


@compiled
def insert(places, faces, links, at, count, names, stack):
    """Inserts the vertices ``names`` one by one; returns how many faces there are then. stack: int64, as many as faces.

    A vertex outside, or at the place of another, is left out: its ``at`` stays -1.
    """
    last = 0
    for name in names:
        f = _around(places, faces, links, count, min(last, count - 1), places[name, 0], places[name, 1])
        if f < 0:
            continue
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        same = False
        for v in (a, b, c):
            dx, dy = places[v, 0] - places[name, 0], places[v, 1] - places[name, 1]
            same = same or dx * dx + dy * dy < 1e-8
        if same:
            continue
        bc, ca, ab = links[f, 0], links[f, 1], links[f, 2]
        g, h = count, count + 1
        count += 2
        faces[f, 0], faces[f, 1], faces[f, 2] = name, b, c
        faces[g, 0], faces[g, 1], faces[g, 2] = name, c, a
        faces[h, 0], faces[h, 1], faces[h, 2] = name, a, b
        links[f, 0], links[f, 1], links[f, 2] = bc, g, h
        links[g, 0], links[g, 1], links[g, 2] = ca, h, f
        links[h, 0], links[h, 1], links[h, 2] = ab, f, g
        _relink(links, ca, f, g)
        _relink(links, ab, f, h)
        at[name], at[a], at[b], at[c] = f, g, f, f
        stack[0], stack[1], stack[2] = f, g, h
        high = 3
        while high > 0:
            high -= 1
            f = stack[high]
            if _should_flip(places, faces, links, f, 0, 0.0):
                g = _flip(faces, links, at, f, 0)
                stack[high], stack[high + 1] = f, g
                high += 2
        last = at[name]
    return count


@inlined
def _moved_face(faces, links, at, source, target):
    """Face ``source`` gets the number ``target``, which is free."""
    for k in range(3):
        faces[target, k] = faces[source, k]
        links[target, k] = links[source, k]
        _relink(links, links[source, k], source, target)
        at[faces[source, k]] = target


@compiled
def remove(places, faces, links, at, count, names):
    """Removes the inner vertices ``names`` one by one; returns how many faces are left."""
    for name in names:
        if at[name] < 0:
            continue
        while True:
            f, degree, best, chosen = at[name], 0, -np.inf, -1
            while True:  # once around the vertex
                k = 0 if faces[f, 0] == name else (1 if faces[f, 1] == name else 2)
                # The edge from the vertex to the next corner, between this face and the one across.
                q, r = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
                g = links[f, (k + 2) % 3]
                s = faces[g, _corner(links, g, f)]
                ear, rest = _area(places, s, q, r), _area(places, name, s, r)
                value = min(ear, rest + 2 * TINY)
                if value > best:
                    best, chosen = value, f
                degree += 1
                f = links[f, (k + 1) % 3]
                if f == at[name]:
                    break
            if degree <= 3:
                break
            f = chosen
            k = 0 if faces[f, 0] == name else (1 if faces[f, 1] == name else 2)
            # The edge from the vertex to q, opposite r: r and the corner across are joined instead.
            g = links[f, (k + 2) % 3]
            _flip(faces, links, at, f, (k + 2) % 3)
            at[name] = f if faces[f, 0] == name or faces[f, 1] == name or faces[f, 2] == name else g
        f = at[name]
        k = 0 if faces[f, 0] == name else (1 if faces[f, 1] == name else 2)
        q, r = faces[f, (k + 1) % 3], faces[f, (k + 2) % 3]
        g, h = links[f, (k + 1) % 3], links[f, (k + 2) % 3]  # across the edges from the vertex to r, and to q
        s = faces[g, _corner(links, g, f)]
        rs, sq = -1, -1
        for c in range(3):
            if faces[g, c] == name:
                rs = links[g, c]
            if faces[h, c] == name:
                sq = links[h, c]
        qr = links[f, k]
        faces[f, 0], faces[f, 1], faces[f, 2] = q, r, s
        links[f, 0], links[f, 1], links[f, 2] = rs, sq, qr
        _relink(links, rs, g, f)
        _relink(links, sq, h, f)
        at[q], at[r], at[s], at[name] = f, f, f, -1
        low, high = min(g, h), max(g, h)
        for gone in (high, low):
            count -= 1
            if gone != count:
                _moved_face(faces, links, at, count, gone)
    return count
