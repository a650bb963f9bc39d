"""The voxel field: what it is in torch, and the same field in bricks that kernels work on."""
