"""A config survives the way through JSON unchanged, or is refused with the name of the field that is wrong."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldscape.configs import load_config
from fieldscape.errors import BadInput
from fieldscape.files import jsonable


@dataclass(frozen=True)
class Grid:
    resolution: tuple[int, int, int] = (8, 8, 8)
    learning_rates: tuple[float, ...] = (0.1, 0.01)


@dataclass(frozen=True)
class Mlp:
    width: int = 64


@dataclass(frozen=True)
class Config:
    field: Grid | Mlp = Grid()
    steps: int = 1000
    far: float = math.inf
    background: Literal["auto", "white"] = "auto"
    near: float | None = None
    verbose: bool = False
    cache: Path | None = None
    limit: Annotated[int | float, "of anything"] = 3
    names: list[str] = dataclasses.field(default_factory=list)
    weights: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError("steps must not be negative")


numbers = st.floats(allow_nan=False)
configs = st.builds(
    Config,
    field=st.builds(
        Grid, resolution=st.tuples(*[st.integers()] * 3), learning_rates=st.lists(numbers, max_size=3).map(tuple)
    )
    | st.builds(Mlp, width=st.integers()),
    steps=st.integers(min_value=0),
    far=numbers,
    background=st.sampled_from(["auto", "white"]),
    near=st.none() | numbers,
    verbose=st.booleans(),
    cache=st.none() | st.sampled_from([Path("a/b"), Path("/c")]),
    limit=st.integers() | numbers,
    names=st.lists(st.text(), max_size=3),
    weights=st.dictionaries(st.text(), numbers, max_size=3),
)


def through_json(config: object) -> dict[str, Any]:
    return json.loads(json.dumps(jsonable(dataclasses.asdict(config)), allow_nan=False))


@given(config=configs)
def test_round_trip(config):
    loaded = load_config(Config, through_json(config), "run.json")
    assert loaded == config
    assert type(loaded.limit) is type(config.limit)
    assert type(loaded.field) is type(config.field)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": "many"}, "run.json: steps must be int, not 'many'"),
        ({"steps": 1.5}, "run.json: steps must be int, not 1.5"),
        ({"steps": True}, "run.json: steps must be int, not True"),
        ({"verbose": 1}, "run.json: verbose must be bool, not 1"),
        ({"far": "wide"}, "run.json: far must be a number, not 'wide'"),
        ({"far": 10**400}, "run.json: far must be a number"),
        ({"far": True}, "run.json: far must be a number, not True"),
        ({"near": "x"}, "run.json: near must be a number, not 'x'"),
        ({"background": "pink"}, "run.json: background must be 'auto' or 'white', not 'pink'"),
        ({"cache": 3}, "run.json: cache must be a path, not 3"),
        ({"names": "abc"}, "run.json: names must be a list"),
        ({"names": ["a", 1]}, r"run.json: names\[1\] must be str, not 1"),
        ({"weights": {"a": "b"}}, "run.json: weights.a must be a number"),
        ({"field": {"resolution": [1, 2], "learning_rates": []}}, "field must be Grid or Mlp"),
        ({"field": 3}, "field must be Grid or Mlp"),
        ({"steps": -1}, "run.json: steps must not be negative"),
        ({"stepz": 1, "colour": 2}, r"\(unknown colour, stepz\)"),
    ],
)
def test_a_wrong_field_is_named(change, says):
    with pytest.raises(BadInput, match=says):
        load_config(Config, through_json(Config()) | change, "run.json")


def test_a_field_gained_since_has_its_default():
    mapping = through_json(Config())
    del mapping["steps"], mapping["far"]
    assert load_config(Config, mapping, "run.json") == Config()


def test_a_field_that_must_be_given_is_named():
    @dataclass(frozen=True)
    class Needy:
        steps: int
        far: float
        near: float = 0.1

    with pytest.raises(BadInput, match="missing far, steps"):
        load_config(Needy, {"near": 0.2}, "run.json")
    with pytest.raises(BadInput, match="expected an object"):
        load_config(Config, [1], "run.json")


def test_what_json_cannot_tell_apart_is_our_mistake():
    @dataclass(frozen=True)
    class Ambiguous:
        part: Any = None

    @dataclass(frozen=True)
    class Twin:
        width: int = 1

    Ambiguous.__annotations__["part"] = Mlp | Twin
    with pytest.raises(TypeError, match="cannot tell them apart"):
        load_config(Ambiguous, {"part": {"width": 3}}, "run.json")
    Ambiguous.__annotations__["part"] = bytes
    with pytest.raises(TypeError, match="cannot hold"):
        load_config(Ambiguous, {"part": "x"}, "run.json")
