"""Each object a small voxel field, fitted by the kernels from a start that the class shares."""
