"""The shape of the code: layers, cycles, closures, imports that must not happen, constructs that must not be used.

Every check is a function of a package folder, so that each is also shown a small broken package and must object.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "fieldscape"

LAYERS = [
    {"errors", "types", "encodings", "colors", "metrics", "devices"},
    {
        "cameras", "paths", "rotations", "curves", "meshes", "images", "video", "files", "configs", "runs",
        "checkpoints", "mirrors", "resuming", "stopping", "progress", "framing", "kernels", "planes", "ranks",
    },
    {"volume", "voxels", "raster", "nearest", "scenes", "evaluation", "data", "worlds"},
    {"systems"},
    {"commands", "cli", "__main__"},
]  # fmt: skip
"""Which module or folder belongs to which layer; imports go down, or stay on the same layer."""

CLOSURE_LIMITS = {"systems.nerf.train_mlp": 24, "systems.nerf.train_voxels": 38, "systems.gan.train": 38}
"""Most files of ours that may stand behind a training page: what a reader may have to open.

The voxel page drives two engines, and ten of its files are the kernels of one of them.
"""


def modules(package: Path) -> dict[str, Path]:
    """Dotted names below the package's own, to files: ``systems.nerf.mlp``."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        names[".".join(parts)] = path
    return names


def imports(package: Path) -> dict[str, set[str]]:
    """Which of the package's modules each imports when it is itself imported (not inside functions, nor for types)."""
    known = modules(package)
    found = {}
    for name, path in known.items():
        found[name] = set()
        for node in top_level(ast.parse(path.read_text()).body):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in targets:
                inner = target.removeprefix(package.name).lstrip(".") if target.startswith(package.name) else None
                while inner and inner not in known:
                    inner = inner.rpartition(".")[0]
                if inner and inner != name:
                    found[name].add(inner)
    return found


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from top_level(node.body)
        else:
            yield node


def layer(name: str) -> int | None:
    """The layer of a module; the package root has none."""
    if name == "":
        return None
    for number, names in enumerate(LAYERS):
        if name.split(".")[0] in names:
            return number
    raise AssertionError(f"{name} stands in no layer: add it to LAYERS and to docs/architecture.md")


def upward_imports(package: Path) -> list[str]:
    return [
        f"{name} imports {target}"
        for name, targets in imports(package).items()
        for target in targets
        if layer(name) is not None and layer(target) is not None and layer(name) < layer(target)
    ]


def systems_importing_systems(package: Path) -> list[str]:
    def system(name: str) -> str | None:
        parts = name.split(".")
        return parts[1] if parts[0] == "systems" and len(parts) > 1 and parts[1] != "opening" else None

    return [
        f"{name} imports {target}"
        for name, targets in imports(package).items()
        for target in targets
        if system(name) and system(target) and system(name) != system(target)
    ]


def cycles(package: Path) -> list[str]:
    graph, done, found = imports(package), set(), []

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in graph[name]:
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


def closure(package: Path, name: str) -> set[str]:
    graph, seen, waiting = imports(package), set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += graph[current]
    return seen - {""}


def forbidden(package: Path) -> list[str]:
    """Constructs that the style excludes, with where they stand."""
    found = []
    for name, path in modules(package).items():
        for node in ast.walk(ast.parse(path.read_text())):
            said = None
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                said = "a bare except"
            elif isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
                said = "a star import"
            elif isinstance(node, ast.Import | ast.ImportFrom):
                roots = {alias.name.split(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()
                roots |= {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()
                said = next(
                    (f"import of {root}" for root in roots & {"pickle", "torchvision", "dill", "marshal"}), None
                )
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                said = f"a call of {node.func.id}"
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                told = {word.arg: ast.unparse(word.value) for word in node.keywords}
                said = None if told.get("weights_only") == "True" else "torch.load that may run code"
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                said = "allow_pickle"
            elif isinstance(node, ast.ClassDef):
                allowed = {
                    "nn.Module",
                    "torch.nn.Module",
                    "torch.autograd.Function",
                    "Exception",
                    "Protocol",
                    "types.Type",
                    "models.PrimitiveModel",
                    "NamedTuple",
                }
                bases = {ast.unparse(base) for base in node.bases}
                said = next((f"class {node.name} inherits {base}" for base in sorted(bases - allowed)), None)
            if said:
                found.append(f"{name}:{getattr(node, 'lineno', '?')}: {said}")
        if path.stem in ("utils", "helpers", "misc", "common"):
            found.append(f"{name}: a file called {path.stem}")
        if len(path.read_text().splitlines()) > 450:
            found.append(f"{name}: over 450 lines")
    return found


@pytest.mark.parametrize("check", [upward_imports, systems_importing_systems, cycles, forbidden])
def test_nothing_is_out_of_order(check) -> None:
    assert check(SOURCE) == []


BROKEN = {
    "upward_imports": {"types.py": "import fieldscape.cli", "cli.py": ""},
    "systems_importing_systems": {
        "systems/nerf/mlp.py": "from fieldscape.systems.gan import model",
        "systems/gan/model.py": "",
    },
    "cycles": {"cameras.py": "from fieldscape import paths", "paths.py": "from fieldscape.cameras import rays"},
    "forbidden": {"types.py": "from pickle import loads"},
}


@pytest.mark.parametrize("check", [upward_imports, systems_importing_systems, cycles, forbidden])
def test_each_check_objects_to_a_broken_package(check, tmp_path) -> None:
    package = tmp_path / "fieldscape"
    for name, text in BROKEN[check.__name__].items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert check(package) != []


@pytest.mark.parametrize(
    "line",
    ["try:\n    pass\nexcept:\n    pass", "from os import *", "eval('1')", "class A(dict): pass", "import torchvision"],
)
def test_each_forbidden_construct_is_seen(line, tmp_path) -> None:
    (tmp_path / "fieldscape").mkdir()
    (tmp_path / "fieldscape" / "types.py").write_text(line)
    assert forbidden(tmp_path / "fieldscape") != []


@pytest.mark.parametrize("page", CLOSURE_LIMITS)
def test_few_files_stand_behind_a_training_page(page) -> None:
    behind = closure(SOURCE, page)
    assert len(behind) <= CLOSURE_LIMITS[page], sorted(behind)


def test_the_tinynerf_page_reads_in_about_four_files() -> None:
    learned = {"systems.nerf.mlp", "systems.nerf.config", "volume", "encodings", "types", "errors"}
    assert closure(SOURCE, "systems.nerf.mlp") == learned


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    "module", ["fieldscape", "fieldscape.cli", "fieldscape.systems.nerf.options", "fieldscape.commands.options"]
)
def test_what_help_needs_imports_no_torch(module) -> None:
    loaded = run(f"import sys, {module}; print([m for m in ('torch', 'numba', 'cv2', 'scipy') if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_the_import_check_can_fail() -> None:
    assert run("import sys, fieldscape.types; print('torch' in sys.modules)").strip() == "True"


def test_help_comes_at_once() -> None:
    """Half a second is the promise; the bound here leaves room for a busy machine and for slow disks."""
    best = float("inf")
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "fieldscape", "--help"], capture_output=True, text=True, timeout=60
        )
        best = min(best, time.monotonic() - began)
        assert done.returncode == 0
        assert "nerf fit" in done.stdout
    assert best < 1.5
