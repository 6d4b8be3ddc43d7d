"""A clip's latents while it is denoised: on the device, or, of a long clip, in the host's memory."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import SchedulerMixin

from .ranks import Ranks
from .traffic import Returns, bring
from .windows import Window, accumulate_window, count_entries

# A clip is stepped this many frames at a time, so that a scheduler's temporaries do not grow with it.
SCHEDULER_SLICE = 256


class ClipLatents:
    """The latents of a clip and the sum of its windows' predictions, both in float32.

    Args:
        latents: (1, F, C, h, w), on the device or, to stay there, on the host.
        scheduler: set to its timesteps; stepped with, and copied, as schedulers may remember earlier steps and
            each slice of a long clip needs its own.
        device: where windows are wanted.
        ranks: the processes that share the run, each of which adds some of the predictions.
    """

    def __init__(self, latents: torch.Tensor, scheduler: SchedulerMixin, device: torch.device, ranks: Ranks):
        self.latents, self.total, self.ranks = latents, torch.zeros_like(latents), ranks
        self.device, self._returns = device, Returns(latents.device)
        starts = range(0, latents.shape[1], SCHEDULER_SLICE)
        self._slices = [slice(start, start + SCHEDULER_SLICE) for start in starts]
        self._schedulers = [scheduler, *(copy.deepcopy(scheduler) for _ in self._slices[1:])]

    def read(self, window: Window) -> torch.Tensor:
        """A window's latents on the device, (1, window.size, C, h, w)."""
        return bring(self.latents[:, window.on(self.latents.device)], self.device)

    def add(self, prediction: torch.Tensor, window: Window) -> None:
        """Adds a window's prediction, (1, window.size, C, h, w), to the sum."""
        self._returns.send(prediction, lambda arrived: accumulate_window(self.total, arrived, window))

    def step(
        self, windows: Sequence[Window], timestep: torch.Tensor, *, in_place: bool = True, **options: Any
    ) -> None:
        """Takes the scheduler's step with the mean of what was added, and begins the next sum.

        Args:
            windows: that were added.
            timestep: of the step.
            in_place: writes over the present latents; otherwise `latents` is a new tensor.
            **options: further arguments of the scheduler's `step`.
        """
        self._returns.settle()
        counts = count_entries(windows, self.device).view(-1, 1, 1, 1)
        stepped = self.latents if in_place else torch.empty_like(self.latents)
        for scheduler, part in zip(self._schedulers, self._slices, strict=True):
            total = bring(self.total[:, part], self.device).contiguous()
            self.ranks.add_up(total)
            latents = bring(self.latents[:, part], self.device)
            stepped[:, part] = scheduler.step(total / counts[part], timestep, latents, **options).prev_sample
        self.latents = stepped
        self.total.zero_()
