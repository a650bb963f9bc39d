"""From the JSON of a run back to its config: a frozen dataclass, with every field there and of its declared type.

The way out is ``dataclasses.asdict`` and ``files.jsonable``; this is the way back. Nothing in the JSON chooses a class
or a function: the caller names the dataclass, and the JSON fills it or is refused.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fieldscape.errors import BadInput

Config = TypeVar("Config")

NON_FINITE = ("nan", "inf", "-inf")
"""What ``files.jsonable`` writes for the floats that JSON lacks."""


def load_config(cls: type[Config], mapping: object, where: str) -> Config:
    """The dataclass ``cls`` filled from ``mapping``, the JSON form of an instance; ``where`` is for the messages.

    Fields may be bool, int, float, str, None, Path, Literal, tuples, lists, ``dict[str, ...]``, unions of these, and
    further dataclasses.

    Raises:
        BadInput: a field is unknown, missing without a default, or not of its type, or the class refuses the values.
        TypeError: ``cls`` declares a type that is none of the above.
    """
    if not isinstance(mapping, Mapping):
        raise BadInput(f"{where}: expected an object of options, not {mapping!r:.60}.")
    fields = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    unknown = sorted(set(mapping) - set(fields))
    # A field that the code has gained since has a default, which by rule is what was done before there was the field.
    missing = sorted(set(fields) - set(mapping) - _with_default(cls))
    if unknown or missing:
        faults = [f"unknown {', '.join(unknown)}"] if unknown else []
        faults += [f"missing {', '.join(missing)}"] if missing else []
        raise BadInput(
            f"{where}: these are not the options of {cls.__name__} in this version of fieldscape "
            f"({'; '.join(faults)}). Use the version that made it."
        )
    declared = get_type_hints(cls)
    values = {name: _load(declared[name], mapping[name], f"{where}: {name}") for name in fields if name in mapping}
    try:
        return cls(**values)
    except ValueError as error:
        raise BadInput(f"{where}: {error}.") from error


def _with_default(cls: Any) -> set[str]:
    """The names of the fields that need not be given."""
    none = dataclasses.MISSING
    return {f.name for f in dataclasses.fields(cls) if f.default is not none or f.default_factory is not none}


def _load(declared: Any, value: Any, where: str) -> Any:
    """``value`` as an instance of the type ``declared``."""
    origin, arguments = get_origin(declared), get_args(declared)
    if declared is Any:
        return value
    if dataclasses.is_dataclass(declared) and isinstance(declared, type):
        return load_config(declared, value, where)
    if origin is Literal:
        for choice in arguments:
            if value == choice and type(value) is type(choice):
                return value
        raise _not(where, " or ".join(repr(choice) for choice in arguments), value)
    if origin in (Union, types.UnionType):
        return _load_union(arguments, value, where)
    if declared is float:
        return _load_float(value, where)
    if declared in (bool, int, str, type(None)):
        if type(value) is not declared:  # exactly: JSON's true is not the number 1
            raise _not(where, "null" if declared is type(None) else declared.__name__, value)
        return value
    if declared is Path:
        if not isinstance(value, str):
            raise _not(where, "a path", value)
        return Path(value)
    container = origin or declared
    if container in (tuple, list):
        if not isinstance(value, list):
            raise _not(where, "a list", value)
        return _load_sequence(container, arguments, value, where)
    if container is dict:
        if not isinstance(value, Mapping):
            raise _not(where, "an object", value)
        inner = arguments[1] if arguments else Any
        return {key: _load(inner, item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where}: configs cannot hold {declared}")


def _load_float(value: Any, where: str) -> float:
    if isinstance(value, str) and value in NON_FINITE:
        return float(value)
    if type(value) not in (int, float) or (isinstance(value, int) and abs(value) > 2**1000):
        raise _not(where, "a number", value)
    return float(value)


def _load_sequence(container: Any, arguments: tuple[Any, ...], value: list[Any], where: str) -> Any:
    if not arguments:
        inner = [Any] * len(value)
    elif container is list or arguments[-1] is Ellipsis:
        inner = [arguments[0]] * len(value)
    else:
        inner = list(arguments)
    if len(inner) != len(value):
        raise _not(where, f"{len(inner)} values", value)
    return container(_load(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(inner, value)))


def _load_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    """The first choice that takes the value as it is; an int goes to ``int`` even where ``float`` is declared first."""
    accepted, refusals = [], []
    for choice in choices:
        try:
            accepted.append(_load(choice, value, where))
        except BadInput as error:
            refusals.append(error)
    if not accepted:
        plain = [choice for choice in choices if choice is not type(None)]
        if len(plain) == 1:  # an optional value: what its own type says is the clearest
            raise refusals[choices.index(plain[0])]
        raise _not(where, " or ".join(getattr(choice, "__name__", str(choice)) for choice in choices), value)
    if sum(dataclasses.is_dataclass(item) for item in accepted) > 1:
        raise TypeError(f"{where}: two of the dataclasses have the same fields, so JSON cannot tell them apart")
    same_type = [item for item in accepted if type(item) is type(value)]
    return (same_type or accepted)[0]


def _not(where: str, expected: str, value: Any) -> BadInput:
    if isinstance(value, float) and not math.isfinite(value):
        return BadInput(f"{where} must be {expected}, not {value}.")
    return BadInput(f"{where} must be {expected}, not {value!r:.60}.")
