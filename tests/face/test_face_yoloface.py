"""The published program's detector, with TorchScript stand-ins for its file: what goes in, what comes of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import CheckpointError

FILE = "yoloface_v5m.pt"


class StandIn(nn.Module):
    """Remembers what goes in and gives set candidates."""

    def __init__(self, candidates: torch.Tensor) -> None:
        super().__init__()
        self.candidates = nn.Buffer(candidates)
        self.picture = torch.zeros(0)
        self.grids = [torch.zeros(0)]

    def forward(self, picture: torch.Tensor, grids: list[torch.Tensor]) -> torch.Tensor:
        self.picture = picture
        self.grids = grids
        return self.candidates


def candidate(x: float, y: float, width: float, height: float, objectness: float, score: float) -> list[float]:
    points = [x - 9, y - 8, x + 9, y - 7, x, y, x - 6, y + 8, x + 7, y + 9]
    return [x, y, width, height, objectness, *points, score]


@pytest.fixture
def load(tmp_path: Path):
    def load(*candidates: list[float]) -> face.Detector:
        torch.jit.script(StandIn(torch.tensor(candidates).reshape(1, -1, 16))).save(str(tmp_path / FILE))
        return face.load_detector("yoloface", path=tmp_path / FILE)

    return load


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)


def test_what_goes_in(load, picture):
    """500×300 pixels: r = 416/300, so int(500·r + 31) // 32 · 32 = 704 wide and 416 high."""
    detector = load(candidate(100, 100, 40, 50, 0.9, 0.9))
    detector.detect(picture)
    expected = cv2.resize(picture, (704, 416), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)[None] / 255
    assert detector.network.picture.dtype == torch.float32
    # Division in double, rounded to float32 here; in float32 there.
    np.testing.assert_allclose(detector.network.picture.numpy(), expected, rtol=0, atol=1e-7)
    assert [grid.shape for grid in detector.network.grids] == [
        (1, 1, 52, 88, 2),
        (1, 1, 26, 44, 2),
        (1, 1, 13, 22, 2),
    ]
    for grid in detector.network.grids:
        assert grid.dtype == torch.float32
        rows, columns = grid.shape[2:4]
        assert grid[0, 0, rows - 1, 5].tolist() == [5, rows - 1]
        assert grid[0, 0, 7, columns - 1].tolist() == [columns - 1, 7]


@pytest.mark.parametrize(
    ("height", "width", "fed"),
    [
        (416, 416, (416, 416)),
        (1080, 1920, (416, 768)),
        (720, 405, (768, 416)),
        (33, 32, (448, 416)),
        (1, 1, (416, 416)),
    ],
)
def test_the_size_that_goes_in(load, height, width, fed):
    """The shorter side is 416; the longer one is cut to whole pixels after adding 31, then to a multiple of 32."""
    detector = load(candidate(100, 100, 40, 50, 0.1, 0.9))
    assert detector.detect(np.zeros((height, width, 3), dtype=np.uint8)) == []
    assert detector.network.picture.shape == (1, 3, *fed)


def test_candidates_are_scaled_back_by_each_side(load, picture):
    (found,) = load(candidate(352, 208, 70.4, 41.6, 0.8, 0.9)).detect(picture)
    x, y = 500 / 704, 300 / 416
    np.testing.assert_allclose(found.box, [316.8 * x, 187.2 * y, 387.2 * x, 228.8 * y], rtol=1e-6)
    expected = np.array([[343, 200], [361, 201], [352, 208], [346, 216], [359, 217]]) * [x, y]
    np.testing.assert_allclose(found.landmarks, expected, rtol=1e-6)
    assert found.score == pytest.approx(0.72)


def test_thresholds(load, picture):
    kept = load(
        candidate(50, 50, 30, 30, 0.50, 1.00),  # objectness not above one half
        candidate(150, 50, 30, 30, 0.70, 0.71),  # product 0.497
        candidate(250, 50, 30, 30, 0.72, 0.71),  # product 0.511: kept
        candidate(350, 50, 30, 30, 0.51, 0.99),  # product 0.505: kept
    ).detect(picture)
    assert [round(found.box[[0, 2]].mean() * 704 / 500) for found in kept] == [250, 350]  # the surest first


def test_overlaps_are_suppressed_from_045(load, picture):
    """Two boxes 100 wide, d apart, share (100 − d) of (100 + d): 0.452 at d = 37.7, 0.448 at d = 38.1."""
    close = load(candidate(200, 200, 100, 100, 0.9, 0.9), candidate(237.7, 200, 100, 100, 0.9, 0.99))
    (found,) = close.detect(picture)
    assert found.score == pytest.approx(0.9 * 0.99)
    apart = load(candidate(200, 200, 100, 100, 0.9, 0.9), candidate(238.1, 200, 100, 100, 0.9, 0.99))
    assert len(apart.detect(picture)) == 2


def test_no_candidates_are_no_faces(load, picture):
    assert load().detect(picture) == []


def test_a_sliver_of_a_picture_is_not_blown_up(load):
    detector = load(candidate(100, 100, 40, 50, 0.9, 0.9))
    assert detector.detect(np.zeros((1, 4000, 3), dtype=np.uint8)) == []
    assert detector.network.picture.numel() == 0


def test_the_file_is_found_by_folder_and_by_environment(load, picture, tmp_path, monkeypatch):
    load(candidate(100, 100, 40, 50, 0.9, 0.9))
    assert face.load_detector("yoloface", path=tmp_path).name == "yoloface"
    monkeypatch.setenv("HUNYUAN_PORTRAIT_YOLOFACE", str(tmp_path / FILE))
    assert len(face.load_detector("yoloface").detect(picture)) == 1


def test_without_a_file_it_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HUNYUAN_PORTRAIT_YOLOFACE", raising=False)
    with pytest.raises(CheckpointError, match=r"LeonJoe13/Sonic.*HUNYUAN_PORTRAIT_YOLOFACE"):
        face.load_detector("yoloface")
    with pytest.raises(CheckpointError, match=rf"no file .*{FILE}"):
        face.load_detector("yoloface", path=tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model"])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match="not a TorchScript file"):
        face.load_detector("yoloface", path=tmp_path)


def test_a_pickle_is_not_unpickled(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="not a TorchScript file"):
        face.load_detector("yoloface", path=tmp_path)


def test_another_network_is_refused(tmp_path, picture):
    torch.jit.script(StandIn(torch.zeros(1, 7, 85))).save(str(tmp_path / FILE))
    with pytest.raises(CheckpointError, match=r"\(1, 7, 85\)"):
        face.load_detector("yoloface", path=tmp_path).detect(picture)
