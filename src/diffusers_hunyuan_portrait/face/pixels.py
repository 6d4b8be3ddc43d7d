"""Cutting, resizing and aligning pictures exactly as the released weights saw them."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .geometry import ARCFACE_POINTS, ARCFACE_SIZE, Box, fit_similarity

Picture = NDArray[np.uint8]  # (height, width, 3) RGB

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def cut(picture: Picture, box: Box) -> Picture:
    """The part of `picture` inside `box`, black where the box reaches over the edge."""
    x1, y1, x2, y2 = box
    height, width = picture.shape[:2]
    left, top = min(max(x1, 0), width), min(max(y1, 0), height)
    right, bottom = min(max(x2, left), width), min(max(y2, top), height)
    inside = picture[top:bottom, left:right]
    if inside.shape[:2] == (y2 - y1, x2 - x1):
        return inside
    part = np.zeros((y2 - y1, x2 - x1, 3), dtype=np.uint8)
    part[top - y1 : bottom - y1, left - x1 : right - x1] = inside
    return part


def resize(picture: Picture, height: int, width: int, resample: Image.Resampling) -> Picture:
    """`picture` at `height` × `width` by Pillow, whose bicubic and bilinear filters widen when they shrink."""
    return np.array(Image.fromarray(np.ascontiguousarray(picture)).resize((width, height), resample))


def dino_image(portrait: Picture, size: int) -> torch.Tensor:
    """`portrait` as the appearance network takes it: (1, 3, size, size), normalised by ImageNet's statistics.

    Contract, "DINO image": resized as numbers in [0, 1] (bilinear, antialiased), not as 8-bit pixels.
    """
    pixels = torch.from_numpy(portrait.copy()).permute(2, 0, 1)[None].float() / 255  # (1, channels, rows, columns)
    pixels = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    mean, deviation = (torch.tensor(c).view(1, 3, 1, 1) for c in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (pixels - mean) / deviation


def arcface_image(portrait: Picture, landmarks: NDArray[np.float64]) -> NDArray[np.float32]:
    """`portrait` turned and scaled so that its five points lie on ArcFace's: (112, 112, 3) RGB in [0, 1].

    Contract, "ArcFace image": exact sub-pixel bilinear sampling, which OpenCV 4's `warpAffine` does not do.

    Args:
        landmarks: (5, 2) in the portrait's pixels.

    Raises:
        NoFaceError: where all points coincide.
    """
    rows, columns = np.mgrid[:ARCFACE_SIZE, :ARCFACE_SIZE]
    sources = fit_similarity(landmarks, ARCFACE_POINTS).inverse(columns + 1j * rows)
    return (_bilinear(portrait, sources.real, sources.imag) / 255).astype(np.float32)


def _bilinear(picture: Picture, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The picture's values at the points (x, y), 0 to 255, with black around the picture."""
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    u, v = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - u) * _pixels(picture, left, top) + u * _pixels(picture, left + 1, top)
    lower = (1 - u) * _pixels(picture, left, top + 1) + u * _pixels(picture, left + 1, top + 1)
    return (1 - v) * upper + v * lower


def _pixels(picture: Picture, column: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    values = picture[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.where(inside[..., None], values, np.uint8(0))
