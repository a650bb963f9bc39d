"""Shapes and types of every public function are checked while testing, and only then."""

from jaxtyping import install_import_hook

# The numeric tower: an int is a float, as it is for mypy.
install_import_hook("fieldscape", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import os  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
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


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., list[str]]:
    """Runs a script in two processes with the environment that torchrun gives them; gives what each wrote to stderr.

    status: what both must end with.
    """

    def run(script: Path, *arguments: object, status: int = 0) -> list[str]:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        started = []
        for rank in range(2):
            told = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
            told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            command = [sys.executable, str(script), *map(str, arguments)]
            started.append(subprocess.Popen(command, env=os.environ | told, stderr=subprocess.PIPE, text=True))
        try:
            said = [process.communicate(timeout=120)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        assert [process.returncode for process in started] == [status, status], said
        return said

    return run
