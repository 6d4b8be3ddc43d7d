"""The faces that are found in a portrait and in a driving clip, framed and numbered for the page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..errors import NoFaceError
from ..face import Detector, Face, counted_faces, find_faces
from ..media import open_frames, read_image

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB

SIDE = 480  # pixels of the longer side
# Frames that are looked at one by one, and then every so many, up to so many looks.
CLOSELY, STRIDE, LOOKS = 10, 10, 60


def faces_of_portrait(path: Path, detector: Detector) -> tuple[Picture, list[Face]]:
    """The picture, and its faces from left to right.

    Raises:
        UserError: it cannot be read, or shows no face.
    """
    picture = read_image(path)
    return picture, counted_faces(find_faces(picture, detector, closely=True))


def faces_of_clip(path: Path, detector: Detector) -> tuple[Picture, list[Face]]:
    """The first frame with a face, of those that were looked at, and its faces from left to right.

    Raises:
        UserError: the clip cannot be read, or no face was found in it.
    """
    looks = 0
    for number, frame in enumerate(open_frames(path)):
        if number >= CLOSELY and number % STRIDE:
            continue
        looks += 1
        faces = counted_faces(detector.detect(frame))
        if faces:
            return np.asarray(frame), faces
        if looks == LOOKS:
            break
    raise NoFaceError(f"No face was found in {looks} frames of the driving clip; use a clip that shows one.")


def framed(picture: Picture, faces: Sequence[Face], name: str) -> str:
    """The picture with a frame and a number for each face, as HTML that says in words what it shows."""
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    scale = image.width / picture.shape[1]
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=22)
    for number, face in enumerate(faces, start=1):
        x1, y1, x2, y2 = (face.box * scale).tolist()
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline="black", width=4)  # seen on any background
        draw.rectangle((x1, y1, x2, y2), outline="white", width=2)
        if len(faces) > 1:
            draw.text((x1 + 5, y1 + 2), str(number), fill="white", font=font, stroke_width=3, stroke_fill="black")
    said = "One face was found" if len(faces) == 1 else f"{len(faces)} faces were found, numbered from the left"
    return (
        f'<figure class="faces"><img alt="{name}: {said.lower()}, framed." src="{as_data(image)}">'
        f"<figcaption>{said}.</figcaption></figure>"
    )


def as_data(image: Image.Image) -> str:
    """A picture as an address that holds it, so that no file of it lies anywhere."""
    file = io.BytesIO()
    image.save(file, "jpeg", quality=85)
    return jpeg_as_data(file.getvalue())


def jpeg_as_data(jpeg: bytes) -> str:
    """The same, of a picture that is JPEG."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def choices_of(faces: Sequence[Face]) -> list[tuple[str, str]]:
    """What may be chosen of them: as people read it, and as the options `portrait_face` and `driving_face` do."""
    numbers = range(1, len(faces) + 1)
    return [("the largest", "largest"), *((f"number {number}", str(number)) for number in numbers)]
