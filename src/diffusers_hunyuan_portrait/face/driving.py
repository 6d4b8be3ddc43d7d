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
from ..runs import runs_of
from .detection.batching import detect_each
from .detection.interface import Detector, Face
from .geometry import Box, face_square, portrait_box
from .pixels import Picture, cut, resize
from .skeletons import Keypoints, PoseEstimator
from .tracking import FaceTracker, Sighting, bridge, smooth, track

MOTION_SIZE = 256  # what the released expression and head-pose networks take
POSE_SIZE = 512  # the released program resizes the pose crop in two steps, by way of this size
# What each goes of its way to the face from frame to frame.
CROPS = {"first": 0.0, "follow": 0.1, "each": 1.0}


@dataclass(frozen=True, eq=False)
class DrivingFrame:
    """What the motion networks see of one driving frame."""

    face_crop: Picture  # (size, size, 3) uint8 RGB, from the eyebrows to below the mouth
    pose_crop: Picture  # (size, size, 3) uint8 RGB, the head at a place fixed for the whole clip
    landmarks: NDArray[np.float64]  # (5, 2) in the frame's pixels
    seen: bool  # False: the face is out of view, and the nearest seen frame stands in
    bridged: bool = False  # the face was not found, and cut out between where it was before and after
    keypoints: Keypoints | None = None  # (134, 3), the person's, in the frame's pixels, where they are looked for


@dataclass(frozen=True, eq=False)
class DrivingCrops:
    """Followed frames, of a clip or a chunk of it, as `encode_motion` takes them."""

    face_crops: torch.Tensor  # (frames, 3, size, size) in [0, 1]
    pose_crops: torch.Tensor  # (frames, 3, size, size) in [0, 1]
    landmarks: torch.Tensor  # (frames, 5, 2) in the frames' pixels
    lost_frames: list[int]  # those in which no face was found, counted from the first of these frames
    keypoints: torch.Tensor | None = None  # (frames, 134, 3) in the frames' pixels, where they are looked for


def follow_driving(
    frames: Iterable[Any],
    detector: Detector,
    size: int = MOTION_SIZE,
    *,
    tracker: FaceTracker | None = None,
    steady: bool = False,
    crop: str = "first",
    estimator: PoseEstimator | None = None,
) -> Iterator[DrivingFrame]:
    """Follow one face through a clip, one `DrivingFrame` a frame, keeping few frames in memory.

    The detector is asked once a frame, in order. The first face found fixes the pose crop's place and the size
    that face crops lean on (contract, "Pose crop" and "Face crop"). Where the face is missed for a few frames, it
    is cut out on the way from where it was before to where it is after. A frame in a longer gap repeats the last
    one with a face, so that the portrait holds its pose; frames before the first face repeat that one. They come
    out, with `seen` False, once it is found.

    Args:
        frames: (H, W, 3) uint8 RGB arrays, or RGB PIL images.
        detector: finds the faces.
        size: side of the square crops, in pixels.
        tracker: tells whose face is followed where there are several, a new one; that of the largest in the first
            frame with any by default.
        steady: smooth boxes and points over neighbouring frames. The released weights have seen them as found.
        crop: "first", the crops' place stays where the first face was; "follow", it goes with the head, slowly;
            or "each", it is each frame's own, so that crops do not tell where the head is.
        estimator: finds the person's key points, in each frame with the face; a frame without repeats those too.

    Raises:
        NoFaceError: at the end, where no frame shows the face.
        UserError: where there are no frames, or one is not an RGB picture, or there is no such `crop`.
    """
    check_crop(crop)
    sightings = bridge(track(detect_each(frames, detector), tracker or FaceTracker()))
    if steady:
        sightings = smooth(sightings)
    count = waiting = most_faces = 0
    anchor: _Anchor | None = None
    last: DrivingFrame | None = None
    for sighting in sightings:
        count += 1
        most_faces = max(most_faces, len(sighting.faces))
        if sighting.face is not None:
            if anchor is None:
                anchor = _Anchor.of(sighting.face, sighting.picture)
            elif CROPS[crop]:
                anchor = anchor.towards(sighting.face, sighting.picture, CROPS[crop])
            last = anchor.crop(sighting, sighting.face, size)
            if estimator is not None:
                last = replace(last, keypoints=estimator.estimate(sighting.picture, sighting.face))
        if last is None:
            waiting += 1
            continue
        held = replace(last, seen=False, bridged=False)
        for _ in range(waiting):
            yield held
        waiting = 0
        yield last if sighting.face is not None else held
    if count == 0:
        raise UserError("The driving clip has no frames; use one that has at least one.")
    if last is None and most_faces:
        raise NoFaceError(
            f"None of the {count} driving frames shows the face that was chosen, of at most {most_faces} in one; "
            "choose another."
        )
    if last is None:
        raise NoFaceError(f"No face was found in any of the {count} driving frames; use a clip that shows one.")


