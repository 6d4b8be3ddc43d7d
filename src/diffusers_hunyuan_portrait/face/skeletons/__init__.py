"""Skeletons: a person's key points, fitted to a portrait, and drawn as the pose guider takes them."""

from .augmentation import drop_edges, drop_eyes
from .drawing import draw_skeletons
from .fitting import check_portrait, ease_back, fit_to_portrait
from .keypoints import Keypoints, PoseEstimator, moved

__all__ = [
    "Keypoints",
    "PoseEstimator",
    "check_portrait",
    "draw_skeletons",
    "drop_edges",
    "drop_eyes",
    "ease_back",
    "fit_to_portrait",
    "moved",
]
