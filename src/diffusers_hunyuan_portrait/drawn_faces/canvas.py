"""Shapes with smooth edges and soft shading, drawn to a fraction of a pixel into an RGB picture."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (n, 2) as x, y in sides of the picture
Colour = NDArray[np.float64]  # (3,) RGB, 0 to 255

OVERSAMPLING = 2  # pixels drawn for each of the picture's, each way
_BITS = 6  # of a pixel's fraction, in the coordinates that OpenCV takes
_BLOB_SIDE = 64
_COARSENESS = 4  # pixels drawn for each pixel of soft shading, each way


class Spot(NamedTuple):
    """A soft spot of colour: an ellipse that fades out towards its edge."""

    centre: NDArray[np.float64]  # (2,) in sides of the picture, as its half axes
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    colour: Colour
    opacity: float  # in its middle, 0 to 1


def _blob() -> NDArray[np.uint8]:
    """A round spot that fades out smoothly: (1 - r²)², 0 from the inscribed circle on."""
    steps = (np.arange(_BLOB_SIDE) + 0.5) / _BLOB_SIDE * 2 - 1
    squares = np.minimum(steps**2 + steps[:, None] ** 2, 1)
    return (255 * (1 - squares) ** 2).round().astype(np.uint8)


_BLOB = _blob()


class Canvas:
    """A part of a square picture that is drawn upon.

    Args:
        pixels: (rows, columns, 3) uint8, changed in place.
        side: of the whole picture, in pixels as drawn.
        corner: the first column and row of the part.
    """

    def __init__(self, pixels: NDArray[np.uint8], side: float, corner: tuple[float, float] = (0, 0)) -> None:
        self.pixels = pixels
        self.side = side
        self.corner = corner

    def fill(self, points: Points, colour: Colour) -> None:
        """Fills a polygon."""
        self._polygon(self.pixels, points, tuple(colour.tolist()))

    def stroke(self, points: Points, widths: ArrayLike, colour: Colour) -> None:
        """Draws a line along `points`, of `widths` (one, or one a point) in sides of the picture."""
        along = np.empty_like(points)
        along[1:-1] = points[2:] - points[:-2]
        along[0], along[-1] = points[1] - points[0], points[-1] - points[-2]
        lengths = np.sqrt(along[:, 0] ** 2 + along[:, 1] ** 2) + 1e-9
        offsets = along[:, ::-1] * (np.asarray(widths) / 2 / lengths)[:, None] * [-1, 1]
        self.fill(np.concatenate([points + offsets, (points - offsets)[::-1]]), colour)

    def part(self, points: Points) -> "Canvas":
        """A copy of what lies about a polygon, to draw what shall be seen through it alone: see `reveal`."""
        left, top, right, bottom = self._bounds(points)
        return Canvas(self.pixels[top:bottom, left:right].copy(), self.side, self._corner_of(left, top))

    def reveal(self, part: "Canvas", points: Points, opacity: float = 1) -> None:
        """Shows `part`, made by `part(points)`, inside the polygon."""
        left, top, right, bottom = self._bounds(points)
        if right > left and bottom > top:
            _blend(self.pixels[top:bottom, left:right], part.pixels, part.mask(points), opacity)

    def mask(self, points: Points) -> NDArray[np.uint8]:
        """(rows, columns): 255 inside a polygon, 0 outside."""
        mask = np.zeros(self.pixels.shape[:2], dtype=np.uint8)
        self._polygon(mask, points, 255)
        return mask

    def shade(self, spot: Spot) -> None:
        """Lays a soft spot over the picture."""
        (x, y), (right_x, right_y), (down_x, down_y) = spot.centre, spot.right, spot.down
        reach_x, reach_y = (
            math.hypot(right_x, down_x),
            math.hypot(right_y, down_y),
        )  # to the ellipse's bounding box
        corners = np.array([(x - reach_x, y - reach_y), (x + reach_x, y + reach_y)])
        left, top, end, bottom = self._bounds(corners)
        if end == left or bottom == top:
            return
        # From a pixel of this part to the blob's: back to the ellipse's own axes, each of which is ±1 long.
        factor = _BLOB_SIDE / 2 / self.side / (right_x * down_y - right_y * down_x)
        inverse = np.array([[down_y, -down_x, 0], [-right_y, right_x, 0]]) * factor
        start_x, start_y = self.corner[0] + left + 0.5 - x * self.side, self.corner[1] + top + 0.5 - y * self.side
        inverse[:, 2] = inverse[:, 0] * start_x + inverse[:, 1] * start_y + _BLOB_SIDE / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = np.asarray(cv2.warpAffine(_BLOB, inverse, (end - left, bottom - top), flags=flags))
        below = self.pixels[top:bottom, left:end]
        _blend(below, _plain(below.shape[:2], spot.colour), mask, spot.opacity)

    def fill_shaded(self, points: Points, colour: Colour, spots: Sequence[Spot]) -> None:
        """Fills a polygon with `colour` and, over it and in order, soft spots.

        The spots are laid on a coarser picture, which serves as well as they have no edges, and is faster.
        """
        left, top, right, bottom = self._bounds(points)
        columns, rows = -(-(right - left) // _COARSENESS), -(-(bottom - top) // _COARSENESS)
        if not columns or not rows:
            return
        corner = (self.corner[0] + left) / _COARSENESS, (self.corner[1] + top) / _COARSENESS
        coarse = Canvas(_plain((rows, columns), colour), self.side / _COARSENESS, corner)
        for spot in spots:
            coarse.shade(spot)
        size = (columns * _COARSENESS, rows * _COARSENESS)
        shaded = np.asarray(cv2.resize(coarse.pixels, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        part = self.part(points)
        part.pixels = shaded[: bottom - top, : right - left]
        self.reveal(part, points)

    def shrunk(self) -> NDArray[np.uint8]:
        """The finished picture: each pixel the mean of those drawn for it."""
        size = self.pixels.shape[0] // OVERSAMPLING
        return np.asarray(cv2.resize(self.pixels, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _bounds(self, points: Points) -> tuple[int, int, int, int]:
        """The pixels of this part that `points` enclose, and one more on each side: left, top, right, bottom."""
        rows, columns = self.pixels.shape[:2]
        x1, y1 = points.min(axis=0).tolist()
        x2, y2 = points.max(axis=0).tolist()
        side, (column, row) = self.side, self.corner
        left, top = max(math.floor(x1 * side - column) - 1, 0), max(math.floor(y1 * side - row) - 1, 0)
        right, bottom = min(math.ceil(x2 * side - column) + 1, columns), min(math.ceil(y2 * side - row) + 1, rows)
        return left, top, max(right, left), max(bottom, top)

    def _corner_of(self, left: int, top: int) -> tuple[float, float]:
        return self.corner[0] + left, self.corner[1] + top

    def _polygon(self, pixels: NDArray[np.uint8], points: Points, colour: Any) -> None:
        # OpenCV's whole coordinates are the pixels' middles.
        fine = 1 << _BITS
        column, row = self.corner
        places = points * (self.side * fine) - ((column + 0.5) * fine, (row + 0.5) * fine)
        cv2.fillPoly(pixels, [np.rint(places).astype(np.int32)], colour, lineType=cv2.LINE_AA, shift=_BITS)


def _plain(shape: tuple[int, ...], colour: Colour) -> NDArray[np.uint8]:
    """(rows, columns, 3) of one colour."""
    pixels = np.empty((*shape, 3), dtype=np.uint8)
    cv2.rectangle(pixels, (0, 0), (shape[1], shape[0]), tuple(colour.tolist()), cv2.FILLED)
    return pixels


def _blend(
    below: NDArray[np.uint8], above: NDArray[np.uint8], mask: NDArray[np.uint8], opacity: float = 1
) -> None:
    """Lays `above` over `below`, in place, as far as `mask` has it."""
    mask = np.asarray(cv2.convertScaleAbs(mask, alpha=opacity)) if opacity < 1 else mask
    weight = cv2.merge([mask, mask, mask])
    kept = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.add(cv2.multiply(above, weight, scale=1 / 255), kept, dst=below)
