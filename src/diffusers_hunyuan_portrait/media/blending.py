"""What a generated square is mixed into its picture by: masks about faces, tints from the border, gains.

All are functions of arrays. Ellipses are four numbers, the centre's x and y and half the width and height, in
parts of the square, so that they hold for it at any size. Colours are compared on squares that `shrink` has made
small: light and tints are smooth, and neither noise nor a slight shift of the picture changes them there.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from .pasting import BORDER, ramps

Ellipse = npt.NDArray[np.float64]  # (4,) x, y, half width, half height
Colours = npt.NDArray[np.float32]  # (rows, columns, 3), levels of 0 to 255
Sides = tuple[bool, bool, bool, bool]  # left, top, right, bottom

FADE = 1.5  # the mask about a face is gone at this many times its half width and height
GRID = 64  # cells a side, in which squares are compared
SMOOTHING_ROUNDS = 80  # at each size; what is left after them is below a tenth of a level
# Levels (root of the channels' mean square) in which portrait and picture differ where they show something else,
# such as another background, which must not tint a face. Half of it is taken over almost whole, twice it hardly.
OTHER = 40.0
SEAM = 0.5  # the mask's value at which the portrait's colours are met
GAINS = (2 / 3, 3 / 2)  # that colours are matched by at most
FLAT = 1.0  # levels of deviation, below which contrast tells nothing
# Levels by which a cell of the border may still differ once it is matched: what shows the same in another light
# does by a few, what shows something else by many.
SAME = 10.0
# The share of the border that shows the same, up to which nothing is matched, and from which on all is: shoulders
# before another background are enough.
LEAST_SAME, ENOUGH_SAME = 0.08, 0.2
# Levels (root of the channels' mean square) that a match may change the border's mean by, up to which it is taken
# for another light, and from which for another thing.
LIGHT, THING = 56.0, 84.0
FITTING_ROUNDS = 10


def face_mask(
    height: int, width: int, ellipses: Sequence[Ellipse], open_sides: Sides = (False,) * 4
) -> npt.NDArray[np.float32]:
    """How much of the new picture is seen in each pixel of the square: all inside any ellipse, less about it.

    Args:
        height, width: of the square, in pixels.
        ellipses: (4,) each, in parts of the square.
        open_sides: left, top, right, bottom: those at which the whole picture ends, too. At the others the mask
            fades out as the linear one does, so that a face at the border leaves no edge.

    Returns:
        (height, width), 0 to 1.
    """
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    old = np.ones((height, width), np.float32)  # what is left of the picture below
    for centre_x, centre_y, half_width, half_height in ellipses:
        across = ((x - centre_x) / half_width).astype(np.float32) ** 2
        down = ((y - centre_y) / half_height).astype(np.float32) ** 2
        outwards = np.clip((np.sqrt(down[:, None] + across) - 1) / (FADE - 1), 0, 1)
        old *= outwards**2 * (3 - 2 * outwards)
    left, top, right, bottom = (not side for side in open_sides)
    return (1 - old) * np.outer(ramps(height, top, bottom), ramps(width, left, right)).astype(np.float32)


def shrink(picture: npt.NDArray[np.uint8]) -> Colours:
    """The means of `GRID` × `GRID` cells of a square, (GRID, GRID, 3)."""
    small = cv2.resize(picture.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def border_tint(portrait: Colours, picture: Colours, mask: npt.NDArray[np.float32]) -> Colours:
    """What is to be added to the picture for its colours to run into the portrait's at the mask's seam.

    The guided interpolation of Pérez, Gangnet and Blake, "Poisson Image Editing", 2003, equation 7: the correction
    is the portrait less the picture on the seam and beyond it, and harmonic inside, so that the picture's
    gradients stay. On the seam a difference counts the less the more it is one of things and not of light, so that
    it never exceeds 0.57 · `OTHER` (as a root of the channels' mean square), nor, being harmonic, does the inside.

    Args:
        portrait, picture: the two squares, as `shrink` gives them.
        mask: (rows, columns) of any size, as `face_mask` gives it.

    Returns:
        (GRID, GRID, 3), in levels.
    """
    difference = portrait - picture
    difference /= 1 + (np.square(difference).mean(axis=2, keepdims=True) / OTHER**2) ** 2
    tint = np.zeros((1, 1, 3), np.float32)
    size = GRID // 8
    while size <= GRID:  # from coarse to fine, each begun with what the one before has found
        given = cv2.resize(difference, (size, size), interpolation=cv2.INTER_AREA)
        inside = (cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA) > SEAM)[..., None]
        tint = np.where(inside, _enlarged(tint, size, size), given)
        for _ in range(SMOOTHING_ROUNDS):
            # Beyond the square's own edge lies what is inside it: nothing is known there, so nothing flows.
            tint = np.where(inside, cv2.filter2D(tint, -1, _NEIGHBOURS, borderType=cv2.BORDER_REPLICATE), given)
        size *= 2
    return tint


def add_tint(picture: npt.NDArray[np.uint8], tint: Colours) -> npt.NDArray[np.uint8]:
    """The picture, (h, w, 3) uint8, with a tint of any size stretched over it."""
    return _as_bytes(picture + _enlarged(tint, *picture.shape[:2]))


def colour_match(portrait: Colours, picture: Colours) -> npt.NDArray[np.float64]:
    """The gain and the shift of each channel that bring the picture's border to the portrait's mean and contrast.

    The border is the tenth at each edge that the linear mask fades over. Its cells count by how near they come
    when they are matched (least squares, reweighted by Cauchy's weights), so that what was generated otherwise,
    such as another background, does not tint the face. Nothing is matched where nothing of the border is the same.
    Contrast counts as far as it goes along, by the square of the correlation.

    Args:
        portrait, picture: the two squares, as `shrink` gives them.

    Returns:
        (2, 3): new levels are gain · level + shift. Exactly 1 and 0 where the borders are equal.
    """
    fade = int(BORDER * GRID)
    ring = np.ones((GRID, GRID), bool)
    ring[fade:-fade, fade:-fade] = False
    wanted, given = portrait[ring].astype(np.float64), picture[ring].astype(np.float64)  # (cells, 3)
    starts = np.zeros(3), np.median(wanted - given, axis=0)  # a minority may agree as it is, or most when shifted
    share, gain, shift = max((_settle(wanted, given, start) for start in starts), key=lambda found: found[0])
    change = np.sqrt(np.square((gain - 1) * given.mean(axis=0) + shift).mean())
    trust = np.clip((share - LEAST_SAME) / (ENOUGH_SAME - LEAST_SAME), 0, 1)
    trust *= np.clip((THING - change) / (THING - LIGHT), 0, 1)
    return np.stack([1 + trust * (gain - 1), trust * shift])


def _settle(
    wanted: npt.NDArray[np.float64], given: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
) -> tuple[float, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The share of the cells (cells, 3) that agree, and the gain and shift, (3,) each, by which they do."""
    gain = np.ones(3)
    for _ in range(FITTING_ROUNDS):
        weight = 1 / (1 + np.square(gain * given + shift - wanted).mean(axis=1) / SAME**2)  # (cells,)
        gain, shift = _fit(wanted, given, weight / weight.sum())
    return float(weight.mean()), gain, shift


def _fit(
    wanted: npt.NDArray[np.float64], given: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gain and shift, (3,) each, from cells (cells, 3), whose weights sum to 1."""
    mean, mean_wanted = weight @ given, weight @ wanted
    from_mean, from_mean_wanted = given - mean, wanted - mean_wanted
    spread, spread_wanted = np.sqrt(weight @ from_mean**2), np.sqrt(weight @ from_mean_wanted**2)
    telling = np.minimum(spread, spread_wanted) > FLAT
    floor = np.maximum(spread, FLAT)
    correlation = (weight @ (from_mean * from_mean_wanted)) / (floor * np.maximum(spread_wanted, FLAT))
    gain = 1 + np.where(telling, correlation**2, 0) * (np.clip(spread_wanted / floor, *GAINS) - 1)
    return gain, (mean_wanted - mean) + (1 - gain) * mean


def recolour(picture: npt.NDArray[np.uint8], match: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """The picture, (h, w, 3) uint8, with each channel's gain and shift, (2, 3)."""
    gain, shift = match.astype(np.float32)
    return _as_bytes(picture * gain + shift)


_NEIGHBOURS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def _enlarged(field: Colours, height: int, width: int) -> Colours:
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _as_bytes(levels: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
