"""A field is a function: here a ball with coloured stripes. Twenty lines render it.

python examples/00_a_sphere.py sphere.png
"""

import sys

import torch

from fieldscape import cameras, volume
from fieldscape.images import write_image
from fieldscape.types import Camera


def ball(points, directions):
    """Colour and density anywhere: dense within one unit of the origin, striped by height."""
    density = 50.0 * (points.norm(dim=-1) < 1)
    color = 0.5 + 0.5 * torch.sin(points * torch.tensor([4.0, 4.0, 12.0]))
    return color, density


pose = cameras.look_at(torch.tensor([3.0, -2.0, 1.5]), torch.zeros(3), up=torch.tensor([0.0, 0.0, 1.0]))
focal = cameras.focal_from_fov(45.0, 200)
camera = Camera(pose, torch.tensor([focal, focal]), torch.tensor([100.0, 100.0]), 200, 200)

rays = cameras.image_rays(camera)
near, far = torch.full((200, 200, 1), 2.0), torch.full((200, 200, 1), 6.0)
t = volume.stratified(near, far, 128)
seen, weights = volume.render(ball, rays, t, background=torch.ones(3))

write_image(sys.argv[1] if len(sys.argv) > 1 else "sphere.png", seen.color)
print(f"alpha in the middle: {float(seen.alpha[100, 100]):.3f}, depth there: {float(seen.depth[100, 100]):.2f}")
