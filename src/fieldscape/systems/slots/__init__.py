"""Depth maps to objects: where each is, how big, how turned, and its shape as a blend of deformed spheres."""
