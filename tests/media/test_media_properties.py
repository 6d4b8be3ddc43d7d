"""Any excerpt of any clip, and any box in any picture."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.errors import UserError


class Timed:
    """A clip of numbered frames at these times."""

    path, width, height, is_variable_rate = None, 2, 2, True

    def __init__(self, durations: list[float]) -> None:
        self.timestamps = np.concatenate([[0], np.cumsum(durations)])
        self.frame_count = len(self.timestamps)
        self.frame_rate = Fraction(self.frame_count / (self.timestamps[-1] + 0.04)).limit_denominator(10_000)

    def __iter__(self):
        for number in range(self.frame_count):
            yield np.full((2, 2, 3), number, np.uint8)


clips = st.builds(Timed, st.lists(st.floats(0.002, 0.5), max_size=40))


@given(
    clip=clips,
    start=st.floats(0, 10),
    length=st.floats(1e-3, 10),
    rate=st.none() | st.fractions(Fraction(1, 2), 120, max_denominator=1001),
)
def test_an_excerpt_shows_what_is_on_at_its_times(clip, start, length, rate):
    try:
        excerpt = media.Excerpt(clip, start=start, end=start + length, frame_rate=rate)
    except UserError:
        return
    shown = [int(frame[0, 0, 0]) for frame in excerpt]
    assert len(shown) == excerpt.frame_count == len(excerpt.timestamps) > 0
    assert shown == sorted(shown)
    begins, ends = excerpt.span
    assert ends > begins
    times = clip.timestamps[shown]
    if rate is None:
        assert shown == list(range(shown[0], shown[-1] + 1))
        assert (times >= start).all()
        assert (times < start + length).all()
        np.testing.assert_allclose(excerpt.timestamps, times - times[0])
    else:
        moments = begins + excerpt.timestamps
        assert (times <= moments + 1e-3).all()
        after = np.minimum(np.array(shown) + 1, clip.frame_count - 1)
        is_last = np.array(shown) == clip.frame_count - 1
        assert (is_last | (clip.timestamps[after] > moments)).all()


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    square=st.integers(1, 40),
    data=st.data(),
)
def test_what_is_pasted_changes_its_box_alone(shape, square, data):
    height, width = shape
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    original = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    pasted = media.paste_back(original, np.full((square, square, 3), 128, np.uint8), (x1, y1, x2, y2))
    outside = np.ones(shape, bool)
    outside[y1:y2, x1:x2] = False
    np.testing.assert_array_equal(pasted[outside], original[outside])
    between = np.minimum(original, 127) <= pasted
    assert between.all()
    assert (pasted <= np.maximum(original, 128)).all()
