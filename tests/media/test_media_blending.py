"""Masks about faces, tints from the border and matched colours, each on arrays of which the answer is known."""

import numpy as np
import pytest
from astronaut import portrait_picture

from diffusers_hunyuan_portrait import media
from diffusers_hunyuan_portrait.media.blending import FADE, GRID, OTHER, SEAM

SIDE = 200
FACE = np.array([0.5, 0.45, 0.15, 0.2])  # in parts of the square
NOISE = np.random.default_rng(0)


def within(ellipse: np.ndarray, times: float, side: int = SIDE) -> np.ndarray:
    """Pixels whose centre is within so many times the ellipse, (side, side)."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return np.hypot((x - ellipse[0]) / ellipse[2], (y - ellipse[1]) / ellipse[3]) <= times


def test_the_mask_is_whole_on_the_face_and_nothing_far_from_it():
    mask = media.face_mask(SIDE, SIDE, [FACE])
    assert mask.dtype == np.float32
    assert (mask[within(FACE, 1)] == 1).all()
    assert (mask[~within(FACE, FADE)] == 0).all()
    # From 1 to 0 over 10 to 20 pixels, by a curve whose steepest step is 1.5 times an even one's.
    assert np.abs(np.diff(mask, axis=0)).max() < 1.6 / (FACE[3] * SIDE * (FADE - 1))
    assert np.abs(np.diff(mask, axis=1)).max() < 1.6 / (FACE[2] * SIDE * (FADE - 1))


def test_of_two_faces_both_are_covered():
    moved = FACE + np.array([0.12, -0.05, 0, 0])
    both = media.face_mask(SIDE, SIDE, [FACE, moved])
    for one in (FACE, moved):
        assert (both >= media.face_mask(SIDE, SIDE, [one])).all()
        assert (both[within(one, 1)] == 1).all()


def test_a_face_at_the_border_leaves_no_edge_but_where_the_picture_ends():
    at_corner = np.array([0.05, 0.05, 0.2, 0.2])
    inside = media.face_mask(SIDE, SIDE, [at_corner])
    assert (inside[0] == 0).all()
    assert (inside[:, 0] == 0).all()
    at_edge = media.face_mask(SIDE, SIDE, [at_corner], (False, True, False, False))
    assert at_edge[0, SIDE // 10] == 1
    assert (at_edge[:, 0] == 0).all()


def test_outside_of_the_mask_the_portrait_stays_to_the_bit_and_inside_is_the_picture():
    original = NOISE.integers(0, 256, (240, 260, 3), dtype=np.uint8)
    picture = NOISE.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = media.face_mask(SIDE, SIDE, [FACE])
    pasted = media.paste_back(original, picture, (30, 20, 30 + SIDE, 20 + SIDE), mask)
    square, before = (whole[20 : 20 + SIDE, 30 : 30 + SIDE] for whole in (pasted, original))
    assert (square[mask == 0] == before[mask == 0]).all()
    assert (square[mask == 1] == picture[mask == 1]).all()
    around = np.ones(original.shape[:2], bool)
    around[20 : 20 + SIDE, 30 : 30 + SIDE] = False
    assert (pasted[around] == original[around]).all()


def test_a_mask_of_another_size_is_named():
    square = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(ValueError, match="mask must be of the box"):
        media.paste_back(square, square, (0, 0, 10, 10), np.ones((20, 20), np.float32))


# -- Tints --------------------------------------------------------------------------------------------------------


def tinted(portrait: np.ndarray, picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return media.add_tint(picture, media.border_tint(media.shrink(portrait), media.shrink(picture), mask))


@pytest.fixture(scope="module")
def square():
    """A face with its surroundings, (200, 200, 3)."""
    return portrait_picture()[20 : 20 + SIDE, 125 : 125 + SIDE]


@pytest.fixture(scope="module")
def mask():
    return media.face_mask(SIDE, SIDE, [np.array([0.5, 0.5, 0.25, 0.3])])


def test_an_even_difference_of_light_is_taken_over_and_gradients_stay(square, mask):
    darker = (square.clip(40, 255) - np.array([20, 12, 4])).astype(np.uint8)
    result = tinted(square.clip(40, 255), darker, mask).astype(float)
    # A difference of 14 levels, root of the mean square, is taken over by 1 / (1 + (14 / 40)^4), and rounded.
    expected = darker + np.array([20, 12, 4]) * 1 / (1 + (186.7 / OTHER**2) ** 2)
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=0.8)
    for axis in (0, 1):
        steps = np.diff(result, axis=axis) - np.diff(darker.astype(float), axis=axis)
        assert np.abs(steps).max() <= 1  # rounding


def test_a_difference_that_varies_along_the_seam_runs_harmonically_through_the_inside(square, mask):
    y, x = np.mgrid[:GRID, :GRID] / GRID
    slope = 16 * (x + y - 1)[..., None].astype(np.float32) * np.ones(3, np.float32)  # itself harmonic
    picture = media.shrink(square)
    tint = media.border_tint(picture + slope, picture, mask)
    # Levels are limited a little at the slope's ends, by (16 / 40)^4 = 2.5 %; the rest is the solver's.
    np.testing.assert_allclose(tint, slope, atol=0.6)


def test_the_border_is_continuous(square, mask):
    """A step of light of 16 levels at the mask is gone but for 2.5 % and rounding."""
    square = square.clip(16, 255)
    picture = (square - 16).astype(np.uint8)
    box = (0, 0, SIDE, SIDE)
    seam = (mask > 0.02) & (mask < 0.98)
    plain = media.paste_back(square, picture, box, mask)
    smooth = media.paste_back(square, tinted(square, picture, mask), box, mask)
    off = [np.abs(result[seam].astype(float) - square[seam]).mean() for result in (plain, smooth)]
    assert off[0] > 6
    assert off[1] < 1


def test_another_background_does_not_tint_the_face(square, mask):
    """Where the seam runs over stripes that the picture does not have, their colours stay outside."""
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = np.where(((x + y) // 12 % 2)[..., None] > 0, [230, 60, 40], [30, 60, 200]).astype(np.uint8)
    inside = within(np.array([0.5, 0.5, 0.25, 0.3]), 1.05)[..., None]
    portrait = np.where(inside, square, stripes)
    picture = np.where(inside, square, np.uint8([110, 140, 100]))
    face = mask == 1
    shift = tinted(portrait, picture, mask)[face].astype(float) - picture[face]
    assert np.abs(shift.mean(axis=0)).max() < 8
    # The maximum principle: 0.57 of OTHER as the channels' root mean square, whatever the colours.
    assert np.sqrt(np.square(shift).mean(axis=1)).max() < 0.58 * OTHER


def test_a_mask_that_ends_with_the_picture_or_covers_all_of_it_tints_sanely(square):
    """Where nothing is known of the light, nothing is changed; an open side takes the light from the others."""
    shrunk = media.shrink(square)
    everywhere = np.ones((SIDE, SIDE), np.float32)
    assert (media.border_tint(shrunk, shrunk - 20, everywhere) == 0).all()
    at_top = media.face_mask(SIDE, SIDE, [np.array([0.5, 0.1, 0.25, 0.4])], (False, True, False, False))
    assert at_top[0].max() > SEAM
    np.testing.assert_allclose(media.border_tint(shrunk, shrunk - 10, at_top), 10, atol=0.1)


# -- Colours ------------------------------------------------------------------------------------------------------


def matched(portrait: np.ndarray, picture: np.ndarray) -> np.ndarray:
    return media.recolour(picture, media.colour_match(media.shrink(portrait), media.shrink(picture)))


@pytest.mark.parametrize("gain", [(1, 1, 1), (0.9, 1.1, 1.2), (0.75, 0.75, 0.75), (1.3, 1, 0.8)])
@pytest.mark.parametrize("shift", [(0, 0, 0), (12, -6, 20), (-25, -25, -25)])
def test_a_gain_and_a_shift_are_undone(gain, shift):
    portrait = (60 + 0.5 * portrait_picture()).astype(np.uint8)  # so that nothing is cut off at 0 or 255
    picture = np.rint(portrait * np.array(gain) + shift).astype(np.uint8)
    off = matched(portrait, picture).astype(int) - portrait
    # 8 bits before and after: half a level each, the first times a gain of up to 4/3; and half a level of the fit.
    assert np.abs(off).max() <= 2
    assert np.abs(off.mean(axis=(0, 1))).max() < 0.5


def test_where_the_borders_agree_nothing_changes_whatever_is_inside():
    portrait = portrait_picture()
    picture = portrait.copy()
    picture[60:-60, 60:-60] = 255 - picture[60:-60, 60:-60]
    shrunk = media.shrink(portrait), media.shrink(picture)
    assert (media.colour_match(*shrunk) == [[1, 1, 1], [0, 0, 0]]).all()
    assert (matched(portrait, picture) == picture).all()


def test_what_shows_something_else_is_not_matched():
    """A grey wall in place of a red one is no light that the face should be seen in, nor is one with a pattern."""
    grey, red = np.full((GRID, GRID, 3), 120, np.float32), np.float32([220, 50, 40]) * np.ones((GRID, GRID, 1))
    pattern = 80 * NOISE.standard_normal((GRID, GRID, 3))
    for portrait in (red, grey + pattern):
        gain, shift = media.colour_match(portrait.astype(np.float32), grey)
        np.testing.assert_allclose(gain, 1, atol=0.02)
        np.testing.assert_allclose(shift, 0, atol=2)


def test_shoulders_alone_are_enough_to_match_by():
    portrait = (60 + 0.5 * portrait_picture()).astype(np.uint8)
    picture = np.rint(portrait * 0.9 + np.array([10, 0, -8])).astype(np.uint8)
    other = np.ones((512, 512, 1), bool)
    other[300:] = False
    stripes = np.where((np.arange(512) // 40 % 2)[None, :, None] > 0, [230, 60, 40], [30, 60, 200]).astype(
        np.uint8
    )
    match = media.colour_match(
        media.shrink(np.where(other, stripes, portrait)),
        media.shrink(np.where(other, np.uint8([90, 140, 90]), picture)),
    )
    result = media.recolour(picture, match)
    assert np.abs(result.astype(float).mean(axis=(0, 1)) - portrait.mean(axis=(0, 1))).max() < 3
