"""From a driving clip's frames to the crops and points that its motion is read from."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..errors import NoFaceError, UserError
from .detection.batching import detect_each
from .detection.interface import Detector, Face, largest_face
from .geometry import Box, face_square, portrait_box
from .pixels import Picture, cut, resize

MOTION_SIZE = 256  # what the released expression and head-pose networks take
POSE_SIZE = 512  # the released program resizes the pose crop in two steps, by way of this size


@dataclass(frozen=True, eq=False)
class DrivingFrame:
    """What the motion networks see of one driving frame."""

    face_crop: Picture  # (size, size, 3) uint8 RGB, from the eyebrows to below the mouth
    pose_crop: Picture  # (size, size, 3) uint8 RGB, the head at a place fixed for the whole clip
    landmarks: NDArray[np.float64]  # (5, 2) in the frame's pixels
    seen: bool  # False: no face was found, and the nearest seen frame stands in


@dataclass(frozen=True, eq=False)
class DrivingCrops:
    """Followed frames, of a clip or a chunk of it, as `encode_motion` takes them."""

    face_crops: torch.Tensor  # (frames, 3, size, size) in [0, 1]
    pose_crops: torch.Tensor  # (frames, 3, size, size) in [0, 1]
    landmarks: torch.Tensor  # (frames, 5, 2) in the frames' pixels
    lost_frames: list[int]  # those in which no face was found, counted from the first of these frames


def follow_driving(frames: Iterable[Any], detector: Detector, size: int = MOTION_SIZE) -> Iterator[DrivingFrame]:
    """Follow the face through a clip, one `DrivingFrame` a frame, keeping one batch of frames in memory.

    The detector is asked once a frame, in order; the face with the largest box is taken. The first face found
    fixes the pose crop's place and the size that face crops lean on (contract, "Pose crop" and "Face crop"). A
    frame without a face repeats the last one with a face, so that the portrait holds its pose; frames before
    the first face repeat that one. They come out, with `seen` False, once it is found.

    Args:
        frames: (H, W, 3) uint8 RGB arrays, or RGB PIL images.
        detector: finds the faces.
        size: side of the square crops, in pixels.

    Raises:
        NoFaceError: at the end, where no frame shows a face.
        UserError: where there are no frames, or one is not an RGB picture.
    """
    count = waiting = 0
    anchor: _Anchor | None = None
    last: DrivingFrame | None = None
    for picture, faces in detect_each(frames, detector):
        count += 1
        face = largest_face(faces)
        if face is not None:
            anchor = anchor or _Anchor.of(face, picture)
            last = anchor.crop(picture, face, size)
        if last is None:
            waiting += 1
            continue
        held = replace(last, seen=False)
        for _ in range(waiting):
            yield held
        waiting = 0
        yield last if face is not None else held
    if count == 0:
        raise UserError("The driving clip has no frames; use one that has at least one.")
    if last is None:
        raise NoFaceError(f"No face was found in any of the {count} driving frames; use a clip that shows one.")


def crop_driving(frames: Iterable[Any], detector: Detector) -> DrivingCrops:
    """All of a clip's crops and points at once: `follow_driving`, gathered (1.6 MB a frame).

    Args and raises are those of `follow_driving`.
    """
    return _gather(list(follow_driving(frames, detector)))


def gather_chunks(followed: Iterable[DrivingFrame], chunk_size: int) -> Iterator[DrivingCrops]:
    """Followed frames, `chunk_size` at a time, the last chunk with what is left; keeps one chunk in memory."""
    followed = iter(followed)
    while chunk := list(itertools.islice(followed, chunk_size)):
        yield _gather(chunk)


def name_ranges(frames: Sequence[int]) -> str:
    """Rising frame numbers as a sentence names them: [3, 4, 5, 9] as "3-5, 9"."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


@dataclass(frozen=True, eq=False)
class _Anchor:
    """What the first face found fixes for the rest of the clip."""

    face_box: NDArray[np.float64]  # (4,)
    pose_box: Box

    @classmethod
    def of(cls, face: Face, picture: Picture) -> "_Anchor":
        height, width = picture.shape[:2]
        return cls(face.box, portrait_box(face.box, width, height))

    def crop(self, picture: Picture, face: Face, size: int) -> DrivingFrame:
        head = resize(cut(picture, self.pose_box), POSE_SIZE, POSE_SIZE, Image.Resampling.BICUBIC)
        inner_face = cut(picture, face_square(face.landmarks, self.face_box))
        return DrivingFrame(
            face_crop=resize(inner_face, size, size, Image.Resampling.BILINEAR),
            pose_crop=resize(head, size, size, Image.Resampling.BILINEAR),
            landmarks=face.landmarks,
            seen=True,
        )


def _gather(followed: Sequence[DrivingFrame]) -> DrivingCrops:
    return DrivingCrops(
        face_crops=_as_tensor([frame.face_crop for frame in followed]),
        pose_crops=_as_tensor([frame.pose_crop for frame in followed]),
        landmarks=torch.from_numpy(np.stack([frame.landmarks for frame in followed])).float(),
        lost_frames=[index for index, frame in enumerate(followed) if not frame.seen],
    )


def _as_tensor(crops: list[Picture]) -> torch.Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().contiguous() / 255
