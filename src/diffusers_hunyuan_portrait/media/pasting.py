"""Mix a generated square back into the portrait that it was cut from, with a soft border."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

BORDER = 0.1  # share of each side over which the picture fades in


def paste_back(
    original: npt.NDArray[np.uint8], picture: npt.NDArray[np.uint8], box: Sequence[int]
) -> npt.NDArray[np.uint8]:
    """Lay `picture` over `box` of `original`, faded in over a tenth of the box at every edge.

    Only the box is computed; the rest is a copy. The mask is kept from call to call while the box keeps its
    size, so a long clip forms it once. Source: contract section "Sampling", paste-back.

    Args:
        original: the whole portrait, (H, W, 3) uint8 RGB; left as it is.
        picture: the generated square of any size, (h, w, 3) uint8 RGB; stretched to the box.
        box: x1, y1, x2, y2 in pixels of `original`, the ends exclusive; may be a pixel off square.

    Returns:
        A new array, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the box is empty or leaves the original, or an array is not (rows, columns, 3) uint8.
    """
    for name, array in (("original", original), ("picture", picture)):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"{name} must be (H, W, 3) uint8, not {array.shape} {array.dtype}.")
    x1, y1, x2, y2 = (int(edge) for edge in box)
    height, width = original.shape[:2]
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(f"The box {(x1, y1, x2, y2)} does not lie inside a picture of {width}x{height}.")

    mask = _mask(y2 - y1, x2 - x1)
    # float32 from here and cut off at the end, not rounded: what the released program's pictures hold.
    new = cv2.resize(picture, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0
    old = original[y1:y2, x1:x2].astype(np.float32) / 255.0
    pasted = original.copy()
    pasted[y1:y2, x1:x2] = ((new * mask + old * (1.0 - mask)) * 255.0).astype(np.uint8)
    return pasted


@lru_cache(maxsize=1)
def _mask(height: int, width: int) -> npt.NDArray[np.float32]:
    """The share of the new picture in each pixel: ramps over rows times ramps over columns."""
    mask = np.outer(_ramps(height), _ramps(width)).astype(np.float32)[..., None]  # (rows, columns, 1)
    mask.flags.writeable = False
    return mask


def _ramps(length: int) -> npt.NDArray[np.float64]:
    fade = int(BORDER * length)
    ramps = np.ones(length)
    ramps[:fade] = np.linspace(0, 1, fade)
    ramps[length - fade :] = np.linspace(1, 0, fade)
    return ramps
