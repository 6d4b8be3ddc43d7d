"""Guidance: the weights of the three branches are those of the written formula, and scales go linearly."""

import itertools

import pytest

from diffusers_hunyuan_portrait.sampling import branch_weights, guidance_schedule

SCALES = [-0.5, 0.0, 1.0, 2.0, 3.5]


@pytest.mark.parametrize(("appearance", "motion"), list(itertools.product(SCALES, SCALES)))
def test_weights_are_the_formula_sorted_by_branch(appearance, motion):
    u, d, c = 0.3, -1.7, 11.0
    weights = branch_weights(appearance, motion)
    guided = weights.unconditional * u + weights.appearance * d + weights.full * c
    assert guided == pytest.approx(u + appearance * (d - u) + motion * (c - d))
    assert sum(weights) == pytest.approx(1)


def test_branches_that_cancel_have_no_weight():
    assert branch_weights(2.0, 2.0) == (-1.0, 0.0, 2.0)
    assert branch_weights(1.0, 1.0) == (0.0, 0.0, 1.0)
    assert branch_weights(1.0, 0.0) == (0.0, 1.0, 0.0)


def test_a_scale_goes_from_the_first_step_to_the_last():
    assert guidance_schedule(2.0, 3) == [2.0, 2.0, 2.0]
    assert guidance_schedule((1.0, 3.0), 5) == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert guidance_schedule([3.0, 1.0], 2) == [3.0, 1.0]
    assert guidance_schedule((1.0, 3.0), 1) == [1.0]


def test_equal_schedules_stay_equal_to_the_last_bit():
    """Or the middle branch would be run for a weight that is a rounding error."""
    appearance, motion = guidance_schedule((1.1, 2.7), 25), guidance_schedule((1.1, 2.7), 25)
    assert all(branch_weights(a, m).appearance == 0 for a, m in zip(appearance, motion, strict=True))