def check_crop(crop: str) -> None:
    """Raise `UserError` where there is no such way to crop."""
    if crop not in CROPS:
        raise UserError(f"There is no crop {crop!r}; choose one of {', '.join(CROPS)}.")


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
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs_of(frames))


class Gaps:
    """Frames of a clip in which the face was not found, as they come.

    Attributes:
        held: numbers of those that hold another's motion, counted from 0.
        bridged: numbers of those taken as between their neighbours.
    """

    def __init__(self) -> None:
        self.held: list[int] = []
        self.bridged: list[int] = []
        self._count = 0

    def note(self, number: int, frame: DrivingFrame) -> None:
        """Takes down the next frame."""
        self._count = number + 1
        if frame.bridged:
            self.bridged.append(number)
        elif not frame.seen:
            self.held.append(number)

    @property
    def report(self) -> str:
        """What a user is told of them; nothing where there are none."""
        said = []
        if self.held:
            said.append(
                f"The face is out of view in {len(self.held)} of {self._count} driving frames: "
                f"{name_ranges(self.held)} (counted from 0). The portrait holds the last motion seen there."
            )
        if self.bridged:
            said.append(
                f"It was missed in {len(self.bridged)}: {name_ranges(self.bridged)}, and taken as between its "
                "neighbours there."
                if said
                else f"The face was missed in {len(self.bridged)} of {self._count} driving frames: "
                f"{name_ranges(self.bridged)} (counted from 0). It was taken as between its neighbours there."
            )
        return " ".join(said)


@dataclass(frozen=True, eq=False)
class _Anchor:
    """Where the head is taken to be at rest: in the first face's place, or slowly going with it."""

    face_box: NDArray[np.float64]  # (4,)
    pose_box: Box

    @classmethod
    def of(cls, face: Face, picture: Picture) -> "_Anchor":
        return cls._at(face.box, picture)

    @classmethod
    def _at(cls, face_box: NDArray[np.float64], picture: Picture) -> "_Anchor":
        height, width = picture.shape[:2]
        return cls(face_box, portrait_box(face_box, width, height))

    def towards(self, face: Face, picture: Picture, share: float) -> "_Anchor":
        """One frame's way nearer to the face."""
        return self._at(self.face_box + share * (face.box - self.face_box), picture)

    def crop(self, sighting: Sighting, face: Face, size: int) -> DrivingFrame:
        picture = sighting.picture
        inner_face = cut(picture, face_square(face.landmarks, self.face_box))
        return DrivingFrame(
            face_crop=resize(inner_face, size, size, Image.Resampling.BILINEAR),
            pose_crop=head_crop(picture, self.pose_box, size),
            landmarks=face.landmarks,
            seen=True,
            bridged=sighting.bridged,
        )


def head_crop(picture: Picture, box: Box, size: int) -> Picture:
    """What a head's pose is read from, (size, size, 3) uint8 RGB: `box` of the picture (contract, "Pose crop")."""
    head = resize(cut(picture, box), POSE_SIZE, POSE_SIZE, Image.Resampling.BICUBIC)
    return resize(head, size, size, Image.Resampling.BILINEAR)


def _gather(followed: Sequence[DrivingFrame]) -> DrivingCrops:
    keypoints = [frame.keypoints for frame in followed if frame.keypoints is not None]
    return DrivingCrops(
        face_crops=_as_tensor([frame.face_crop for frame in followed]),
        pose_crops=_as_tensor([frame.pose_crop for frame in followed]),
        landmarks=torch.from_numpy(np.stack([frame.landmarks for frame in followed])).float(),
        lost_frames=[index for index, frame in enumerate(followed) if not frame.seen],
        keypoints=torch.from_numpy(np.stack(keypoints)) if keypoints else None,
    )


def _as_tensor(crops: list[Picture]) -> torch.Tensor:
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().contiguous() / 255
