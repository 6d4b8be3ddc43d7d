"""A clip's latents while it is denoised: on the device, or, of a long clip, in the host's memory."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import SchedulerMixin

from .ranks import Ranks
from .windows import Window, accumulate_window, count_entries

# A clip is stepped this many frames at a time, so that a scheduler's temporaries do not grow with it.
SCHEDULER_SLICE = 256


class ClipLatents:
    """The latents of a clip and the sum of its windows' predictions, both in float32.

    Beside a GPU, those on the host are in pinned memory. What a window needs is copied to the device without
    waiting for it, and what it gives is added a window later, when it has long come back.

    Args:
        latents: (1, F, C, h, w), on the device or, to stay there, on the host.
        scheduler: set to its timesteps; stepped with, and copied, as schedulers may remember earlier steps and
            each slice of a long clip needs its own.
        device: where windows are wanted.
        ranks: the processes that share the run, each of which adds some of the predictions.
    """

    def __init__(self, latents: torch.Tensor, scheduler: SchedulerMixin, device: torch.device, ranks: Ranks):
        self.ranks = ranks
        self.device, self.pinned = device, device.type == "cuda" and latents.device.type == "cpu"
        self.latents = latents.pin_memory() if self.pinned else latents
        self.total = torch.zeros_like(self.latents, pin_memory=self.pinned)
        starts = range(0, latents.shape[1], SCHEDULER_SLICE)
        self._slices = [slice(start, start + SCHEDULER_SLICE) for start in starts]
        self._schedulers = [scheduler, *(copy.deepcopy(scheduler) for _ in self._slices[1:])]
        self._pending: tuple[torch.Tensor, Window, torch.cuda.Event] | None = None

    def read(self, window: Window) -> torch.Tensor:
        """A window's latents on the device, (1, window.size, C, h, w)."""
        return self._to_device(self.latents[:, window.on(self.latents.device)])

    def add(self, prediction: torch.Tensor, window: Window) -> None:
        """Adds a window's prediction, (1, window.size, C, h, w), to the sum."""
        if not self.pinned:
            accumulate_window(self.total, prediction.to(self.total.device), window)
            return
        on_host = self._to_host(prediction)
        arrived = torch.cuda.Event()
        arrived.record()
        self._add_pending()
        self._pending = on_host, window, arrived

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
        self._add_pending()
        counts = count_entries(windows, self.device).view(-1, 1, 1, 1)
        stepped = self.latents if in_place else torch.empty_like(self.latents, pin_memory=self.pinned)
        for scheduler, part in zip(self._schedulers, self._slices, strict=True):
            total = self._to_device(self.total[:, part]).contiguous()
            self.ranks.add_up(total)
            mean = total / counts[part]
            latents = self._to_device(self.latents[:, part])
            result = scheduler.step(mean, timestep, latents, **options).prev_sample
            stepped[:, part].copy_(result, non_blocking=self.pinned)
        self.latents = stepped
        if self.pinned:
            # The host is to read what was copied there; the sum is read by copies that may not have begun.
            torch.cuda.current_stream(self.device).synchronize()
        self.total.zero_()

    def _add_pending(self) -> None:
        if self._pending is not None:
            prediction, window, arrived = self._pending
            arrived.synchronize()
            accumulate_window(self.total, prediction, window)
            self._pending = None

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.pinned:
            tensor = tensor.pin_memory()  # a slice of pinned memory is not always pinned itself
        return tensor.to(self.device, non_blocking=self.pinned)

    def _to_host(self, tensor: torch.Tensor) -> torch.Tensor:
        on_host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self.pinned)
        return on_host.copy_(tensor, non_blocking=self.pinned)
