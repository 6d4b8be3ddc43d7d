"""What is learnt: Stable Video Diffusion's v-prediction under log-normal noise levels, as functions of tensors.

With σ the noise level, x₀ a latent and n unit noise, x = x₀ + σ·n is what a sampler holds at σ. The network sees
x / √(σ² + 1) and the time ¼·ln σ, and its output v tells x₀ = x / (σ² + 1) − v·σ / √(σ² + 1): the form that
diffusers' `EulerDiscreteScheduler` steps with ("v_prediction", continuous times; Karras et al., arXiv 2206.00364,
with σ_data = 1).
"""

from dataclasses import dataclass

import torch

from .options import option


@dataclass(frozen=True)
class ObjectiveOptions:
    """What the loss is made of."""

    log_sigma_mean: float = option(0.7, "mean of ln σ; Stable Video Diffusion's", low=-10, high=10)
    log_sigma_std: float = option(1.6, "standard deviation of ln σ; Stable Video Diffusion's", low=0, high=10)
    face_weight: float = option(1.0, "how much more a place on the face counts than one beside it", low=0)
    feature_weight: float = option(1.0, "how much more again a place in an eye or at the mouth counts", low=0)
    drop_all: float = option(0.1, "probability that an example has no condition at all", low=0, high=1)
    drop_motion: float = option(0.1, "probability that an example lacks the motion alone", low=0, high=1)


def sigmas_at(normal: torch.Tensor, log_mean: float, log_std: float) -> torch.Tensor:
    """Log-normal noise levels from standard-normal draws, of any shape."""
    return (log_mean + log_std * normal).exp()


def per_example(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B,) as (B, 1, …), to go with `like` (B, …)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def add_noise(latents: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """x₀ + σ·n; latents and noise (B, …), sigmas (B,)."""
    return latents + per_example(sigmas, latents) * noise


def scale_input(noisy: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """x / √(σ² + 1), what the network sees."""
    return noisy / per_example(sigmas**2 + 1, noisy).sqrt()


def time_of(sigmas: torch.Tensor) -> torch.Tensor:
    """¼·ln σ, the network's time."""
    return sigmas.log() / 4


def v_target(latents: torch.Tensor, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """(n − σ·x₀) / √(σ² + 1), what the network is to give."""
    scale = per_example(sigmas, latents)
    return (noise - scale * latents) / (scale**2 + 1).sqrt()


def denoise(noisy: torch.Tensor, v: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """x₀ as v tells it: x / (σ² + 1) − v·σ / √(σ² + 1)."""
    scale = per_example(sigmas, noisy)
    return noisy / (scale**2 + 1) - v * scale / (scale**2 + 1).sqrt()


def v_of(noisy: torch.Tensor, latents: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """The v that tells these latents: `denoise` turned round."""
    scale = per_example(sigmas, noisy)
    return (noisy / (scale**2 + 1) - latents) * (scale**2 + 1).sqrt() / scale


def jump(noisy: torch.Tensor, v: torch.Tensor, sigmas: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """An Euler step from the noise levels `sigmas` (B,) to the levels `lower` (B,)."""
    found = denoise(noisy, v, sigmas)
    return found + per_example(lower / sigmas, noisy) * (noisy - found)


def weigh(face_mask: torch.Tensor, feature_mask: torch.Tensor, objective: ObjectiveOptions) -> torch.Tensor:
    """How much each place counts, (B, F, 1, h, w): 1 far from the face.

    Args:
        face_mask: (B, F, 1, h, w) from 0 beside the face to 1 on it.
        feature_mask: the same of eyes and mouth.
        objective: of which `face_weight` and `feature_weight` are taken.
    """
    return (1 + (objective.face_weight - 1) * face_mask) * (1 + (objective.feature_weight - 1) * feature_mask)


def weighted_loss(prediction: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean squared error, in which places count as `weights` says; one number, float32.

    Every example counts the same, however much of it is face.

    Args:
        prediction, target: (B, F, c, h, w).
        weights: (B, F, 1, h, w).
    """
    error = (prediction.float() - target.float()).square().mean(2, keepdim=True)  # (batch, frames, 1, h, w)
    return ((weights * error).sum((1, 2, 3, 4)) / weights.sum((1, 2, 3, 4))).mean()
