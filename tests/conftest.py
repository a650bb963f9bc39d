"""Shapes and types of every public function are checked while testing, and only then."""

from jaxtyping import install_import_hook

# The numeric tower: an int is a float, as it is for mypy.
install_import_hook("fieldscape", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

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
