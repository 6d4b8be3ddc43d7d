"""The demo's inputs are a face that really moves, with sound."""

import itertools

import numpy as np
import pytest
from demo_inputs import script as demo
from media_clips import loudness, sound_of
from PIL import Image

from diffusers_hunyuan_portrait import media


def test_files_are_written(tmp_path):
    portrait, driving = demo.make_demo_inputs(tmp_path / "new" / "folder")
    assert np.array_equal(media.read_image(portrait), demo.make_portrait())
    assert Image.open(portrait).size == (512, 512)
    clip = media.VideoReader(driving)
    assert (clip.width, clip.height, clip.frame_rate, clip.frame_count) == (512, 512, 25, 50)
    assert sound_of(driving).codec == "aac"
    assert 0.01 < loudness(driving) < 0.2
    # AAC comes in packets of 1024 samples, and its encoder adds one or two.
    assert sound_of(driving).times[-1] == pytest.approx(2.0, abs=0.05)


def test_frames_are_the_same_every_time_and_move():
    frames = list(demo.make_driving_frames(10))
    again = list(demo.make_driving_frames(10))
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    for a, b in itertools.pairwise(frames):
        assert np.abs(a[60:190, 160:290].astype(int) - b[60:190, 160:290]).mean() > 1  # the face
        assert np.array_equal(a[400:], b[400:])  # the suit
    assert len(list(demo.make_driving_frames(0))) == 0


def test_no_border_comes_into_view():
    for frame in demo.make_driving_frames(50):
        # The picture is bright along its upper edge; a black border of one pixel would show.
        assert frame[0, 60:380].mean(axis=1).min() > 80
