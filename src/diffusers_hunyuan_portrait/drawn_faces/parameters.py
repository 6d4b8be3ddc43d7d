"""What identity and motion have in common: named numbers, each with a range, and their vector form."""

from collections.abc import Mapping
from dataclasses import astuple, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ranges = Mapping[str, tuple[float, float]]


def names_of(parameters: Any) -> tuple[str, ...]:
    """The parameters' names, in the order of their vector; of a dataclass or one of its instances."""
    return tuple(field.name for field in fields(parameters))


def scaled(parameters: Any, ranges: Ranges) -> NDArray[np.float32]:
    """The parameters as (n,) float32, each range as [-1, 1]; what lies outside of its range stays outside."""
    low, high = _limits(parameters, ranges)
    return ((2 * np.array(astuple(parameters)) - low - high) / (high - low)).astype(np.float32)


def unscaled(parameters: type, vector: Any, ranges: Ranges) -> list[float]:
    """The inverse of `scaled`.

    Raises:
        ValueError: where `vector` is not of shape (n,).
    """
    low, high = _limits(parameters, ranges)
    values = np.asarray(vector, dtype=np.float64)
    if values.shape != low.shape:
        raise ValueError(
            f"{parameters.__name__} takes a vector of shape {low.shape}, but this one has shape {values.shape}."
        )
    return ((low + high + values * (high - low)) / 2).tolist()


def _limits(parameters: Any, ranges: Ranges) -> NDArray[np.float64]:
    return np.array([ranges[name] for name in names_of(parameters)]).T  # (low and high, parameters)
