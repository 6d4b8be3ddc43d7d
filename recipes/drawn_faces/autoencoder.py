"""Pre-trains the small model's VAE on drawn clips."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch.nn.functional import l1_loss, mse_loss

from diffusers_hunyuan_portrait.dataset import Clip
from diffusers_hunyuan_portrait.evaluation import training_generator

AUTOENCODER = 4  # key of the training generator
RUN = 4  # frames that the decoder sees together
CROP = 64  # pixels a side, about the face, where fine things are
WHOLE_SHARE = 0.2  # of the steps, that see whole pictures
NOISE = 0.1  # of the latents' deviation, so that small errors in a latent make small ones in the picture


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
        generator = torch.Generator().manual_seed(step)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        decoded = self.vae.decode(mean + NOISE * mean.detach().std() * noise, num_frames=RUN).sample.float()
        # No KL: the latents are only kept from growing.
        return (
            l1_loss(decoded, pixels)
            + 4 * mse_loss(decoded, pixels)
            + 0.5 * _edges(decoded - pixels)
            + (1e-4 * mean.square().mean())
        )

    def _draw_runs(self, rng: np.random.Generator) -> torch.Tensor:
        """(runs · frames, H, W, 3) uint8: one run of whole pictures, or four of faces."""
        size = self.clips[0].frames.shape[1]
        whole = rng.random() < WHOLE_SHARE
        runs = []
        for _ in range(1 if whole else 4):
            frames = self.clips[rng.integers(len(self.clips))].frames
            start = rng.integers(len(frames) - RUN + 1)
            side = size if whole else CROP
            corner = rng.normal((size - side) / 2, size / 6, 2).round().astype(int).clip(0, size - side)
            y, x = corner
            runs.append(frames[start : start + RUN, y : y + side, x : x + side])
        return torch.from_numpy(np.concatenate(runs))


@torch.no_grad()
def finish_autoencoder(vae: AutoencoderKLTemporalDecoder, clips: Sequence[Clip]) -> float:
    """Sets the scaling factor that gives the latents unit variance; gives the PSNR, dB, of unseen clips."""
    vae.eval()
    latents, errors = [], []
    for clip in clips:
        pixels = torch.from_numpy(clip.frames[:RUN]).to(vae.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents.append(vae.encode(pixels).latent_dist.mode())
        decoded = vae.decode(latents[-1], num_frames=RUN).sample.clamp(-1, 1)
        errors += (decoded - pixels).square().mean((1, 2, 3)).tolist()
    vae.register_to_config(scaling_factor=round(1 / torch.cat(latents).std().item(), 4))
    return float(np.mean([10 * math.log10(4 / error) for error in errors]))


def _edges(error: torch.Tensor) -> torch.Tensor:
    """How much the error changes from pixel to pixel."""
    return error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
