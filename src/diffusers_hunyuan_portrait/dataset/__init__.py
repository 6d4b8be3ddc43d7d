"""Clips to train on: cut from films, stored in WebDataset shards, and read back."""

from .clip import Clip
from .shards import ClipShards, ClipWriter

__all__ = ["Clip", "ClipShards", "ClipWriter"]
