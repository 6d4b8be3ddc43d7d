"""From a portrait image to the crops that its appearance is read from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..errors import NoFaceError
from .choosing import Chooser, choose_largest, nearest_face
from .detection.closely import detect_closely
from .detection.interface import Detector, Face, as_picture, largest_face
from .geometry import Box, portrait_box
from .pixels import Picture, arcface_image, cut, dino_image, resize

SQUARE = 512  # pixels a side


@dataclass(frozen=True, eq=False)
class PortraitCrops:
    """What `crop_portrait` returns."""

    box: Box  # where the square lies in the original image: x1, y1, x2, y2 in pixels
    image: Picture  # (size, size, 3) uint8 RGB
    dino_image: torch.Tensor  # (1, 3, dino_size, dino_size), normalised by ImageNet's statistics
    arcface_image: NDArray[np.float32]  # (112, 112, 3) RGB in [0, 1]
    face: Face  # in the original image


def crop_portrait(
    image: Any,
    detector: Detector,
    size: int = SQUARE,
    dino_size: int = 224,
    *,
    choose: Chooser = choose_largest,
) -> PortraitCrops:
    """Cut the portrait square out of an image and prepare the pictures that its appearance is read from.

    The detector is asked twice: on the whole image for the box, and on the square for the points that the
    ArcFace picture is aligned by (contract, "Face geometry"). Where the second search finds nothing, the first
    one's points are carried over into the square. Where the whole image shows no face, or one is to be chosen of
    several, a large image is searched part by part too, so that small faces are found and counted.

    Args:
        image: (H, W, 3) uint8 RGB, or an RGB PIL image.
        detector: finds the faces.
        size: the side of the square, in pixels.
        dino_size: the side of the appearance network's picture, in pixels.
        choose: which of several faces is taken; that with the largest box by default.

    Raises:
        NoFaceError: where the image shows no face, or not the chosen one, or one that cannot be cut out or
            aligned.
        UserError: where the image is not an RGB picture.
    """
    picture = as_picture(image)
    height, width = picture.shape[:2]
    face = choose(find_faces(picture, detector, closely=choose is not choose_largest), picture)
    if face is None:
        raise NoFaceError("The portrait does not show the face that was chosen; choose another.")
    box = portrait_box(face.box, width, height)
    square = cut_portrait(picture, box, size, size)
    expected = carried_over(face, box, size)
    found = detector.detect(square)
    # Somebody beside the person chosen may be in the square too, and larger.
    again = largest_face(found) if choose is choose_largest else nearest_face(found, expected.mean(axis=0))
    landmarks = again.landmarks if again is not None else expected
    return PortraitCrops(box, square, dino_image(square, dino_size), arcface_image(square, landmarks), face)


def find_faces(picture: Picture, detector: Detector, *, closely: bool) -> list[Face]:
    """The faces of a portrait, (H, W, 3) uint8 RGB; a large one is searched part by part too where it shows none.

    Args:
        closely: search it so in any case, so that small faces are found beside large ones.

    Raises:
        NoFaceError: there is none.
    """
    faces = detector.detect(picture)
    if not faces or closely:
        faces = detect_closely(picture, detector, faces)
    if not faces:
        height, width = picture.shape[:2]
        raise NoFaceError(
            f"No face was found in the portrait of {width}×{height} pixels; use one that shows a face."
        )
    return faces


def cut_portrait(picture: Picture, box: Box, height: int, width: int) -> Picture:
    """What lies in the portrait box, (height, width, 3) uint8 RGB (contract, "Portrait").

    Each size is cut from the whole picture, so that no detail of it is lost on the way.
    """
    return resize(cut(picture, box), height, width, Image.Resampling.BICUBIC)


def carried_over(face: Face, box: Box, size: int) -> NDArray[np.float64]:
    """The face's points, (5, 2), in pixels of the square that `box` was resized to."""
    x1, y1, x2, y2 = box
    return (face.landmarks - [x1, y1]) * [size / (x2 - x1), size / (y2 - y1)]
