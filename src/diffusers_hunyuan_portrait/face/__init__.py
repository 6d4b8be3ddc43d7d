"""From pixels to what the networks are fed: faces found and followed, crops, points, levels and identity."""

from .detection import (
    DETECTORS,
    Detector,
    Face,
    FollowingDetector,
    load_detector,
    missing_for_detector,
    resolve_detector,
)
from .driving import DrivingCrops, DrivingFrame, crop_driving, follow_driving, gather_chunks, name_ranges
from .identity import IdEncoder
from .intensity import intensity_levels
from .portrait import PortraitCrops, crop_portrait, cut_portrait

__all__ = [
    "DETECTORS",
    "Detector",
    "DrivingCrops",
    "DrivingFrame",
    "Face",
    "FollowingDetector",
    "IdEncoder",
    "PortraitCrops",
    "crop_driving",
    "crop_portrait",
    "cut_portrait",
    "follow_driving",
    "gather_chunks",
    "intensity_levels",
    "load_detector",
    "missing_for_detector",
    "name_ranges",
    "resolve_detector",
]
