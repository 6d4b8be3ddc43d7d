"""Where a face is in the pictures that were made of it: an ellipse about it, followed and steadied."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import NoFaceError
from .choosing import nearest_face
from .detection.batching import detect_each
from .detection.interface import Detector, Face
from .geometry import PORTRAIT_MARGIN, portrait_box
from .pixels import Picture, cut
from .tracking import FaceTracker, bridge, track

# Half the ellipse's width and height and how far it is raised, in parts of the box. A detector's box goes from ear
# to ear and from the brow to the chin; the head, which moves with the face, is somewhat larger, mostly upwards.
HALF_WIDTH, HALF_HEIGHT, RAISED = 0.64, 0.74, 0.08
# Where no detector finds the portrait's face: in the middle of the box that was grown by so much on each side.
ASSUMED_FACE = np.array([PORTRAIT_MARGIN, PORTRAIT_MARGIN, 1 + PORTRAIT_MARGIN, 1 + PORTRAIT_MARGIN]) / (
    1 + 2 * PORTRAIT_MARGIN
)
STEADIED = 9  # frames about each that its ellipse is a weighted mean of; 0.36 s at 25 a second


def face_in_square(picture: Picture, box: Sequence[int], detector: Detector) -> NDArray[np.float64]:
    """The box of the face that the square `box` was cut out for, (4,) x1, y1, x2, y2 in parts of the square.

    Of several faces it is the one whose own portrait box is the nearest to this.

    Args:
        picture: the whole portrait, (H, W, 3) uint8 RGB.
        box: x1, y1, x2, y2 in its pixels.
        detector: finds the faces.
    """
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (int(edge) for edge in box)
    corner, size = np.tile([x1, y1], 2), np.tile([x2 - x1, y2 - y1], 2)

    def off(face: Face) -> float:
        inside = np.clip(face.box + corner, 0, [width, height, width, height])  # a box may lie beyond the edge
        try:
            return float(np.abs(np.subtract(portrait_box(inside, width, height), (x1, y1, x2, y2))).sum())
        except NoFaceError:  # nothing of it is in the picture
            return np.inf

    square = np.ascontiguousarray(cut(picture, (x1, y1, x2, y2)))
    face = min((face for face in detector.detect(square) if face.area > 1), key=off, default=None)
    return ASSUMED_FACE if face is None else face.box / size


def outline_of(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ellipse about a face's box: (4,) x, y, half width, half height, in the box's unit."""
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return np.array(
        [(x1 + x2) / 2, (y1 + y2) / 2 - RAISED * height, HALF_WIDTH * width, HALF_HEIGHT * height],
        dtype=np.float64,
    )


def follow_outline(
    pictures: Iterable[Picture], detector: Detector, face_box: NDArray[np.float64]
) -> Iterator[tuple[Picture, NDArray[np.float64]]]:
    """Each picture with the ellipse about the face in it, (4,) in parts of the picture.

    Where the face is missed for a few frames, it is taken as on the way between; in a longer gap the ellipse stays
    where it was. It is the mean over the frames about each, weighted by a Hann window: so it does not lag behind,
    and goes smoothly where the face is found again elsewhere. Nine pictures at most wait in memory.

    Args:
        pictures: (H, W, 3) uint8 RGB, made from one portrait.
        detector: finds the faces; asked once a picture, in order.
        face_box: (4,) in parts of the picture, where the face is in the portrait. It is the one followed, and what
            the ellipse is about until a face is found there.
    """

    def choose(faces: Sequence[Face], picture: Picture) -> Face | None:
        place = face_box * np.tile(picture.shape[1::-1], 2)
        face = nearest_face(faces, (place[:2] + place[2:]) / 2)
        if face is None:
            return None
        x, y = (face.box[:2] + face.box[2:]) / 2
        return face if place[0] <= x <= place[2] and place[1] <= y <= place[3] else None

    half = STEADIED // 2
    weights = np.hanning(STEADIED + 2)[1:-1]
    outlines: deque[NDArray[np.float64]] = deque(maxlen=STEADIED)  # about the first waiting picture
    waiting: deque[Picture] = deque()
    past = 0  # how many of them are of pictures that have gone out

    def next_out() -> tuple[Picture, NDArray[np.float64]]:
        nonlocal past
        weight = weights[half - past : half - past + len(outlines)]
        steady = weight @ np.stack(outlines) / weight.sum()
        if past == half:
            outlines.popleft()
        else:
            past += 1
        return waiting.popleft(), steady

    last = outline_of(face_box)
    for sighting in bridge(track(detect_each(pictures, detector), FaceTracker(choose))):
        if sighting.face is not None and sighting.face.area > 1:
            last = outline_of(sighting.face.box / np.tile(sighting.picture.shape[1::-1], 2))
        outlines.append(last)
        waiting.append(sighting.picture)
        if len(waiting) > half:
            yield next_out()
    while waiting:
        yield next_out()
