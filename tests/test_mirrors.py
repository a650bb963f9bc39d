"""What is logged is shown elsewhere too, where asked for; without the library that is said in one sentence."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldscape.errors import BadInput
from fieldscape.runs import Run


@dataclass(frozen=True)
class Plan:
    steps: int


def test_wandb_is_told_what_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[dict[str, object], int]] = []
    asked: dict[str, object] = {}

    class Board:
        def log(self, figures: dict[str, object], step: int) -> None:
            told.append((figures, step))

    def init(dir: str, name: str, config: dict[str, object]) -> Board:
        asked.update(dir=dir, name=name, config=config)
        return Board()

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    run = Run.create(tmp_path / "run", "latents", Plan(3), 0, {}, "cpu").mirrored("wandb")
    run.log(7, loss=0.5, stage="1a")
    assert asked == {"dir": str(tmp_path / "run"), "name": "run", "config": {"steps": 3}}
    assert told == [({"loss": 0.5}, 7)]
    assert run.metrics() == [{"step": 7, "loss": 0.5, "stage": "1a"}]


@pytest.mark.parametrize("kind", ["wandb", "tensorboard"])
def test_a_library_that_is_not_there_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for name in ("wandb", "tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    run = Run.create(tmp_path / "run", "latents", Plan(3), 0, {}, "cpu")
    with pytest.raises(BadInput, match=rf"pip install 'fieldscape\[{kind}\]'"):
        run.mirrored(kind)  # type: ignore[arg-type]


def test_nothing_is_mirrored_unless_asked(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", "latents", Plan(3), 0, {}, "cpu").mirrored("none")
    assert run.also is None
