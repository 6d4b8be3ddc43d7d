"""Guidance by appearance and by motion: how much each branch of the UNet counts at each step."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class BranchWeights(NamedTuple):
    """The factors of the three branches; a branch of weight 0 need not be run. They sum to 1.

    unconditional: image tokens, image latents and motion tokens all zero; appearance: motion tokens zero;
    full: everything.
    """

    unconditional: float
    appearance: float
    full: float


def guidance_schedule(scale: float | Sequence[float], num_steps: int) -> list[float]:
    """A guidance scale at each step: `scale` throughout, or linearly from `scale[0]` to `scale[1]`.

    Contract, "Sampling"; over the steps that are run, where `strength` leaves some out.
    """
    first, last = scale if isinstance(scale, Sequence) else (scale, scale)
    return np.linspace(first, last, num_steps).tolist()


def branch_weights(appearance_guidance_scale: float, motion_guidance_scale: float) -> BranchWeights:
    """u + g₁·(d − u) + g₂·(c − d), sorted by branch (u unconditional, d appearance, c full).

    With equal scales the middle branch cancels; with both 1 only the full one is left (contract, "Sampling").
    """
    return BranchWeights(
        unconditional=1 - appearance_guidance_scale,
        appearance=appearance_guidance_scale - motion_guidance_scale,
        full=motion_guidance_scale,
    )
