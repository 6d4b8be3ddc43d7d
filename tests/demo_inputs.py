"""The demo's portrait and driving frames, for tests that must run everywhere: loaded from `examples/`."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage import data

_PATH = Path(__file__).parents[1] / "examples" / "make_demo_inputs.py"
_SPEC = importlib.util.spec_from_file_location("make_demo_inputs", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_MODULE)


def portrait_picture() -> np.ndarray:
    """The astronaut, (512, 512, 3) uint8; public domain."""
    return data.astronaut()


def demo_frames(num_frames: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 in which her face moves."""
    return _MODULE.make_driving_frames(num_frames)
