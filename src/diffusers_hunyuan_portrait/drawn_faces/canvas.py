"""Shapes with smooth edges and soft shading, drawn to a fraction of a pixel into an RGB picture."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (n, 2) as x, y in sides of the picture
Colour = NDArray[np.float64]  # (3,) RGB, 0 to 255
Pixels = NDArray[np.uint8]
Area = tuple[slice, slice]  # rows and columns of a canvas's pixels

# How finely a polygon's cover of a pixel is sampled. OpenCV smooths edges to a fraction of a sample along rows,
# but up and down they jump from one row of samples to the next.
_COLUMNS, _ROWS = 4, 8  # `_stencil` halves both twice, and then the rows once more
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

    def __init__(self, pixels: Pixels, side: int, corner: tuple[int, int] = (0, 0)) -> None:
        self.pixels = pixels
        self.side = side
        self.corner = corner
        self.scale = np.array([side * _PIXEL[0], side * _PIXEL[1]])

    def fill(self, colour: Colour, *polygons: Points) -> None:
        """Fills polygons; what lies inside two of them stays free, such as the inner one of a ring."""
        area, mask = self._stencil(*polygons)
        _paint(self.pixels[area], colour, mask)

    def part(self, *polygons: Points) -> "Part":
        """A copy of what lies about polygons, to draw what shall be seen through them alone: see `reveal`."""
        area, mask = self._stencil(*polygons)
        corner = self.corner[0] + area[1].start, self.corner[1] + area[0].start
        return Part(self.pixels[area].copy(), self.side, corner, area, mask)

    def reveal(self, part: "Part", opacity: float = 1) -> None:
        """Shows a `part` of this canvas inside its polygons."""
        if part.mask.size:
            _blend(self.pixels[part.area], part.pixels, part.mask, opacity)

    def shade(self, spot: Spot) -> None:
        """Lays a soft spot over the picture."""
        _shade(self.pixels, self.side, self.corner, spot)

    def fill_shaded(self, points: Points, colour: Colour, spots: Sequence[Spot]) -> None:
        """Fills a polygon with `colour` and, over it and in order, soft spots.

        The spots are laid on a coarser picture, which serves as well as they have no edges, and is faster.
        """
        area, mask = self._stencil(points)
        if not mask.size:
            return
        rows, columns = mask.shape
        coarse = _plain((-(-rows // _COARSENESS), -(-columns // _COARSENESS)), colour)
        corner = self.corner[0] + area[1].start, self.corner[1] + area[0].start
        for spot in spots:
            _shade(coarse, self.side / _COARSENESS, (corner[0] / _COARSENESS, corner[1] / _COARSENESS), spot)
        size = coarse.shape[1] * _COARSENESS, coarse.shape[0] * _COARSENESS
        shaded = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        _blend(self.pixels[area], shaded[:rows, :columns], mask)

    def _stencil(self, *polygons: Points) -> tuple[Area, Pixels]:
        """The pixels of this canvas about polygons, and how much of each they cover, 0 to 255."""
        places = [np.rint(points * self.scale).astype(np.int32) for points in polygons]
        x, y, width, height = cv2.boundingRect(places[0] if len(places) == 1 else np.concatenate(places))
        across, down = self.corner
        left, top = max(x // _PIXEL[0] - 1 - across, 0), max(y // _PIXEL[1] - 1 - down, 0)
        columns = max(min((x + width) // _PIXEL[0] + 2 - across, self.pixels.shape[1]) - left, 0)
        rows = max(min((y + height) // _PIXEL[1] + 2 - down, self.pixels.shape[0]) - top, 0)
        area = slice(top, top + rows), slice(left, left + columns)
        if not rows or not columns:
            return area, np.empty((rows, columns), dtype=np.uint8)
        samples = np.zeros((rows * _ROWS, columns * _COLUMNS), dtype=np.uint8)
        half = 1 << (_BITS - 1)  # OpenCV's whole coordinates are the samples' middles
        offset = -(across + left) * _PIXEL[0] - half, -(down + top) * _PIXEL[1] - half
        cv2.fillPoly(samples, places, 255, lineType=cv2.LINE_AA, shift=_BITS, offset=offset)
        # OpenCV halves pictures five times as fast as it shrinks them by other factors.
        for factor in (2, 1):
            size = columns * factor, rows * factor * 2
            samples = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
        pairs = samples.reshape(rows, 2 * columns)  # each row of pixels from two of samples
        mask = cv2.addWeighted(pairs[:, :columns], 0.5, pairs[:, columns:], 0.5, 0)
        return area, np.asarray(mask, dtype=np.uint8)


class Part(Canvas):
    """A copy of a part of a canvas, of which polygons shall be seen.

    Args:
        pixels, side, corner: as a canvas's.
        area: of the canvas that it is a part of.
        mask: (rows, columns), how much of each pixel the polygons cover, 0 to 255.
    """

    def __init__(self, pixels: Pixels, side: int, corner: tuple[int, int], area: Area, mask: Pixels) -> None:
        super().__init__(pixels, side, corner)
        self.area = area
        self.mask = mask

    def fill_all(self, colour: Colour) -> None:
        """Fills the polygons that shall be seen."""
        _paint(self.pixels, colour, self.mask)


def strokes(lines: Sequence[Points], widths: ArrayLike) -> NDArray[np.float64]:
    """The outlines of lines of n points each: (lines, 2n, 2).

    Args:
        lines: each (n, 2).
        widths: in sides of the picture; one, or one a point, or (lines, n).
    """
    line = np.array(lines).view(np.complex128)[..., 0]  # (lines, points)
    along = np.empty_like(line)
    along[:, 1:-1] = line[:, 2:] - line[:, :-2]
    along[:, 0], along[:, -1] = line[:, 1] - line[:, 0], line[:, -1] - line[:, -2]
    beside = along * (0.5j * np.asarray(widths) / (np.abs(along) + 1e-9))
    outlines = np.concatenate([line + beside, (line - beside)[:, ::-1]], axis=1)
    return outlines.view(np.float64).reshape(len(line), -1, 2)


def _shade(pixels: Pixels, side: float, corner: tuple[float, float], spot: Spot) -> None:
    """Lays a soft spot over a part of a picture; `side` and `corner` as a canvas's."""
    # Plain floats: on so few numbers they are many times as fast as arrays.
    (x, y), (right_x, right_y), (down_x, down_y) = (axis.tolist() for axis in spot[:3])
    x, y = x * side - corner[0], y * side - corner[1]
    reach_x, reach_y = side * math.hypot(right_x, down_x), side * math.hypot(right_y, down_y)  # to the bounds
    rows, columns = pixels.shape[:2]
    left, right = max(math.floor(x - reach_x), 0), min(math.ceil(x + reach_x), columns)
    top, bottom = max(math.floor(y - reach_y), 0), min(math.ceil(y + reach_y), rows)
    if right <= left or bottom <= top:
        return
    # From a pixel here to the blob's: back to the ellipse's own axes, each of which is ±1 long.
    factor = _BLOB_SIDE / 2 / side / (right_x * down_y - right_y * down_x)
    start_x, start_y, middle = left + 0.5 - x, top + 0.5 - y, _BLOB_SIDE / 2 - 0.5
    inverse = np.array(
        [
            [factor * down_y, -factor * down_x, factor * (down_y * start_x - down_x * start_y) + middle],
            [-factor * right_y, factor * right_x, factor * (right_x * start_y - right_y * start_x) + middle],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mask = np.asarray(cv2.warpAffine(_BLOB, inverse, (right - left, bottom - top), flags=flags), dtype=np.uint8)
    _paint(pixels[top:bottom, left:right], spot.colour, mask, spot.opacity)


def _plain(shape: tuple[int, ...], colour: Colour) -> Pixels:
    """(rows, columns, 3) of one colour."""
    pixels = np.empty((*shape, 3), dtype=np.uint8)
    cv2.rectangle(pixels, (0, 0), (shape[1], shape[0]), tuple(colour.tolist()), cv2.FILLED)
    return pixels


def _paint(below: Pixels, colour: Colour, mask: Pixels, opacity: float = 1) -> None:
    """Lays one colour over `below`, in place, as far as `mask` has it."""
    if mask.size:
        _blend(below, _plain(mask.shape, colour), mask, opacity)


def _blend(below: Pixels, above: Pixels, mask: Pixels, opacity: float = 1) -> None:
    """Lays `above` over `below`, in place, as far as `mask` has it."""
    weak = cv2.convertScaleAbs(mask, alpha=opacity) if opacity < 1 else mask
    weight = cv2.merge([weak, weak, weak])
    kept = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.add(cv2.multiply(above, weight, scale=1 / 255), kept, dst=below)


def _blob() -> Pixels:
    """A round spot that fades out smoothly: (1 - r²)², 0 from the inscribed circle on."""
    steps = (np.arange(_BLOB_SIDE) + 0.5) / _BLOB_SIDE * 2 - 1
    squares = np.minimum(steps**2 + steps[:, None] ** 2, 1)
    return (255 * (1 - squares) ** 2).round().astype(np.uint8)


_BLOB = _blob()
