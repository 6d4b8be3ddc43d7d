"""Settings as frozen dataclasses whose fields say what they mean and where their limits are."""

import dataclasses
from typing import Any


def option(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a settings dataclass, with what the documentation and the checks need to know of it.

    Args:
        default: its value where none is given; a list is copied.
        meaning: one line for the table of settings.
        low, high: the limits of a number, or of each number of a list, both allowed.
        choices: the words allowed.
    """
    facts = {"meaning": meaning, "low": low, "high": high, "choices": choices}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=facts)
    return dataclasses.field(default=default, metadata=facts)
