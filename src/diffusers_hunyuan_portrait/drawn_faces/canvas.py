"""Shapes with smooth edges and soft shading, drawn to a fraction of a pixel into an RGB picture."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (n, 2) as x, y in sides of the picture
Colour = NDArray[np.float64]  # (3,) RGB, 0 to 255
Bounds = tuple[int, int, int, int]  # left, top, right, bottom in a canvas's pixels

# How finely a polygon's cover of a pixel is sampled. OpenCV smooths edges to a fraction of a sample along rows,
# but up and down they jump from one row of samples to the next.
_COLUMNS, _ROWS = 4, 8
_BITS = 4  # of a sample's fraction, in the coordinates that OpenCV takes
_PIXEL = (_COLUMNS << _BITS, _ROWS << _BITS)  # the fractions of a sample that a pixel has
_BLOB_SIDE = 64
_COARSENESS = 2  # pixels for each pixel of soft shading, each way


class Spot(NamedTuple):
    """A soft spot of colour: an ellipse that fades out towards its edge."""

    centre: NDArray[np.float64]  # (2,) in sides of the picture, as its half axes
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    colour: Colour
    opacity: float  # in its middle, 0 to 1


class Canvas:
    """A square picture, or a part of one, that is drawn upon.

    Args:
        pixels: (rows, columns, 3) uint8, changed in place.
        side: of the whole picture, in pixels.
        corner: how many of them are left of the part and above it.
    """

    def __init__(self, pixels: NDArray[np.uint8], side: float, corner: tuple[float, float] = (0, 0)) -> None:
        self.pixels = pixels
        self.side = side
        self.corner = corner
        self.scale = np.array([side * _PIXEL[0], side * _PIXEL[1]])
        self.shift = np.array([corner[0] * _PIXEL[0], corner[1] * _PIXEL[1]])

    def fill(self, colour: Colour, *polygons: Points) -> None:
        """Fills polygons; what lies inside two of them stays free, such as the inner one of a ring."""
        places = [self._places(points) for points in polygons]
        left, top, right, bottom = bounds = self._bounds(*places)
        if right > left and bottom > top:
            paint = _plain((bottom - top, right - left), colour)
            _blend(self.pixels[top:bottom, left:right], paint, _cover(bounds, *places))

    def part(self, points: Points) -> "Canvas":
        """A copy of what lies about a polygon, to draw what shall be seen through it alone: see `reveal`."""
        left, top, right, bottom = self._bounds(self._places(points))
        corner = self.corner[0] + left, self.corner[1] + top
        return Canvas(self.pixels[top:bottom, left:right].copy(), self.side, corner)

    def reveal(self, part: "Canvas", points: Points, opacity: float = 1) -> None:
        """Shows `part`, made by `part(points)`, inside the polygon."""
        places = self._places(points)
        left, top, right, bottom = bounds = self._bounds(places)
        if right > left and bottom > top:
            _blend(self.pixels[top:bottom, left:right], part.pixels, _cover(bounds, places), opacity)

    def shade(self, spot: Spot) -> None:
        """Lays a soft spot over the picture."""
        (x, y), (right_x, right_y), (down_x, down_y) = spot.centre, spot.right, spot.down
        reach_x, reach_y = math.hypot(right_x, down_x), math.hypot(right_y, down_y)  # to the bounding box's sides
        corners = np.array([(x - reach_x, y - reach_y), (x + reach_x, y + reach_y)])
        left, top, end, bottom = self._bounds(self._places(corners))
        if end == left or bottom == top:
            return
        # From a pixel of this part to the blob's: back to the ellipse's own axes, each of which is ±1 long.
        factor = _BLOB_SIDE / 2 / self.side / (right_x * down_y - right_y * down_x)
        inverse = np.array([[down_y, -down_x, 0], [-right_y, right_x, 0]]) * factor
        start_x, start_y = self.corner[0] + left + 0.5 - x * self.side, self.corner[1] + top + 0.5 - y * self.side
        inverse[:, 2] = inverse[:, 0] * start_x + inverse[:, 1] * start_y + _BLOB_SIDE / 2 - 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = np.asarray(cv2.warpAffine(_BLOB, inverse, (end - left, bottom - top), flags=flags), dtype=np.uint8)
        _blend(self.pixels[top:bottom, left:end], _plain(mask.shape, spot.colour), mask, spot.opacity)

    def fill_shaded(self, points: Points, colour: Colour, spots: Sequence[Spot]) -> None:
        """Fills a polygon with `colour` and, over it and in order, soft spots.

        The spots are laid on a coarser picture, which serves as well as they have no edges, and is faster.
        """
        part = self.part(points)
        rows, columns = part.pixels.shape[:2]
        if not rows or not columns:
            return
        corner = part.corner[0] / _COARSENESS, part.corner[1] / _COARSENESS
        plain = _plain((-(-rows // _COARSENESS), -(-columns // _COARSENESS)), colour)
        coarse = Canvas(plain, self.side / _COARSENESS, corner)
        for spot in spots:
            coarse.shade(spot)
        size = plain.shape[1] * _COARSENESS, plain.shape[0] * _COARSENESS
        shaded = np.asarray(cv2.resize(plain, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        part.pixels = shaded[:rows, :columns]
        self.reveal(part, points)

    def _places(self, points: Points) -> NDArray[np.int32]:
        """Points in fractions of this canvas's samples, from its corner."""
        return np.rint(points * self.scale - self.shift).astype(np.int32)

    def _bounds(self, *places: NDArray[np.int32]) -> Bounds:
        """The pixels that `places` enclose, and one more on each side, as far as they are on the canvas."""
        rows, columns = self.pixels.shape[:2]
        x, y, width, height = cv2.boundingRect(places[0] if len(places) == 1 else np.concatenate(places))
        left, right = max(x // _PIXEL[0] - 1, 0), min((x + width) // _PIXEL[0] + 2, columns)
        top, bottom = max(y // _PIXEL[1] - 1, 0), min((y + height) // _PIXEL[1] + 2, rows)
        return left, top, max(right, left), max(bottom, top)


def stroke(points: Points, widths: ArrayLike) -> Points:
    """The outline of a line along `points`, of `widths` (one, or one a point) in sides of the picture."""
    line = np.ascontiguousarray(points).view(np.complex128)[:, 0]
    along = np.empty_like(line)
    along[1:-1] = line[2:] - line[:-2]
    along[0], along[-1] = line[1] - line[0], line[-1] - line[-2]
    beside = along * (0.5j * np.asarray(widths) / (np.abs(along) + 1e-9))
    return np.concatenate([line + beside, (line - beside)[::-1]]).view(np.float64).reshape(-1, 2)


def _cover(bounds: Bounds, *places: NDArray[np.int32]) -> NDArray[np.uint8]:
    """How much of each pixel inside `bounds` polygons cover: (rows, columns), 0 to 255."""
    left, top, right, bottom = bounds
    samples = np.zeros(((bottom - top) * _ROWS, (right - left) * _COLUMNS), dtype=np.uint8)
    half = 1 << (_BITS - 1)  # OpenCV's whole coordinates are the samples' middles
    offset = -left * _PIXEL[0] - half, -top * _PIXEL[1] - half
    cv2.fillPoly(samples, places, 255, lineType=cv2.LINE_AA, shift=_BITS, offset=offset)
    size = right - left, bottom - top
    return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _plain(shape: tuple[int, ...], colour: Colour) -> NDArray[np.uint8]:
    """(rows, columns, 3) of one colour."""
    pixels = np.empty((*shape, 3), dtype=np.uint8)
    cv2.rectangle(pixels, (0, 0), (shape[1], shape[0]), tuple(colour.tolist()), cv2.FILLED)
    return pixels


def _blend(
    below: NDArray[np.uint8], above: NDArray[np.uint8], mask: NDArray[np.uint8], opacity: float = 1
) -> None:
    """Lays `above` over `below`, in place, as far as `mask` has it."""
    weak = np.asarray(cv2.convertScaleAbs(mask, alpha=opacity)) if opacity < 1 else mask
    weight = cv2.merge([weak, weak, weak])
    kept = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.add(cv2.multiply(above, weight, scale=1 / 255), kept, dst=below)


def _blob() -> NDArray[np.uint8]:
    """A round spot that fades out smoothly: (1 - r²)², 0 from the inscribed circle on."""
    steps = (np.arange(_BLOB_SIDE) + 0.5) / _BLOB_SIDE * 2 - 1
    squares = np.minimum(steps**2 + steps[:, None] ** 2, 1)
    return (255 * (1 - squares) ** 2).round().astype(np.uint8)


_BLOB = _blob()
