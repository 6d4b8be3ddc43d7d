"""A look at a clip while it is denoised: its middle frame, as far as it is known."""

import io
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from ..pipeline import HunyuanPortraitPipeline

SIDE = 320  # pixels of its longer side
# Of the time of a run at most: a step is passed over where a picture of it would come too soon.
SHARE = 0.1


class StepPreview:
    """A callback for the end of each step, which shows what the middle frame will be.

    One frame is decoded, of the latents that the steps so far point to: with the last two at σ and σ', noise-free
    ones are (σ·x' - σ'·x) / (σ - σ'), as an Euler step goes straight towards them. Where networks are moved to
    the device one by one there is no preview, as each would move all of them.

    Args:
        pipe: that runs.
        show: is given each picture as JPEG.
    """

    def __init__(self, pipe: HunyuanPortraitPipeline, show: Callable[[bytes], None]) -> None:
        self._show = show
        moved = getattr(pipe, "_all_hooks", None) or any(
            hasattr(pipe.vae, name) for name in ("_hf_hook", "_diffusers_hook")
        )
        self._shows = not moved
        self._before: torch.Tensor | None = None
        self._again_at = 0.0

    def __call__(
        self, pipe: HunyuanPortraitPipeline, step: int, timestep: Any, tensors: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """As the pipeline calls it; changes nothing."""
        latents = tensors["latents"]
        middle = latents[:, latents.shape[1] // 2].float()  # (1, C, h, w)
        start = time.perf_counter()
        if self._shows and not pipe.interrupt and start >= self._again_at:
            clean = self._clean(pipe, middle)
            if clean is not None:
                self._show(_decode(pipe, clean))
                now = time.perf_counter()
                self._again_at = now + (now - start) * (1 / SHARE - 1)
        self._before = middle.clone()
        return {}

    def _clean(self, pipe: HunyuanPortraitPipeline, latents: torch.Tensor) -> torch.Tensor | None:
        sigmas, index = getattr(pipe.scheduler, "sigmas", None), getattr(pipe.scheduler, "step_index", None)
        if sigmas is None or index is None or self._before is None or self._before.shape != latents.shape:
            return None
        sigma, sigma_after = float(sigmas[index - 1]), float(sigmas[index])
        if sigma <= sigma_after:
            return None
        return (sigma * latents - sigma_after * self._before) / (sigma - sigma_after)


@torch.no_grad()
def _decode(pipe: HunyuanPortraitPipeline, latents: torch.Tensor) -> bytes:
    vae = pipe.vae
    scaled = (latents / vae.config.scaling_factor).to(vae.device, vae.dtype)
    picture = vae.decode(scaled, num_frames=1).sample[0].float()  # (3, H, W)
    array = ((picture / 2 + 0.5).nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    image = Image.fromarray(array.cpu().numpy())
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "jpeg", quality=85)
    return file.getvalue()
