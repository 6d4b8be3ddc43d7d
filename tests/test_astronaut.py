"""What stands in for a filmed face really moves."""

import itertools

import numpy as np
from astronaut import moving_frames


def test_frames_are_the_same_every_time_and_move():
    frames = list(moving_frames(10))
    again = list(moving_frames(10))
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    for a, b in itertools.pairwise(frames):
        assert np.abs(a[60:190, 160:290].astype(int) - b[60:190, 160:290]).mean() > 1  # the face
        assert np.array_equal(a[400:], b[400:])  # the suit
    assert len(list(moving_frames(0))) == 0


def test_no_border_comes_into_view():
    for frame in moving_frames(50):
        # The picture is bright along its upper edge; a black border of one pixel would show.
        assert frame[0, 60:380].mean(axis=1).min() > 80
