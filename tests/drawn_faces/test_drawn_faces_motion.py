"""Motion drawn by lot moves as people do, and is carried from one person to another as the crops show it."""

from dataclasses import asdict, fields

import numpy as np
import pytest

from diffusers_hunyuan_portrait.drawn_faces import (
    IDENTITY_RANGES,
    MOTION_RANGES,
    Identity,
    Motion,
    random_motion,
    transfer,
)
from diffusers_hunyuan_portrait.errors import UserError

NAMES = Motion.names()


def curves(seed: int, num_frames: int, frame_rate: float = 25.0) -> dict[str, np.ndarray]:
    """Each parameter over a clip."""
    clip = random_motion(np.random.default_rng(seed), num_frames, frame_rate)
    return {name: np.array([getattr(moment, name) for moment in clip]) for name in NAMES}


def test_vectors_name_the_parameters_in_order_and_come_back():
    assert tuple(MOTION_RANGES) == NAMES == tuple(field.name for field in fields(Motion))
    assert tuple(IDENTITY_RANGES) == Identity.names()
    np.testing.assert_array_equal(Motion.from_vector(-np.ones(13)).to_vector(), -np.ones(13))
    assert asdict(Motion.from_vector(np.ones(13))) == {name: high for name, (_, high) in MOTION_RANGES.items()}
    motion = Motion(yaw=-12.5, size=1.05, smile=0.3)
    back = Motion.from_vector(motion.to_vector())
    assert asdict(back) == pytest.approx(asdict(motion), abs=1e-5)  # float32's rounding, in degrees
    assert motion.to_vector().dtype == np.float32


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shape \(12,\)"):
        Motion.from_vector(np.zeros(12))


def test_people_by_lot_keep_to_the_ranges_and_differ_in_all_parameters():
    rng = np.random.default_rng(0)
    vectors = np.stack([Identity.random(rng).to_vector() for _ in range(200)])
    assert vectors.dtype == np.float32
    assert np.abs(vectors).max() <= 1
    assert vectors.std(axis=0).min() > 0.4  # evenly spread is 0.58
    again = Identity.random(np.random.default_rng(0))
    np.testing.assert_array_equal(again.to_vector(), vectors[0])


def test_clips_by_lot_keep_to_the_ranges():
    for seed in range(20):
        for name, curve in curves(seed, 100).items():
            low, high = MOTION_RANGES[name]
            assert low - 1e-9 <= curve.min()
            assert curve.max() <= high + 1e-9


def test_within_a_second_heads_really_move_and_clips_hold_different_poses():
    clips = [curves(seed, 24) for seed in range(60)]
    for name, least in {
        "yaw": 5,
        "pitch": 2.5,
        "roll": 2.5,
        "x": 0.01,
        "y": 0.01,
        "size": 0.02,
        "jaw": 0.15,
    }.items():
        assert np.mean([clip[name].std() for clip in clips]) > least
    for name, least in {"yaw": 8, "x": 0.015, "smile": 0.4, "gaze_x": 0.3}.items():
        assert np.std([clip[name].mean() for clip in clips]) > least


def test_heads_move_smoothly():
    for seed in range(20):
        clip = curves(seed, 100)
        for name in ("yaw", "pitch", "roll", "x", "y", "size", "brows", "smile"):
            low, high = MOTION_RANGES[name]
            # The fastest wave, 1.1 turns a second, crosses the range in half a second: 12 frames, faster midway.
            assert np.abs(np.diff(clip[name])).max() < 0.25 * (high - low)
            assert np.abs(np.diff(clip[name], 2)).max() < 0.1 * (high - low)


def test_eyes_blink_every_few_seconds_for_a_quarter_of_one():
    eyelids = curves(3, 25 * 120)["eyelids"]
    shut = eyelids < 0.2
    blinks = np.count_nonzero(shut[1:] & ~shut[:-1])
    assert 120 / 4 - 3 <= blinks <= 120 / 2 + 3
    assert eyelids.min() < 0.05
    assert np.median(eyelids) > 0.5
    assert shut.sum() / 25 / blinks < 0.25


def test_eyes_rest_and_jump():
    steps = np.abs(np.diff(curves(4, 25 * 60)["gaze_x"]))
    assert np.mean(steps < 0.01) > 0.7
    assert steps.max() > 0.4


def test_mouths_talk_and_pause():
    jaw = curves(5, 25 * 60)["jaw"]
    assert 0.1 < np.mean(jaw < 0.03) < 0.7
    turns = np.diff(jaw)[1:] * np.diff(jaw)[:-1] < 0
    while_talking = np.maximum(jaw[2:], jaw[:-2]) > 0.1
    # Opening and closing makes two turns: 3 to 6 a second, as syllables come.
    assert 2.5 < turns[while_talking].sum() / 2 / (while_talking.sum() / 25) < 7


def test_the_frame_rate_changes_how_often_motion_is_seen_and_not_the_motion():
    slow, fast = curves(6, 25, 25.0), curves(6, 49, 50.0)
    for name in NAMES:
        np.testing.assert_allclose(fast[name][::2], slow[name], atol=1e-12)


@pytest.mark.parametrize(("num_frames", "frame_rate"), [(0, 25.0), (5, 0.0), (5, float("nan"))])
def test_a_clip_that_cannot_be_is_refused(num_frames, frame_rate):
    with pytest.raises(UserError, match="cannot be drawn"):
        random_motion(np.random.default_rng(0), num_frames, frame_rate)


def test_one_frame_is_a_clip():
    assert len(random_motion(np.random.default_rng(0), 1)) == 1


def test_a_transfer_keeps_the_portraits_place_and_takes_all_else_from_the_driver():
    driving = [
        Motion(yaw=10, x=0.05, y=0.01, size=0.9, jaw=0.2),
        Motion(yaw=20, x=0.02, y=0.03, size=1.08, jaw=0.6),
    ]
    portrait = Motion(yaw=-25, x=-0.04, y=0.02, size=1.1, smile=1)
    first, second = transfer(driving, portrait)
    assert asdict(first) == pytest.approx(asdict(Motion(yaw=10, x=-0.04, y=0.02, size=1.1, jaw=0.2)))
    assert asdict(second) == pytest.approx(asdict(Motion(yaw=20, x=-0.07, y=0.04, size=1.32, jaw=0.6)))
    assert transfer([], portrait) == []
