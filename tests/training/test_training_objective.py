"""The v-objective is the one that diffusers' Euler scheduler samples with."""

import pytest
import torch
from synthetic import normal

from diffusers_hunyuan_portrait.training.objective import (
    ObjectiveOptions,
    add_noise,
    denoise,
    scale_input,
    sigmas_at,
    time_of,
    v_target,
    weigh,
    weighted_loss,
)

SHAPE = (3, 2, 4, 5, 5)
LATENTS, NOISE = normal("latents", SHAPE), normal("noise", SHAPE)
SIGMAS = torch.tensor([0.01, 1.3, 500.0])


def test_the_target_tells_the_latents_from_what_is_noisy():
    noisy = add_noise(LATENTS, NOISE, SIGMAS)
    found = denoise(noisy, v_target(LATENTS, NOISE, SIGMAS), SIGMAS)
    # σ·n is subtracted again: rounding of float32 grows with σ.
    assert torch.allclose(found[0], LATENTS[0], atol=1e-6)
    assert torch.allclose(found[2], LATENTS[2], atol=500 * 1e-6)


def test_the_scheduler_reads_a_prediction_as_the_objective_means_it(tiny_pipeline):
    scheduler = tiny_pipeline.scheduler
    scheduler.set_timesteps(10)
    scheduler.set_begin_index(4)
    sigma, timestep = scheduler.sigmas[4:5], scheduler.timesteps[4]
    latents, noise = LATENTS[:1], NOISE[:1]
    noisy = add_noise(latents, noise, sigma)

    assert torch.allclose(scheduler.scale_model_input(noisy, timestep), scale_input(noisy, sigma), atol=1e-6)
    assert time_of(sigma).item() == pytest.approx(timestep.item(), abs=1e-6)
    stepped = scheduler.step(v_target(latents, noise, sigma), timestep, noisy)
    assert torch.allclose(stepped.pred_original_sample, latents, atol=1e-4)


def test_noise_levels_are_log_normal():
    sigmas = sigmas_at(normal("levels", (20_000,)), 0.7, 1.6)
    # Five standard errors of a mean and of a deviation over 20,000 draws.
    assert sigmas.log().mean().item() == pytest.approx(0.7, abs=5 * 1.6 / 20_000**0.5)
    assert sigmas.log().std().item() == pytest.approx(1.6, abs=5 * 1.6 / 40_000**0.5)


def test_weights_of_one_give_the_plain_mean():
    face, feature = (normal(name, (3, 2, 1, 5, 5)).sigmoid() for name in ("mask", "feature"))
    plain = torch.nn.functional.mse_loss(LATENTS, NOISE)
    weights = weigh(face, feature, ObjectiveOptions())
    assert weighted_loss(LATENTS, NOISE, weights).item() == pytest.approx(plain.item(), rel=1e-5)


def test_face_and_features_count_as_often_as_their_weights_say():
    face, feature = torch.zeros(1, 1, 1, 1, 4), torch.zeros(1, 1, 1, 1, 4)
    face[..., :2] = 1
    feature[..., 0] = 1
    weights = weigh(face, feature, ObjectiveOptions(face_weight=3, feature_weight=5))
    assert weights.flatten().tolist() == [15, 3, 1, 1]
    prediction = torch.zeros(1, 1, 2, 1, 4)
    prediction[..., 0], prediction[..., 1] = 1, 2
    # Errors 1 in an eye, 4 elsewhere on the face, and none beside it.
    loss = weighted_loss(prediction, torch.zeros_like(prediction), weights)
    assert loss.item() == pytest.approx((15 * 1 + 3 * 4) / (15 + 3 + 1 + 1))
