"""Portraits drawn from parameters: who somebody is, how they move, the picture, and the exact truth about it."""

from .detector import DrawnFaceDetector
from .identity import IDENTITY_RANGES, Identity
from .motion import MOTION_RANGES, Motion, random_motion, transfer
from .portrait import draw, locate

__all__ = [
    "IDENTITY_RANGES",
    "MOTION_RANGES",
    "DrawnFaceDetector",
    "Identity",
    "Motion",
    "draw",
    "locate",
    "random_motion",
    "transfer",
]
