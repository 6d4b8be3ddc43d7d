"""Circular, shifted windows over a clip, and the mean of what is predicted in them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Window(NamedTuple):
    """`size` neighbouring frames of a clip of `num_frames` that goes around, from frame `start` on."""

    start: int
    size: int
    num_frames: int

    def on(self, device: torch.device | str) -> torch.Tensor:
        """The frames' indices, (size,), made on that device: nothing is copied there."""
        return (torch.arange(self.size, device=device) + self.start) % self.num_frames


def plan_windows(
    num_frames: int, window_size: int, window_overlap: int, window_shift: int, step: int
) -> list[Window]:
    """All windows of one step.

    Windows start every `window_size - window_overlap` frames over the whole clip, even where an earlier one
    reaches its end, and go around: frame indices are taken modulo `num_frames`, so a clip shorter than a
    window repeats inside it. At each step they all start `window_shift` frames earlier, modulo the window's
    length (contract, "Sampling").
    """
    shift = step * window_shift % window_size
    starts = range(0, num_frames, window_size - window_overlap)
    return [Window((start - shift) % num_frames, window_size, num_frames) for start in starts]


def accumulate_window(total: torch.Tensor, prediction: torch.Tensor, window: Window) -> None:
    """Adds a window's `prediction` (1, window.size, …) into `total` (1, F, …) at its frames, in place.

    Every entry counts where a frame stands in a window more than once. Such a window is added a turn at a
    time, because adding to one place twice in one call has no fixed order on a GPU.
    """
    frames = window.on(total.device)
    for turn in range(0, window.size, window.num_frames):
        part = slice(turn, turn + window.num_frames)
        total[:, frames[part]] += prediction[:, part].to(total.dtype)


def count_entries(windows: Sequence[Window], device: torch.device | str = "cpu") -> torch.Tensor:
    """How many window entries hold each frame, (F,) in float32: what a sum over the windows is divided by."""
    counts = torch.zeros(windows[0].num_frames, device=device)
    for window in windows:
        counts.index_add_(0, window.on(device), torch.ones(window.size, device=device))
    return counts
