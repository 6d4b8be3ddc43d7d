"""The look at a running job: it gets nearer to the result from step to step, and changes nothing of it."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_hunyuan_portrait import HunyuanPortraitPipeline, load_pipeline
from diffusers_hunyuan_portrait.demo import previews
from diffusers_hunyuan_portrait.demo.previews import StepPreview
from diffusers_hunyuan_portrait.face import load_detector
from diffusers_hunyuan_portrait.media import VideoReader, read_image

STEPS = 6


@pytest.fixture(scope="module")
def pipe() -> HunyuanPortraitPipeline:
    return load_pipeline("drawn-faces", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def conditions(pipe, demo_media):
    frames = list(VideoReader(demo_media.driving))[:4]
    return pipe.prepare_conditions(
        read_image(demo_media.portrait), np.stack(frames), detector=load_detector("mtcnn")
    )


def run(pipe, conditions, **settings):
    return pipe(
        conditions=conditions,
        output_type="latent",
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(3),
        **settings,
    ).frames


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(float)


def test_it_sharpens_towards_the_middle_frame_of_the_result(pipe, conditions, monkeypatch):
    monkeypatch.setattr(previews, "SHARE", 1)  # at every step, whatever time it takes
    shown: list[bytes] = []
    latents = run(pipe, conditions, callback_on_step_end=StepPreview(pipe, shown.append))
    final = pixels(previews._decode(pipe, latents[:, latents.shape[1] // 2].float()))
    errors = [np.abs(pixels(jpeg) - final).mean() for jpeg in shown]
    assert len(errors) >= STEPS - 2
    assert all(later < earlier for earlier, later in pairwise(errors)), errors
    assert errors[-1] < 2  # of 255: the last step's own noise is all that is left


def test_the_result_is_the_same_without_it(pipe, conditions):
    shown: list[bytes] = []
    seen = run(pipe, conditions, callback_on_step_end=StepPreview(pipe, shown.append))
    assert shown
    assert torch.equal(seen, run(pipe, conditions))


def test_there_is_none_where_networks_are_moved_one_by_one(pipe, conditions, monkeypatch):
    monkeypatch.setattr(pipe.vae, "_hf_hook", object(), raising=False)
    shown: list[bytes] = []
    preview = StepPreview(pipe, shown.append)
    monkeypatch.undo()
    run(pipe, conditions, callback_on_step_end=preview)
    assert shown == []
