"""From pixels to what the networks are fed: faces found and followed, crops, points, levels and identity."""

from .choosing import Chooser, check_choice, chooser_of_place, counted_faces, is_place, names_place
from .detection import (
    DETECTORS,
    Detector,
    Face,
    FollowingDetector,
    load_detector,
    missing_for_detector,
    resolve_detector,
)
from .driving import (
    DrivingCrops,
    DrivingFrame,
    Gaps,
    check_crop,
    crop_driving,
    follow_driving,
    gather_chunks,
    head_crop,
)
from .identity import IdEncoder
from .intensity import intensity_levels
from .outline import face_in_square, follow_outline, outline_of
from .portrait import PortraitCrops, crop_portrait, cut_portrait, find_faces
from .recognition import IdNetwork, Person, chooser_of_person
from .tracking import FaceTracker

__all__ = [
    "DETECTORS",
    "Chooser",
    "Detector",
    "DrivingCrops",
    "DrivingFrame",
    "Face",
    "FaceTracker",
    "FollowingDetector",
    "Gaps",
    "IdEncoder",
    "IdNetwork",
    "Person",
    "PortraitCrops",
    "check_choice",
    "check_crop",
    "chooser_of_person",
    "chooser_of_place",
    "counted_faces",
    "crop_driving",
    "crop_portrait",
    "cut_portrait",
    "face_in_square",
    "find_faces",
    "follow_driving",
    "follow_outline",
    "gather_chunks",
    "head_crop",
    "intensity_levels",
    "is_place",
    "load_detector",
    "missing_for_detector",
    "names_place",
    "outline_of",
    "resolve_detector",
]
