"""Skeletons: a person's key points, fitted to a portrait, and drawn as the pose guider takes them."""

from .augmentation import drop_edges, drop_eyes
from .drawing import draw_skeletons
from .fitting import ease_back, fit_to_portrait
from .keypoints import KEYPOINTS, POSES, Keypoints, PoseEstimator, check_pose, moved

__all__ = [
    "KEYPOINTS",
    "POSES",
    "Keypoints",
    "PoseEstimator",
    "check_pose",
    "draw_skeletons",
    "drop_edges",
    "drop_eyes",
    "ease_back",
    "fit_to_portrait",
    "moved",
]
