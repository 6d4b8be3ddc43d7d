"""Pre-trains the small model's VAE on drawn clips."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch.nn.functional import l1_loss, mse_loss

from diffusers_hunyuan_portrait.dataset import Clip
from diffusers_hunyuan_portrait.evaluation import training_generator
from diffusers_hunyuan_portrait.training.examples import resized

AUTOENCODER = 4  # key of the training generator
RUN = 4  # frames that the decoder sees together
RUNS = 4  # a step
NOISE = 0.1  # of each latent channel's deviation, so that small errors in a latent make small ones in the picture


class AutoencoderLoss:
    """How well runs of frames come back, as a function of the step.

    Args:
        vae: being trained.
        clips: the drawn clips.
    """

    def __init__(self, vae: AutoencoderKLTemporalDecoder, clips: Sequence[Clip]):
        self.vae, self.clips = vae, clips

    def __call__(self, step: int) -> torch.Tensor:
        rng = training_generator(AUTOENCODER, step)
        pixels = self._draw_runs(rng).to(self.vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        mean = self.vae.encode(pixels).latent_dist.mean.float()  # (runs · frames, c, h, w)
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(step)).to(mean.device)
        noise *= NOISE * mean.detach().std((0, 2, 3), keepdim=True)
        decoded = self.vae.decode(mean + noise, num_frames=RUN).sample.float()
        # No KL: the latents are only kept from growing.
        return (
            l1_loss(decoded, pixels)
            + 4 * mse_loss(decoded, pixels)
            + 0.5 * _edges(decoded - pixels)
            + (1e-4 * mean.square().mean())
        )

    def _draw_runs(self, rng: np.random.Generator) -> torch.Tensor:
        """(runs · frames, H, W, 3) uint8."""
        runs = []
        for _ in range(RUNS):
            frames = self.clips[rng.integers(len(self.clips))].frames
            start = rng.integers(len(frames) - RUN + 1)
            runs += [resized(frame, self.vae.config.sample_size) for frame in frames[start : start + RUN]]
        return torch.from_numpy(np.stack(runs))


@torch.no_grad()
def finish_autoencoder(vae: AutoencoderKLTemporalDecoder, clips: Sequence[Clip]) -> float:
    """Sets the scaling factor that gives the latents unit variance; gives the PSNR, dB, of unseen clips."""
    vae.eval()
    latents, errors = [], []
    for clip in clips:
        frames = np.stack([resized(frame, vae.config.sample_size) for frame in clip.frames[:RUN]])
        pixels = torch.from_numpy(frames).to(vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents.append(vae.encode(pixels).latent_dist.mode())
        decoded = vae.decode(latents[-1], num_frames=RUN).sample.clamp(-1, 1)
        errors += (decoded - pixels).square().mean((1, 2, 3)).tolist()
    vae.register_to_config(scaling_factor=round(1 / torch.cat(latents).std().item(), 4))
    return float(np.mean([10 * math.log10(4 / error) for error in errors]))


def _edges(error: torch.Tensor) -> torch.Tensor:
    """How much the error changes from pixel to pixel."""
    return error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
