"""What the controls of the motion do to tokens and attention, as arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from astronaut import moving_frames, portrait_picture

from diffusers_hunyuan_portrait.errors import UserError
from diffusers_hunyuan_portrait.face import crop_portrait
from diffusers_hunyuan_portrait.models.attention import PortraitCrossAttention, Tokens
from diffusers_hunyuan_portrait.motion import DrivingMotion
from diffusers_hunyuan_portrait.progress import no_progress

NUM_FRAMES, PAD = 5, 2
ANGLES = slice(-6, -3)  # of a motion token: the head's, in degrees
REST = torch.tensor([10.0, -20.0, 170.0])


@pytest.fixture(scope="module")
def motion(pipe, detector) -> DrivingMotion:
    return pipe.prepare_motion(
        np.stack(list(moving_frames(NUM_FRAMES))), detector=detector, on_progress=no_progress
    )


@pytest.fixture(scope="module")
def prepare(pipe, detector, motion):
    """Motion tokens, (F, N, C), with the head as the settings say."""

    def tokens(**settings) -> torch.Tensor:
        conditions = pipe.prepare_conditions(
            portrait_picture(), motion, detector=detector, pad_frames=PAD, on_progress=no_progress, **settings
        )
        return conditions.motion_tokens[0, PAD:-PAD]

    return tokens


def test_as_it_is_the_head_has_the_drivers_angles(prepare, motion):
    tokens = prepare()
    assert torch.equal(tokens, prepare(head="absolute", head_scale=1.0))
    assert torch.equal(tokens[:, :, ANGLES], motion.rotation[:, None].expand(-1, tokens.shape[1], -1))


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_absolute_angles_are_multiplied(prepare, motion, scale):
    expected = (scale * motion.rotation + 180) % 360 - 180
    torch.testing.assert_close(prepare(head_scale=scale)[:, 0, ANGLES], expected)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_relative_angles_start_from_the_portraits(pipe, detector, prepare, motion, scale):
    """Those that the head-pose encoder reads in the portrait's own square."""
    box = crop_portrait(portrait_picture(), detector).box
    at_rest = pipe._read_rotation(portrait_picture(), box)
    tokens = prepare(head="relative", head_scale=scale)
    torch.testing.assert_close(tokens[0, 0, ANGLES], at_rest)
    turned = (motion.rotation - motion.rotation[0] + 180) % 360 - 180
    torch.testing.assert_close(tokens[:, 0, ANGLES], (at_rest + scale * turned + 180) % 360 - 180)


def make_motion(rotation: list[list[float]]) -> DrivingMotion:
    frames = len(rotation)
    return DrivingMotion(
        expression=torch.randn(frames, 4),
        rotation=torch.tensor(rotation),
        translation=torch.zeros(frames, 3),
        landmarks=torch.rand(frames, 5, 2),
        timestamps=torch.arange(frames, dtype=torch.float64),
        levels=torch.tensor([[9, 40], [100, 7]]),
        held=torch.tensor([], dtype=torch.int64),
        chunk_size=-(-frames // 2),
        frame_rate=Fraction(1),
    )


def test_angles_go_round():
    """From 170 to -170 degrees it is 20."""
    driver = make_motion([[0.0, 0.0, 170.0], [0.0, 0.0, -170.0]])
    expected = torch.stack([REST, REST + torch.tensor([0.0, 0.0, 20.0 - 360])])
    torch.testing.assert_close(driver.with_head("relative", 1.0, REST).rotation, expected)
    torch.testing.assert_close(driver.with_head("absolute", 2.0).rotation[:, 2], torch.tensor([-20.0, 20.0]))


def test_levels_of_the_head_go_with_it_and_nothing_else_does():
    driver = make_motion([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert driver.with_head() is driver
    assert driver.with_head("absolute", 0.5).levels.tolist() == [[4, 40], [50, 7]]
    assert driver.with_head("absolute", -2.0).levels.tolist() == [[18, 40], [127, 7]]
    still = driver.with_head("relative", 0.0, REST)
    assert still.levels.tolist() == [[0, 40], [0, 7]]
    assert torch.equal(still.rotation, REST.expand(2, -1))
    for name in ("expression", "translation", "landmarks", "timestamps"):
        assert getattr(still, name) is getattr(driver, name)


def test_attention_to_the_motion_is_multiplied():
    """And attention to the image is not."""
    torch.manual_seed(0)
    attention = PortraitCrossAttention(query_dim=16, cross_attention_dim=8, heads=2, dim_head=8)
    query, image, motion = torch.randn(2, 12, 16), torch.randn(2, 3, 8), torch.randn(2, 4, 8)

    def attend(scale: float | None) -> torch.Tensor:
        tokens = Tokens(image, motion, None if scale is None else torch.tensor(scale))
        return attention(query, encoder_hidden_states=tokens)

    without = attention(query, encoder_hidden_states=Tokens(image, None))
    torch.testing.assert_close(attend(0.0), without)
    assert torch.equal(attend(1.0), attend(None))
    for scale in (0.5, 1.5):
        torch.testing.assert_close(attend(scale), without + scale * (attend(None) - without))


def test_a_run_takes_the_scale(pipe, prepare, detector, motion):
    conditions = pipe.prepare_conditions(portrait_picture(), motion, detector=detector, on_progress=no_progress)

    def latents(conditions, **settings) -> torch.Tensor:
        return pipe(
            conditions=conditions,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
            on_progress=no_progress,
            **settings,
        ).frames

    usual = latents(conditions)
    assert torch.equal(latents(conditions, motion_scale=1.0), usual)
    assert not torch.equal(latents(conditions, motion_scale=1.5), usual)
    unmoved = replace(conditions, motion_tokens=torch.zeros_like(conditions.motion_tokens))
    torch.testing.assert_close(latents(conditions, motion_scale=0.0), latents(unmoved))


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_other_scales_are_refused(pipe, prepare, scale):
    with pytest.raises(UserError, match="motion_scale"):
        pipe.check_inputs(motion_scale=scale)
    if scale != -0.1:
        with pytest.raises(UserError, match="head's scale"):
            prepare(head_scale=scale)
    with pytest.raises(UserError, match="no head 'upright'; choose absolute or relative"):
        prepare(head="upright")
