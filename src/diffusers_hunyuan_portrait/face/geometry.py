"""Where to cut and how to align: the numbers of the contract's "Face geometry", free of pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import NoFaceError

Box = tuple[int, int, int, int]  # x1, y1, x2, y2

PORTRAIT_MARGIN = 1.0  # of the face's width or height, on each side
FACE_CROP_PULL = 0.45  # how far each side of the points' rectangle moves towards the face box

# Where ArcFace's training put the five points in its 112×112 pictures.
ARCFACE_SIZE = 112
ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def portrait_box(face_box: NDArray[np.float64], width: int, height: int) -> Box:
    """The square of a picture of `width` × `height` that shows a face with its surroundings.

    Contract, "Portrait box": the face box grown by its own size on each side and clipped to the picture; in it
    the largest square, as near to the face's centre as it fits. The four numbers are rounded one by one, so
    that the box can be a pixel off square, as the released weights' program has it.

    Args:
        face_box: (4,) x1, y1, x2, y2 in pixels.

    Raises:
        NoFaceError: where nothing of the surroundings lies inside the picture.
    """
    x1, y1, x2, y2 = face_box.tolist()
    margin_x, margin_y = PORTRAIT_MARGIN * (x2 - x1), PORTRAIT_MARGIN * (y2 - y1)
    left, right = max(x1 - margin_x, 0), min(x2 + margin_x, width)
    top, bottom = max(y1 - margin_y, 0), min(y2 + margin_y, height)
    side = min(right - left, bottom - top)
    centre_x = _nearest_centre(left, right, side, (x1 + x2) / 2)
    centre_y = _nearest_centre(top, bottom, side, (y1 + y2) / 2)
    half = side / 2
    box = (round(centre_x - half), round(centre_y - half), round(centre_x + half), round(centre_y + half))
    if box[2] <= box[0] or box[3] <= box[1]:
        raise NoFaceError(
            f"The face found at {face_box.round(1).tolist()} lies outside the {width}×{height} picture or is "
            "smaller than a pixel; use a picture that shows the face."
        )
    return box


def _nearest_centre(low: float, high: float, side: float, wanted: float) -> float:
    """The centre nearest to `wanted` of a stretch of length `side` inside [low, high]."""
    middle, slack = (low + high) / 2, max(high - low - side, 0) / 2
    return middle + min(max(wanted - middle, -slack), slack)


def face_square(landmarks: NDArray[np.float64], anchor_box: NDArray[np.float64]) -> Box:
    """The square from the eyebrows to below the mouth, which may reach over the picture's edge.

    Contract, "Face crop": the bounding rectangle of `landmarks` (5, 2), each side moved towards the same side of
    `anchor_box` (4,), the face box of the first driving frame; the square about its centre.
    """
    points = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    x1, y1, x2, y2 = (points + FACE_CROP_PULL * (anchor_box - points)).tolist()
    # int() cuts towards zero, also left of or above the picture; rounding would be the expected thing.
    half = max(int(max(x2 - x1, y2 - y1)) // 2, 1)
    x, y = int((x1 + x2) / 2), int((y1 + y2) / 2)
    return x - half, y - half, x + half, y + half


@dataclass(frozen=True)
class Similarity:
    """A rotation, scaling and shift of the plane: z ↦ factor·z + shift with the point (x, y) as z = x + iy."""

    factor: complex
    shift: complex

    def inverse(self, points: NDArray[np.complex128]) -> NDArray[np.complex128]:
        """Where the transform takes `points` from."""
        return (points - self.shift) / self.factor


def fit_similarity(points: NDArray[np.float64], targets: NDArray[np.float64]) -> Similarity:
    """The similarity that takes `points` (n, 2) to `targets` (n, 2) with the least sum of squared distances.

    Contract, "ArcFace image": over all points, no outlier is left out. In complex numbers it is the regression
    line of the targets on the points.

    Raises:
        NoFaceError: where all points coincide.
    """
    source, target = points @ [1, 1j], targets @ [1, 1j]  # (n,) complex
    spread = source - source.mean()
    variance = np.vdot(spread, spread).real
    if variance == 0:
        raise NoFaceError(f"The detector put all points of the face on {points[0].tolist()}; use another picture.")
    factor = complex(np.vdot(spread, target - target.mean()) / variance)
    return Similarity(factor, complex(target.mean() - factor * source.mean()))
