"""The work of one window and step at the released sizes, 25 frames of 512×512, on networks without content.

As the published program's 104.4 TFLOP were counted: without attention's products. A change that spends more fails.
"""

import pytest
import torch

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait.benchmarking import count_operations, make_plain, make_released

NUM_FRAMES, SIDE = 25, 512


@pytest.fixture(scope="module")
def pipe():
    pipe = make_released(torch.float16, "meta").to("meta")  # some numbers of diffusers are made on the CPU
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(autouse=True)
def default_attention(pipe):
    yield
    pipe.unet.set_default_attn_processor()


def window_tflop(pipe, appearance: float, motion: float, monkeypatch) -> float:
    """What the UNet and the pose guider do for one window, all its branches."""
    done = []

    def count(network):
        forward = network.forward

        def counted(*arguments, **named):
            with count_operations() as operations:
                result = forward(*arguments, **named)
            done.append(operations.products)
            return result

        monkeypatch.setattr(network, "forward", counted)

    for network in (pipe.unet, pipe.pose_guider):
        count(network)
    with torch.device("meta"):
        conditions = hp.PortraitConditions(
            portrait=torch.empty(1, 3, SIDE, SIDE),
            dino_image=torch.empty(1, 3, 224, 224),
            id_embedding=torch.empty(1, 512),
            motion_tokens=torch.empty(1, NUM_FRAMES, 64, 1024),
        )
        latents = torch.empty(1, NUM_FRAMES, 4, SIDE // 8, SIDE // 8)
    levels = pipe.scheduler.set_timesteps
    # The noise levels have content: they say which branches there are.
    monkeypatch.setattr(pipe.scheduler, "set_timesteps", lambda count, device: levels(count))
    pipe(
        conditions=conditions,
        latents=latents,
        num_inference_steps=1,
        window_size=NUM_FRAMES,
        window_overlap=0,
        appearance_guidance_scale=appearance,
        motion_guidance_scale=motion,
        output_type="latent",
    )
    monkeypatch.undo()
    return sum(done) / 1e12


@pytest.mark.parametrize(
    ("appearance", "motion", "budget"),
    [(1, 1, 29), (2, 2, 58), (2, 3, 86)],
)
def test_a_window_keeps_to_its_budget(pipe, appearance, motion, budget, monkeypatch):
    # What is far below has not been counted.
    assert 0.9 * budget < window_tflop(pipe, appearance, motion, monkeypatch) <= budget


def test_the_plain_setting_spends_what_the_published_program_does(pipe, monkeypatch):
    assert window_tflop(make_plain(pipe), 2, 2, monkeypatch) == pytest.approx(104.4, rel=0.01)
