"""How strongly head and expression move in a chunk of frames, as the two levels the motion tokens are read at."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

HEAD_GAIN, EXPRESSION_GAIN = 256, 1024
HIGHEST_LEVEL = 127
NOSE = 2


def intensity_levels(landmarks: ArrayLike | torch.Tensor) -> tuple[int, int]:
    """The head level and the expression level of one chunk, each 0 to 127.

    Contract, "Intensity": mean distances, of the nose from its mean place and of the points around the nose from
    theirs, relative to the face's size in the chunk's first frame. (The paper's equations 2 and 3 take the
    root of the mean square, and 64 levels.) A face without extent in the first frame gives no measure, and counts
    as still.

    Args:
        landmarks: (F, 5, 2) in pixels, F at least 1.

    Raises:
        ValueError: where the shape is another one or a coordinate is not a finite number.
    """
    points = np.asarray(
        landmarks.detach().cpu() if isinstance(landmarks, torch.Tensor) else landmarks, dtype=np.float64
    )
    if points.ndim != 3 or points.shape[0] == 0 or points.shape[1:] != (5, 2) or not np.isfinite(points).all():
        raise ValueError(f"Landmarks must be finite numbers of shape (frames, 5, 2), not of shape {points.shape}.")
    nose = points[:, NOSE]  # (frames, xy)
    expression = points - points[:, NOSE : NOSE + 1]  # (frames, points, xy)
    size = float(np.linalg.norm(np.ptp(expression[0], axis=0)))
    return _level(HEAD_GAIN, _mean_motion(nose), size), _level(EXPRESSION_GAIN, _mean_motion(expression), size)


def _mean_motion(points: NDArray[np.float64]) -> float:
    """The mean distance of points (frames, …, 2) from their mean places over the frames."""
    return float(np.linalg.norm(points - points.mean(axis=0), axis=-1).mean())


def _level(gain: int, motion: float, size: float) -> int:
    if size == 0 or motion == 0:
        return 0
    return int(min(gain / size * motion, HIGHEST_LEVEL))
