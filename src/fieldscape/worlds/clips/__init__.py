"""Clips from a moving camera: textured scenes with things that move, and exact tracks of points on them."""
