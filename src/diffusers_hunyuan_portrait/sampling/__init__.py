"""Sampling as functions of plain tensors and numbers: windows over the clip, its latents, and guidance."""

from .features import DeepFeatures
from .guidance import BranchWeights, branch_weights, guidance_schedule
from .latents import ClipLatents
from .ranks import LostRankError, Ranks
from .solvers import SOLVERS, make_solver
from .traffic import Traffic
from .windows import Window, accumulate_window, count_entries, plan_windows

__all__ = [
    "SOLVERS",
    "BranchWeights",
    "ClipLatents",
    "DeepFeatures",
    "LostRankError",
    "Ranks",
    "Traffic",
    "Window",
    "accumulate_window",
    "branch_weights",
    "count_entries",
    "guidance_schedule",
    "make_solver",
    "plan_windows",
]
