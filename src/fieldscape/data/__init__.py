"""Readers: one short file per format, all yielding ``Views``."""
