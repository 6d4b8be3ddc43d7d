"""The detector of the published program, `yoloface_v5m.pt`, for crops that are that program's very own."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import CheckpointError
from ..pixels import Picture
from .interface import Face, as_picture
from .suppression import suppress_overlaps

FILE = "yoloface_v5m.pt"
VARIABLE = "HUNYUAN_PORTRAIT_YOLOFACE"
SHORTER_SIDE = 416  # of the picture that goes in
SIDE_STEP = 32  # its sides are multiples of this
STRIDES = (8, 16, 32)  # of the three maps that candidates come from
SCORE, OVERLAP = 0.5, 0.45
LONGEST_SHAPE = 16  # longer over shorter side: what is longer shows no face, and would fill the memory


class YoloFace:
    """Runs the TorchScript face detector of the published program (contract, "The published files").

    Args:
        path: the file yoloface_v5m.pt or a folder that holds it; by default $HUNYUAN_PORTRAIT_YOLOFACE.
        device: where it runs, the CPU by default.

    Raises:
        CheckpointError: where the file is missing or is not TorchScript.
    """

    name = "yoloface"

    def __init__(self, path: str | Path | None = None, device: str | torch.device | None = None) -> None:
        self.file = find_installed(path)
        self.device = torch.device(device or "cpu")
        try:
            self.network = torch.jit.load(str(self.file), map_location=self.device).eval()
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.file} is not a TorchScript file; download {FILE} from LeonJoe13/Sonic on the Hub again."
            ) from error

    @torch.inference_mode()
    def detect(self, image: Picture) -> list[Face]:
        """Find the faces in `image`, (H, W, 3) uint8 RGB, best first; in one longer than 16 times its width, none.

        Raises:
            CheckpointError: where the network gives anything but candidates of 16 numbers.
        """
        picture = as_picture(image)
        height, width = picture.shape[:2]
        if max(height, width) > LONGEST_SHAPE * min(height, width):
            return []
        ratio = SHORTER_SIDE / min(height, width)
        # The sides are brought to multiples of 32 one by one, so that the picture is stretched a little.
        w, h = (int(side * ratio + SIDE_STEP - 1) // SIDE_STEP * SIDE_STEP for side in (width, height))
        resized = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(resized).permute(2, 0, 1)[None].float() / 255  # (1, 3, h, w) in [0, 1]
        grids = [_cells(h // stride, w // stride).to(self.device) for stride in STRIDES]
        candidates = self.network(pixels.to(self.device), grids)  # (1, candidates, 16)
        if candidates.ndim != 3 or candidates.shape[::2] != (1, 16):
            raise CheckpointError(
                f"{self.file} is not {FILE}: its output has the shape {tuple(candidates.shape)}, not (1, N, 16)."
            )
        return _faces(candidates[0].double().cpu().numpy(), np.array([width / w, height / h]))


def find_installed(path: str | Path | None = None) -> Path:
    """The file that `YoloFace(path)` loads; it raises what that raises where there is none."""
    path = path or os.environ.get(VARIABLE)
    if not path:
        raise CheckpointError(
            f"The detector yoloface needs the file {FILE}; download it from LeonJoe13/Sonic on the Hub "
            f"and give its path, or set {VARIABLE} to it."
        )
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise CheckpointError(f"There is no file {file}; download {FILE} from LeonJoe13/Sonic on the Hub.")
    return file


def _cells(rows: int, columns: int) -> torch.Tensor:
    """(1, 1, rows, columns, 2) float32: the x and y of every cell of a map."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], dim=-1)[None, None].float()


def _faces(candidates: NDArray[np.float64], scale: NDArray[np.float64]) -> list[Face]:
    """The faces among the network's candidates, in pixels of the image that is `scale` (x, y) times as large."""
    objectness, score = candidates[:, 4], candidates[:, 4] * candidates[:, 15]
    likely = (objectness > SCORE) & (score > SCORE)
    candidates, score = candidates[likely], score[likely]
    centres, halves = candidates[:, :2], candidates[:, 2:4] / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    points = candidates[:, 5:15].reshape(-1, 5, 2)
    best = suppress_overlaps(boxes, score, OVERLAP)
    return [Face(boxes[i] * np.tile(scale, 2), points[i] * scale, score[i]) for i in best]
