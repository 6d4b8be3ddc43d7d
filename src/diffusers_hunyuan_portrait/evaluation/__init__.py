"""Figures of how well a model animates drawn faces, whose truth can be drawn."""

from .figures import Figures, VideoFigures, check_bars, measure, summarise
from .pairs import Pair, make_pairs, training_generator, with_other_motion
from .reader import MotionReader
from .run import evaluate, evaluate_stand_ins

__all__ = [
    "Figures",
    "MotionReader",
    "Pair",
    "VideoFigures",
    "check_bars",
    "evaluate",
    "evaluate_stand_ins",
    "make_pairs",
    "measure",
    "summarise",
    "training_generator",
    "with_other_motion",
]
