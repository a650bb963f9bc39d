"""The shape annotations are checked while testing: a wrong shape must turn a test red."""

import pytest
import torch

from fieldscape import volume
from fieldscape.types import Camera, Rays


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(Exception, match="Type-check error"):
        volume.weights(torch.ones(4, 3), torch.ones(4, 2))


def test_a_noun_with_a_wrong_shape_is_refused() -> None:
    with pytest.raises(Exception, match="Type-check error"):
        Rays(torch.zeros(5, 3), torch.zeros(4, 3))
    with pytest.raises(Exception, match="Type-check error"):
        Camera(torch.eye(3), torch.ones(2), torch.ones(2), 4, 4)


def test_a_right_shape_is_taken() -> None:
    assert volume.weights(torch.ones(4, 3), torch.ones(4, 3)).shape == (4, 3)
