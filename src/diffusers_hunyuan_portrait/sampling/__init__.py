"""Sampling as functions of plain tensors and numbers: windows over the clip, its latents, and guidance."""

from .features import DeepFeatures
from .guidance import BranchWeights, branch_weights, guidance_schedule
from .latents import ClipLatents
from .ranks import LostRankError, Ranks
from .solvers import SOLVERS, check_solver, make_euler, make_solver
from .traffic import bring
from .windows import Window, accumulate_window, count_entries, plan_windows

__all__ = [
    "SOLVERS",
    "BranchWeights",
    "ClipLatents",
    "DeepFeatures",
    "LostRankError",
    "Ranks",
    "Window",
    "accumulate_window",
    "branch_weights",
    "bring",
    "check_solver",
    "count_entries",
    "guidance_schedule",
    "make_euler",
    "make_solver",
    "plan_windows",
]
