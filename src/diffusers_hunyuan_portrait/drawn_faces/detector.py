"""Finds faces in drawn pictures by knowing them: the exact truth through the detectors' interface."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..face import Face
from ..face.detection.interface import as_picture
from .identity import Identity
from .motion import Motion
from .portrait import draw, locate

THUMBNAIL = 16  # pixels a side
DRAWN_SIZE = 64  # pixels a side of the pictures that thumbnails are made of
LARGEST_DIFFERENCE = 6.0  # root of the mean square, of 255: compression makes 1, another picture 30
SQUARENESS = 0.05  # how far from square a picture may be


class DrawnFaceDetector:
    """Gives the exact face of each of the scenes that it was told of, and none for other pictures.

    A picture is known by its thumbnail, so that it may have been resized or lightly compressed. Where two scenes
    look the same, either may be given.

    Args:
        scenes: the identity and the motion of each picture.
    """

    name = "drawn"

    def __init__(self, scenes: Sequence[tuple[Identity, Motion]]) -> None:
        self.scenes = list(scenes)
        thumbnails = [_thumbnail(draw(identity, motion, DRAWN_SIZE)) for identity, motion in self.scenes]
        self.thumbnails = np.array(thumbnails, dtype=np.float32).reshape(-1, THUMBNAIL * THUMBNAIL * 3)
        self.squares = (self.thumbnails**2).mean(axis=1)  # (scenes,)

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """The face in `image`, (H, W, 3) uint8 RGB, if it is one of the scenes."""
        picture = as_picture(image)
        height, width = picture.shape[:2]
        if not self.scenes or abs(height - width) > SQUARENESS * max(height, width):
            return []
        seen = _thumbnail(picture)
        products = self.thumbnails @ seen / seen.size
        nearest = int(np.argmin(self.squares - 2 * products))
        if np.sqrt(((self.thumbnails[nearest] - seen) ** 2).mean()) > LARGEST_DIFFERENCE:
            return []
        face = locate(*self.scenes[nearest], size=1)
        scale = np.array([width, height])
        return [Face(face.box * np.tile(scale, 2), face.landmarks * scale, 1.0)]


def _thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(THUMBNAIL² · 3,) mean colours, 0 to 255."""
    small = cv2.resize(picture.astype(np.float32), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32).reshape(-1)
