"""fieldscape: from photos, depth maps and clips to 3D scenes to look around in.

The package root imports nothing heavy: ``import fieldscape`` costs milliseconds. Start reading at ``fieldscape.types``,
which states the conventions, then ``fieldscape.volume``, which holds the one volume integral, then
``fieldscape.systems.nerf.mlp``.
"""

__version__ = "0.1.0"
