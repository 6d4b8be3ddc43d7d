"""HunyuanPortrait for diffusers: animate a portrait with the face in a driving clip."""

# Looks unused, but diffusers' loader searches this namespace for it to find out how our components load.
from diffusers import ModelMixin

from .conditions import PortraitConditions
from .convert import convert_checkpoint
from .loading import load_pipeline
from .models import HunyuanPortraitUNet, IDEncoder, IMAdapter, MotionExtractor, PoseGuider
from .pipeline import HunyuanPortraitPipeline
from .registration import register_with_diffusers

__all__ = [
    "HunyuanPortraitPipeline",
    "HunyuanPortraitUNet",
    "IDEncoder",
    "IMAdapter",
    "ModelMixin",
    "MotionExtractor",
    "PortraitConditions",
    "PoseGuider",
    "convert_checkpoint",
    "load_pipeline",
]

register_with_diffusers()
