"""A motion that is repeated, forwards and backwards."""

from dataclasses import replace

import pytest
import torch

from diffusers_hunyuan_portrait import PortraitConditions
from diffusers_hunyuan_portrait.conditions import fade, repetition
from diffusers_hunyuan_portrait.errors import UserError

PAD = 3


@pytest.fixture
def conditions() -> PortraitConditions:
    """Five frames whose tokens and poses say which they are, from 1 on."""
    numbers = torch.arange(-PAD, 5 + PAD).clamp(0, 4) + 1.0
    tokens = numbers.view(1, -1, 1, 1).repeat(1, 1, 2, 4)
    fade(tokens[0], PAD)
    return PortraitConditions(
        portrait=torch.zeros(1, 3, 16, 16),
        dino_image=torch.zeros(1, 3, 28, 28),
        id_embedding=torch.zeros(1, 8),
        motion_tokens=tokens,
        pose_images=numbers.view(1, 1, -1, 1, 1).repeat(1, 3, 1, 16, 16),
        pad_frames=PAD,
    )


@pytest.fixture
def with_keypoints(conditions) -> PortraitConditions:
    """The same with points in place of the pictures."""
    numbers = conditions.pose_images[0, 0, :, 0, 0]
    return replace(conditions, pose_images=None, pose_keypoints=numbers.view(1, -1, 1, 1).repeat(1, 1, 134, 3))


@pytest.mark.parametrize(
    ("settings", "order"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"times": 2}, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]),
        ({"boomerang": True}, [1, 2, 3, 4, 5, 4, 3, 2]),
        ({"times": 2, "boomerang": True}, [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3, 4, 5, 4, 3, 2]),
    ],
)
def test_frames_are_repeated_between_the_same_fades(conditions, with_keypoints, settings, order):
    repeated = conditions.repeated(**settings)
    first, last = order[0], order[-1]
    expected = (
        [first * step / PAD for step in range(PAD)] + order + [last * (1 - step / PAD) for step in range(PAD)]
    )
    torch.testing.assert_close(repeated.motion_tokens[0, :, 0, 0], torch.tensor(expected, dtype=torch.float32))
    poses = [first] * PAD + order + [last] * PAD
    torch.testing.assert_close(repeated.pose_images[0, 0, :, 0, 0], torch.tensor(poses, dtype=torch.float32))
    assert repeated.pad_frames == PAD
    keypoints = with_keypoints.repeated(**settings).pose_keypoints
    torch.testing.assert_close(keypoints, torch.tensor(poses).float().view(1, -1, 1, 1).repeat(1, 1, 134, 3))


def test_a_pose_has_one_form_and_its_shape(conditions, with_keypoints):
    with pytest.raises(UserError, match="`pose_images` or `pose_keypoints`, not both"):
        replace(with_keypoints, pose_images=conditions.pose_images)
    with pytest.raises(UserError, match=r"shape \(1, 11, 18, 3\); \(1, 11, 134, 3\) is needed"):
        replace(with_keypoints, pose_keypoints=with_keypoints.pose_keypoints[:, :, :18])
    with pytest.raises(UserError, match="`pose_keypoints` is a list"):
        replace(with_keypoints, pose_keypoints=[1])


def test_one_round_is_what_it_was(conditions):
    assert torch.equal(conditions.repeated().motion_tokens, conditions.motion_tokens)


def test_short_clips_run_backwards_too():
    assert repetition(1, boomerang=True) == [0]
    assert repetition(2, boomerang=True) == [0, 1]
    assert repetition(3, boomerang=True) == [0, 1, 2, 1]


@pytest.mark.parametrize("times", [0, -2])
def test_no_rounds_are_refused(conditions, times):
    with pytest.raises(UserError, match=f"cannot be repeated {times} times"):
        conditions.repeated(times)
