"""insightface's SCRFD detector, for those who have the package and one of its model packs."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import CheckpointError, UserError
from ..pixels import Picture
from .interface import Face, as_picture

FAVOURITE_PACK = "buffalo_l"
DETECTION_FILES = ("det_*.onnx", "scrfd_*.onnx")  # what the packs call their detector
INPUT_SIDE = 640  # SCRFD's training size; the picture is fitted into a square of it
CLOSE_UP_SIDE = 128  # where a face fills the picture, SCRFD finds it only in a smaller one
SCORE = 0.5


class InsightFace:
    """Runs SCRFD by the insightface package on a pack that is on the disk; it downloads nothing.

    Args:
        path: an ONNX file with SCRFD's outputs for boxes and points, or a folder with packs that have one; by
            default the packs where insightface keeps them: $INSIGHTFACE_HOME/models or ~/.insightface/models.
        device: a CUDA device has it run there; anything else means the CPU.

    Raises:
        UserError: where insightface is not installed.
        CheckpointError: where there is no such file, or it is not such a detector.
    """

    name = "insightface"

    def __init__(self, path: str | Path | None = None, device: str | torch.device | None = None) -> None:
        file = find_installed(path)
        on_cuda = torch.device(device or "cpu").type == "cuda"
        self.network = _load(file, ["CUDAExecutionProvider"] * on_cuda + ["CPUExecutionProvider"])
        self.network.prepare(ctx_id=0 if on_cuda else -1, input_size=(INPUT_SIDE, INPUT_SIDE), det_thresh=SCORE)
        sides = self.network.session.get_inputs()[0].shape[2:]
        self.takes_any_size = not all(isinstance(side, int) for side in sides)

    def detect(self, image: Picture) -> list[Face]:
        """Find the faces in `image`, (H, W, 3) uint8 RGB, best first."""
        bgr = np.ascontiguousarray(as_picture(image)[:, :, ::-1])
        if max(bgr.shape[:2]) > CLOSE_UP_SIDE * min(bgr.shape[:2]):
            return []  # fitted into the square it would be less than a pixel high or wide
        boxes, points = self.network.detect(bgr)
        if len(boxes) == 0 and self.takes_any_size:
            boxes, points = self.network.detect(bgr, input_size=(CLOSE_UP_SIDE, CLOSE_UP_SIDE))
        return [Face(box[:4], landmarks, box[4]) for box, landmarks in zip(boxes, points, strict=True)]


def is_importable() -> bool:
    """Whether the insightface package is installed and can be imported."""
    try:
        importlib.import_module("insightface.model_zoo")
    except ImportError:
        return False
    return True


def find_model(folder: Path | None = None) -> Path | None:
    """The detector among the packs in `folder`, buffalo_l's before others, or None where there is none."""
    root = folder or _models_folder()
    for searched in (root / FAVOURITE_PACK, root):
        found = sorted(path for pattern in DETECTION_FILES for path in searched.rglob(pattern))
        if found:
            return found[0]
    return None


def _models_folder() -> Path:
    return Path(os.environ.get("INSIGHTFACE_HOME") or Path.home() / ".insightface") / "models"


def find_installed(path: str | Path | None = None) -> Path:
    """The file that `InsightFace(path)` loads; it raises what that raises where something is not installed."""
    if not is_importable():
        raise UserError(
            "The detector insightface needs the package of that name; "
            "install it with `pip install 'diffusers-hunyuan-portrait[insightface]'`."
        )
    given = Path(path) if path is not None else _models_folder()
    found = given if given.is_file() else find_model(given)
    if found is None:
        fetch = "python -c \"from insightface.app import FaceAnalysis; FaceAnalysis('buffalo_l')\""
        raise CheckpointError(
            f"There is no model pack of insightface in {given}; download one with `{fetch}` "
            "(insightface's models are for non-commercial research only)."
        )
    return found


def _load(path: Path, providers: list[str]) -> Any:
    from insightface.model_zoo import get_model
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        network = get_model(str(path), providers=providers)
    except (errors.InvalidProtobuf, errors.InvalidGraph, errors.InvalidArgument, errors.Fail) as error:
        raise CheckpointError(f"{path} is not an ONNX file that runs; download the model pack again.") from error
    if getattr(network, "taskname", None) != "detection" or not network.use_kps:
        raise CheckpointError(
            f"{path} is not a face detector with five points, such as det_10g.onnx of buffalo_l."
        )
    return network
