"""One training clip: a square of a film in which one face stays, its points, and what was worked out from it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..poses import NUM_KEYPOINTS


@dataclass(frozen=True, eq=False)
class Clip:
    """What training learns from: a square that shows one face in every frame.

    With the anchor a frame of the clip stands for the first driving frame, which fixes the face crop's box and the
    pose crop (contract, "Face crop" and "Pose crop"); any frame can, so several are cached.

    Args:
        frames: (F, H, W, 3) uint8 RGB, H = W.
        landmarks: (F, 5, 2) five points a frame, in the frames' pixels, in the contract's order.
        face_boxes: (F, 4) x1, y1, x2, y2 in the frames' pixels; they may reach over the edge.
        frame_rate: frames a second.
        source: what the clip came from, as JSON can hold it.
        latents: (F, c, h, w), the VAE's mode times its scaling factor; or None.
        anchors: (A,) frame numbers; or None.
        expression: (A, F, E) the expression encoder's numbers for each anchor; or None.
        rotation: (A, F, 3) the head-pose encoder's degrees for each anchor; or None.
        keypoints: (F, 134, 3) the person's skeleton in the frames' pixels, as x, y and score; or None.
        styles: the same clip in other styles by their names, each of the shape of `frames`.

    Raises:
        ValueError: where shapes or types do not go together.
    """

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    face_boxes: NDArray[np.float64]
    frame_rate: float
    source: dict[str, Any] = field(default_factory=dict)
    latents: NDArray[np.floating] | None = None
    anchors: NDArray[np.int64] | None = None
    expression: NDArray[np.floating] | None = None
    rotation: NDArray[np.floating] | None = None
    keypoints: NDArray[np.float32] | None = None
    styles: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape, count = self.frames.shape, len(self.frames)
        if count == 0 or shape != (count, shape[1], shape[1], 3) or self.frames.dtype != np.uint8:
            raise ValueError(f"A clip's frames must be (F, S, S, 3) uint8, not {shape} {self.frames.dtype}.")
        if not self.frame_rate > 0:
            raise ValueError(f"A clip's frame rate must be positive, not {self.frame_rate}.")
        _check("landmarks", self.landmarks, (count, 5, 2))
        _check("face_boxes", self.face_boxes, (count, 4))
        for name, copy in self.styles.items():
            _check(f"style {name!r}", copy, shape)
        if self.latents is not None:
            _check("latents", self.latents, (count, None, None, None))
        if self.keypoints is not None:
            _check("keypoints", self.keypoints, (count, NUM_KEYPOINTS, 3))
        if self.anchors is not None:
            _check("anchors", self.anchors, (None,))
            if len(self.anchors) and not 0 <= self.anchors.min() <= self.anchors.max() < count:
                raise ValueError(
                    f"A clip's anchors must be among its {count} frames, not {self.anchors.tolist()}."
                )
        for name, values, width in (("expression", self.expression, None), ("rotation", self.rotation, 3)):
            if values is not None:
                if self.anchors is None:
                    raise ValueError(f"A clip's {name} needs the anchors that it was taken from.")
                _check(name, values, (len(self.anchors), count, width))

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.frames)


def _check(name: str, values: NDArray, shape: tuple[int | None, ...]) -> None:
    if values.ndim != len(shape) or any(
        b is not None and a != b for a, b in zip(values.shape, shape, strict=True)
    ):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"A clip's {name} must be of shape ({wanted}), not {values.shape}.")
