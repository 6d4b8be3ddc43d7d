"""What cannot be run is refused before any work, with a sentence that says what and why."""

import math

import numpy as np
import pytest
import torch
from runs import Calls, make_conditions, small_run

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.errors import UserError

CONDITIONS = vars(make_conditions("small", 5))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"appearance_guidance_scale": math.nan},
            "`appearance_guidance_scale` is nan; it must be a finite number",
        ),
        ({"motion_guidance_scale": (1.0, math.inf)}, "`motion_guidance_scale` is (1.0, inf); it must be a finite"),
        ({"motion_guidance_scale": (1.0, 2.0, 3.0)}, "`motion_guidance_scale` is (1.0, 2.0, 3.0); it must be"),
        ({"num_inference_steps": 0}, "`num_inference_steps` is 0; it must be at least 1"),
        ({"window_size": 0}, "`window_size` is 0; it must be at least 1"),
        ({"window_size": 4, "window_overlap": 4}, "`window_size` is 4 and `window_overlap` 4; a window must be"),
        ({"window_overlap": -1}, "`window_overlap` is -1; it must not be negative"),
        ({"window_shift": -1}, "`window_shift` is -1; it must not be negative"),
        ({"decode_chunk_size": 0}, "`decode_chunk_size` is 0; it must be at least 1"),
        ({"strength": 0.0}, "`strength` is 0.0; it must be above 0 and at most 1"),
        ({"strength": 1.5}, "`strength` is 1.5; it must be above 0 and at most 1"),
        ({"strength": math.nan}, "`strength` is nan; it must be above 0 and at most 1"),
        ({"strength": 0.3}, "`strength` 0.3 leaves none of 2 steps"),
        ({"fps": 0.0}, "`fps` is 0.0; it must be a positive number"),
        ({"noise_aug_strength": -0.1}, "`noise_aug_strength` is -0.1; it must be a number from 0 up"),
        ({"output_type": "gif"}, "`output_type` is 'gif'; it must be one of pil, np, pt, latent"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "A callback cannot be given noise; there is latents"),
        ({"height": 60}, "Height and width must be multiples of 8, but are 60 and 64"),
        ({"width": 0}, "Height and width must be multiples of 8, but are 64 and 0"),
        ({"height": 8, "width": 8}, "Height and width must be from 16 to 4096, but are 8 and 8"),
        ({"width": 4104}, "Height and width must be from 16 to 4096, but are 64 and 4104"),
        ({"window_size": 1025}, "`window_size` is 1025; it must be at most 1024"),
        ({"num_inference_steps": 10_001}, "`num_inference_steps` is 10001; it must be at most 10000"),
        ({"height": 128}, "The conditions are for pictures of 64×64"),
        (
            {"latents": torch.zeros(1, 4, 4, 8, 8)},
            "`latents` has shape (1, 4, 4, 8, 8); (1, 5, 4, 8, 8) is needed",
        ),
        ({"image": "portrait.png"}, "Give either `image` and `driving_video`, or `conditions`, not both"),
        ({"conditions": None, "image": "portrait.png"}, "Give `image` and `driving_video`, or ready `conditions`"),
        ({"conditions": None}, "Give `image` and `driving_video`, or ready `conditions`"),
    ],
)
def test_a_bad_setting(settings, sentence, tiny_pipeline, monkeypatch):
    calls = [Calls(monkeypatch, tiny_pipeline.vae, "encode"), Calls(monkeypatch, tiny_pipeline.unet, "forward")]
    with pytest.raises(UserError) as error:
        small_run(tiny_pipeline, **settings)
    assert str(error.value).startswith(sentence)
    assert [call.count for call in calls] == [0, 0]


@pytest.mark.parametrize(
    ("field", "shape", "sentence"),
    [
        ("portrait", (1, 3, 60, 64), "Height and width must be multiples of 8, but are 60 and 64"),
        ("portrait", (1, 4, 64, 64), "`portrait` has shape (1, 4, 64, 64), but this model needs 3 on axis 1"),
        (
            "dino_image",
            (1, 3, 112, 224),
            "`dino_image` has shape (1, 3, 112, 224), but this model needs 224 on axis 2",
        ),
        ("id_embedding", (1, 256), "`id_embedding` has shape (1, 256), but this model needs 512 on axis 1"),
        (
            "motion_tokens",
            (1, 5, 16, 32),
            "`motion_tokens` has shape (1, 5, 16, 32), but this model needs 64 on axis 3",
        ),
    ],
)
def test_conditions_for_another_model(field, shape, sentence, tiny_pipeline):
    conditions = hp.PortraitConditions(**{**CONDITIONS, field: torch.zeros(shape)})
    with pytest.raises(UserError) as error:
        small_run(tiny_pipeline, conditions=conditions)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"portrait": torch.zeros(3, 64, 64)}, "`portrait` has shape (3, 64, 64); it needs 4 axes"),
        (
            {"portrait": torch.zeros(2, 3, 64, 64)},
            "`portrait` has shape (2, 3, 64, 64); it needs 4 axes, the first of",
        ),
        ({"id_embedding": torch.zeros(1, 1, 512)}, "`id_embedding` has shape (1, 1, 512); it needs 2 axes"),
        ({"motion_tokens": torch.zeros(5, 16, 64)}, "`motion_tokens` has shape (5, 16, 64); it needs 4 axes"),
        (
            {"pose_images": torch.zeros(1, 3, 4, 64, 64)},
            "`pose_images` has shape (1, 3, 4, 64, 64); (1, 3, 5, 64, 64) is",
        ),
        ({"portrait": np.zeros((1, 3, 64, 64))}, "`portrait` is a ndarray; it must be a torch tensor"),
        ({"pose_images": [1]}, "`pose_images` is a list; it must be a torch tensor"),
        ({"pad_frames": 3}, "`pad_frames` is 3 at each end, which leaves none of 5 frames"),
        ({"pad_frames": -1}, "`pad_frames` is -1 at each end"),
        (
            {"motion_tokens": torch.zeros(1, 0, 16, 64)},
            "`pad_frames` is 0 at each end, which leaves none of 0 frames",
        ),
    ],
)
def test_conditions_that_do_not_fit_each_other(changes, sentence):
    with pytest.raises(UserError) as error:
        hp.PortraitConditions(**{**CONDITIONS, **changes})
    assert str(error.value).startswith(sentence)


def test_pictures_without_numbers_are_not_passed_off_as_black(tiny_pipeline):
    with pytest.raises(UserError, match=r"pictures that hold no numbers \(NaN\): .*torch\.float32"):
        small_run(tiny_pipeline, latents=torch.full((1, 5, 4, 8, 8), math.nan), output_type="pt")


def test_crops_and_landmarks_of_other_lengths(tiny_pipeline):
    crops = torch.zeros(2, 3, 256, 256)
    with pytest.raises(UserError, match="must have as many frames as each other, but have 2, 2 and 3"):
        tiny_pipeline.encode_motion(crops, crops, torch.zeros(3, 5, 2))


def test_no_frames_at_all(tiny_pipeline):
    with pytest.raises(UserError, match="There are no frames to take a motion from"):
        tiny_pipeline.encode_motion(torch.zeros(0, 3, 256, 256), torch.zeros(0, 3, 256, 256), torch.zeros(0, 5, 2))
