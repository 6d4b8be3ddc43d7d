"""Keeping the best of boxes that overlap."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray


def suppress_overlaps(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    threshold: float,
    relative_to: Literal["union", "smaller"] = "union",
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression: the indices of the boxes to keep, best score first.

    A box is dropped where its overlap with a better one that is kept exceeds `threshold`.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,).
        relative_to: what the shared area is divided by: the two boxes' union, or the smaller box (which
            also drops a box that lies inside another).
    """
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest])
        height = np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest])
        shared = width.clip(0) * height.clip(0)
        if relative_to == "union":
            whole = areas[best] + areas[rest] - shared
        else:
            whole = np.minimum(areas[best], areas[rest])
        order = rest[shared <= threshold * whole]
    return np.array(kept, dtype=np.int64)
