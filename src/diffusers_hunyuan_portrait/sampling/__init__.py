"""Sampling as functions of plain tensors and numbers: windows over the clip, and guidance."""

from .guidance import BranchWeights, branch_weights, guidance_schedule
from .windows import accumulate_window, count_entries, window_frames

__all__ = [
    "BranchWeights",
    "accumulate_window",
    "branch_weights",
    "count_entries",
    "guidance_schedule",
    "window_frames",
]
