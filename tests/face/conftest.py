"""What the tests of the face room share: detections that are played back, and the golden mosaics."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from synthetic import uniform

from diffusers_hunyuan_portrait import face


class Replay:
    """A detector that gives set answers in order, and counts how often it was asked."""

    def __init__(self, answers: Iterable[list[face.Face]]) -> None:
        self.answers = iter(answers)
        self.asked: list[tuple[int, ...]] = []

    def detect(self, image: np.ndarray) -> list[face.Face]:
        self.asked.append(image.shape)
        return next(self.answers)


def as_face(detection: dict) -> face.Face:
    """A detection as the golden files write it."""
    x, y, width, height = detection["bbox_xywh"]
    return face.Face([x, y, x + width, y + height], detection["landmarks"], score=1.0)


@pytest.fixture
def replay() -> Callable[[Iterable[list[face.Face]]], Replay]:
    return Replay


@pytest.fixture
def recorded() -> Callable[[Path], tuple[Replay, Replay, dict]]:
    """From a golden file of detections: the portrait's detector, the clip's detector, and the whole file."""

    def load(path: Path) -> tuple[Replay, Replay, dict]:
        detections = json.loads(path.read_text())
        portrait = Replay([[as_face(detections["source"])], [as_face(detections["source_crop"])]])
        return portrait, Replay([as_face(frame)] for frame in detections["frames"]), detections

    return load


@pytest.fixture
def mosaic() -> Callable[[str, int, int, int], np.ndarray]:
    """A picture of coloured squares by the golden files' rule, (rows · cell, columns · cell, 3) uint8."""

    def make(key: str, rows: int, columns: int, cell: int) -> np.ndarray:
        colours = (255 * uniform(key, (rows, columns, 3)).numpy()).astype(np.uint8)
        return np.kron(colours, np.ones((cell, cell, 1), dtype=np.uint8))

    return make


@pytest.fixture
def edge_frames(mosaic: Callable) -> list[np.ndarray]:
    return [mosaic(f"edges/frame{index}", 24, 32, 20) for index in range(6)]


def some_face(x: float = 40, y: float = 30, size: float = 40) -> face.Face:
    """A plausible face in a square box whose corner is at (x, y)."""
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return face.Face([x, y, x + size, y + size], points * size + [x, y], score=0.9)


@pytest.fixture
def make_face() -> Callable[..., face.Face]:
    return some_face
