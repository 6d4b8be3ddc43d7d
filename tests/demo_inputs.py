"""The demo's script in `examples/`, and the pictures it makes, for tests that must run everywhere."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_PATH = Path(__file__).parents[1] / "examples" / "make_demo_inputs.py"
_SPEC = importlib.util.spec_from_file_location("make_demo_inputs", _PATH)
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)


def portrait_picture() -> np.ndarray:
    """The astronaut, (512, 512, 3) uint8; public domain."""
    return script.make_portrait()


def demo_frames(num_frames: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 in which her face moves."""
    return script.make_driving_frames(num_frames)
