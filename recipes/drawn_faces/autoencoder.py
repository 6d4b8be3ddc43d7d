"""Pre-trains the small model's VAE on drawn clips."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder

from diffusers_hunyuan_portrait.dataset import Clip
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.training.examples import feature_masks, resized

AUTOENCODER = 4  # key of the training generator
FRAMES = 8  # a step
# Frames of a clip that the decoder sees together, one step after the other. (With two, torch 2.13 on the CPU makes
# gradients in bfloat16 that are not numbers.)
RUN_LENGTHS = (1, 4)
FEATURE_WEIGHT = 4  # how much more a pixel in an eye or at the mouth counts than one far from them
NOISE = 0.05  # of each latent channel's deviation, so that small errors in a latent make small ones in the picture
CHECKED_RUN = 4  # frames of each unseen clip


class AutoencoderLoss:
    """How well runs of frames come back, as a function of the step.

    Args:
        vae: being trained.
        clips: the drawn clips.
    """

    def __init__(self, vae: AutoencoderKLTemporalDecoder, clips: Sequence[Clip]):
        self.vae, self.clips = vae, clips

    def __call__(self, step: int) -> torch.Tensor:
        run_length = RUN_LENGTHS[step % len(RUN_LENGTHS)]
        rng = training_generator(AUTOENCODER, step)
        pixels, weights = self._draw_runs(run_length, rng)
        mean = self.vae.encode(pixels).latent_dist.mean.float()  # (runs · frames, c, h, w)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(step))
        noise *= NOISE * mean.detach().std((0, 2, 3), keepdim=True)
        error = self.vae.decode(mean + noise, num_frames=run_length).sample.float() - pixels
        near = (weights * (error.abs() + 4 * error.square())).mean()
        edges = error.diff(dim=2).abs() * weights[:, :, 1:], error.diff(dim=3).abs() * weights[..., 1:]
        # No KL: the latents are only kept from growing.
        return near + 0.5 * (edges[0].mean() + edges[1].mean()) + 1e-4 * mean.square().mean()

    def _draw_runs(self, run_length: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """(runs · frames, 3, H, W) in [-1, 1], and how much each pixel counts, (runs · frames, 1, H, W)."""
        side, frames, weights = self.vae.config.sample_size, [], []
        for _ in range(FRAMES // run_length):
            clip = self.clips[rng.integers(len(self.clips))]
            start = rng.integers(len(clip) - run_length + 1)
            for frame in range(start, start + run_length):
                frames.append(resized(clip.frames[frame], side))
            points = clip.landmarks[start : start + run_length] * (side / clip.frames.shape[1])
            weights.append(1 + FEATURE_WEIGHT * feature_masks(points, side))
        pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
        weighing = torch.from_numpy(np.concatenate(weights)).float()
        return pixels, weighing / weighing.mean()


@torch.no_grad()
def finish_autoencoder(vae: AutoencoderKLTemporalDecoder, clips: Sequence[Clip]) -> float:
    """Sets the scaling factor that gives the latents unit variance; gives the PSNR, dB, of unseen clips."""
    vae.eval()
    latents, errors = [], []
    for clip in clips:
        frames = np.stack([resized(frame, vae.config.sample_size) for frame in clip.frames[:CHECKED_RUN]])
        pixels = torch.from_numpy(frames).to(vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents.append(vae.encode(pixels).latent_dist.mode())
        decoded = vae.decode(latents[-1], num_frames=CHECKED_RUN).sample.clamp(-1, 1)
        errors += (decoded - pixels).square().mean((1, 2, 3)).tolist()
    vae.register_to_config(scaling_factor=round(1 / torch.cat(latents).std().item(), 4))
    return float(np.mean([10 * math.log10(4 / error) for error in errors]))
