"""Depth maps and depth videos, one short reader a format, all to the same record."""
