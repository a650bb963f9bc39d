"""Every command of the README runs, in order, in one folder; only made smaller, so that it takes seconds."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]

SMALLER = {
    "make rooms --photos": ["--photos", "20", "--size", "32"],
    "make rooms": ["--views", "8", "--held-out", "2", "--width", "32", "--height", "24"],
    "make clip": ["--frames", "8", "--width", "112", "--height", "64", "--tracks", "20"],
    "tracks fit": ["--steps", "4"],
    "make cars --objects": ["--objects", "3", "--views", "16", "--size", "32"],
    "make cars": ["--objects", "1", "--views", "2", "--size", "32"],
    "latents train": ["--objects", "2", "--rays", "5000"],
    "latents exploit": ["--objects", "2:3", "--rays", "5000"],
    "nerf fit": ["--iters", "15", "--n-rand", "128"],
    "gan train": ["--images", "32", "--size", "16", "--look-every", "16"],
    "gan invert rooms": ["--frames", "2", "--width", "32", "--no-tune"],
    "gan invert": ["--frames", "2"],
    "render": ["--frames", "2"],
}


def commands(text: str) -> list[str]:
    """The lines after ``$`` in the console blocks, without what follows a #."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [line[2:].split("#")[0].strip() for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_commands_are_found() -> None:
    found = commands((ROOT / "README.md").read_text())
    assert "make demo" in found
    assert "make test" in found
    assert sum(line.startswith("fieldscape ") for line in found) >= 6


def test_every_command_runs(tmp_path) -> None:
    make = [sys.executable, "-m", "fieldscape", "make", "rooms", "--out", "photos", *SMALLER["make rooms"]]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    shades = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(shades).resize((96, 72), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg")
    for line in commands((ROOT / "README.md").read_text()):
        if not line.startswith("fieldscape "):
            continue
        words = shlex.split(line)[1:]
        extra = next((flags for name, flags in SMALLER.items() if " ".join(words).startswith(name)), [])
        command = [sys.executable, "-m", "fieldscape", *words, *extra]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("target", ["demo", "test", "lint", "install"])
def test_the_makefile_has_what_the_docs_name(target) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize(
    ("example", "arguments"),
    [("00_a_sphere.py", ["out.png"]), ("01_fit_in_python.py", [".", "2"]), ("02_worlds.py", [".", "1"])],
)
def test_every_example_runs(example, arguments, tmp_path) -> None:
    command = [sys.executable, str(ROOT / "examples" / example), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [*tmp_path.glob("*.png"), *tmp_path.glob("*.jpg")]


def test_every_example_is_run() -> None:
    listed = {"00_a_sphere.py", "01_fit_in_python.py", "02_worlds.py"}
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == listed
