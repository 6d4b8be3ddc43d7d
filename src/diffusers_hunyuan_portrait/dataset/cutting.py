"""From frames to clips: where a film is cut, which of its frames are refused, and the square around the face."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnreadableMediaError, UserError
from ..face import Detector, Face, FaceTracker, cut_portrait
from ..face.detection.batching import detect_each
from ..face.geometry import Box, portrait_box
from ..face.pixels import Picture
from ..face.skeletons import Keypoints, PoseEstimator, moved
from ..face.tracking import Sighting, bridge, track
from .clip import Clip

# Of the face's side; what is smaller is somebody far behind, or a hand that a detector takes for a face
# (the bundled one does in 3 frames of 120 of a clip with one face, at a quarter of its side).
SECOND_FACE = 1 / 3
# Frames in a row. What a detector misses once it has most likely overlooked; in more, nobody may be there.
LONGEST_MISSED = 2


@dataclass(frozen=True)
class Rules:
    """What a clip must be.

    Args:
        size: the square's side, in pixels.
        min_frames, max_frames: a shorter piece is refused, a longer one divided.
        min_face: the least height and width of the face's box in the film, in pixels.

    Raises:
        UserError: a number is out of range.
    """

    size: int = 512
    min_frames: int = 25
    max_frames: int = 100
    min_face: int = 100

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 8:
            raise UserError(f"The clips' size must be a multiple of 8, at least 16, not {self.size}.")
        if not 1 <= self.min_frames <= self.max_frames:
            raise UserError(
                f"A clip's least frames must be at least 1 and at most its most, not {self.min_frames} and "
                f"{self.max_frames}."
            )
        if self.min_face < 1:
            raise UserError(f"The smallest face must be at least 1 pixel, not {self.min_face}.")


@dataclass(frozen=True)
class Refusal:
    """Frames of a film that no clip was made of."""

    start: int  # the first of them, counted from 0
    count: int
    reason: str  # one of few, to be counted
    detail: str = ""

    def longer(self) -> "Refusal":
        """The same with one frame more."""
        return replace(self, count=self.count + 1)


def make_clip(
    frames: Sequence[Picture] | NDArray[np.uint8],
    detector: Detector,
    size: int,
    frame_rate: float,
    source: Mapping[str, Any] | None = None,
) -> Clip:
    """A clip of frames that are in memory: all of them, with the one face that each must show.

    The square is the first face's portrait box (contract, "Portrait box"), for the whole clip. The detector is
    asked once a frame, in order.

    Args:
        frames: (F, H, W, 3) uint8 RGB.
        size: the square's side, in pixels.
        frame_rate: frames a second.
        source: what the frames came from; the box is noted with it.

    Raises:
        UserError: there is no frame, or one shows no face, or several, or the face has left the square.
    """
    piece: _Piece | None = None
    for index, sighting in enumerate(_followed(frames, detector)):
        picture, face = sighting.picture, choose_face(sighting)
        if isinstance(face, str):
            raise UserError(f"Frame {index} makes no clip ({face}); give frames that show one face each.")
        piece = piece or _Piece(0, Square.around(face, picture, size))
        if not piece.square.holds(face):
            raise UserError(f"The face leaves the square in frame {index}; give the frames before it.")
        piece.add(picture, face, {})
    if piece is None:
        raise UserError("There are no frames to make a clip of.")
    return piece.clip(frame_rate, source or {})


def cut_film(
    frames: Iterable[Picture],
    detector: Detector,
    rules: Rules,
    frame_rate: float,
    styles: Mapping[str, Iterable[Picture]] | None = None,
    estimator: PoseEstimator | None = None,
) -> Iterator[Clip | Refusal]:
    """The clips in a film and what was refused, in the film's order; one clip at a time is in memory.

    A clip goes on until a cut in the film, a frame that is refused, a face that leaves the square that was set up
    around it in the clip's first frame, or `max_frames`. The detector is asked once a frame, in order, so that it
    may be one that follows a face. A clip's `source` says its `first_frame` and the `box` of its square.

    Args:
        frames: (H, W, 3) uint8 RGB.
        frame_rate: frames a second.
        styles: by name, the same film's frames in another style, as many and of the same size.
        estimator: finds the person's key points, in the whole film's picture as in a driving clip's.
    """
    copies = dict(styles or {})
    piece: _Piece | None = None
    refusal: Refusal | None = None
    damage: UnreadableMediaError | None = None
    number = -1
    try:
        followed = _followed(frames, detector)
        for number, (sighting, *styled) in enumerate(zip(followed, *copies.values(), strict=False)):
            picture, face = sighting.picture, choose_face(sighting, rules.min_face)
            if piece is not None and (ending := piece.why_over(face, sighting.is_cut, rules.max_frames)):
                yield piece.finish(rules.min_frames, frame_rate, ending)
                piece = None
            if refusal is not None and refusal.reason != face:
                yield refusal
                refusal = None
            if isinstance(face, str):
                refusal = Refusal(number, 1, face) if refusal is None else refusal.longer()
            else:
                piece = piece or _Piece(number, Square.around(face, picture, rules.size))
                piece.add(picture, face, dict(zip(copies, styled, strict=True)), estimator)
    except UnreadableMediaError as error:
        damage = error  # what came before it is good
    if piece is not None:
        yield piece.finish(rules.min_frames, frame_rate, "the film's end")
    if refusal is not None:
        yield refusal
    if damage is not None:
        yield Refusal(number + 1, 0, "unreadable", str(damage))


def _followed(frames: Iterable[Picture], detector: Detector) -> Iterator[Sighting]:
    """One person's face in each frame, as a driving clip's is followed."""
    return bridge(track(detect_each(frames, detector), FaceTracker()), LONGEST_MISSED)


def choose_face(sighting: Sighting, min_face: int = 1) -> Face | str:
    """The face in a frame if a clip can be made around it; or, in a few words, why none can.

    Args:
        min_face: the least side of its box, in pixels.
    """
    face, picture = sighting.face, sighting.picture
    if face is None:
        return "no face"
    if sum(_side(other) > SECOND_FACE * _side(face) for other in sighting.faces) > 1:
        return "several faces"
    if not _all_inside(face.landmarks, picture.shape[1], picture.shape[0]):
        return "face over the picture's edge"
    return face if _side(face) >= min_face else "face too small"


def _side(face: Face) -> float:
    x1, y1, x2, y2 = face.box.tolist()
    return min(x2 - x1, y2 - y1)


@dataclass(frozen=True)
class Square:
    """The part of a film's pictures that a clip shows, and the size that it is shown at."""

    box: Box
    size: int

    @classmethod
    def around(cls, face: Face, picture: Picture, size: int) -> "Square":
        """The square of a clip that begins with this face."""
        height, width = picture.shape[:2]
        return cls(portrait_box(face.box, width, height), size)

    def carry(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 2) of the film's picture in pixels of the square."""
        x1, y1, x2, y2 = self.box
        return (points - [x1, y1]) * [self.size / (x2 - x1), self.size / (y2 - y1)]

    def carry_keypoints(self, keypoints: Keypoints) -> Keypoints:
        """Key points (134, 3) of the film's picture, in the same pixels."""
        x1, y1, x2, y2 = self.box
        scale = np.array([self.size / (x2 - x1), self.size / (y2 - y1)])
        return moved(keypoints, scale, -scale * [x1, y1])

    def holds(self, face: Face) -> bool:
        """Whether all five points of the face lie in the square."""
        return _all_inside(self.carry(face.landmarks), self.size, self.size)


