"""Where a face is in the pictures made of it, by a real detector and by ones that are told what to find."""

import numpy as np
import pytest
from astronaut import portrait_picture

from diffusers_hunyuan_portrait.face import (
    Face,
    crop_portrait,
    face_in_square,
    follow_outline,
    load_detector,
    outline_of,
)
from diffusers_hunyuan_portrait.face.outline import ASSUMED_FACE, STEADIED

POINTS = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])
SIDE = 100
PORTRAIT_FACE = np.array([0.3, 0.3, 0.6, 0.7])


def face_at(x: float, y: float, width: float = 30, height: float = 40) -> Face:
    return Face([x, y, x + width, y + height], POINTS * [width, height] + [x, y], 0.99)


class Told:
    """Finds in each picture what it is told; notes how many were asked for."""

    def __init__(self, *found):
        self.found, self.asked = found, 0

    def detect(self, image):
        faces = self.found[self.asked]
        self.asked += 1
        return faces


def follow(found, face_box=PORTRAIT_FACE) -> np.ndarray:
    """The ellipses for what was found in each picture, (pictures, 4) in pixels."""
    pictures = np.zeros((len(found), SIDE, SIDE, 3), np.uint8)
    return SIDE * np.stack([ellipse for _, ellipse in follow_outline(iter(pictures), Told(*found), face_box)])


def test_even_motion_is_followed_without_lagging():
    places = [20 + index for index in range(20)]
    ellipses = follow([[face_at(x, 30)] for x in places])
    middle = slice(STEADIED // 2, -(STEADIED // 2))
    expected = np.stack([outline_of(face_at(x, 30).box) for x in places])
    np.testing.assert_allclose(ellipses[middle], expected[middle], atol=1e-9)
    assert np.abs(ellipses - expected).max() < STEADIED / 2  # at the ends there is less about


def test_shaking_is_steadied():
    noise = np.random.default_rng(0).standard_normal(200)
    ellipses = follow([[face_at(30 + x, 30)] for x in noise])
    # Hann's window of 9 leaves the root of the sum of its squared weights, 0.39.
    assert ellipses[:, 0].std() < 0.5 * noise.std()
    assert np.abs(np.diff(ellipses[:, 0])).max() < 0.4 * np.abs(np.diff(noise)).max()


def test_a_missed_face_stays_where_it_was_and_nothing_jumps():
    found = [[face_at(30, 30)]] * 10 + [[]] * 20 + [[face_at(50, 30)]] * 10
    ellipses = follow(found)
    held = ellipses[10 + STEADIED : 30 - STEADIED]
    np.testing.assert_allclose(held, np.broadcast_to(outline_of(face_at(30, 30).box), held.shape))
    np.testing.assert_allclose(ellipses[-1], outline_of(face_at(50, 30).box))
    assert np.abs(np.diff(ellipses[:, 0])).max() <= 20 * 0.21  # a fifth of the way, the window's largest weight


def test_a_short_gap_is_bridged():
    found = [[face_at(20 + x, 30)] for x in range(20)]
    expected = follow(found)
    found[8:11] = [[]] * 3
    np.testing.assert_allclose(follow(found), expected, atol=1e-9)


def test_without_any_face_it_is_the_portraits():
    ellipses = follow([[]] * 12)
    np.testing.assert_allclose(ellipses, np.broadcast_to(SIDE * outline_of(PORTRAIT_FACE), ellipses.shape))


def test_somebody_elsewhere_in_the_square_is_not_followed():
    other = face_at(70, 0, 30, 40)
    ellipses = follow([[other, face_at(31, 30)]] * 5)
    np.testing.assert_allclose(ellipses[2], outline_of(face_at(31, 30).box))
    alone = follow([[other]] * 5)
    np.testing.assert_allclose(alone[2], SIDE * outline_of(PORTRAIT_FACE))


def test_few_pictures_wait():
    given = 0

    def pictures():
        nonlocal given
        for _ in range(100):
            given += 1
            yield np.zeros((SIDE, SIDE, 3), np.uint8)

    longest_wait = 0
    found = [[face_at(30, 30)] if index % 7 < 3 else [] for index in range(100)]
    for taken, _ in enumerate(follow_outline(pictures(), Told(*found), PORTRAIT_FACE), start=1):
        longest_wait = max(longest_wait, given - taken)
    assert longest_wait <= 9
    assert given == taken == 100


def test_the_face_that_a_square_was_cut_for_is_found_in_it():
    detector, picture = load_detector("mtcnn"), portrait_picture()
    box = crop_portrait(picture, detector).box
    found = face_in_square(picture, box, detector) * (box[2] - box[0]) + np.tile(box[:2], 2)
    # As large pictures are searched at another scale, the two searches differ by a pixel or two.
    np.testing.assert_allclose(found, detector.detect(picture)[0].box, atol=4)


def test_of_two_faces_it_is_the_one_whose_square_it_is():
    """The larger one stands at the side; the square is the smaller one's."""
    picture = np.zeros((300, 400, 3), np.uint8)
    mine, other = face_at(120, 120, 40, 50), face_at(160, 100, 60, 80)
    box = (80, 85, 200, 205)
    corner = np.array([80, 85])
    seen = [Face(face.box - np.tile(corner, 2), face.landmarks - corner, 0.9) for face in (other, mine)]
    np.testing.assert_allclose(face_in_square(picture, box, Told(seen)), seen[1].box / 120)


@pytest.mark.parametrize("found", [[], [face_at(0, 0, 0.5, 0.5)]])
def test_where_none_is_found_it_is_assumed_in_the_middle(found):
    assert (face_in_square(np.zeros((90, 90, 3), np.uint8), (0, 0, 90, 90), Told(found)) == ASSUMED_FACE).all()
    np.testing.assert_allclose(ASSUMED_FACE, [1 / 3, 1 / 3, 2 / 3, 2 / 3])
