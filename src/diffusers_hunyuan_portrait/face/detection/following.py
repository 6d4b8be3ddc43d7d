"""Following faces from frame to frame, and looking for new ones only now and then."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ..pixels import cut
from .interface import Detector, Face, as_picture, largest_face

# A detector that cannot follow by itself is shown this many times the last box, at no more than so many pixels.
REGION, REGION_SIDE = 2.0, 320


class FollowingDetector:
    """Asks a detector for all faces every few frames, and follows the faces it found through those between.

    It is for one clip, whose frames it is given in order. Where a face is lost, the detector is asked at once.

    Args:
        detector: what finds faces. One with a method `follow(image, faces) -> list[Face]` is asked by it; any
            other is shown the region about the largest face.
        every: frames from one full search to the next; 1 searches every frame.

    Raises:
        UserError: `every` is below 1.
    """

    def __init__(self, detector: Detector, every: int):
        if every < 1:
            raise UserError(f"Faces cannot be detected every {every} frames; use at least 1.")
        self.detector, self.every = detector, every
        self.name = getattr(detector, "name", type(detector).__name__)
        self._faces: list[Face] = []
        self._age = 0  # frames since the last full search

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """The faces in the next frame, (H, W, 3) uint8 RGB."""
        picture = as_picture(image)
        followed: list[Face] = []
        if self._faces and self._age + 1 < self.every:
            followed = self._follow(picture)
        if followed:
            self._faces, self._age = followed, self._age + 1
        else:
            self._faces, self._age = self.detector.detect(picture), 0
        return self._faces

    def _follow(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The same faces in the next frame; none where one of them cannot be found."""
        detector: Any = self.detector
        if not hasattr(detector, "follow"):
            return self._look_near(picture)
        followed = detector.follow(picture, self._faces)
        return followed if len(followed) == len(self._faces) else []

    def _look_near(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The largest face, looked for about its last place."""
        last = largest_face(self._faces)
        assert last is not None
        (x1, y1, x2, y2), half = last.box, REGION * np.max(last.box[2:] - last.box[:2]) / 2
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        left, top = np.floor(centre - half).astype(int).tolist()
        right, bottom = np.ceil(centre + half).astype(int).tolist()
        region = cut(picture, (left, top, right, bottom))
        factor = min(REGION_SIDE / (right - left), 1)
        side = max(round((right - left) * factor), 1)
        seen = np.asarray(cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        face = largest_face(self.detector.detect(seen))
        if face is None:
            return []
        scale, corner = (right - left) / side, np.array([left, top])
        return [Face(face.box * scale + np.tile(corner, 2), face.landmarks * scale + corner, face.score)]
