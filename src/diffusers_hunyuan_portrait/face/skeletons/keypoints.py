"""What a skeleton is: DWPose's 134 key points of a person, in OpenPose's order, and the edges between them."""

from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..detection.interface import Face
from ..pixels import Picture

# (K, 3) or (F, K, 3): x and y in pixels, and the score. A point that was not found is three zeros, and not drawn.
Keypoints = NDArray[np.float32]

BODY, FEET, FACE = slice(0, 18), slice(18, 24), slice(24, 92)
HANDS = (slice(92, 113), slice(113, 134))  # the person's left, the right
NOSE = 0
SCORE = 0.3  # below it a point counts as not found, as where DWPose's skeletons are drawn

# Neck to shoulders, arms, neck to hips, legs, neck to nose, nose to eyes and ears.
BODY_EDGES = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
# Of each hand, from the wrist along the five fingers.
HAND_EDGES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
EDGES = BODY_EDGES + tuple((hand.start + a, hand.start + b) for hand in HANDS for a, b in HAND_EDGES)
# The face's 68 points are drawn without edges; these are its parts: jaw, brows, nose, eyes and mouth.
FACE_PARTS = tuple(
    range(FACE.start + first, FACE.start + last)
    for first, last in ((0, 17), (17, 22), (22, 27), (27, 36), (36, 42), (42, 48), (48, 68))
)
EYES = (14, 15, *FACE_PARTS[4], *FACE_PARTS[5])


class PoseEstimator(Protocol):
    """Anything that finds a person's key points."""

    def estimate(self, picture: Picture, face: Face) -> Keypoints:
        """Those of the person with this face, (134, 3); all zeros where the person is not found.

        Args:
            picture: (H, W, 3) uint8 RGB.
            face: that was found in it.
        """
        ...


def found(keypoints: Keypoints) -> NDArray[np.bool_]:
    """Which points are there: (..., K, 3) to (..., K)."""
    return keypoints[..., 2] > 0


def without(keypoints: Keypoints, points: Collection[int]) -> Keypoints:
    """The same with these points not found."""
    kept = keypoints.copy()
    kept[..., np.array(list(points), dtype=int), :] = 0
    return kept


def moved(keypoints: Keypoints, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> Keypoints:
    """The points found, at `scale` (2,) times their place plus `offset` (2,)."""
    places = keypoints[..., :2] * scale + offset
    result = np.zeros_like(keypoints)
    result[..., :2] = np.where(found(keypoints)[..., None], places, 0)
    result[..., 2] = keypoints[..., 2]
    return result
