"""A driver's skeleton fitted to a portrait: nose on nose, length on length, and the eyes left out."""

import numpy as np
import pytest

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face.skeletons import drop_eyes, ease_back, fit_to_portrait
from diffusers_hunyuan_portrait.face.skeletons.fitting import shared_edges, skeleton_length
from diffusers_hunyuan_portrait.face.skeletons.keypoints import EYES, NOSE
from diffusers_hunyuan_portrait.poses import NUM_KEYPOINTS

BOX = (100, 40, 356, 296)  # a square of 256 pixels
TOLERANCE = 1e-3  # pixels: places up to a thousand in single precision


def skeleton(seed: int = 0, scale: float = 1.0, at: tuple[float, float] = (0, 0)) -> np.ndarray:
    """All points of a person, (134, 3); the same shape for the same seed, about `at`."""
    places = np.random.default_rng(seed).uniform(50, 300, (NUM_KEYPOINTS, 2)) * scale + at
    return np.concatenate([places, np.full((NUM_KEYPOINTS, 1), 0.8)], axis=1).astype(np.float32)


def in_square(points: np.ndarray, size: int = 512) -> np.ndarray:
    return (points[..., :2] - BOX[:2]) * (size / 256)


def test_the_same_person_elsewhere_lands_on_the_portrait():
    portrait, driver = skeleton(), skeleton(scale=2.5, at=(300, -70))
    (fitted,) = fit_to_portrait(driver[None], portrait, BOX, 512, 512, keep_eyes=True)
    np.testing.assert_allclose(fitted[:, :2], in_square(portrait), atol=TOLERANCE)
    np.testing.assert_array_equal(fitted[:, 2], driver[:, 2])


def test_the_nose_lands_on_the_nose_and_lengths_are_in_the_ratio_of_skeletons():
    portrait, driver = skeleton(1), skeleton(2)
    (fitted,) = fit_to_portrait(driver[None], portrait, BOX, 512, 512, keep_eyes=True)
    np.testing.assert_allclose(fitted[NOSE, :2], in_square(portrait[NOSE]), atol=TOLERANCE)
    edges = shared_edges(driver, portrait)
    assert len(edges) == 17
    twice = 512 / 256  # the square is made twice as large
    assert skeleton_length(fitted, edges) == pytest.approx(twice * skeleton_length(portrait, edges), rel=1e-5)
    # The shape is the driver's own.
    factor = twice * skeleton_length(portrait, edges) / skeleton_length(driver, edges)
    expected = (driver[:, :2] - driver[NOSE, :2]) * factor + fitted[NOSE, :2]
    np.testing.assert_allclose(fitted[:, :2], expected, atol=TOLERANCE)


def test_lengths_are_compared_over_edges_that_both_show():
    portrait, driver = skeleton(1), skeleton(2)
    driver[8:14], portrait[3:5] = 0, 0  # legs of the one, an arm of the other
    edges = shared_edges(driver, portrait)
    assert sorted(edges) == sorted([(1, 2), (1, 5), (5, 6), (6, 7), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)])
    (fitted,) = fit_to_portrait(driver[None], portrait, BOX, 512, 512)
    np.testing.assert_array_equal(fitted[8:14], 0)
    assert (fitted[3:5, 2] > 0).all()
    length = np.linalg.norm(fitted[1, :2] - fitted[5, :2])
    ratio = 2 * skeleton_length(portrait, edges) / skeleton_length(driver, edges)
    assert length == pytest.approx(ratio * np.linalg.norm(driver[1, :2] - driver[5, :2]), rel=1e-5)


def test_the_driver_moves_in_the_portrait_as_in_its_clip():
    """One offset and one scale for the whole clip, from the first frame with a nose."""
    portrait, driver = skeleton(), skeleton(scale=0.5)
    clip = np.stack([driver, driver, driver])
    clip[0, NOSE] = 0
    clip[2, :, :2] += (10, -4)
    fitted = fit_to_portrait(clip, portrait, BOX, 512, 512, keep_eyes=True)
    np.testing.assert_allclose(fitted[1, :, :2], in_square(portrait), atol=TOLERANCE)
    # 2 for the skeletons' ratio, 2 for the square.
    np.testing.assert_allclose(fitted[2, :, :2], in_square(portrait) + np.array([40, -16]), atol=TOLERANCE)


def test_a_square_that_is_made_oblong_stretches_the_skeleton_with_it():
    portrait = skeleton()
    (fitted,) = fit_to_portrait(portrait[None], portrait, BOX, 128, 512, keep_eyes=True)
    np.testing.assert_allclose(fitted[:, :2], in_square(portrait) * [1, 0.25], atol=TOLERANCE)


def test_the_eyes_are_left_out_unless_they_are_kept():
    portrait = skeleton()
    (fitted,) = fit_to_portrait(portrait[None], portrait, BOX, 512, 512)
    assert sorted(EYES) == [14, 15, *range(24 + 36, 24 + 48)]
    assert not fitted[list(EYES)].any()
    assert (np.delete(fitted[:, 2], EYES) > 0).all()
    (kept,) = fit_to_portrait(portrait[None], portrait, BOX, 512, 512, keep_eyes=True)
    assert (kept[:, 2] > 0).all()
    rng = np.random.default_rng(0)
    assert not drop_eyes(kept[None], 1, rng)[0, list(EYES)].any()
    assert (drop_eyes(kept[None], 0, rng)[..., 2] > 0).all()


def test_what_cannot_be_fitted_is_told():
    portrait, driver = skeleton(), skeleton()[None]
    faceless = portrait.copy()
    faceless[NOSE] = 0
    with pytest.raises(UserError, match="no nose in the portrait"):
        fit_to_portrait(driver, faceless, BOX, 64, 64)
    with pytest.raises(UserError, match="nose in no frame"):
        fit_to_portrait(faceless[None], portrait, BOX, 64, 64)
    alone = np.zeros_like(portrait)
    alone[NOSE] = portrait[NOSE]
    with pytest.raises(UserError, match="share no edge"):
        fit_to_portrait(driver, alone, BOX, 64, 64)


def test_held_points_come_back_smoothly():
    """Frames 1 to 4 hold frame 0; the last three of them go over to frame 5."""
    clip = np.repeat(skeleton()[None], 7, axis=0)
    clip[5:, :, :2] += (8, 4)
    clip[:5, 40] = 0
    ease_back(clip, [1, 2, 3, 4], frames=3)
    moved = clip[:, NOSE, :2] - clip[0, NOSE, :2]
    np.testing.assert_allclose(moved[:, 0], [0, 0, 2, 4, 6, 8, 8], atol=TOLERANCE)
    np.testing.assert_allclose(moved[:, 1], [0, 0, 1, 2, 3, 4, 4], atol=TOLERANCE)
    assert not clip[:5, 40].any()  # what is not known before does not come in from the corner
    unchanged = clip.copy()
    ease_back(clip, [0, 6], frames=3)
    np.testing.assert_array_equal(clip, unchanged)
