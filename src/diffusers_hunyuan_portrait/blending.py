"""How the animated square is mixed into its portrait, frame by frame: faces found, masks and colours steadied."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from . import face, media
from .errors import UserError

BLENDS = ("linear", "ellipse", "poisson")
DEFAULT_BLEND = "linear"
# Of the way from the last frame's colours to this one's own: what flickers for a frame is a quarter as strong, and
# a change of light in the portrait's surroundings is followed within half a second.
COLOUR_STEP = 0.25

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB


def check_blend(blend: str, match_colour: bool, *, crop_only: bool) -> None:
    """Sees that there is such a blend, and something to blend with.

    Raises:
        UserError: there is not.
    """
    if blend not in BLENDS:
        raise UserError(f"There is no blend {blend!r}; choose one of {', '.join(BLENDS)}.")
    if crop_only and (blend != DEFAULT_BLEND or match_colour):
        raise UserError(
            "The square alone is not blended with the portrait; leave out either --crop-only, or --blend and "
            "--match-colour."
        )


def paste_frames(
    pictures: Iterable[Picture],
    original: Picture,
    box: Sequence[int],
    *,
    detector: "face.Detector | str",
    blend: str = DEFAULT_BLEND,
    match_colour: bool = False,
    detect_every: int = 1,
) -> Iterator[Picture]:
    """Each picture in the whole portrait, (H, W, 3) uint8 RGB, in order; at most nine wait in memory.

    Args:
        pictures: generated squares, (h, w, 3) uint8 RGB.
        original: the portrait, (H, W, 3) uint8 RGB.
        box: x1, y1, x2, y2, where the squares go in it.
        detector: finds the faces, but for "linear", which asks for none; or its name.
        blend: "linear", the contract's mask, whose squares fade out at the border; "ellipse", a mask about the
            face, where it was in the portrait and where it is now; "poisson", the same, and the portrait's colours
            at the mask's seam run on into the picture, whose gradients stay.
        match_colour: bring each channel's mean and contrast to the portrait's, as the square's border has them.
        detect_every: frames from one full search for faces to the next.

    Raises:
        UserError: there is no such blend.
    """
    check_blend(blend, match_colour, crop_only=False)
    x1, y1, x2, y2 = (int(edge) for edge in box)
    height, width = original.shape[:2]
    ends_there = (x1 == 0, y1 == 0, x2 == width, y2 == height)
    there = media.shrink(original[y1:y2, x1:x2])
    match = tint = None
    for picture, ellipses in _with_ellipses(pictures, original, box, detector, blend, detect_every):
        if match_colour:
            match = _nearer(match, media.colour_match(there, media.shrink(picture)))
            picture = media.recolour(picture, match)
        if not ellipses:
            yield media.paste_back(original, picture, box)
            continue
        mask = media.face_mask(y2 - y1, x2 - x1, ellipses, ends_there)
        if blend == "poisson":
            tint = _nearer(tint, media.border_tint(there, media.shrink(picture), mask))
            picture = media.add_tint(picture, tint)
        yield media.paste_back(original, picture, box, mask)


def _with_ellipses(
    pictures: Iterable[Picture],
    original: Picture,
    box: Sequence[int],
    detector: "face.Detector | str",
    blend: str,
    detect_every: int,
) -> Iterator[tuple[Picture, list[npt.NDArray[np.float64]]]]:
    """Each picture with the ellipses that it is seen in, in parts of it; none for the linear mask."""
    if blend == "linear":
        yield from ((picture, []) for picture in pictures)
        return
    if isinstance(detector, str):
        detector = face.load_detector(detector)
    face_box = face.face_in_square(original, box, detector)
    # The portrait's own face is covered in every frame: beside one that has moved away it would be seen, too.
    own = face.outline_of(face_box)
    finder = face.FollowingDetector(detector, detect_every) if detect_every > 1 else detector
    for picture, outline in face.follow_outline(pictures, finder, face_box):
        yield picture, [own, outline]


def _nearer(last: npt.NDArray | None, now: npt.NDArray) -> npt.NDArray:
    return now if last is None else last + COLOUR_STEP * (now - last)
