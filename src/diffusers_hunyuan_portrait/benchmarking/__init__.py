"""What a run takes on this machine, and what the savings are worth beside the published program's arithmetic."""

from .counting import MemoryTracker, Operations, count_operations
from .measuring import (
    Measured,
    decode,
    measure_matrix_rate,
    measure_preprocessing,
    measure_run,
    sample,
)
from .plain import SAVINGS, PlainPipeline, make_plain
from .released import fill, make_released

__all__ = [
    "SAVINGS",
    "Measured",
    "MemoryTracker",
    "Operations",
    "PlainPipeline",
    "count_operations",
    "decode",
    "fill",
    "make_plain",
    "make_released",
    "measure_matrix_rate",
    "measure_preprocessing",
    "measure_run",
    "sample",
]
