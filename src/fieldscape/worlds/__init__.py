"""Synthetic worlds: scenes with exact depth, made from a seed and ray-cast."""
