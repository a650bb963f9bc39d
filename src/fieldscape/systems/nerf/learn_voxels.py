"""How the dense field learns, in torch: the GPU's half of ``train_voxels``, and the kernels' twin.

It learns in batches, from their summed gradient, as GPUs like it; its steps are therefore longer than the kernels'.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from fieldscape import resuming
from fieldscape.cameras import image_rays
from fieldscape.checkpoints import Checkpoint
from fieldscape.framing import Framing
from fieldscape.systems.nerf.config import VoxelConfig, smoothness
from fieldscape.systems.nerf.pixels import look_up, squared_error, to_device
from fieldscape.systems.nerf.pool import Pool, known_opacity, unravel
from fieldscape.types import Camera, Rendered, Views
from fieldscape.voxels.field import VoxelField, march, picture
from fieldscape.voxels.grid import RowAdam

RAYS_A_STEP = 2**12

LONGER = 2.5
"""Steps of a batch, relative to those that the config gives for single rays; smoothing is weaker by the same reason."""

LIGHTER = 0.01


class VoxelLearner:
    """A dense field, its two optimisers, and the batches they learn from."""

    def __init__(
        self, views: Views, framing: Framing, pool: Pool, background: Tensor | None, config: VoxelConfig, seed: int,
        device: torch.device,
    ):  # fmt: skip
        self.views, self.framing = to_device(views, device), framing.to(device)
        self.pool, self.config = pool, config
        self.pixels = torch.from_numpy(pool.pixels.astype("int64")).to(device)
        self.background = None if background is None else background.to(device)
        self.rays_a_step = config.n_rand or RAYS_A_STEP
        self.generator = torch.Generator(device).manual_seed(seed)
        self.start((2, 2, 2), True)

    def start(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None:
        """Begins with an empty grid."""
        channels = 3 + self.config.channels
        self._take(VoxelField(self.framing.low, self.framing.high, shape, self.framing.unbounded, channels), allowed)

    def refine(self, shape: tuple[int, int, int], allowed: Bool[Tensor, "i j k"] | bool) -> None:
        """Goes on with a finer grid that starts as the coarser one."""
        self._take(self.voxels.refined(shape), allowed)

    def _take(self, field: VoxelField, allowed: Bool[Tensor, "i j k"] | bool) -> None:
        self.voxels = field
        self.allowed = allowed if isinstance(allowed, bool) else allowed.to(field.low.device)
        field.occupied &= self.allowed
        self.optimizers = {
            "density": RowAdam(field.density, LONGER * self.config.lr_density),
            "color": RowAdam(field.color, LONGER * self.config.lr_color),
        }

    def settle(self) -> None:
        """Stops visiting what is empty."""
        self.voxels.settle()
        self.voxels.occupied &= self.allowed

    def finish(self) -> None:
        """Nothing more: the picture is drawn from the cells that were learned in."""

    def field(self) -> VoxelField:
        return self.voxels

    def cameras(self) -> Camera:
        return self.views.camera.to("cpu")

    def learn(self, progress: float) -> float:
        """Learns from the next batch; returns its mean squared error."""
        chosen = torch.randint(
            len(self.pixels), (self.rays_a_step,), generator=self.generator, device=self.pixels.device
        )
        index = self.pixels[chosen]
        batch = look_up(self.views, *unravel(index, self.views))
        seen = march(self.voxels, batch.rays, self.framing, self.background, self.config.step, self.generator)
        error = squared_error(seen, batch) / batch.weight.sum().clamp_min(1)
        loss = error
        opacity = known_opacity(self.views, self.pool, index)
        if opacity is not None:
            known, target = opacity
            amiss = known * batch.weight[:, 0] * (seen.alpha[:, 0] - target).abs()
            loss = loss + self.config.opacity * amiss.mean()
        gradients = torch.autograd.grad(loss, (self.voxels.density, self.voxels.color))

        # Only the vertices that this batch read are moved, and only their neighbourhoods smoothed.
        for (name, optimizer), gradient in zip(self.optimizers.items(), gradients):
            table, touched, values = getattr(self.voxels, name), gradient.indices()[0], gradient.values()
            rough = roughness(table.detach(), touched, self.voxels.shape)
            values = values + LIGHTER * smoothness(self.config, self.framing.unbounded) * rough
            optimizer.step(table, touched, values, self.config.lr_decay**progress)
        return error.item()

    def picture(self, camera: Camera) -> Rendered:
        rays = image_rays(camera.to(self.pixels.device))
        return picture(self.voxels, rays, self.framing, self.background, self.config.step).map(torch.Tensor.cpu)

    def tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint needs, with ``state``."""
        tensors = resuming.prefixed("field", self.voxels.state_dict())
        tensors["generator"] = resuming.rng_state(self.generator)
        for name, optimizer in self.optimizers.items():
            tensors |= {f"{name}.mean": optimizer.mean, f"{name}.square": optimizer.square}
        return tensors

    def state(self) -> dict[str, object]:
        ages = {name: optimizer.age for name, optimizer in self.optimizers.items()}
        return {"shape": list(self.voxels.shape), "ages": ages}

    def restore(self, resume: Checkpoint, allowed: Bool[Tensor, "i j k"] | bool = True) -> None:
        """Goes on where a checkpoint was written. Raises BadInput if it is not one of such a field."""
        x, y, z = (int(n) for n in resume.state["shape"])
        self.start((x, y, z), allowed)
        self.voxels.load_state_dict(resuming.under("field", resume.tensors))
        for name, optimizer in self.optimizers.items():
            optimizer.mean.copy_(resume.tensors[f"{name}.mean"])
            optimizer.square.copy_(resume.tensors[f"{name}.square"])
            optimizer.age = int(resume.state["ages"][name])
        resuming.set_rng_state(self.generator, resume.tensors["generator"])


def roughness(
    table: Float[Tensor, "v c"], touched: Int[Tensor, "u"], shape: tuple[int, int, int]
) -> Float[Tensor, "u c"]:
    """How far each row lies above the mean of its six neighbours: the gradient of their squared differences / 12."""
    sx, sy = shape[1] * shape[2], shape[2]
    offsets = torch.tensor([1, -1, sy, -sy, sx, -sx], device=table.device)
    around = (touched[:, None] + offsets).clamp(0, len(table) - 1)
    return table.index_select(0, touched) - embedding_bag(around, table, mode="mean")