@dataclass
class _Piece:
    """A clip in the making."""

    start: int  # its first frame in the film
    square: Square
    frames: list[Picture] = field(default_factory=list)
    landmarks: list[NDArray[np.float64]] = field(default_factory=list)
    face_boxes: list[NDArray[np.float64]] = field(default_factory=list)
    keypoints: list[Keypoints] = field(default_factory=list)
    styles: dict[str, list[Picture]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def add(
        self, picture: Picture, face: Face, styled: Mapping[str, Picture], estimator: PoseEstimator | None = None
    ) -> None:
        box, size = self.square.box, self.square.size
        self.frames.append(cut_portrait(picture, box, size, size))
        self.landmarks.append(self.square.carry(face.landmarks))
        self.face_boxes.append(self.square.carry(face.box.reshape(2, 2)).reshape(4))
        if estimator is not None:
            self.keypoints.append(self.square.carry_keypoints(estimator.estimate(picture, face)))
        for name, copy in styled.items():
            self.styles.setdefault(name, []).append(cut_portrait(copy, box, size, size))

    def why_over(self, face: Face | str, is_cut: bool, max_frames: int) -> str | None:
        """What ends the clip before a frame with this face, or none for this reason; None where it goes on."""
        if is_cut:
            return "a cut in the film"
        if isinstance(face, str):
            return face
        if not self.square.holds(face):
            return "the face leaving its square"
        return "the most that a clip may have" if len(self) == max_frames else None

    def finish(self, min_frames: int, frame_rate: float, ending: str) -> Clip | Refusal:
        """The clip, or why it is none; `ending` says what ended it."""
        if len(self) < min_frames:
            return Refusal(self.start, len(self), "too short", f"{len(self)} frames up to {ending}")
        return self.clip(frame_rate, {"first_frame": self.start})

    def clip(self, frame_rate: float, source: Mapping[str, Any]) -> Clip:
        return Clip(
            frames=np.stack(self.frames),
            landmarks=np.stack(self.landmarks),
            face_boxes=np.stack(self.face_boxes),
            frame_rate=frame_rate,
            source={**source, "box": list(self.square.box)},
            keypoints=np.stack(self.keypoints) if self.keypoints else None,
            styles={name: np.stack(copy) for name, copy in self.styles.items()},
        )


def _all_inside(points: NDArray[np.float64], width: int, height: int) -> bool:
    return bool((points >= 0).all() and (points < [width, height]).all())
