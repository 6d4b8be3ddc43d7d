"""Clips to train on: cut from films, stored in WebDataset shards, and read back."""

from .caches import add_expression, add_latents, face_crops, pose_crops
from .clip import Clip
from .cutting import Refusal, Rules, cut_film, make_clip
from .preparation import PrepareSettings, prepare
from .shards import ClipShards, ClipWriter

__all__ = [
    "Clip",
    "ClipShards",
    "ClipWriter",
    "PrepareSettings",
    "Refusal",
    "Rules",
    "add_expression",
    "add_latents",
    "cut_film",
    "face_crops",
    "make_clip",
    "pose_crops",
    "prepare",
]
