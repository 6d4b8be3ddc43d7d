"""Small faces of large pictures: parts of the picture are searched at their own size."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ..pixels import Picture
from .interface import Detector, Face
from .suppression import suppress_overlaps

# Detectors make a larger picture smaller before they look, so that faces of less than 1/32 of it are lost.
PART = 1024  # pixels a side
SHARED = 256  # pixels that neighbouring parts have in common: the largest face that none sees whole
SAME_FACE = 0.5  # of the smaller of two boxes that they share


def detect_closely(picture: Picture, detector: Detector, seen: Sequence[Face]) -> list[Face]:
    """All faces of a picture, those too that the detector has not seen in the whole of it.

    A large picture takes a search for each 768×768 pixels, others none.

    Args:
        picture: (H, W, 3) uint8 RGB.
        detector: finds the faces.
        seen: what it has found in the whole.
    """
    faces = list(seen)
    height, width = picture.shape[:2]
    if max(height, width) <= PART:
        return faces
    for (left, right), (top, bottom) in itertools.product(_parts(width), _parts(height)):
        corner = np.array([left, top], dtype=np.float64)
        part = np.ascontiguousarray(picture[top:bottom, left:right])
        for face in detector.detect(part):
            if _is_inside(face, (right - left, bottom - top), (left, top, width - right, height - bottom)):
                faces.append(Face(face.box + np.tile(corner, 2), face.landmarks + corner, face.score))
    if not faces:
        return []
    boxes, scores = np.stack([face.box for face in faces]), np.array([face.score for face in faces])
    return [faces[index] for index in suppress_overlaps(boxes, scores, SAME_FACE, "smaller")]


def _parts(length: int) -> Iterator[tuple[int, int]]:
    """From and to, along one side; the last ends with it."""
    step = PART - SHARED
    for start in range(0, max(length - SHARED, 1), step):
        end = min(start + PART, length)
        yield max(end - PART, 0), end


def _is_inside(face: Face, size: tuple[int, int], beyond: tuple[int, int, int, int]) -> bool:
    """Whether no edge of the part cuts the face where the picture goes on, as then another part has the whole."""
    x1, y1, x2, y2 = face.box
    margins = x1, y1, size[0] - x2, size[1] - y2
    return all(margin > 0 or not more for margin, more in zip(margins, beyond, strict=True))
