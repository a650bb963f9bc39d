"""One photo to a scene to look around in, without training: a room box, or layers cut from a depth map."""
