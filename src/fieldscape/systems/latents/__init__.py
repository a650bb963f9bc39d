"""Thousands of objects of a kind, each stored as cheaply as can be because of what they have in common."""
