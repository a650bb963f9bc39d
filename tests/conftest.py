"""Shapes and types of every public function are checked while testing, and only then."""

from jaxtyping import install_import_hook

install_import_hook("fieldscape", "beartype.beartype")

import os  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

# Two workers share two cores: more threads than that make the suite slower, not faster.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real captures, for tests that measure on them."""
    folder = os.environ.get("FIELDSCAPE_DATA")
    if not folder:
        pytest.skip("set FIELDSCAPE_DATA to a folder of real captures to run this test")
    return Path(folder)
