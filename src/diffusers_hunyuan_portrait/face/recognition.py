"""Telling whether a face is a certain person's, by the network that reads the portrait's identity."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import NoFaceError
from .choosing import Chooser
from .detection.interface import Detector, Face, largest_face
from .geometry import portrait_box
from .pixels import Picture, arcface_image
from .portrait import SQUARE, carried_over, cut_portrait

# Of two faces' vectors the least cosine with which they are taken for one person's. ArcFace has strangers about 0,
# and one person in pictures of all kinds mostly above it.
SAME_PERSON = 0.28

# An aligned face, (112, 112, 3) RGB in [0, 1], to a vector of unit norm, (1, size).
IdNetwork: TypeAlias = Callable[[NDArray[np.float32]], torch.Tensor]


class Person:
    """One person, known by one picture of the face; the network is run only where somebody is compared.

    Args:
        picture: (H, W, 3) uint8 RGB.
        face: the person's in it.
        network: reads the identity.
    """

    def __init__(self, picture: Picture, face: Face, network: IdNetwork) -> None:
        self._network, self._aligned = network, _aligned(picture, face)

    @classmethod
    def in_picture(cls, picture: Picture, detector: Detector, network: IdNetwork) -> "Person":
        """The person with the largest face in `picture`.

        Raises:
            NoFaceError: the picture shows no face.
        """
        face = largest_face(detector.detect(picture))
        if face is None:
            raise NoFaceError("No face was found in the picture of the person to choose; use one that shows it.")
        return cls(picture, face, network)

    @cached_property
    def _vector(self) -> torch.Tensor:
        return self._network(self._aligned)

    def likeness(self, picture: Picture, face: Face) -> float:
        """The cosine of the two faces' vectors, from -1 to 1."""
        return float((self._vector * self._network(_aligned(picture, face))).sum())

    def is_shown(self, picture: Picture, face: Face) -> bool:
        """Whether the face is the person's, as far as the network can tell."""
        return self.likeness(picture, face) >= SAME_PERSON


def chooser_of_person(person: Person) -> Chooser:
    """What chooses the face that is most like the person, and none where nobody is."""

    def choose(faces: Sequence[Face], picture: Picture) -> Face | None:
        like = [(person.likeness(picture, face), index) for index, face in enumerate(faces)]
        most, index = max(like)
        return faces[index] if most >= SAME_PERSON else None

    return choose


def _aligned(picture: Picture, face: Face) -> NDArray[np.float32]:
    """As the portrait's is made: by way of the square about the face."""
    height, width = picture.shape[:2]
    box = portrait_box(face.box, width, height)
    return arcface_image(cut_portrait(picture, box, SQUARE, SQUARE), carried_over(face, box, SQUARE))
