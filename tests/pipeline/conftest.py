"""A pipeline that takes pictures, and what finds the faces in them."""

import pytest
import torch

from diffusers_hunyuan_portrait.face import load_detector
from diffusers_hunyuan_portrait.tiny import make_tiny


@pytest.fixture(scope="module")
def pipe():
    """The packaged tiny model; each module has its own, which it may change."""
    return make_tiny(torch.float32)


@pytest.fixture(scope="session")
def detector():
    """What needs nothing but this package."""
    return load_detector("mtcnn")
