"""HunyuanPortrait for diffusers: animate a portrait with the face in a driving clip."""

# Looks unused, but diffusers' loader looks for the name in this namespace to find out how our components load.
from diffusers import ModelMixin

from .conditions import PortraitConditions

# CONVERT
from .models import HunyuanPortraitUNet, IMAdapter, MotionExtractor, PoseGuider
from .pipeline import HunyuanPortraitPipeline

__all__ = [
    "HunyuanPortraitPipeline",
    "HunyuanPortraitUNet",
    "IMAdapter",
    "ModelMixin",
    "MotionExtractor",
    "PortraitConditions",
    "PoseGuider",
    # C
]
