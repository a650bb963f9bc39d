"""A run is a folder: what was asked, what happened, where it stands, and what came out.

    run.json        format, version, system, config, seed, data, device, created   (written once)
    metrics.jsonl   one line of figures at a time
    checkpoint/     where to continue from (see ``checkpoints``)
    report.json     the final figures
    previews/       pictures made on the way

Everything is plain JSON or safetensors, so a run outlives the code that made it and can be given to anybody.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import fieldscape
from fieldscape.checkpoints import Checkpoint, latest_checkpoint, save_checkpoint
from fieldscape.configs import Config, load_config
from fieldscape.errors import BadInput
from fieldscape.files import jsonable, read_json, reason, write_atomic, write_json

if TYPE_CHECKING:
    from fieldscape.mirrors import Mirror, Teller

FORMAT = 1
"""The number of the layout described above; it grows when an older fieldscape could not read a run."""

_RECORD = {"system": str, "config": dict, "seed": int, "data": dict, "device": str}

Figure = float | int | str | bool | None


@dataclass(frozen=True)
class Run:
    """A run's folder and its ``run.json``. Made by ``Run.create`` or ``Run.open``.

    also: is told all that is logged (see ``mirrors``).
    """

    path: Path
    record: dict[str, Any]
    also: Teller | None = None

    @staticmethod
    def create(path: Path | str, system: str, config: object, seed: int, data: Mapping[str, Any], device: str) -> Run:
        """Start a run in the folder ``path``, made if it is not there.

        config: a dataclass instance.  data: what was learned from, as JSON (path, fingerprint, reader, counts).

        Raises:
            BadInput: the folder holds a run or other things, or cannot be written.
            TypeError: ``config`` is not a dataclass instance, or ``data`` not JSON.
        """
        if not dataclasses.is_dataclass(config) or isinstance(config, type):
            raise TypeError(f"a config is a dataclass instance, not {config!r:.80}")
        path = Path(path)
        try:
            if (path / "run.json").exists():
                raise BadInput(f"{path} already holds a run: add --resume to continue it, or choose another --out.")
            path.mkdir(parents=True, exist_ok=True)
            if not _is_empty(path):
                raise BadInput(f"The folder {path} is not empty, and not a run: choose another --out.")
        except (FileExistsError, NotADirectoryError) as error:
            raise BadInput(f"Cannot make the folder {path}: a file is in its way. Choose another --out.") from error
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise BadInput(f"Cannot make the folder {path}: {reason(error)}. Choose another --out.") from error
        record = {
            "format": FORMAT,
            "fieldscape": fieldscape.__version__,
            "system": system,
            "config": jsonable(dataclasses.asdict(config)),
            "seed": seed,
            "data": jsonable(data),
            "device": device,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(path / "run.json", record)
        return Run(path, record)

    @staticmethod
    def open(path: Path | str) -> Run:
        """The run in the folder ``path``.

        Raises:
            BadInput: no such folder, not a run, ``run.json`` damaged, or made by a newer fieldscape.
        """
        path = Path(path)
        try:
            if not path.is_dir():
                raise BadInput(f"There is no run folder {path}.")
            if not (path / "run.json").exists():
                raise BadInput(f"{path} is not a run: it has no run.json.")
        except OSError as error:
            raise BadInput(f"Cannot read the folder {path}: {reason(error)}.") from error
        record = read_json(path / "run.json")
        version = record.get("format") if isinstance(record, dict) else None
        if type(version) is not int or version < 1:
            raise BadInput(f"{path / 'run.json'} is not the record of a fieldscape run: it has no format number.")
        if version > FORMAT:
            made = f"made by a newer fieldscape (format {version}; this one reads up to {FORMAT})"
            raise BadInput(f"{path} was {made}: upgrade fieldscape.")
        for key, kind in _RECORD.items():
            if type(record.get(key)) is not kind:
                raise BadInput(f"{path / 'run.json'} is damaged: {key!r} is missing or not of type {kind.__name__}.")
        return Run(path, record)

    def config(self, cls: type[Config]) -> Config:
        """The config the run was made with. Raises BadInput if it does not fit ``cls``."""
        return load_config(cls, self.record["config"], f"{self.path / 'run.json'}: config")

    def log(self, step: int, **figures: Figure) -> None:
        """Add a line to ``metrics.jsonl``, and show it to who is told too. Raises BadInput if it cannot be written."""
        line = json.dumps(jsonable({"step": step, **figures}), allow_nan=False) + "\n"
        try:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise BadInput(f"Cannot write {self.path / 'metrics.jsonl'}: {reason(error)}.") from error
        if self.also is not None:
            self.also(step, figures)

    def mirrored(self, kind: Mirror) -> Run:
        """The same run, whose figures are shown elsewhere too. Raises BadInput where the library is not installed."""
        from fieldscape.mirrors import open_mirror  # few trainings are watched so

        return replace(self, also=open_mirror(kind, self.path, self.record["config"]))

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, without such as a crash cut short. Raises BadInput if it cannot be read."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        try:
            with path.open("rb") as file:
                lines = [_parse(line) for line in file]
        except OSError as error:
            raise BadInput(f"Cannot read {path}: {reason(error)}.") from error
        return [line for line in lines if line is not None]

    def truncate_log(self, step: int) -> None:
        """Drop the lines after ``step`` and any that a crash cut short, so that going on from ``step`` repeats none."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomic(self.path / "metrics.jsonl", lambda file: file.write(text.encode()))

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``step``; see ``checkpoints.save_checkpoint``. Raises BadInput if the disk fails."""
        save_checkpoint(self.path / "checkpoint", step, tensors, state)

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint (its ``notes`` are for the user), or None; BadInput if all are damaged."""
        return latest_checkpoint(self.path / "checkpoint")

    def report(self, **figures: Figure) -> None:
        """Write ``report.json``: ``figures`` and the peak memory of this process. Raises BadInput if it cannot."""
        memory: dict[str, Figure] = {"peak_memory_mb": peak_memory_mb()}
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            memory["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
        write_json(self.path / "report.json", {**figures, **memory})

    def preview_path(self, name: str) -> Path:
        """Where the picture ``name`` goes: ``previews/name``; makes the folder. Raises BadInput if it cannot."""
        if not name or Path(name).name != name:
            raise ValueError(f"a preview has a plain file name, not {name!r}")
        try:
            (self.path / "previews").mkdir(exist_ok=True)
        except OSError as error:
            raise BadInput(f"Cannot make the folder {self.path / 'previews'}: {reason(error)}.") from error
        return self.path / "previews" / name


def fresh_path(base: Path | str) -> Path:
    """``base`` if nothing is there, else the first of ``base-2``, ``base-3``, ... that is free.

    Raises:
        BadInput: the folder around it cannot be read.
    """
    base = Path(base)
    candidates = itertools.chain([base], (base.with_name(f"{base.name}-{number}") for number in itertools.count(2)))
    try:
        return next(path for path in candidates if not path.exists() or (path.is_dir() and _is_empty(path)))
    except OSError as error:
        raise BadInput(f"Cannot read the folder of {base}: {reason(error)}. Choose another --out.") from error


def peak_memory_mb() -> float | None:
    """The most memory this process has had at once, in MB (10^6 bytes), or None where the system does not say."""
    if platform.system() == "Linux":
        # Not getrusage: there, a process inherits the peak of the one that started it.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _is_empty(folder: Path) -> bool:
    """Hidden files do not count: file managers leave them, and so does a start that was cut short."""
    return all(entry.name.startswith(".") for entry in folder.iterdir())


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        figures = json.loads(line)
    except ValueError:
        return None
    return figures if isinstance(figures, dict) and type(figures.get("step")) is int else None
