"""Mix a generated square back into the portrait that it was cut from, with a soft border."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

BORDER = 0.1  # share of each side over which the picture fades in


def paste_back(
    original: npt.NDArray[np.uint8],
    picture: npt.NDArray[np.uint8],
    box: Sequence[int],
    mask: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]:
    """Lay `picture` over `box` of `original`, faded in over a tenth of the box at every edge, or by a mask.

    Only the box is computed; the rest is a copy. The linear mask is kept from call to call while the box keeps its
    size, so a long clip forms it once. Source: contract section "Sampling", paste-back.

    Args:
        original: the whole portrait, (H, W, 3) uint8 RGB; left as it is.
        picture: the generated square of any size, (h, w, 3) uint8 RGB; stretched to the box.
        box: x1, y1, x2, y2 in pixels of `original`, the ends exclusive; may be a pixel off square.
        mask: (y2 - y1, x2 - x1), the share of `picture` in each pixel, 0 to 1; where it is 0, `original` stays to
            the bit. By default the contract's linear one.

    Returns:
        A new array, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the box is empty or leaves the original, or an array is not (rows, columns, 3) uint8, or the
            mask not of the box's size.
    """
    for name, array in (("original", original), ("picture", picture)):
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"{name} must be (H, W, 3) uint8, not {array.shape} {array.dtype}.")
    x1, y1, x2, y2 = (int(edge) for edge in box)
    height, width = original.shape[:2]
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(f"The box {(x1, y1, x2, y2)} does not lie inside a picture of {width}x{height}.")

    if mask is not None and mask.shape != (y2 - y1, x2 - x1):
        raise ValueError(f"mask must be of the box's {(y2 - y1, x2 - x1)} pixels, not {mask.shape}.")

    share = _mask(y2 - y1, x2 - x1) if mask is None else mask[..., None]  # (rows, columns, 1)
    new = cv2.resize(picture, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0
    old = original[y1:y2, x1:x2].astype(np.float32) / 255.0
    pasted = original.copy()
    mixed = (new * share + old * (1.0 - share)) * 255.0
    # By the contract's mask cut off, not rounded: what the released program's pictures hold. It darkens what stays
    # as it is by up to a level.
    pasted[y1:y2, x1:x2] = (mixed if mask is None else np.rint(mixed)).astype(np.uint8)
    return pasted


@lru_cache(maxsize=1)
def _mask(height: int, width: int) -> npt.NDArray[np.float32]:
    """The share of the new picture in each pixel: ramps over rows times ramps over columns."""
    mask = np.outer(ramps(height), ramps(width)).astype(np.float32)[..., None]  # (rows, columns, 1)
    mask.flags.writeable = False
    return mask


def ramps(length: int, at_start: bool = True, at_end: bool = True) -> npt.NDArray[np.float64]:
    """From 0 to 1 over a tenth of `length`, and back to 0 over the last, or 1 at an end that has none."""
    fade = int(BORDER * length)
    share = np.ones(length)
    if at_start:
        share[:fade] = np.linspace(0, 1, fade)
    if at_end:
        share[length - fade :] = np.linspace(1, 0, fade)
    return share
