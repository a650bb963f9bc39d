"""How a video with its truth lies on the disk: in our own layout, and in those of data sets that others published."""
