"""Parts of clips, and other frame rates: the right frames at the right times."""

from fractions import Fraction

import numpy as np
import pytest
from media_clips import make_clip

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.media import Excerpt


@pytest.fixture
def clip():
    """Fifty frames of 25 a second, each as bright as its number says."""
    frames = np.broadcast_to(np.arange(50, dtype=np.uint8)[:, None, None, None], (50, 32, 32, 3))
    return media.FrameSequence(frames, frame_rate=Fraction(25))


def numbers(excerpt) -> list[int]:
    shown = [int(frame[0, 0, 0]) for frame in excerpt]
    assert len(shown) == excerpt.frame_count == len(excerpt)
    assert len(excerpt.timestamps) == len(shown)
    return shown


def test_frames_of_a_stretch(clip):
    excerpt = Excerpt(clip, start=0.4, end=1.0)
    assert numbers(excerpt) == list(range(10, 25))
    assert excerpt.span == pytest.approx((0.4, 1.0))
    assert excerpt.timestamps[0] == 0
    assert excerpt.frame_rate == 25


def test_a_stretch_between_frames_begins_with_the_next(clip):
    excerpt = Excerpt(clip, start=0.41, end=0.55)
    assert numbers(excerpt) == [11, 12, 13]
    assert excerpt.span == pytest.approx((0.44, 0.56))


def test_the_end_may_lie_after_the_clips(clip):
    assert numbers(Excerpt(clip, start=1.8, end=100)) == list(range(45, 50))
    assert numbers(Excerpt(clip)) == list(range(50))


def test_half_the_rate_shows_every_other_frame(clip):
    excerpt = Excerpt(clip, frame_rate=Fraction(25, 2))
    assert numbers(excerpt) == list(range(0, 50, 2))
    np.testing.assert_allclose(excerpt.timestamps, np.arange(25) * 0.08)


def test_twice_the_rate_shows_each_frame_twice(clip):
    excerpt = Excerpt(clip, start=0.4, end=0.8, frame_rate=Fraction(50))
    assert numbers(excerpt) == [number for number in range(10, 20) for _ in range(2)]
    assert excerpt.span == pytest.approx((0.4, 0.8))


def test_a_rate_that_does_not_divide_keeps_the_length(clip):
    excerpt = Excerpt(clip, frame_rate=Fraction(30000, 1001))
    shown = numbers(excerpt)
    assert len(shown) == 60  # 59.94, as the last one is on for a part of its time
    moments = np.arange(60) * 1001 / 30000
    np.testing.assert_array_equal(shown, np.floor(moments * 25 + 1e-9))


def test_a_clip_of_variable_rate_keeps_its_times_or_gets_even_ones(tmp_path):
    times = [0, 0.04, 0.08, 0.3, 0.34, 0.7, 0.74, 0.8, 1.0]
    clip = media.VideoReader(make_clip(tmp_path / "variable.mkv", frames=len(times), times=times))
    frames = list(clip)
    part = Excerpt(clip, start=0.2, end=0.9)
    assert part.is_variable_rate
    np.testing.assert_allclose(part.timestamps, np.array(times[3:8]) - 0.3, atol=1e-3)
    assert part.span == pytest.approx((0.3, 1.0), abs=1e-3)
    assert float(part.frame_rate) == pytest.approx(5 / 0.7, abs=0.02)  # so that the last frame ends at its end
    for shown, frame in zip(part, frames[3:8], strict=True):
        np.testing.assert_array_equal(shown, frame)
    even = Excerpt(clip, frame_rate=Fraction(10))
    assert not even.is_variable_rate
    expected = [
        max(index for index, time in enumerate(times) if time <= moment / 10 + 1e-6) for moment in range(11)
    ]
    for shown, index in zip(even, expected, strict=False):
        np.testing.assert_array_equal(shown, frames[index])


def test_no_more_of_the_clip_is_read_than_is_shown(clip):
    read = []

    class Watched:
        path, timestamps, is_variable_rate = None, None, False
        width, height, frame_count, frame_rate = 32, 32, 50, Fraction(25)

        def __iter__(self):
            for index, frame in enumerate(clip):
                read.append(index)
                yield frame

    assert numbers(Excerpt(Watched(), end=0.2)) == [0, 1, 2, 3, 4]
    assert read == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"start": 2}, "2.00 s long, so nothing is left from 2 s on"),
        ({"start": -1}, "from 0 s on"),
        ({"start": float("nan")}, "from 0 s on"),
        ({"start": 1, "end": 1}, "must come after the start"),
        ({"start": 0.41, "end": 0.43}, "No frame of the driving clip is between 0.41 and 0.43 s"),
        ({"frame_rate": Fraction(0)}, "above 0"),
        ({"frame_rate": Fraction(5000)}, "at most 1000"),
    ],
)
def test_what_leaves_nothing_is_refused(clip, settings, said):
    with pytest.raises(UserError, match=said):
        Excerpt(clip, **settings)
