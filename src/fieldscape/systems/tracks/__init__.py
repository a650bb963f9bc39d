"""A clip from a moving camera: point tracks, triangle meshes, a neural renderer, new views."""
