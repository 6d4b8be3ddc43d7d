"""Drawn portraits show what their parameters say, always alike, and their points lie where they belong."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest

from diffusers_hunyuan_portrait.drawn_faces import (
    IDENTITY_RANGES,
    MOTION_RANGES,
    Identity,
    Motion,
    draw,
    locate,
    random_motion,
)
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import load_detector
from diffusers_hunyuan_portrait.face.geometry import portrait_box

LEFT_EYE, RIGHT_EYE, NOSE, LEFT_CORNER, RIGHT_CORNER = range(5)


def somebody(seed: int = 2, **parameters: float) -> Identity:
    return replace(Identity.random(np.random.default_rng(seed)), **parameters)


def change(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(rows, columns): the largest difference of the three colours."""
    return np.abs(first.astype(int) - second).max(axis=2)


def points(motion: Motion) -> np.ndarray:
    """The five points of one person, in sides of the picture."""
    return locate(somebody(), motion, size=1).landmarks


@pytest.mark.parametrize("size", [64, 96, 128, 257, 512])
def test_a_picture_has_the_size_asked_for_and_shows_the_same_at_each(size):
    picture = draw(somebody(), Motion(yaw=10, jaw=0.5), size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    large = draw(somebody(), Motion(yaw=10, jaw=0.5), 256)
    small, wanted = (cv2.resize(shown, (32, 32), interpolation=cv2.INTER_AREA) for shown in (picture, large))
    # Edges are drawn a fifth of a pixel too wide, whatever the size, which changes the pixels about them.
    assert change(small, wanted).mean() < 4


def test_the_same_scene_gives_the_same_picture_whatever_was_drawn_before():
    first = draw(somebody(), Motion(smile=1), 64)
    draw(somebody(3), Motion(yaw=20), 64)[:] = 0
    draw(somebody(), Motion(smile=1), 64)[:] = 0
    assert np.array_equal(draw(somebody(), Motion(smile=1), 64), first)


@pytest.mark.parametrize("size", [0, 15, 1025])
def test_a_size_that_cannot_be_drawn_is_refused(size):
    with pytest.raises(UserError, match=f"{size} pixels"):
        draw(somebody(), Motion(), size)


@pytest.mark.parametrize("name", MOTION_RANGES)
@pytest.mark.parametrize("glasses", [0.0, 1.0])
def test_each_motion_parameter_is_seen_at_64_pixels(name, glasses):
    low, high = MOTION_RANGES[name]
    who = somebody(glasses=glasses)
    pictures = [draw(who, Motion(**{name: value}), 64) for value in (low, (low + high) / 2, high)]
    for first, second in pairwise(pictures):
        # An eye alone has about 50 pixels: what a reader shall see must change a good part of them clearly.
        assert (change(first, second) > 25).sum() >= 15


@pytest.mark.parametrize("name", IDENTITY_RANGES)
def test_each_identity_parameter_is_seen_at_128_pixels(name):
    low, high = IDENTITY_RANGES[name]
    plain = somebody(hair_length=0.6, glasses=0.0)
    first, second = (draw(replace(plain, **{name: value}), Motion(jaw=0.2)) for value in (low, high))
    assert (change(first, second) > 15).sum() >= 30


@pytest.mark.parametrize("name", MOTION_RANGES)
def test_edges_move_by_fractions_of_a_pixel(name):
    low, high = MOTION_RANGES[name]
    middle, step = (low + high) / 2, (high - low) / 400
    values = [middle + step * number for number in range(-10, 11)]
    pictures = [draw(somebody(), Motion(**{"eyelids": 0.8, "jaw": 0.3, name: value}), 64) for value in values]
    jumps = [change(*pair).max() for pair in pairwise(pictures)]
    # A step moves no edge by more than a fifteenth of a pixel. An edge that jumped by a whole one would change
    # some pixel by most of its contrast, about 200; covers are sampled in eighths, which makes up to an eighth.
    assert max(jumps) < 50
    assert change(pictures[0], pictures[-1]).max() > 10


def test_the_portrait_box_of_a_drawn_face_is_the_whole_picture():
    rng = np.random.default_rng(0)
    for _ in range(300):
        clip = random_motion(rng, 24)
        drawn_by_lot = Motion.from_vector(rng.uniform(-1, 1, len(MOTION_RANGES)))
        who = Identity.random(rng)
        for motion in (clip[0], clip[-1], drawn_by_lot):
            for size in (64, 128):
                box = portrait_box(locate(who, motion, size).box, size, size)
                assert box == (0, 0, size, size)


def test_the_box_tells_place_and_size_alone():
    """What a driving clip's first box hides cannot be told relative to it."""
    moved = Motion(x=0.05, y=-0.03, size=1.1)
    turned = replace(moved, yaw=25.0, pitch=-10.0, roll=15.0, jaw=0.8, smile=1.0)
    boxes = [locate(somebody(seed), motion).box for seed in (1, 2) for motion in (moved, turned)]
    np.testing.assert_array_equal(boxes, [boxes[0]] * 4)
    at_rest = locate(somebody(1), Motion()).box
    np.testing.assert_allclose(boxes[0][2:] - boxes[0][:2], 1.1 * (at_rest[2:] - at_rest[:2]))
    assert (boxes[0] != at_rest).all()


def test_the_points_scale_with_the_picture_and_lie_in_the_box():
    small, large = (locate(somebody(), Motion(yaw=12, roll=5), size) for size in (64, 512))
    np.testing.assert_allclose(large.landmarks, 8 * small.landmarks)
    np.testing.assert_allclose(large.box, 8 * small.box)
    assert (small.landmarks > small.box[:2]).all()
    assert (small.landmarks < small.box[2:]).all()
    assert small.score == 1


def test_the_eyes_points_are_on_the_pupils_when_the_eyes_look_ahead():
    who = somebody(skin_tone=0.2, eye_colour=0.9, glasses=0.0)
    for motion in (Motion(), Motion(yaw=15, pitch=-8, roll=10, x=0.05, size=1.1)):
        picture = draw(who, motion, 256).astype(int).sum(axis=2)
        for x, y in locate(who, motion, 256).landmarks[[LEFT_EYE, RIGHT_EYE]].astype(int):
            assert picture[y - 3 : y + 4, x - 3 : x + 4].min() < 120  # of 765; the iris has about 330


def test_the_mouths_points_are_where_a_smile_moves_its_corners():
    who, motion = somebody(), Motion(mouth_width=0.5)
    moved = change(draw(who, motion, 256), draw(who, replace(motion, smile=0.3), 256)) > 30
    columns = np.flatnonzero(moved[150:].any(axis=0))  # below the eyes
    left, right = locate(who, motion, 256).landmarks[[LEFT_CORNER, RIGHT_CORNER], 0]
    # Folds beside the mouth move too, up to 6 % of the head's height away.
    assert left - 12 < columns.min() < left + 2
    assert right - 2 < columns.max() < right + 12


def test_directions_are_those_of_the_picture():
    rest = points(Motion())
    eyes = rest[[LEFT_EYE, RIGHT_EYE]].mean(axis=0)

    def nose_from_eyes(motion: Motion) -> np.ndarray:
        moved = points(motion)
        return moved[NOSE] - moved[[LEFT_EYE, RIGHT_EYE]].mean(axis=0) - (rest[NOSE] - eyes)

    assert nose_from_eyes(Motion(yaw=20))[0] > 0.02
    assert nose_from_eyes(Motion(pitch=15))[1] > 0.01
    rolled = points(Motion(roll=20))
    slope = rolled[RIGHT_EYE] - rolled[LEFT_EYE]
    assert np.degrees(np.arctan2(slope[1], slope[0])) == pytest.approx(20, abs=1e-6)
    np.testing.assert_allclose(points(Motion(x=0.04, y=-0.03)) - rest, np.tile([0.04, -0.03], (5, 1)))
    grown = points(Motion(size=1.1))
    assert np.ptp(grown[:, 0]) == pytest.approx(1.1 * np.ptp(rest[:, 0]))


def test_the_expression_moves_the_mouths_points_and_no_others():
    rest, moved = points(Motion()), points(Motion(smile=1, mouth_width=0.5, jaw=0.4, gaze_x=1, eyelids=0, brows=1))
    np.testing.assert_array_equal(moved[:LEFT_CORNER], rest[:LEFT_CORNER])
    assert (moved[LEFT_CORNER:, 1] < rest[LEFT_CORNER:, 1]).all()


def test_eyelids_close_wholly_and_the_open_mouth_shows_teeth_over_dark():
    who = somebody(eye_colour=0.75, glasses=0.0, skin_tone=0.5, lip_colour=0.0)
    x, y = locate(who, Motion(), 256).landmarks[LEFT_EYE].astype(int)
    eye = np.s_[y - 9 : y + 8, x - 8 : x + 9]
    white = (draw(who, Motion(gaze_x=1), 256)[eye].min(axis=2) > 200).sum()
    assert white > 20
    assert (draw(who, Motion(gaze_x=1, eyelids=0), 256)[eye].min(axis=2) > 200).sum() == 0
    left, right = locate(who, Motion(jaw=1), 256).landmarks[[LEFT_CORNER, RIGHT_CORNER]]
    column = int((left[0] + right[0]) / 2)
    mouth = draw(who, Motion(jaw=1), 256)[int(left[1]) - 12 : int(left[1]) + 40, column].astype(int).sum(axis=1)
    teeth, throat = np.argmax(mouth), np.argmin(mouth)
    assert mouth[teeth] > 600
    assert mouth[throat] < 150
    assert teeth < throat


def test_mtcnn_finds_the_faces_and_agrees_on_their_points():
    detector, rng = load_detector("mtcnn"), np.random.default_rng(5)
    errors = []  # in distances between the eyes
    for _ in range(40):
        who, motion = Identity.random(rng), random_motion(rng, 1)[0]
        face = locate(who, motion, 128)
        for found in detector.detect(draw(who, motion, 128)):
            eye_distance = np.linalg.norm(face.landmarks[RIGHT_EYE] - face.landmarks[LEFT_EYE])
            errors.append(np.linalg.norm(found.landmarks - face.landmarks, axis=1) / eye_distance)
            common = np.minimum(found.box, face.box)[2:] - np.maximum(found.box, face.box)[:2]
            assert common.prod() > 0.6 * (found.area + face.area - common.prod())
    # Of 300 faces it finds 95 to 98 %, with a mean error of 0.07; it has learnt from photographs. Of 40, a lot of
    # one in 10,000 would have it miss more than 8.
    assert len(errors) >= 32
    assert np.mean(errors) < 0.1
    assert np.max(errors) < 0.3
