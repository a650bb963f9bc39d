"""Numba kernels for the CPU. Each has a torch twin that is its specification, its oracle, and the path for GPUs."""
