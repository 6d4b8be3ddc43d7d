"""Shapes with smooth edges and soft shading, drawn to a fraction of a pixel into an RGB picture."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (n, 2) as x, y in sides of the picture
Colour = NDArray[np.float64]  # (3,) RGB, 0 to 255

OVERSAMPLING = 2  # pixels drawn for each of the picture's, each way
_BITS = 6  # of a pixel's fraction, in the coordinates that OpenCV takes
_BLOB_SIDE = 64


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

    def __init__(self, pixels: NDArray[np.uint8], side: int, corner: tuple[int, int] = (0, 0)) -> None:
        self.pixels = pixels
        self.side = side
        self.corner = corner

    def fill(self, points: Points, colour: Colour) -> None:
        """Fills a polygon."""
        self._polygon(self.pixels, points, self.corner, tuple(colour.tolist()))

    def stroke(self, points: Points, widths: ArrayLike, colour: Colour) -> None:
        """Draws a line along `points`, of `widths` (one, or one a point) in sides of the picture."""
        along = np.gradient(points, axis=0)
        normals = np.stack([-along[:, 1], along[:, 0]], axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        offsets = normals * np.broadcast_to(np.asarray(widths) / 2, len(points))[:, None]
        self.fill(np.concatenate([points + offsets, (points - offsets)[::-1]]), colour)

    def part(self, points: Points) -> "Canvas":
        """A copy of what lies about a polygon, to draw what shall be seen through it alone: see `reveal`."""
        left, top, right, bottom = self._bounds(points)
        return Canvas(self.pixels[top:bottom, left:right].copy(), self.side, self._corner_of(left, top))

    def reveal(self, part: "Canvas", points: Points) -> None:
        """Shows `part`, made by `part(points)`, inside the polygon."""
        left, top = part.corner[0] - self.corner[0], part.corner[1] - self.corner[1]
        rows, columns = part.pixels.shape[:2]
        if rows and columns:
            below = self.pixels[top : top + rows, left : left + columns]
            _blend(below, part.pixels, part.mask(points))

    def mask(self, points: Points) -> NDArray[np.uint8]:
        """(rows, columns): 255 inside a polygon, 0 outside."""
        mask = np.zeros(self.pixels.shape[:2], dtype=np.uint8)
        self._polygon(mask, points, self.corner, 255)
        return mask

    def shade(self, centre: ArrayLike, right: ArrayLike, down: ArrayLike, colour: Colour, opacity: float) -> None:
        """Lays a soft spot over the picture.

        Args:
            centre: (2,) its middle.
            right, down: (2,) the half axes of the ellipse in which it fades out.
            opacity: in its middle, 0 to 1.
        """
        axes = np.stack([np.asarray(right, dtype=np.float64), np.asarray(down, dtype=np.float64)], axis=1)
        middle = np.asarray(centre, dtype=np.float64)
        reach = np.linalg.norm(axes, axis=1)  # (xy): half of the ellipse's bounding box
        left, top, right_end, bottom = self._bounds(np.stack([middle - reach, middle + reach]))
        if right_end <= left or bottom <= top:
            return
        # From a pixel of the part to the blob's: back to the ellipse's own axes, each of which is ±1 long.
        inverse = np.linalg.inv(axes) / self.side * (_BLOB_SIDE / 2)  # (blob's xy, xy)
        start = np.add(self._corner_of(left, top), 0.5) - middle * self.side
        shift = inverse @ start + _BLOB_SIDE / 2 - 0.5
        spot = cv2.warpAffine(
            _BLOB,
            np.column_stack([inverse, shift]),
            (right_end - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        below = self.pixels[top:bottom, left:right_end]
        _blend(below, np.broadcast_to(colour.astype(np.float32), below.shape), spot, opacity)

    def shrunk(self) -> NDArray[np.uint8]:
        """The finished picture: each pixel the mean of those drawn for it."""
        size = self.side // OVERSAMPLING
        return np.asarray(cv2.resize(self.pixels, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def _bounds(self, points: Points) -> tuple[int, int, int, int]:
        """The pixels of this part that `points` enclose, and one more on each side: left, top, right, bottom."""
        rows, columns = self.pixels.shape[:2]
        low = points.min(axis=0) * self.side - self.corner
        high = points.max(axis=0) * self.side - self.corner
        left, top = max(math.floor(low[0]) - 1, 0), max(math.floor(low[1]) - 1, 0)
        right, bottom = min(math.ceil(high[0]) + 1, columns), min(math.ceil(high[1]) + 1, rows)
        return left, top, max(right, left), max(bottom, top)

    def _corner_of(self, left: int, top: int) -> tuple[int, int]:
        return self.corner[0] + left, self.corner[1] + top

    def _polygon(self, pixels: NDArray[np.uint8], points: Points, corner: tuple[int, int], colour: Any) -> None:
        # OpenCV's whole coordinates are the pixels' middles.
        places = (points * self.side - 0.5 - corner) * (1 << _BITS)
        cv2.fillPoly(pixels, [places.round().astype(np.int32)], colour, lineType=cv2.LINE_AA, shift=_BITS)


def _blend(below: NDArray[np.uint8], above: NDArray[Any], mask: NDArray[np.uint8], opacity: float = 1) -> None:
    """Lays `above` over `below`, in place, as far as `mask` has it."""
    weight = mask[..., None] * np.float32(opacity / 255)
    below[:] = (below + (above.astype(np.float32) - below) * weight + np.float32(0.5)).astype(np.uint8)
