"""Any face in any picture: boxes lie inside, crops have their size, and following loses no frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusers_hunyuan_portrait import face
from diffusers_hunyuan_portrait.errors import NoFaceError
from diffusers_hunyuan_portrait.face.driving import name_ranges
from diffusers_hunyuan_portrait.face.geometry import face_square, portrait_box
from diffusers_hunyuan_portrait.face.pixels import cut
from diffusers_hunyuan_portrait.face.tracking import LONGEST_BRIDGE

POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
sides = st.integers(1, 3000)
places = st.floats(-4000, 4000)
lengths = st.floats(1e-3, 4000)


@given(width=sides, height=sides, x=places, y=places, face_width=lengths, face_height=lengths)
def test_a_portrait_box_is_a_square_inside_the_picture(width, height, x, y, face_width, face_height):
    face_box = np.array([x, y, x + face_width, y + face_height])
    try:
        x1, y1, x2, y2 = portrait_box(face_box, width, height)
    except NoFaceError:
        # Then what is about the face has no whole pixel of the picture.
        left, top = max(x - face_width, 0), max(y - face_height, 0)
        right, bottom = min(x + 2 * face_width, width), min(y + 2 * face_height, height)
        assert min(right - left, bottom - top) <= 1
        return
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert abs((x2 - x1) - (y2 - y1)) <= 1  # each number is rounded by itself
    assert x2 - x1 <= 3 * face_width + 1
    assert y2 - y1 <= 3 * face_height + 1


@given(x=places, y=places, size=lengths, anchor_x=places, anchor_y=places, anchor_size=lengths)
def test_a_face_square_is_square_and_not_empty(x, y, size, anchor_x, anchor_y, anchor_size):
    anchor = np.array([anchor_x, anchor_y, anchor_x + anchor_size, anchor_y + anchor_size])
    x1, y1, x2, y2 = face_square(POINTS * size + [x, y], anchor)
    assert x2 - x1 == y2 - y1 >= 2


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(-60, 60), st.integers(-60, 60)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_cut_is_the_picture_with_black_about_it(shape, corner, size):
    picture = np.random.default_rng(0).integers(1, 256, (*shape, 3), np.uint8)
    around = np.pad(picture, ((120, 120), (120, 120), (0, 0)))
    (x, y), (width, height) = corner, size
    expected = around[y + 120 : y + 120 + height, x + 120 : x + 120 + width]
    np.testing.assert_array_equal(cut(picture, (x, y, x + width, y + height)), expected)


class Told:
    """A detector that is told what it finds."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def detect(self, image):
        return next(self.answers)


def some_face(x: float, y: float, size: float) -> face.Face:
    return face.Face([x, y, x + size, y + size], POINTS * size + [x, y], 0.9)


faces = st.builds(some_face, st.floats(-20, 39), st.floats(-20, 39), st.floats(30, 120))


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(40, 90), st.integers(40, 120)),
    found=st.lists(st.lists(faces, max_size=3), min_size=1, max_size=25),
    steady=st.booleans(),
    crop=st.sampled_from(["first", "follow"]),
)
def test_every_frame_of_any_clip_comes_out_once(shape, found, steady, crop):
    frames = [np.full((*shape, 3), index, np.uint8) for index in range(len(found))]
    following = face.follow_driving(frames, Told(found), 16, steady=steady, crop=crop)
    if not any(found):
        with pytest.raises(NoFaceError):
            list(following)
        return
    followed = list(following)
    assert len(followed) == len(found)
    for frame, here in zip(followed, found, strict=True):
        assert frame.face_crop.shape == frame.pose_crop.shape == (16, 16, 3)
        assert np.isfinite(frame.landmarks).all()
        if frame.seen and not frame.bridged:
            assert here
            assert steady or any(np.array_equal(frame.landmarks, one.landmarks) for one in here)


@given(missed=st.integers(1, 3 * LONGEST_BRIDGE), before=st.integers(1, 5), after=st.integers(1, 5))
def test_a_gap_is_bridged_or_held_as_a_whole(missed, before, after):
    found = [[some_face(30, 30, 40)]] * before + [[]] * missed + [[some_face(34, 30, 40)]] * after
    frames = [np.zeros((90, 120, 3), np.uint8)] * len(found)
    followed = list(face.follow_driving(frames, Told(found), 8))
    gap = followed[before : before + missed]
    bridged = missed <= LONGEST_BRIDGE
    assert all((frame.bridged, frame.seen) == (bridged, bridged) for frame in gap)


@given(st.sets(st.integers(0, 60)))
def test_named_ranges_name_each_frame_once(numbers):
    named: list[int] = []
    for part in filter(None, name_ranges(sorted(numbers)).split(", ")):
        first, _, last = part.partition("-")
        named.extend(range(int(first), int(last or first) + 1))
    assert named == sorted(numbers)
