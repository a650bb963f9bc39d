"""From photos without poses to a generator of 3D scenes, and from one photo to a fly-through."""
