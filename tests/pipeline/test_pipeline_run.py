"""What a run takes and gives: lengths, seeds, strength, guidance, schedulers, callbacks, interruption, outputs."""

import copy
import logging

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
)
from runs import Calls, distance, make_conditions, small_run
from synthetic import normal

import diffusers_hunyuan_portrait as hp
from diffusers_hunyuan_portrait import pipeline as pipeline_module
from diffusers_hunyuan_portrait.sampling import BranchWeights
from diffusers_hunyuan_portrait.sampling import latents as latents_module

WINDOWS = 2  # of `small_run`, at each of its two steps

# float32 sums in another order, which the steps from σ = 700 on multiply: seen up to 1.4e-4
ROUNDING = 5e-4


def with_scheduler(pipe, scheduler) -> hp.HunyuanPortraitPipeline:
    return hp.HunyuanPortraitPipeline(**{**pipe.components, "scheduler": scheduler})


# -- Outputs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def padded_run(tiny_pipeline):
    conditions = make_conditions("small", 7, pad_frames=2)
    latents = normal("small/noise", (1, 7, 4, 8, 8))
    return {"conditions": conditions, "latents": latents, "decode_chunk_size": 4}


def test_latents_keep_the_padding_and_pictures_drop_it(tiny_pipeline, padded_run):
    latents = small_run(tiny_pipeline, **padded_run)
    assert latents.shape == (1, 7, 4, 8, 8)
    assert latents.dtype == torch.float32
    frames = small_run(tiny_pipeline, **padded_run, output_type="pt")
    assert frames.shape == (1, 3, 3, 64, 64)
    assert 0 <= frames.min() < frames.max() <= 1
    decoded = torch.cat(list(tiny_pipeline.decode_frames(latents, 4, pad_frames=2)))
    assert torch.equal(decoded, frames[0])


def test_output_types_hold_the_same_pictures(tiny_pipeline, padded_run):
    frames = small_run(tiny_pipeline, **padded_run, output_type="pt")[0].permute(0, 2, 3, 1).numpy()
    array = small_run(tiny_pipeline, **padded_run, output_type="np")
    assert array.shape == (1, 3, 64, 64, 3)
    assert np.array_equal(array[0], frames)
    (images,) = small_run(tiny_pipeline, **padded_run, output_type="pil")
    assert [type(image) for image in images] == [PIL.Image.Image] * 3
    assert np.array_equal(
        np.stack([np.asarray(image) for image in images]), (frames * 255).round().astype(np.uint8)
    )


def test_a_tuple_holds_what_the_output_does(tiny_pipeline):
    output = small_run(tiny_pipeline)
    plain = tiny_pipeline(
        conditions=make_conditions("small", 5),
        latents=normal("small/noise", (1, 5, 4, 8, 8)),
        num_inference_steps=2,
        window_size=4,
        window_overlap=1,
        output_type="latent",
        return_dict=False,
    )
    assert isinstance(plain, tuple)
    assert torch.equal(plain[0], output)


@pytest.mark.parametrize("pad_frames", [0, 1, 3, 4])
@torch.no_grad()
def test_only_needed_chunks_are_decoded(pad_frames, tiny_pipeline, monkeypatch):
    latents = normal("decode", (1, 11, 4, 8, 8))  # chunks 0-2, 3-5, 6-8 and 9-10
    whole = torch.cat(list(tiny_pipeline.decode_frames(latents, 3)))
    calls = Calls(monkeypatch, tiny_pipeline.vae, "decode")
    kept = torch.cat(list(tiny_pipeline.decode_frames(latents, 3, pad_frames)))
    assert torch.equal(kept, whole[pad_frames : 11 - pad_frames])
    assert calls.count == {0: 4, 1: 4, 3: 2, 4: 2}[pad_frames]
    assert [kwargs["num_frames"] for _, kwargs in calls.arguments] == {4: [3, 3, 3, 2], 2: [3, 3]}[calls.count]


# -- Lengths, sizes and seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_any_length(num_frames, tiny_pipeline):
    latents = small_run(tiny_pipeline, num_frames, window_shift=3)
    assert latents.shape == (1, num_frames, 4, 8, 8)
    assert latents.isfinite().all()


