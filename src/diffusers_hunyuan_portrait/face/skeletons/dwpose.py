"""DWPose's key points (Yang et al., arXiv 2307.15880), by rtmlib on DWPose's two ONNX files."""

import contextlib
import importlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import CheckpointError, UserError
from ...poses import NUM_KEYPOINTS
from ..detection.interface import Face, as_picture
from ..pixels import Picture
from .keypoints import SCORE, Keypoints

REPOSITORY = "yzd-v/DWPose"  # on the Hub
DETECTOR_FILE, POSE_FILE = "yolox_l.onnx", "dw-ll_ucoco_384.onnx"
VARIABLE = "HUNYUAN_PORTRAIT_DWPOSE"
DETECTOR_SIDE, CLASSES, PERSON = 640, 80, 0  # YOLOX's square, and what it tells apart
PERSON_SCORE, OVERLAP = 0.3, 0.45  # what DWPose takes for a person
POSE_SIZE = (288, 384)  # width and height of what a pose is read from
WHOLE_BODY = 133  # points of COCO-WholeBody; OpenPose's neck is made of two of them
# The points of a face that a skeleton has too, and their places in `Face.landmarks`: nose, image-left eye (the
# person's right) and image-right eye.
SHARED = ((0, 2), (14, 0), (15, 1))
REACH = 0.5  # of the face's side: how far the skeleton's face may be from it on average


class DWPose:
    """Runs DWPose on one person at a time, the one with a given face.

    Args:
        path: a folder that holds yolox_l.onnx and dw-ll_ucoco_384.onnx, or the latter itself, beside the former.
        device: a CUDA device has it run there if onnxruntime can; anything else means the CPU.

    Raises:
        UserError: where rtmlib is not installed.
        CheckpointError: where a file is missing, or is not what it should be.
    """

    name = "dwpose"

    def __init__(self, path: str | Path, device: str | torch.device | None = None) -> None:
        rtmlib = import_rtmlib()
        detector_file, pose_file = find_files(path)
        place = _place_of(torch.device(device or "cpu"))
        # "human" would keep what is none: rtmlib then takes the boxes of all classes.
        settings = {"det_mode": "multiclass", "score_thr": PERSON_SCORE, "nms_thr": OVERLAP}
        side = DETECTOR_SIDE
        self.detector = _load(rtmlib.YOLOX, detector_file, place, model_input_size=(side, side), **settings)
        _check(self.detector, detector_file, (side, side), [(-1, 5 + CLASSES)])
        self.network = _load(rtmlib.RTMPose, pose_file, place, model_input_size=POSE_SIZE, to_openpose=True)
        width, height = POSE_SIZE
        _check(self.network, pose_file, (height, width), [(WHOLE_BODY, 2 * width), (WHOLE_BODY, 2 * height)])

    def estimate(self, picture: Picture, face: Face) -> Keypoints:
        """The key points of the person with this face, (134, 3); all zeros where the person is not found.

        The pose is read in the boxes of people that hold the face, or where there are none in the whole picture,
        and that with the nearest face is taken.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: that was found in it.
        """
        picture = np.ascontiguousarray(as_picture(picture))
        boxes = [box for box in self._find_people(picture) if _holds(box, face)]
        # RTMPose's numbers for normalising are in the order RGB; an empty list stands for the whole picture.
        places, scores = self.network(picture, boxes)
        people = np.concatenate([places, scores[..., None]], axis=2).astype(np.float32)  # (people, 134, 3)
        people[~(people[..., 2] >= SCORE)] = 0
        distances = [_distance(person, face) for person in people]
        best = int(np.argmin(distances))
        return people[best] if distances[best] <= REACH else np.zeros((NUM_KEYPOINTS, 3), np.float32)

    def _find_people(self, picture: Picture) -> NDArray[np.float32]:
        """Their boxes, (people, 4)."""
        boxes, kinds = self.detector(np.ascontiguousarray(picture[:, :, ::-1]))  # YOLOX was trained in BGR
        return boxes[kinds == PERSON].reshape(-1, 4)


def import_rtmlib() -> Any:
    """The package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("rtmlib")
    except ImportError as error:
        raise UserError(
            "DWPose needs rtmlib; install it with `pip install 'diffusers-hunyuan-portrait[dwpose]'`."
        ) from error


def named_path(path: str | Path | None = None) -> Path | None:
    """Where the files are said to be: `path`, or what HUNYUAN_PORTRAIT_DWPOSE says; `None` where nothing is."""
    named = path or os.environ.get(VARIABLE)
    return Path(named) if named else None


def find_files(path: str | Path) -> tuple[Path, Path]:
    """The detector's and the pose network's file at `path`; raises what `DWPose` raises where one is missing."""
    path = Path(path)
    pose_file = path / POSE_FILE if path.is_dir() else path
    files = pose_file.with_name(DETECTOR_FILE), pose_file
    for file in files:
        if not file.is_file():
            raise CheckpointError(f"There is no file {file}; download it from {REPOSITORY} on the Hub.")
    return files


def _place_of(device: torch.device) -> str:
    """What rtmlib calls the device; the CPU where onnxruntime has no other."""
    import onnxruntime

    if device.type != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "cpu"
    return str(device)


def _load(kind: Any, file: Path, place: str, **settings: Any) -> Any:
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    failures = errors.InvalidProtobuf, errors.InvalidGraph, errors.InvalidArgument, errors.Fail
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
            return kind(str(file), backend="onnxruntime", device=place, **settings)
    except failures as error:
        raise CheckpointError(
            f"{file} is not an ONNX file that runs; download {file.name} from {REPOSITORY} on the Hub again."
        ) from error


def _check(tool: Any, file: Path, size: tuple[int, int], outputs: list[tuple[int, int]]) -> None:
    """Sees that a network takes pictures of a size and gives what is made use of; -1 is any length."""
    (taken, *more), given = tool.session.get_inputs(), tool.session.get_outputs()
    fits = not more and len(given) == len(outputs) and _fits(taken.shape[2:], size)
    if not fits or not all(_fits(one.shape[1:], shape) for one, shape in zip(given, outputs, strict=True)):
        raise CheckpointError(
            f"{file} is not {file.name} of {REPOSITORY}: it takes {taken.shape} and gives "
            f"{', '.join(str(one.shape) for one in given)}."
        )


def _fits(shape: Any, wanted: tuple[int, int]) -> bool:
    """Whether these lengths are as wanted; a file may leave them open, each by a word or all of them."""
    if not shape:
        return True
    return len(shape) == len(wanted) and all(
        length in (expected, None) or isinstance(length, str) or expected == -1
        for length, expected in zip(shape, wanted, strict=True)
    )


def _holds(box: NDArray[np.float32], face: Face) -> bool:
    """Whether the face's middle is in the box."""
    middle = (face.box[:2] + face.box[2:]) / 2
    return bool((box[:2] <= middle).all() and (middle <= box[2:]).all())


def _distance(person: Keypoints, face: Face) -> float:
    """How far a skeleton's nose and eyes are from the face's on average, in sides of the face's box."""
    away = [
        float(np.linalg.norm(person[point, :2] - face.landmarks[landmark]))
        for point, landmark in SHARED
        if person[point, 2] > 0
    ]
    return sum(away) / len(away) / max(face.area, 1) ** 0.5 if away else np.inf
