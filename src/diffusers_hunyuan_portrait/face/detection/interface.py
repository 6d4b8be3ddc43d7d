"""What a face is to this package, and what anything that finds faces must offer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import UserError


@dataclass(frozen=True, eq=False)
class Face:
    """One face found in a picture, in that picture's pixels.

    Args:
        box: (4,) x1, y1, x2, y2; it may reach over the picture's edge.
        landmarks: (5, 2) as x, y: image-left eye, image-right eye, nose tip, image-left mouth corner,
            image-right mouth corner (contract, "Face geometry").
        score: the detector's confidence, 0 to 1.

    Raises:
        ValueError: where a shape is another one or a coordinate is not a finite number.
    """

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float

    def __init__(self, box: ArrayLike, landmarks: ArrayLike, score: float) -> None:
        object.__setattr__(self, "box", _coordinates("box", box, (4,)))
        object.__setattr__(self, "landmarks", _coordinates("landmarks", landmarks, (5, 2)))
        object.__setattr__(self, "score", float(score))

    @property
    def area(self) -> float:
        """Width times height of the box, in square pixels."""
        x1, y1, x2, y2 = self.box.tolist()
        return (x2 - x1) * (y2 - y1)


class Detector(Protocol):
    """Anything that finds faces in a picture."""

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Find the faces in `image`, (H, W, 3) uint8 RGB; an empty list where there is none."""
        ...


def largest_face(faces: Sequence[Face]) -> Face | None:
    """The face whose box has the largest area (contract, "Face geometry"), or None where there is none."""
    return max(faces, key=lambda face: face.area, default=None)


def as_picture(image: Any) -> NDArray[np.uint8]:
    """`image` (an array or an RGB PIL image) as (H, W, 3) uint8.

    Raises:
        UserError: where it has another shape or type.
    """
    picture = np.asarray(image)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise UserError(
            f"A picture must be an RGB array of shape (height, width, 3) and type uint8, "
            f"but this one has shape {picture.shape} and type {picture.dtype}; convert it first."
        )
    return picture


def _coordinates(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"A face's {name} must be finite numbers of shape {shape}, not {values!r}.")
    return array