def test_pictures_need_not_be_square_nor_halve_evenly(tiny_pipeline):
    settings = {"conditions": make_conditions("oblong", 3, size=(72, 40), pose=True), "latents": None}
    frames = small_run(tiny_pipeline, **settings, output_type="pt")
    assert frames.shape == (1, 3, 3, 72, 40)


def test_a_seed_repeats_bit_for_bit_and_another_does_not(tiny_pipeline):
    def seeded(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return small_run(tiny_pipeline, latents=None, generator=generator, noise_aug_strength=0.1)

    first = seeded(7)
    assert torch.equal(seeded(7), first)
    assert distance(seeded(8), first) > 0.1


def test_given_latents_are_the_noise_that_a_seed_would_draw(tiny_pipeline):
    drawn = torch.randn((1, 5, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    seeded = small_run(tiny_pipeline, latents=None, generator=torch.Generator().manual_seed(7))
    given = drawn.clone()
    assert torch.equal(small_run(tiny_pipeline, latents=given), seeded)
    assert torch.equal(given, drawn)  # and are left as they are


def test_strength_leaves_the_last_steps(tiny_pipeline, monkeypatch):
    calls = Calls(monkeypatch, tiny_pipeline.unet, "forward")
    small_run(tiny_pipeline, num_inference_steps=5, strength=0.5)
    assert tiny_pipeline.num_timesteps == 2  # 5 - int(5 · 0.5) = 3 are left out
    times = [args[1].item() for args, _ in calls.arguments]
    tiny_pipeline.scheduler.set_timesteps(5)
    assert sorted(set(times), reverse=True) == tiny_pipeline.scheduler.timesteps[3:].tolist()


def test_augmentation_reaches_the_image_latents_alone(tiny_pipeline, monkeypatch):
    scheduler_calls = Calls(monkeypatch, tiny_pipeline.scheduler, "add_noise")
    unet_calls = Calls(monkeypatch, tiny_pipeline.unet, "forward")
    generator = torch.Generator()
    small_run(tiny_pipeline)
    small_run(tiny_pipeline, noise_aug_strength=0.5, generator=generator.manual_seed(0))
    start, augmented_start = (args[0] for args, _ in scheduler_calls.arguments)
    assert distance(augmented_start, start) < ROUNDING  # encoded in one batch with the augmented picture
    image_latents, augmented = (unet_calls.arguments[i][0][0][:, :, 4:] for i in (1, 9))  # full branches
    assert distance(augmented, image_latents) > 0.1
    assert unet_calls.arguments[9][0][3].tolist() == [[12.5, 0.0, 0.5]]


# -- Savings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("appearance", "motion", "calls_a_window"),
    [(2.0, 2.0, 2), (2.0, 3.0, 3), (1.0, 1.0, 1), (1.0, 2.0, 2), (2.0, 0.0, 2), (0.0, 0.0, 1), (2.5, 1.0, 3)],
)
def test_only_branches_with_a_weight_are_run(appearance, motion, calls_a_window, tiny_pipeline, monkeypatch):
    scales = {"appearance_guidance_scale": appearance, "motion_guidance_scale": motion}
    calls = Calls(monkeypatch, tiny_pipeline.unet, "forward")
    latents = small_run(tiny_pipeline, num_inference_steps=1, **scales)
    assert calls.count == calls_a_window * WINDOWS
    # Whatever a step leaves out would have counted for nothing.
    monkeypatch.setattr(
        pipeline_module,
        "branch_weights",
        lambda g1, g2: BranchWeights(1 - g1 or 1e-30, g1 - g2 or 1e-30, g2 or 1e-30),
    )
    calls.count = 0
    assert distance(small_run(tiny_pipeline, num_inference_steps=1, **scales), latents) < ROUNDING
    assert calls.count == 3 * WINDOWS


def test_guidance_runs_from_the_first_scale_to_the_last(tiny_pipeline, monkeypatch):
    seen = []
    original = pipeline_module.branch_weights
    monkeypatch.setattr(
        pipeline_module, "branch_weights", lambda *scales: seen.append(scales) or original(*scales)
    )
    scales = {"appearance_guidance_scale": (1.0, 3.0), "motion_guidance_scale": (2.0, 1.0)}
    small_run(tiny_pipeline, 2, num_inference_steps=5, **scales)
    assert seen == [(1.0, 2.0), (1.5, 1.75), (2.0, 1.5), (2.5, 1.25), (3.0, 1.0)]
    seen.clear()
    small_run(tiny_pipeline, 2, num_inference_steps=6, strength=0.5, **scales)
    assert seen == [(1.0, 2.0), (2.0, 1.5), (3.0, 1.0)]  # over the steps that are left


def test_no_pose_is_a_black_pose_encoded_once(tiny_pipeline, monkeypatch):
    conditions = make_conditions("small", 5)
    black = torch.zeros(1, 3, 5, 64, 64)
    given = hp.PortraitConditions(**{**vars(conditions), "pose_images": black})
    from_pictures = small_run(tiny_pipeline, conditions=given)
    calls = Calls(monkeypatch, tiny_pipeline.pose_guider, "forward")
    assert distance(small_run(tiny_pipeline, conditions=conditions), from_pictures) < ROUNDING
    assert calls.count == 1


# -- Schedulers ----------------------------------------------------------------------------------------------


def schedulers() -> dict:
    beta = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    common = {**beta, "prediction_type": "v_prediction"}
    return {
        "dpm_solver": DPMSolverMultistepScheduler(**common, use_karras_sigmas=True),
        "ancestral": EulerAncestralDiscreteScheduler(**common),
        "ddim": DDIMScheduler(**common, clip_sample=False),
        "heun": HeunDiscreteScheduler(**common),
    }


@pytest.mark.parametrize("name", list(schedulers()))
def test_other_schedulers_run(name, tiny_pipeline):
    pipe = with_scheduler(tiny_pipeline, schedulers()[name])
    settings = {"num_inference_steps": 4, "window_size": 5}
    latents = small_run(pipe, **settings, generator=torch.Generator().manual_seed(0))
    assert latents.isfinite().all()
    assert latents.std() < 100
    again = small_run(pipe, **settings, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, latents)  # nothing is left over from the run before
    half = small_run(pipe, **settings, strength=0.5, generator=torch.Generator().manual_seed(0))
    assert pipe.num_timesteps == {"heun": 3}.get(name, 2)
    assert half.isfinite().all()


@pytest.mark.parametrize("name", ["euler", "dpm_solver"])
def test_a_clip_in_slices_is_stepped_as_in_one(name, tiny_pipeline, monkeypatch, caplog):
    scheduler = tiny_pipeline.scheduler if name == "euler" else schedulers()[name]
    pipe = with_scheduler(tiny_pipeline, copy.deepcopy(scheduler))
    settings = {"num_frames": 7, "num_inference_steps": 3}
    whole = small_run(pipe, **settings)
    monkeypatch.setattr(latents_module, "SCHEDULER_SLICE", 3)
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    assert torch.equal(small_run(pipe, **settings), whole)
    assert not caplog.records  # each slice's scheduler was used as it wants to be


# -- Callbacks and interruption ------------------------------------------------------------------------------


def test_a_callback_sees_every_step_and_may_replace_the_latents(tiny_pipeline):
    seen, kept = [], []

    def callback(pipe, step, timestep, tensors):
        seen.append((pipe is tiny_pipeline, step, timestep.item(), list(tensors)))
        kept.append(tensors["latents"])
        if step == 1:
            return {"latents": torch.full_like(tensors["latents"], 3.0)}
        return {}

    latents = small_run(tiny_pipeline, callback_on_step_end=callback)
    times = tiny_pipeline.scheduler.timesteps.tolist()
    assert seen == [(True, 0, times[0], ["latents"]), (True, 1, times[1], ["latents"])]
    assert (latents == 3).all()
    plain = small_run(tiny_pipeline)
    assert torch.equal(kept[1], plain)  # and what it was given stays as it was
    assert distance(kept[0], plain) > 10 * ROUNDING


def test_a_callback_may_ask_for_nothing(tiny_pipeline):
    seen = []
    small_run(
        tiny_pipeline,
        callback_on_step_end=lambda pipe, step, timestep, tensors: seen.append(tensors),
        callback_on_step_end_tensor_inputs=(),
    )
    assert seen == [{}, {}]


@pytest.mark.parametrize("interrupted_after", [1, 2, 3, 4, 5, 8])
def test_interruption_keeps_the_last_whole_step(interrupted_after, tiny_pipeline, monkeypatch):
    """Two branches on two windows: a step is four calls of the UNet."""
    steps = []
    small_run(tiny_pipeline, callback_on_step_end=lambda pipe, step, time, x: steps.append(x["latents"]) or x)

    def stop(count: int) -> None:
        tiny_pipeline.interrupt = tiny_pipeline.interrupt or count == interrupted_after

    unet_calls = Calls(monkeypatch, tiny_pipeline.unet, "forward", then=stop)
    vae_calls = Calls(monkeypatch, tiny_pipeline.vae, "decode")
    start = []
    add_noise = tiny_pipeline.scheduler.add_noise
    monkeypatch.setattr(
        tiny_pipeline.scheduler, "add_noise", lambda *args: start.append(add_noise(*args)) or start[-1].clone()
    )
    latents = small_run(tiny_pipeline)
    assert unet_calls.count == interrupted_after
    assert torch.equal(latents, start[0] if interrupted_after <= 4 else steps[0])
    unet_calls.count = 0
    frames = small_run(tiny_pipeline, output_type="pt")
    assert unet_calls.count == interrupted_after
    assert frames.shape == (1, 0, 3, 64, 64)
    assert vae_calls.count == 0


def test_interruption_in_a_callback_keeps_that_step(tiny_pipeline, monkeypatch):
    calls = Calls(monkeypatch, tiny_pipeline.unet, "forward")
    seen = []

    def callback(pipe, step, timestep, tensors):
        pipe.interrupt = True
        seen.append(tensors["latents"])
        return tensors

    latents = small_run(tiny_pipeline, callback_on_step_end=callback)
    assert calls.count == 4
    assert torch.equal(latents, seen[0])


def test_interruption_while_decoding_keeps_what_is_decoded(tiny_pipeline, monkeypatch):
    def stop(count: int) -> None:
        tiny_pipeline.interrupt = count == 2

    calls = Calls(monkeypatch, tiny_pipeline.vae, "decode", then=stop)
    frames = small_run(tiny_pipeline, output_type="pt", decode_chunk_size=2)
    assert calls.count == 2
    assert frames.shape[1] == 4
    assert small_run(tiny_pipeline, output_type="pt").shape[1] == 5  # a new run begins anew


@pytest.mark.parametrize(("output_type", "empty"), [("latent", (1, 0, 4, 8, 8)), ("np", (1, 0, 64, 64, 3))])
def test_interruption_before_encoding_gives_no_frames(output_type, empty, tiny_pipeline, monkeypatch):
    """While faces are looked for there are no latents yet, and no network is called any more."""

    def interrupted_preparation(*args, **kwargs):
        tiny_pipeline.interrupt = True
        return make_conditions("small", 5, pad_frames=1)

    monkeypatch.setattr(tiny_pipeline, "prepare_conditions", interrupted_preparation)
    calls = [
        Calls(monkeypatch, tiny_pipeline.unet, "forward"),
        Calls(monkeypatch, tiny_pipeline.vae, "encode"),
        Calls(monkeypatch, tiny_pipeline.vae, "decode"),
    ]
    output = tiny_pipeline("portrait.png", "driving.mp4", output_type=output_type).frames
    assert output.shape == empty
    assert [call.count for call in calls] == [0, 0, 0]


def test_progress_is_told_window_by_window_and_chunk_by_chunk(tiny_pipeline):
    told = []
    small_run(
        tiny_pipeline, output_type="pt", decode_chunk_size=3, on_progress=lambda *progress: told.append(progress)
    )
    assert told == [("denoise", done, 4) for done in range(1, 5)] + [("decode", 3, 5), ("decode", 5, 5)]
