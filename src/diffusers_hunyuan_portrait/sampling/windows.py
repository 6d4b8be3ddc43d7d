"""Circular, shifted windows over a clip, and the mean of what is predicted in them."""

import torch


def window_frames(
    num_frames: int, window_size: int, window_overlap: int, window_shift: int, step: int
) -> list[torch.Tensor]:
    """The frames of every window at one step, each a (window_size,) tensor of indices.

    Windows start every `window_size - window_overlap` frames over the whole clip, even where an earlier one
    reaches its end, and go around: frame indices are taken modulo `num_frames`, so a clip shorter than a
    window repeats inside it. At each step they all start `window_shift` frames earlier, modulo the window's
    length (contract, "Sampling").
    """
    shift = step * window_shift % window_size
    offsets = torch.arange(window_size)
    starts = range(0, num_frames, window_size - window_overlap)
    return [(start - shift + offsets) % num_frames for start in starts]


def accumulate_window(total: torch.Tensor, prediction: torch.Tensor, frames: torch.Tensor) -> None:
    """Adds a window's `prediction` (1, window_size, …) into `total` (1, F, …) at its `frames`, in place.

    Every entry counts where a frame stands in a window more than once. Such a window is added a turn at a
    time, because adding to one place twice in one call has no fixed order on a GPU.
    """
    num_frames = total.shape[1]
    for turn in range(0, len(frames), num_frames):
        part = slice(turn, turn + num_frames)
        total[:, frames[part].to(total.device)] += prediction[:, part].to(total.dtype)


def count_entries(windows: list[torch.Tensor], num_frames: int) -> torch.Tensor:
    """How many window entries hold each frame, (F,): what a sum over the windows is divided by."""
    return torch.bincount(torch.cat(windows), minlength=num_frames)
