"""Small clips whose motion is known: smooth noise that slides, perhaps with a patch that slides otherwise."""

import cv2
import numpy as np
import torch

from fieldscape.systems.tracks.nouns import Clip


def texture(height: int, width: int, seed: int, coarse: float = 2.0) -> np.ndarray:
    """Smooth colour noise [h, w, 3], uint8."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), coarse)
    smooth = (smooth - smooth.mean()) / smooth.std()
    return np.clip(128 + 45 * smooth, 0, 255).astype(np.uint8)


def shifted(picture: np.ndarray, x: float, y: float, width: int, height: int) -> np.ndarray:
    """The window of ``picture`` whose first pixel is at (x, y)."""
    move = np.array([[1, 0, -x], [0, 1, -y]], np.float64)
    return cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def sliding(
    frames: int = 8,
    size: tuple[int, int] = (120, 80),
    step: tuple[float, float] = (1.3, 0.4),
    mover: tuple[float, float] | None = None,
    seed: int = 0,
    marked: bool = False,
) -> tuple[Clip, np.ndarray]:
    """A clip, and where its mover is: bool [t, h, w]. The ground slides by -step a frame, the mover by ``mover``."""
    width, height = size
    ground = texture(height + 80, width + 80, seed)
    square = texture(40, 40, seed + 1, 1.2)[..., ::-1]
    pictures, masks = [], np.zeros((frames, height, width), bool)
    for i in range(frames):
        frame = shifted(ground, 20 + step[0] * i, 20 + step[1] * i, width, height)
        if mover is not None:
            x, y = round(30 + mover[0] * i), round(25 + mover[1] * i)
            frame[y : y + 26, x : x + 32] = square[:26, :32]
            masks[i, y : y + 26, x : x + 32] = True
        pictures.append(frame)
    layers = torch.from_numpy(masks.astype(np.uint8)) if marked else None
    seconds = torch.arange(frames) / 24
    return Clip(torch.from_numpy(np.stack(pictures)), seconds, layers, tuple(range(frames)), "sliding"), masks
