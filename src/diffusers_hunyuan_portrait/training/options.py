"""Settings as frozen dataclasses whose fields say what they mean and where their limits are, read from YAML."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from ..errors import UserError

Options = TypeVar("Options")


def option(
    default: Any = dataclasses.MISSING,
    meaning: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a settings dataclass, with what the documentation and the checks need to know of it.

    Args:
        default: its value where none is given. Left out, a value must be given.
        meaning: one line for the table of settings.
        low, high: the limits of a number, or of each number of several, both allowed.
        choices: the words allowed.
    """
    facts = {"meaning": meaning, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=facts)


def read_options(kind: type[Options], values: Any, name: str = "") -> Options:
    """Settings of the dataclass `kind` from what a YAML file holds.

    Args:
        values: a mapping of fields to values.
        name: the section's name with a dot behind it, for errors.

    Raises:
        UserError: there is no such setting, one is missing, or a value is of the wrong type or out of its range.
    """
    if not isinstance(values, Mapping):
        where = f"`{name.rstrip('.')}`" if name else "The configuration"
        raise UserError(f"{where} is {values!r}; it must hold settings, each as `name: value`.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            advice = f"did you mean `{name}{near[0]}`?" if near else f"there is {', '.join(fields)}."
            raise UserError(f"There is no setting `{name}{key}`; {advice}")
    read = {}
    for key, field in fields.items():
        if key in values:
            read[key] = _read_value(hints[key], values[key], field.metadata, name + key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise UserError(f"The setting `{name}{key}` is missing: {field.metadata['meaning']}.")
    return kind(**read)


def list_options(kind: type, name: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of every setting, those of sections behind the section's name and a dot."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from list_options(hints[field.name], f"{name}{field.name}.")
            continue
        shown = "" if field.default is dataclasses.MISSING else _as_yaml(field.default)
        yield name + field.name, shown, field.metadata["meaning"]


def _as_yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value).lower()


def _read_value(hint: Any, value: Any, facts: Mapping[str, Any], name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return read_options(hint, value, f"{name}.")  # type: ignore[arg-type]
    if isinstance(hint, types.UnionType):  # something or None
        if value is None:
            return None
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or not value:
            raise UserError(f"`{name}` is {value!r}; it must be a list, such as [8, 14].")
        return tuple(_read_value(typing.get_args(hint)[0], entry, facts, name) for entry in value)
    if hint is float:
        return _read_number(value, facts, name)
    if type(value) is not hint:
        wanted = {int: "a whole number", str: "a text", bool: "true or false"}[hint]
        raise UserError(f"`{name}` is {value!r}; it must be {wanted}.")
    if hint is int:
        _check_range(value, facts, name)
    if facts.get("choices") and value not in facts["choices"]:
        raise UserError(f"`{name}` is {value!r}; it must be one of {', '.join(facts['choices'])}.")
    return value


def _read_number(value: Any, facts: Mapping[str, Any], name: str) -> float:
    try:
        # YAML takes 1e-5, which lacks a point, for a text.
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"`{name}` is {value!r}; it must be a number.")
    _check_range(number, facts, name)
    return number


def _check_range(number: float, facts: Mapping[str, Any], name: str) -> None:
    low, high = facts.get("low"), facts.get("high")
    if (low is not None and number < low) or (high is not None and number > high):
        if high is None:
            limits = f"at least {low}"
        else:
            limits = f"at most {high}" if low is None else f"from {low} to {high}"
        raise UserError(f"`{name}` is {number}; it must be {limits}.")
