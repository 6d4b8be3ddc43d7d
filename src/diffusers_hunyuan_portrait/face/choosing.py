"""Which of several faces is meant, by its size or its place."""

import os
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .detection.interface import Face, largest_face
from .pixels import Picture

Chooser: TypeAlias = Callable[[Sequence[Face], Picture], Face | None]

PLACES = ("largest", "left", "right", "centre")
# Of the surest face's score. The bundled detector gives people 0.97 or more, and other things mostly less.
SURE = 0.9
_POINT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*")


def choose_largest(faces: Sequence[Face], picture: Picture) -> Face | None:
    """The face whose box has the largest area (contract, "Face geometry")."""
    return largest_face(faces)


def check_choice(which: str) -> None:
    """Raise `UserError` where this names neither a place nor a file."""
    if is_place(which):
        chooser_of_place(which)


def names_place(which: str) -> bool:
    """Whether this can be a face's place; anything else can only be a path."""
    try:
        chooser_of_place(which)
    except UserError:
        return False
    return True


def is_place(which: str) -> bool:
    """Whether this is to name a face by its place: it does, or it is not the path of anything."""
    return which in PLACES or not os.path.exists(which)


def chooser_of_place(which: str) -> Chooser:
    """What chooses by place: "largest"; "left", "right" or "centre"; "2", counted from the left; or "320,180".

    But for the largest, faces that the detector is much less sure of than of another are passed over: they would
    be counted although nobody sees them.

    Raises:
        UserError: it is none of these.
    """
    if which == "largest":
        return choose_largest
    pick = _picker(which)
    return lambda faces, picture: pick(_sure(faces), picture)


def _picker(which: str) -> Chooser:
    if which == "left":
        return lambda faces, picture: min(faces, key=_across, default=None)
    if which == "right":
        return lambda faces, picture: max(faces, key=_across, default=None)
    if which == "centre":
        return lambda faces, picture: nearest_face(faces, np.array(picture.shape[1::-1]) / 2)
    if which.isdecimal() and int(which):
        number = int(which)
        return lambda faces, picture: counted_faces(faces)[number - 1] if len(faces) >= number else None
    point = _POINT.fullmatch(which)
    if point:
        place = np.array([float(number) for number in point.groups()])
        return lambda faces, picture: nearest_face(faces, place)
    raise UserError(
        f"There is no face {which!r}; choose {', '.join(PLACES)}, a number counted from the left, a point of the "
        "picture as X,Y in pixels, or a picture of the person."
    )


def counted_faces(faces: Sequence[Face]) -> list[Face]:
    """The faces that are counted, from left to right: those that the detector is not much less sure of."""
    return sorted(_sure(faces), key=_across)


def _sure(faces: Sequence[Face]) -> list[Face]:
    surest = max((face.score for face in faces), default=0)
    return [face for face in faces if face.score >= SURE * surest]


def nearest_face(faces: Sequence[Face], point: NDArray[np.float64]) -> Face | None:
    """The face whose box's centre is nearest to (x, y), or None where there is none."""
    return min(
        faces, key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - point)), default=None
    )


def _across(face: Face) -> float:
    """Where its centre is from left to right, doubled."""
    return float(face.box[0] + face.box[2])
