"""What is refused for its size alone, and that who means it can raise the limit."""

import numpy as np
import pytest

from diffusers_hunyuan_portrait import limits, media
from diffusers_hunyuan_portrait.conditions import repetition
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.tiny import make_tiny


def test_a_picture_has_its_limit(monkeypatch):
    picture = np.zeros((1000, 1100, 3), np.uint8)
    assert media.read_image(picture).shape == picture.shape
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MAX_MEGAPIXELS", "1")
    with pytest.raises(UserError, match=r"1100x1000 pixels, 1 megapixels.*or set HUNYUAN_PORTRAIT_MAX_MEGAPIXELS"):
        media.read_image(picture)


def test_a_run_has_its_limit(monkeypatch):
    """Told before a face is looked for; repeated frames count."""
    import torch

    pipe = make_tiny(torch.float32)
    frames = np.zeros((6, 32, 32, 3), np.uint8)
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MAX_FRAMES", "5")
    with pytest.raises(UserError, match="would have 6 frames, of which 5 may be"):
        pipe.prepare_conditions(np.zeros((64, 64, 3), np.uint8), frames, detector=None)
    with pytest.raises(UserError, match="would have 8 frames"):
        repetition(4, 2)
    assert len(repetition(5)) == 5


def test_unless_told_otherwise_a_run_may_have_twenty_minutes():
    limits.check_frames(20 * 60 * 25)
    with pytest.raises(UserError, match="30,001 frames"):
        limits.check_frames(20 * 60 * 25 + 1)


@pytest.mark.parametrize("text", ["0", "-3", "many", "1e6", ""])
def test_a_limit_that_is_none_is_told(monkeypatch, text):
    monkeypatch.setenv("HUNYUAN_PORTRAIT_MAX_FRAMES", text)
    with pytest.raises(UserError, match="HUNYUAN_PORTRAIT_MAX_FRAMES is"):
        limits.check_frames(1)
