"""A driver's skeleton fitted to a portrait: moved, scaled, and without the eyes (paper, section 3.5)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...runs import runs_of
from ..geometry import Box
from .keypoints import BODY_EDGES, EYES, NOSE, Keypoints, found, moved, without


def fit_to_portrait(
    keypoints: Keypoints, portrait: Keypoints, box: Box, height: int, width: int, *, keep_eyes: bool = False
) -> Keypoints:
    """The driver's key points where the portrait's person would have them, in pixels of the portrait's square.

    They are moved by what the portrait's nose tip is away from the driver's, and scaled about it by what the
    portrait's skeleton is longer. Both are taken from the first frame that tells them, and hold for the whole
    clip, so that the driver's own movements stay. A skeleton's length is the sum over the edges that both show.

    Args:
        keypoints: (F, 134, 3), the driver's, in pixels of its clip.
        portrait: (134, 3), the portrait's, in pixels of its picture.
        box: of the square in that picture.
        height, width: of the square as it is made.
        keep_eyes: keep the eyes' points and edges, which change the shape of another person's face.

    Returns:
        (F, 134, 3).

    Raises:
        UserError: the portrait, or every frame, lacks the nose; or no edge is in both.
    """
    check_portrait(portrait)
    if not (keypoints[:, NOSE, 2] > 0).any():
        raise UserError(
            "DWPose finds the driver's nose in no frame, so no skeleton can be fitted; leave the pose out, or use "
            "another clip."
        )
    for frame in keypoints:
        edges = shared_edges(frame, portrait)
        driven, wanted = skeleton_length(frame, edges), skeleton_length(portrait, edges)
        if frame[NOSE, 2] > 0 and driven > 0 and wanted > 0:
            break
    else:
        raise UserError("Portrait and driver share no edge of their skeletons; use a portrait that shows more.")
    factor = wanted / driven
    offset = portrait[NOSE, :2].astype(np.float64) - factor * frame[NOSE, :2]
    # From the portrait's picture to its square, whose sides may differ.
    x1, y1, x2, y2 = box
    sides = np.array([width / (x2 - x1), height / (y2 - y1)])
    fitted = moved(keypoints, factor * sides, (offset - [x1, y1]) * sides)
    return fitted if keep_eyes else without(fitted, EYES)


def check_portrait(portrait: Keypoints) -> None:
    """Raise `UserError` where nothing can be fitted to a portrait with these key points, (134, 3)."""
    if not portrait[NOSE, 2] > 0:
        raise UserError(
            "DWPose finds no nose in the portrait, so no skeleton can be fitted to it; leave the pose out, or use "
            "another portrait."
        )


def shared_edges(one: Keypoints, other: Keypoints) -> list[tuple[int, int]]:
    """The body's edges whose ends are found in both skeletons, (134, 3) each."""
    there = found(one) & found(other)
    return [(a, b) for a, b in BODY_EDGES if there[a] and there[b]]


def skeleton_length(keypoints: Keypoints, edges: Sequence[tuple[int, int]]) -> float:
    """The length of these edges together, in pixels."""
    places = keypoints[:, :2].astype(np.float64)
    return float(sum(np.linalg.norm(places[a] - places[b]) for a, b in edges))


def ease_back(keypoints: Keypoints, held: Sequence[int], frames: int) -> None:
    """Lets held key points come back smoothly, in place, as `conditions.ease_back` does a held motion.

    Args:
        keypoints: (F, 134, 3), without padding. A point that is not found before and after stays as it is held.
        held: numbers of the frames that hold another's, rising.
        frames: that the way back takes.
    """
    for first, last in runs_of(held):
        if first == 0 or last + 1 == len(keypoints):
            continue
        start = max(first, last + 1 - frames)
        before, after = keypoints[start - 1].copy(), keypoints[last + 1]
        in_both: NDArray[np.bool_] = found(before) & found(after)
        for frame in range(start, last + 1):
            part = np.float32((frame - start + 1) / (last - start + 2))
            keypoints[frame, in_both] = (before + part * (after - before))[in_both]
