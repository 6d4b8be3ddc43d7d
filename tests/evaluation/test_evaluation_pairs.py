"""The pairs that a model is judged by are fixed, and nothing of them is trained on."""

import numpy as np
import pytest

from diffusers_hunyuan_portrait.drawn_faces import Identity, draw, random_motion
from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.evaluation import make_pairs, training_generator, with_other_motion
from diffusers_hunyuan_portrait.evaluation.pairs import NUM_FRAMES

# Of all numbers of the first and of the last pair: the mean, the deviation, and the last yaw.
FIRST = [-0.048079, 0.471177, 0.000662]
LAST = [0.080699, 0.478238, 0.165067]


def numbers_of(pair):
    """All parameters that a pair is made of, in one row; the last frame's motion is last."""
    motions = [pair.pose, *pair.driving]
    vectors = [pair.identity.to_vector(), pair.driver.to_vector(), *(motion.to_vector() for motion in motions)]
    return np.concatenate(vectors)


def test_pairs_are_the_ones_that_figures_were_told_of():
    pairs = make_pairs(50)
    for pair, expected in ((pairs[0], FIRST), (pairs[-1], LAST)):
        numbers = numbers_of(pair)
        # Curves are sums of sines, which libraries round differently in the last places.
        assert [numbers.mean(), numbers.std(), numbers[-13]] == pytest.approx(expected, abs=1e-5)


def test_a_pair_does_not_depend_on_how_many_there_are():
    assert make_pairs(2) == make_pairs(5)[:2]


def test_portrait_and_driver_are_two_people_and_no_pair_is_another():
    pairs = make_pairs(50) + make_pairs(50, "validation")
    assert len({person for pair in pairs for person in (pair.identity, pair.driver)}) == 200
    assert len({pair.driving for pair in pairs}) == 100
    assert all(len(pair.driving) == NUM_FRAMES for pair in pairs)


def test_training_never_draws_who_or_what_evaluation_draws():
    pairs = make_pairs(50) + make_pairs(50, "validation")
    judged = {numbers_of(pair)[0] for pair in pairs} | {pair.driving[0].yaw for pair in pairs}
    for key in range(300):  # with the sets' own numbers and plain seeds among the keys
        for rng in (training_generator(key), training_generator(key % 3, key), np.random.default_rng(key)):
            assert Identity.random(rng).to_vector()[0] not in judged
            assert random_motion(rng, 1)[0].yaw not in judged


def test_the_truth_is_the_drivers_motion_at_the_portraits_place():
    pair = make_pairs(1)[0]
    first, last = pair.truth[0], pair.truth[-1]
    assert (first.x, first.y, first.size) == pytest.approx((pair.pose.x, pair.pose.y, pair.pose.size))
    assert [motion.yaw for motion in pair.truth] == [motion.yaw for motion in pair.driving]
    assert last.x - first.x == pytest.approx(pair.driving[-1].x - pair.driving[0].x)
    np.testing.assert_array_equal(pair.draw_truth(64)[-1], draw(pair.identity, last, 64))


def test_the_detector_knows_the_portrait_and_every_driving_frame():
    pair = make_pairs(1)[0]
    detector = pair.detector()
    for picture in (pair.draw_portrait(64), *pair.draw_driving(64)):
        assert len(detector.detect(picture)) == 1


def test_the_control_changes_the_driving_motion_and_nothing_else():
    pairs = make_pairs(3)
    others = with_other_motion(pairs)
    assert [other.driving for other in others] == [pairs[1].driving, pairs[2].driving, pairs[0].driving]
    for pair, other in zip(pairs, others, strict=True):
        assert (other.identity, other.pose, other.driver) == (pair.identity, pair.pose, pair.driver)


def test_one_pair_has_no_control():
    with pytest.raises(UserError, match="at least 2"):
        with_other_motion(make_pairs(1))


def test_an_unknown_set_is_refused():
    with pytest.raises(UserError, match=r"'training'.*test and validation"):
        make_pairs(1, "training")
