"""Furnished living rooms: plans and furniture; one room from many sides, or one photo each of many."""
